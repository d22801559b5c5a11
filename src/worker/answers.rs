//! Replies that no command encodes: refusals of every kind, and what becomes of replies that nobody wants.

use super::execute::Scene;
use super::{Token, Worker};
use crate::buffer::outgoing::Outgoing;
use crate::command::resolve::{Refusal, resolve};
use crate::command::texts::MISCONF;
use crate::command::transaction::aborted;
use crate::command::{Command, Outcome};
use crate::connection::{Connection, Phase};
use crate::resp::args::Args;
use crate::resp::codes::Codes;
use crate::resp::encode::{Encoder, Spill};

impl Worker {
    /// Encodes an error as the connection's last reply.
    pub(super) fn refuse(&mut self, token: Token, text: &[u8]) {
        let slot = token.slot as usize;
        self.counts.errors += 1;
        self.reply(slot, |reply| reply.error(text));
        self.connections[slot].phase = Phase::Finishing;
    }

    /// Encodes a reply outside of a command.
    pub(super) fn reply(&mut self, slot: usize, encode: impl FnOnce(&mut Encoder<'_>)) {
        let connection = self.connections.get_mut(slot).expect("the caller found it");
        if connection.session.silence.mutes() {
            return;
        }
        let mut outgoing = connection.outgoing.take().unwrap_or_else(|| self.pool.take());
        let (block, mut spiller) = outgoing.writer(&mut self.pool);
        encode(&mut Encoder::new(block, &mut spiller, connection.session.protocol));
        connection.outgoing = Some(outgoing);
    }
}

impl Scene<'_> {
    /// Refuses a request that names no command, or whose arguments its command does not take.
    #[cold]
    pub(super) fn refuse_unresolved(
        &mut self,
        connection: &mut Connection,
        args: &Args<'_>,
        outgoing: &mut Outgoing,
    ) -> Outcome {
        let refusal = resolve(args).err();
        if let Some(refusal) = &refusal {
            self.counts.note_refused(refusal);
        }
        let meant = refusal.as_ref().and_then(Refusal::command);
        if let Some(command) = meant {
            self.count_rejected(command);
        }
        connection.session.refuse_transaction(meant, &self.shared.table);
        self.refuse(connection, outgoing, |reply| {
            if let Some(refusal) = &refusal {
                refusal.encode(reply);
            }
        })
    }

    /// Refuses a command, and with it the transaction that it was to be part of.
    #[cold]
    pub(super) fn reject(
        &mut self,
        connection: &mut Connection,
        command: &'static Command,
        outgoing: &mut Outgoing,
        encode: impl FnOnce(&mut Encoder<'_>),
    ) -> Outcome {
        self.count_rejected(command);
        connection.session.refuse_transaction(Some(command), &self.shared.table);
        self.refuse(connection, outgoing, encode)
    }

    pub(super) fn count_rejected(&mut self, command: &'static Command) {
        self.timing.rejected(&self.shared.posts[self.id].meters, command);
    }

    /// A command has changed nothing, for want of space beside the ring: it is run again, or refused.
    #[cold]
    pub(super) fn lacks_files(
        &mut self,
        connection: &mut Connection,
        command: &'static Command,
        outgoing: &mut Outgoing,
    ) -> Outcome {
        let Some(errno) = self.desk.refused() else {
            self.counts.commands -= 1;
            return Outcome::Unwritten;
        };
        let text = no_space(command, errno);
        self.reject(connection, command, outgoing, |reply| reply.error_parts(text))
    }

    #[cold]
    pub(super) fn refuse(
        &mut self,
        connection: &Connection,
        outgoing: &mut Outgoing,
        encode: impl FnOnce(&mut Encoder<'_>),
    ) -> Outcome {
        self.counts.errors += 1;
        self.reply(connection, outgoing, encode);
        Outcome::Done
    }

    /// Encodes a reply that is no command's.
    pub(super) fn reply(
        &mut self,
        connection: &Connection,
        outgoing: &mut Outgoing,
        encode: impl FnOnce(&mut Encoder<'_>),
    ) {
        if connection.session.silence.mutes() {
            return;
        }
        let (block, mut spiller) = outgoing.writer(self.pool);
        encode(&mut Encoder::new(block, &mut spiller, connection.session.protocol));
    }

    /// A reply was encoded that nobody wants, unless it is that of the command that ended the silence.
    #[cold]
    pub(super) fn forget_reply(&mut self, connection: &Connection, outgoing: &mut Outgoing) {
        let reply = std::mem::take(self.scratch);
        self.reply(connection, outgoing, |encoder| encoder.raw(&reply));
        *self.scratch = reply;
        self.scratch.clear();
    }
}

/// Lets what is spilled go, and counts errors all the same.
#[derive(Default)]
pub(super) struct Unwanted(pub(super) Codes);

impl Spill for Unwanted {
    fn spill(&mut self, block: &mut Vec<u8>) {
        block.clear();
    }

    fn attach(&mut self, _: bytes::Bytes) {}

    fn failed(&mut self, code: &[u8]) {
        self.0.count(code);
    }
}

/// What a command that writes is refused with while the disk has no space for the journal. In Redis' words.
pub(super) fn no_space(command: &Command, errno: i32) -> [&'static [u8]; 3] {
    let cause = nix::errno::Errno::from_raw(errno).desc();
    [aborted(command), MISCONF.as_bytes(), cause.as_bytes()]
}
