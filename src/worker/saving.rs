//! Snapshots as workers see them: asked for here, taken by a thread of the server's, waited for by a connection at most.

use super::Worker;
pub use crate::command::save::{Begun, Busy, Running, SaveFacts, Wish};

/// Takes snapshots. The server implements it; when one is over, it sends every worker [`super::Message::Saved`].
pub trait Saves: Send + Sync {
    /// Has a snapshot taken.
    fn save(&self, wish: Wish) -> Result<Begun, Busy>;
    /// How the snapshot of this number ended; `Err` says why it failed. `None`: it is not over.
    fn outcome(&self, number: u64) -> Option<Result<(), String>>;
    /// Whether one is to be taken when the server ends; `None`: if there are rules for it.
    fn at_end(&self, save: Option<bool>);
    /// How saving stands.
    fn facts(&self) -> SaveFacts;
}

impl Worker {
    /// Replies to those who waited for a snapshot that is over.
    pub(super) fn check_saved(&mut self) {
        let mut at = 0;
        while at < self.savers.len() {
            let (number, token) = self.savers[at];
            let outcome = self.shared.saves().and_then(|saves| saves.outcome(number));
            let ends = self.draining.then(|| Err("the server is ending".to_owned()));
            let gone = self.get(token).is_none_or(|connection| connection.eof).then_some(Ok(()));
            let Some(outcome) = outcome.or(ends).or(gone) else {
                at += 1;
                continue;
            };
            self.savers.swap_remove(at);
            if let Some(connection) = self.get(token) {
                connection.pending = false;
                self.conclude_pending(token, |reply| match outcome {
                    Ok(()) => reply.ok(),
                    Err(why) => reply.error_parts([b"ERR the snapshot failed: ".as_slice(), why.as_bytes()]),
                });
                self.resume(token);
            }
        }
    }
}
