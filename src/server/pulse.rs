//! What the service manager is told: that the server is ready, that it is alive, that it ends.
//!
//! Each beat looks whether what should have moved since the last one has.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use super::vitals::Vitals;
use crate::worker::Shared;

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
