//! Space in the files for frames that are kept beside the ring: who appends one has obtained as many bytes before anything
//! changed, as with the credits of the ring.
//!
//! Some bytes lie **ready**, so that a value of a megabyte costs no more than a look. Who needs more than that, or comes
//! while somebody waits, leaves a **claim**, one for each worker. They are served in the order in which they came: a large
//! one is not passed over for small ones, and nobody holds a part of what he waits for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Allowance, Ring};

/// What became of a wish for space in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The allowance has it.
    All,
    /// It is claimed: to be asked for again.
    Later,
    /// The disk has not so much, for this reason (an errno).
    Refused(i32),
}

/// The space: what lies ready, and who waits for some.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<Counter>);

#[derive(Debug, Default)]
struct Counter {
    ready: u64,
    claims: VecDeque<Claim>,
}

#[derive(Debug)]
struct Claim {
    worker: usize,
    bytes: u64,
    /// `None`: it waits.
    answer: Option<Result<(), i32>>,
}

/// What the writer has for the space beside the ring.
#[derive(Clone, Copy, Debug)]
pub(in crate::journal) struct Offer {
    /// Bytes in files that may be given away.
    pub(in crate::journal) free: u64,
    /// Bytes that are to lie ready.
    pub(in crate::journal) ready: u64,
    /// Claims of so many bytes and more are refused, for this reason (an errno): the files do not become so long.
    pub(in crate::journal) refusing: Option<(u64, i32)>,
}

/// What came of an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) struct Taken {
    /// Bytes given away.
    pub(in crate::journal) given: u64,
    /// Bytes taken back.
    pub(in crate::journal) returned: u64,
    /// Bytes of the first claim that waits.
    pub(in crate::journal) lacking: Option<u64>,
    /// Bytes of the smallest claim that was refused.
    pub(in crate::journal) refused: Option<u64>,
}

impl Beside {
    fn counter(&self) -> MutexGuard<'_, Counter> {
        // No code that holds it can panic between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    fn somebody_waits(&self) -> bool {
        self.claims.iter().any(|claim| claim.answer.is_none())
    }

    fn claim(&mut self, worker: usize, bytes: u64) -> Granted {
        self.claims.push_back(Claim { worker, bytes, answer: None });
        Granted::Later
    }

    /// Serves the claims in their order; returns what the first that has to wait lacks.
    fn serve(&mut self, offer: Offer, taken: &mut Taken) {
        for claim in self.claims.iter_mut().filter(|claim| claim.answer.is_none()) {
            let missing = claim.bytes.saturating_sub(self.ready);
            if missing <= offer.free - taken.given {
                self.ready = self.ready + missing - claim.bytes;
                taken.given += missing;
                claim.answer = Some(Ok(()));
            } else if let Some((_, errno)) = offer.refusing.filter(|(from, _)| claim.bytes >= *from) {
                claim.answer = Some(Err(errno));
                taken.refused = Some(taken.refused.unwrap_or(u64::MAX).min(claim.bytes));
            } else {
                taken.lacking = Some(claim.bytes);
                return;
            }
        }
    }
}

/// What workers do.
impl Ring {
    /// Makes an allowance good for `need` bytes of files. May be called with locks of the table held: it does not wait, and
    /// the journal thread takes none.
    pub fn top_up_beside(&self, allowance: &mut Allowance, need: u64, worker: usize) -> Granted {
        if allowance.beside >= need {
            return Granted::All;
        }
        let missing = need - allowance.beside;
        let mut counter = self.beside.counter();
        let Some(at) = counter.claims.iter().position(|claim| claim.worker == worker) else {
            if counter.ready < missing || counter.somebody_waits() {
                return counter.claim(worker, missing);
            }
            counter.ready -= missing;
            allowance.beside += missing;
            return Granted::All;
        };
        match counter.claims[at].answer {
            None => {
                // Another request is the first in the worker's line by now.
                counter.claims[at].bytes = missing;
                Granted::Later
            }
            Some(Ok(())) => {
                allowance.beside += counter.claims[at].bytes;
                counter.claims.remove(at);
                // It needs more than when it asked.
                if allowance.beside >= need {
                    Granted::All
                } else {
                    counter.claim(worker, need - allowance.beside)
                }
            }
            Some(Err(errno)) => {
                counter.claims.remove(at);
                Granted::Refused(errno)
            }
        }
    }

    /// Whether a worker's claim has no answer yet.
    pub fn claims_beside(&self, worker: usize) -> bool {
        self.beside.counter().claims.iter().any(|claim| claim.worker == worker && claim.answer.is_none())
    }

    /// Gives back an allowance of space in files, and withdraws what is claimed: nobody of this worker waits for any.
    pub fn leave_beside(&self, allowance: &mut Allowance, worker: usize) {
        let mut counter = self.beside.counter();
        counter.ready += std::mem::take(&mut allowance.beside);
        if let Some(at) = counter.claims.iter().position(|claim| claim.worker == worker) {
            let claim = counter.claims.remove(at).expect("it was found there");
            if claim.answer == Some(Ok(())) {
                counter.ready += claim.bytes;
            }
        }
    }
}

/// What the journal thread does.
impl Ring {
    /// Serves those who wait as far as `offer` goes, and sees to it that as much lies ready as it says.
    pub(in crate::journal) fn offer_beside(&self, offer: Offer) -> Taken {
        let mut counter = self.beside.counter();
        let mut taken = Taken::default();
        counter.serve(offer, &mut taken);
        // While somebody waits, all that comes free is for him.
        if taken.lacking.is_none() && counter.ready < offer.ready {
            let more = (offer.ready - counter.ready).min(offer.free - taken.given);
            counter.ready += more;
            taken.given += more;
        }
        if counter.ready > offer.ready && taken.lacking.is_none() {
            taken.returned = counter.ready - offer.ready;
            counter.ready = offer.ready;
        }
        taken
    }
}
