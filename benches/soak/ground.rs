//! What all actors of the load share: where the server is, whether to go on, what was done, and what went wrong.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::ledger::Ledger;
use super::peer::{Peer, Reply};

/// What was done, by kind.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Requests of clients that wait for their replies.
    pub(crate) requests: AtomicU64,
    /// Connections that came and left in peace.
    pub(crate) visits: AtomicU64,
    /// Connections reset amid their requests.
    pub(crate) resets: AtomicU64,
    /// Connections that sent what is no request.
    pub(crate) malformed: AtomicU64,
    /// Readers that were cut off.
    pub(crate) cut: AtomicU64,
    /// Client processes killed.
    pub(crate) kills: AtomicU64,
    /// Wrong passwords.
    pub(crate) wrong_passwords: AtomicU64,
    /// Requests that the user may not make.
    pub(crate) denied: AtomicU64,
    /// Snapshots that were asked for.
    pub(crate) saves: AtomicU64,
    /// Rewrites of the journal that were asked for.
    pub(crate) rewrites: AtomicU64,
    /// Directives set.
    pub(crate) settings: AtomicU64,
}

impl Counts {
    /// All of them, with their names.
    pub(crate) fn all(&self) -> [(&'static str, u64); 11] {
        // Relaxed: counts for people.
        [
            ("requests awaited", &self.requests),
            ("visits", &self.visits),
            ("resets amid requests", &self.resets),
            ("malformed requests", &self.malformed),
            ("slow readers cut off", &self.cut),
            ("client processes killed", &self.kills),
            ("wrong passwords", &self.wrong_passwords),
            ("requests denied", &self.denied),
            ("BGSAVE", &self.saves),
            ("BGREWRITEAOF", &self.rewrites),
            ("CONFIG SET", &self.settings),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// Adds to a count.
pub(crate) fn add(count: &AtomicU64, more: u64) {
    // Relaxed: a count for people.
    count.fetch_add(more, Ordering::Relaxed);
}

/// The ground that actors stand on.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The server.
    pub(crate) address: SocketAddr,
    /// What was done.
    pub(crate) counts: Counts,
    /// What counters have to be.
    pub(crate) ledger: Ledger,
    stop: AtomicBool,
    troubles: Mutex<Vec<String>>,
}

impl Ground {
    /// Of a server that answers.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let (counts, ledger) = (Counts::default(), Ledger::default());
        Self { address, counts, ledger, stop: AtomicBool::new(false), troubles: Mutex::default() }
    }

    /// Whether to go on; waits so long before.
    pub(crate) fn goes_on(&self, pause: Duration) -> bool {
        thread::sleep(pause);
        // Relaxed: nothing is handed over with it.
        !self.stop.load(Ordering::Relaxed)
    }

    /// Lets all actors come to their end.
    pub(crate) fn stop(&self) {
        // Relaxed: as above.
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether an actor had to give up.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs an actor; that it gives up ends the load.
    pub(crate) fn act(&self, name: &str, actor: impl FnOnce(&Self) -> io::Result<()>) {
        if let Err(error) = actor(self) {
            self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {error}"));
            self.stop();
        }
    }

    /// A connection.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn connect(&self) -> io::Result<Peer> {
        Peer::connect(self.address)
    }

    /// Asks, and counts it.
    ///
    /// # Errors
    /// What the connection says.
    pub(crate) fn ask(&self, peer: &mut Peer, line: &str) -> io::Result<Reply> {
        add(&self.counts.requests, 1);
        peer.ask_line(line)
    }
}

/// That a reply is what it has to be.
///
/// # Errors
/// If it is not.
pub(crate) fn expect(reply: &Reply, wanted: &Reply, what: &str) -> io::Result<()> {
    if reply == wanted { Ok(()) } else { Err(wrong(reply, what)) }
}

/// That a reply is this number.
///
/// # Errors
/// If it is not.
pub(crate) fn expect_number(reply: &Reply, wanted: u64, what: &str) -> io::Result<()> {
    if reply.number() == Some(wanted) {
        Ok(())
    } else {
        Err(wrong(reply, &format!("{what}, {wanted} expected")))
    }
}

/// A reply that no correct server gives.
pub(crate) fn wrong(reply: &Reply, what: &str) -> io::Error {
    let mut shown = format!("{reply:?}");
    shown.truncate(300);
    io::Error::other(format!("{shown} to {what}"))
}
