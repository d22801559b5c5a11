//! Addresses from which too many wrong passwords come: their next ones wait for their turn. Knows addresses and times.
//!
//! The generic cell rate algorithm: each address has a time up to which its attempts are spent. An attempt spends 10 ms;
//! who is more than a second ahead waits until that is so no more. Who does not give wrong passwords is not in the
//! list, and the list takes no lock as long as it is empty.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::connection::Peer;
use crate::limits;

/// Milliseconds that an attempt spends.
const STEP_MS: u64 = 1000 / limits::WRONG_PASSWORDS_PER_SECOND;

/// Milliseconds that may be spent ahead.
const AHEAD_MS: u64 = 1000;

/// Longest wait: by then a connection that has not authenticated is closed anyway.
const LONGEST_MS: u64 = limits::UNAUTHENTICATED_MS;

/// Wrong passwords by address, shared by all workers.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    /// There may be addresses in the list.
    any: AtomicBool,
    /// Monotonic milliseconds up to which each address has spent its attempts.
    spent: Mutex<HashMap<Address, u64>>,
}

/// Who guesses: whoever has an address of IPv6 has at least 2^64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Address {
    V4([u8; 4]),
    V6([u8; 8]),
    Local,
}

impl Address {
    fn of(peer: &Peer) -> Self {
        let Some((remote, _)) = peer.ends() else { return Self::Local };
        match remote.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl Strikes {
    /// A password from there did not fit.
    pub(super) fn count(&self, peer: &Peer, now_ms: u64) {
        let mut spent = self.spent.lock().expect("no holder of this lock panics");
        let address = Address::of(peer);
        if spent.len() >= limits::WATCHED_ADDRESSES && !spent.contains_key(&address) {
            forget(&mut spent, now_ms);
        }
        let until = spent.entry(address).or_insert(now_ms);
        *until = spend(*until, now_ms);
        // Relaxed: who does not see it yet lets one attempt more through.
        self.any.store(true, Ordering::Relaxed);
    }

    /// How long the next attempt from there has to wait, in milliseconds. If it has to, it is spent by this.
    #[inline]
    pub(super) fn delay(&self, peer: &Peer, now_ms: u64) -> Option<u64> {
        // Relaxed: see `count`.
        if self.any.load(Ordering::Relaxed) { self.delay_of(Address::of(peer), now_ms) } else { None }
    }

    #[cold]
    fn delay_of(&self, address: Address, now_ms: u64) -> Option<u64> {
        let mut spent = self.spent.lock().expect("no holder of this lock panics");
        let until = spent.get_mut(&address)?;
        let wait_ms = until.saturating_sub(now_ms + AHEAD_MS);
        if *until <= now_ms {
            spent.remove(&address);
            self.any.store(!spent.is_empty(), Ordering::Relaxed);
            return None;
        }
        if wait_ms == 0 {
            return None;
        }
        *until = spend(*until, now_ms);
        Some(wait_ms.min(LONGEST_MS))
    }
}

fn spend(until: u64, now_ms: u64) -> u64 {
    (until.max(now_ms) + STEP_MS).min(now_ms + AHEAD_MS + LONGEST_MS + STEP_MS)
}

/// Makes room: those whose attempts are spent no more, or else the half that has spent the least.
fn forget(spent: &mut HashMap<Address, u64>, now_ms: u64) {
    spent.retain(|_, until| *until > now_ms);
    if spent.len() >= limits::WATCHED_ADDRESSES {
        let mut times: Vec<u64> = spent.values().copied().collect();
        let half = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(half);
        let median = *median;
        spent.retain(|_, until| *until > median);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::{AHEAD_MS, LONGEST_MS, Strikes};
    use crate::connection::Peer;
    use crate::limits;

    fn peer(number: u32) -> Peer {
        let remote = SocketAddr::from((Ipv4Addr::from_bits(number), 1));
        Peer::tcp(remote, remote)
    }

    #[test]
    fn a_hundred_wrong_passwords_a_second_are_nobodys_business() {
        let strikes = Strikes::default();
        for now_ms in (0..100_000).step_by(10) {
            strikes.count(&peer(1), now_ms);
            assert_eq!(strikes.delay(&peer(1), now_ms), None, "{now_ms}");
        }
    }

    #[test]
    fn beyond_that_attempts_wait_for_their_turn_and_those_of_others_do_not() {
        let strikes = Strikes::default();
        for _ in 0..=limits::WRONG_PASSWORDS_PER_SECOND {
            assert_eq!(strikes.delay(&peer(1), 5), None);
            strikes.count(&peer(1), 5);
        }
        // A hundred a second from now on, in order.
        for turn in 1..=50 {
            assert_eq!(strikes.delay(&peer(1), 5), Some(turn * 10));
        }
        assert_eq!(strikes.delay(&peer(2), 5), None);
        assert_eq!(strikes.delay(&peer(1), 5 + 10 * 51 + AHEAD_MS), None, "it is over");
        for _ in 0..10_000 {
            strikes.count(&peer(1), 5);
        }
        assert!(strikes.delay(&peer(1), 5).is_some_and(|ms| ms <= LONGEST_MS), "nobody waits for ever");
    }

    #[test]
    fn the_list_is_bounded_and_forgets_those_with_the_fewest() {
        let strikes = Strikes::default();
        let most = u32::try_from(limits::WATCHED_ADDRESSES).unwrap();
        for _ in 0..200 {
            strikes.count(&peer(0), 5);
        }
        for number in 1..3 * most {
            strikes.count(&peer(number), 5);
        }
        assert!(strikes.spent.lock().unwrap().len() <= limits::WATCHED_ADDRESSES);
        assert!(strikes.delay(&peer(0), 5).is_some(), "the worst is not forgotten");
    }
}
