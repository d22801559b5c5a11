//! What the service manager is told: that the server is ready, that it is alive, that it ends.
//!
//! It is alive while every worker makes turns and the journal gets on. Each beat rings every worker's bell, and at the
//! next one looks whether it has made a turn since. A disk that is full is no reason to be killed: reads go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::limits::SyncPolicy;
use crate::worker::{Message, Shared};

/// Between two beats where no watchdog asks for more.
const BEAT: Duration = Duration::from_secs(5);

/// The thread that tells it. Ends with this value.
#[derive(Debug)]
pub(super) struct Pulse {
    end: Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pulse {
    /// Begins, if there is a service manager that listens.
    pub(super) fn start(shared: &Arc<Shared>) -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        let watchdog = sd_notify::watchdog_enabled();
        // Three beats before it bites.
        let beat = watchdog.map_or(BEAT, |patience| (patience / 3).min(BEAT));
        let (end, ended) = channel();
        let shared = Arc::clone(shared);
        let body = move || {
            let mut before = Vitals::of(&shared);
            while ended.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                if shared.is_loading() || before.loading {
                    tell(&[NotifyState::Status("loading data"), extension(beat), NotifyState::Watchdog]);
                }
                let now = Vitals::of(&shared);
                match now.stands_still_since(&before) {
                    None => tell(&[NotifyState::Watchdog]),
                    Some(what) => log::error!("{what} has stood still for {} ms", beat.as_millis()),
                }
                before = now;
            }
        };
        match thread::Builder::new().name("pulse".to_owned()).spawn(body) {
            Ok(thread) => Some(Self { end, thread: Some(thread) }),
            Err(error) => {
                log::error!("cannot start a thread that tells the service manager how things are: {error}");
                None
            }
        }
    }

    /// Everything is there.
    pub(super) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The end has begun, and may take so long.
    pub(super) fn ending(&self, patience: Duration) {
        tell(&[NotifyState::Stopping, extension(patience)]);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // It ends when it sees this, or that nobody could send it any more.
        let _ = self.end.send(());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that tells the service manager how things are has panicked");
        }
    }
}

fn extension(beat: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(beat.as_micros().saturating_mul(6)).unwrap_or(u32::MAX))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the service manager does not listen at NOTIFY_SOCKET: {error}");
    }
}

/// What moves while the server is alive.
struct Vitals {
    loading: bool,
    turns: Vec<u64>,
    /// Positions up to which there are changes, and up to which they are written, and safe; 0 where nobody waits for that.
    journal: Option<[u64; 3]>,
}

impl Vitals {
    /// As they are, and has every worker make a turn.
    fn of(shared: &Shared) -> Self {
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
    fn stands_still_since(&self, before: &Self) -> Option<String> {
        if let Some(id) = self.turns.iter().zip(&before.turns).position(|(now, before)| now == before) {
            return Some(format!("worker {id}"));
        }
        let ([_, written, durable], [wanted, written_before, durable_before]) =
            (self.journal?, before.journal?);
        let still = |now: u64, before: u64| now == before && now < wanted;
        (still(written, written_before) || still(durable, durable_before)).then(|| "the journal".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Vitals;

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
}
