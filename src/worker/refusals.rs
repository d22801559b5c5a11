//! Which of a worker's counters a refusal goes to. Knows the kinds, not how they came about.

use super::mailbox::Counts;
use crate::command::resolve::Refusal;
use crate::resp::decode::ProtocolError;

impl Counts {
    /// A connection is closed because its bytes are no request.
    pub(super) fn note_malformed(&mut self, error: ProtocolError) {
        match error {
            ProtocolError::InvalidCount => self.bad_counts += 1,
            ProtocolError::InvalidLength => self.bad_lengths += 1,
            ProtocolError::UnauthenticatedCount | ProtocolError::UnauthenticatedLength => {
                self.unauthenticated_sizes += 1;
            }
            ProtocolError::LongCount
            | ProtocolError::ExpectedBulk(_)
            | ProtocolError::LongLength
            | ProtocolError::LongInline
            | ProtocolError::UnbalancedQuotes => self.malformed += 1,
        }
    }

    /// A request reaches no command.
    pub(super) fn note_refused(&mut self, refusal: &Refusal<'_>) {
        match refusal {
            Refusal::UnknownCommand(_) | Refusal::UnknownSubcommand(..) => self.unknown_commands += 1,
            Refusal::Arity(..) => self.wrong_arities += 1,
            Refusal::LongKey(_) => self.long_keys += 1,
        }
    }
}
