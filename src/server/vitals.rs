//! Whether the server moves.
//!
//! It is alive while every worker makes turns and the journal gets on. To look rings every worker's bell, and the next
//! look tells whether it has made a turn since. A disk that is full is no reason to be killed: reads go on.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use crate::limits::{self, SyncPolicy};
use crate::worker::{Message, Shared};

/// What moves while the server is alive.
#[derive(Debug)]
pub(super) struct Vitals {
    pub(super) loading: bool,
    turns: Vec<u64>,
    /// Positions up to which there are changes, and up to which they are written, and safe; 0 where nobody waits for that.
    journal: Option<[u64; 3]>,
}

impl Vitals {
    /// As they are, and has every worker make a turn.
    pub(super) fn of(shared: &Shared) -> Self {
        // Relaxed: two looks are seconds apart.
        let turns = shared.posts.iter().map(|post| post.stats.turns.load(Ordering::Relaxed)).collect();
        let syncs = shared.settings.limits().sync != SyncPolicy::Never;
        let journal = shared.journal().filter(|journal| journal.ring.refusing().is_none());
        let journal = journal.map(|journal| {
            let ring = &journal.ring;
            let durable = if syncs { ring.durable() } else { ring.tail() };
            // The tail last: what is behind the others by then is the journal's to do.
            [ring.tail(), ring.written(), durable]
        });
        for post in &shared.posts {
            // A full mailbox has rung already.
            let _ = post.send(Message::Watched);
        }
        Self { loading: shared.is_loading(), turns, journal }
    }

    /// What has not moved though it should have.
    pub(super) fn stands_still_since(&self, before: &Self) -> Option<String> {
        if let Some(id) = self.turns.iter().zip(&before.turns).position(|(now, before)| now == before) {
            return Some(format!("worker {id}"));
        }
        let ([_, written, durable], [wanted, written_before, durable_before]) =
            (self.journal?, before.journal?);
        let still = |now: u64, before: u64| now == before && now < wanted;
        (still(written, written_before) || still(durable, durable_before)).then(|| "the journal".to_owned())
    }
}

/// What whoever asks whether the server lives is told: for probes, which have no service manager's watchdog.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When all that should have moved was last seen to have, in monotonic milliseconds, and how it was then.
    seen: Mutex<Option<(u64, Vitals)>>,
}

impl Health {
    /// What has stood still for [`limits::STANDSTILL_MS`] or longer, and for how long. Nothing is known before the second
    /// question: between them everything is rung, and time passes.
    pub(super) fn standstill(&self, shared: &Shared, now_ms: u64) -> Option<String> {
        self.judge(Vitals::of(shared), now_ms)
    }

    fn judge(&self, now: Vitals, now_ms: u64) -> Option<String> {
        let mut seen = self.seen.lock().expect("no holder of this lock panics");
        let still = seen.as_ref().filter(|_| !now.loading).and_then(|(since_ms, before)| {
            Some((now.stands_still_since(before)?, now_ms.saturating_sub(*since_ms)))
        });
        match still {
            Some((_, ms)) if ms < limits::STANDSTILL_MS => None,
            Some((what, ms)) => Some(format!("{what} has stood still for {} s", ms / 1000)),
            None => {
                *seen = Some((now_ms, now));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, Vitals};
    use crate::limits::STANDSTILL_MS;

    fn vitals(turns: &[u64], journal: Option<[u64; 3]>) -> Vitals {
        Vitals { loading: false, turns: turns.to_vec(), journal }
    }

    #[test]
    fn a_worker_without_a_turn_stands_still() {
        let before = vitals(&[5, 7], None);
        assert_eq!(vitals(&[6, 8], None).stands_still_since(&before), None);
        let still = vitals(&[6, 7], None).stands_still_since(&before);
        assert_eq!(still.as_deref(), Some("worker 1"));
    }

    #[test]
    fn a_journal_that_is_behind_has_to_get_on() {
        let before = vitals(&[1], Some([100, 90, 80]));
        for (now, still) in
            [([120, 95, 85], false), ([120, 90, 85], true), ([120, 95, 80], true), ([100, 100, 100], false)]
        {
            assert_eq!(vitals(&[2], Some(now)).stands_still_since(&before).is_some(), still, "{now:?}");
        }
        let idle = vitals(&[1], Some([100, 100, 100]));
        assert_eq!(vitals(&[2], Some([200, 100, 100])).stands_still_since(&idle), None, "it has just begun");
        assert_eq!(vitals(&[2], None).stands_still_since(&before), None, "a full disk is no reason");
    }

    #[test]
    fn what_stands_still_for_long_is_told_until_it_moves() {
        let health = Health::default();
        let ask = |turns, journal, now_ms| health.judge(vitals(&[turns], journal), now_ms);
        assert_eq!(ask(5, None, 1000), None, "nothing is known yet");
        assert_eq!(ask(5, None, 1000 + STANDSTILL_MS - 1), None);
        let told = ask(5, None, 1000 + STANDSTILL_MS);
        assert_eq!(told.as_deref(), Some("worker 0 has stood still for 30 s"));
        assert_eq!(ask(6, None, 90_000), None, "it goes on");
        assert_eq!(ask(7, Some([10, 5, 5]), 90_001), None);
        assert_eq!(ask(8, Some([20, 5, 5]), 90_000 + STANDSTILL_MS), None);
        let told = ask(9, Some([30, 5, 5]), 90_001 + STANDSTILL_MS);
        assert_eq!(told.as_deref(), Some("the journal has stood still for 30 s"));
        let loading = Vitals { loading: true, ..vitals(&[9], Some([30, 5, 5])) };
        assert_eq!(health.judge(loading, 200_000), None, "to load takes its time");
        assert_eq!(ask(10, Some([30, 30, 30]), 900_000), None, "nobody asked for long");
    }
}
