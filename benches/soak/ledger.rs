//! What the load has reason to expect of every counter: what was acknowledged, and what was sent.
//!
//! A counter of clients that wait for each reply has one possible value. One of clients that vanish amid their requests
//! lies between what they were told and what they asked.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::peer::Peer;

/// Keys named by one request of a check.
const STEP: usize = 1000;

/// How the counters of an account are named, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Keys of this beginning.
    Key(&'static str),
    /// Fields `f1` to `f8` of rows of this beginning.
    Field(&'static str),
}

/// Fields of a row.
pub(crate) const FIELDS: usize = 8;

/// Counters that one actor counts up; nobody else does.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// How they are named.
    pub(crate) name: Name,
    /// What was acknowledged of each. `acknowledged[n] <= sent[n]`
    pub(crate) acknowledged: Vec<u64>,
    /// What was sent.
    pub(crate) sent: Vec<u64>,
}

impl Account {
    /// So many counters, all 0.
    pub(crate) fn new(name: Name, count: usize) -> Self {
        Self { name, acknowledged: vec![0; count], sent: vec![0; count] }
    }

    /// One was counted up by so much, and the reply was there.
    pub(crate) fn count(&mut self, number: usize, more: u64) -> u64 {
        self.sent[number] += more;
        self.acknowledged[number] += more;
        self.acknowledged[number]
    }

    /// The first that is not as it can be, in words, and how many such there are.
    ///
    /// # Errors
    /// What the connection says.
    fn check(&self, peer: &mut Peer) -> io::Result<(usize, Option<String>)> {
        let (mut wrong, mut first) = (0, None);
        for from in (0..self.sent.len()).step_by(STEP) {
            let numbers = from..(from + STEP).min(self.sent.len());
            let values = self.values(peer, numbers.clone())?;
            for (number, value) in numbers.zip(values) {
                let (low, high) = (self.acknowledged[number], self.sent[number]);
                if !value.is_some_and(|value| (low..=high).contains(&value)) {
                    wrong += 1;
                    first.get_or_insert_with(|| {
                        let name = self.name;
                        format!("{name:?} {number} is {value:?}; acknowledged {low}, sent {high}")
                    });
                }
            }
        }
        Ok((wrong, first))
    }

    fn values(&self, peer: &mut Peer, numbers: std::ops::Range<usize>) -> io::Result<Vec<Option<u64>>> {
        match self.name {
            Name::Key(start) => {
                let keys: Vec<String> = numbers.map(|number| format!("{start}{number}")).collect();
                let words: Vec<&str> =
                    std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
                Ok(peer.ask(&words)?.elements().iter().map(super::peer::Reply::number).collect())
            }
            Name::Field(start) => {
                let mut values = Vec::new();
                for row in numbers.start / FIELDS..numbers.end / FIELDS {
                    let reply = peer.ask_line(&format!("HMGET {start}{row} f1 f2 f3 f4 f5 f6 f7 f8"))?;
                    values.extend(reply.elements().iter().map(super::peer::Reply::number));
                }
                Ok(values)
            }
        }
    }
}

const _: () = assert!(STEP.is_multiple_of(FIELDS), "a step ends with a row");

/// The accounts of all actors that have ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Account>>);

/// What a check found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Counters with one possible value.
    pub(crate) exact: usize,
    /// Counters of clients that vanished.
    pub(crate) bounded: usize,
    /// Sum of what was acknowledged.
    pub(crate) acknowledged: u64,
    /// Counters that are not as they can be.
    pub(crate) wrong: usize,
    /// The first of them.
    pub(crate) first: Option<String>,
}

impl Ledger {
    /// Adds an account.
    pub(crate) fn close(&self, account: Account) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(account);
    }

    /// Compares all counters with what they can be.
    ///
    /// # Errors
    /// What the connection says.
    pub(crate) fn check(&self, peer: &mut Peer) -> io::Result<Found> {
        let mut found = Found::default();
        for account in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let exact = account.acknowledged == account.sent;
            *if exact { &mut found.exact } else { &mut found.bounded } += account.sent.len();
            found.acknowledged += account.acknowledged.iter().sum::<u64>();
            let (wrong, first) = account.check(peer)?;
            found.wrong += wrong;
            found.first = found.first.or(first);
        }
        Ok(found)
    }
}
