//! Where a connection that was just accepted goes: to the worker with the fewest, or nowhere.

use std::sync::atomic::Ordering;

use super::{Admission, Dealt, Message, Worker};
use crate::connection::Peer;
use crate::limits;

/// To a client beyond `maxclients`, or beyond what an engine has blocks for.
pub const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// To a client of another machine, while that is not wanted.
const DENIED: &[u8] = b"-DENIED tallyring is running in protected mode because no password is set for the default user. \
    In this mode connections are only accepted from the loopback interface and the Unix socket. To serve other \
    machines, set a password with the directive requirepass (CONFIG SET requirepass ... from this machine), or, on a \
    network where everybody may count, set protected-mode no.\r\n";

impl Worker {
    /// Counts a connection that was just accepted and says where it goes: to the worker with the fewest.
    pub fn admit(&mut self, peer: &Peer) -> Admission {
        if !peer.is_local() && self.is_open_to_all() {
            self.counts.denied += 1;
            return self.refused(peer, DENIED);
        }
        // Relaxed: a count; being off by the connections accepted at this very moment by nobody else is exact,
        // since one worker accepts.
        let connected = self.shared.connected.load(Ordering::Relaxed);
        if connected >= self.limits.max_clients {
            self.counts.rejected += 1;
            return self.refused(peer, TOO_MANY);
        }
        self.shared.connected.fetch_add(1, Ordering::Relaxed);
        let load = |id: &usize| (self.shared.posts[*id].connections.load(Ordering::Relaxed), *id != self.id);
        let least = (0..self.shared.posts.len()).min_by_key(load).expect("there is at least this worker");
        self.shared.posts[least].connections.fetch_add(1, Ordering::Relaxed);
        if least == self.id { Admission::Here } else { Admission::To(least) }
    }

    /// A connection waits because the kernel has no descriptor or memory for it. Logged every ten seconds while that is so.
    pub fn note_unaccepted(&mut self, cause: &str) {
        self.counts.unaccepted += 1;
        if self.now_ms >= self.complain_at_ms {
            self.complain_at_ms = self.now_ms + limits::COMPLAINT_MS;
            log::warn!(
                cause;
                "cannot accept connections: {cause}; those that come wait (remedy: raise the limit of open files, \
                 `ulimit -n` or LimitNOFILE=, above maxclients)"
            );
        }
    }

    /// Says nothing to a client that expects TLS: it could not read it.
    fn refused(&self, peer: &Peer, reply: &'static [u8]) -> Admission {
        Admission::Refused(if self.profile_for(peer).is_some() { b"" } else { reply })
    }

    /// A connection is gone. When half of a crowd is, memory is worth giving back whatever it was that they held: small pieces
    /// of theirs have kept whole pages.
    pub(super) fn note_gone(&mut self) {
        if self.crowd >= limits::CROWD && self.connections.len() <= self.crowd / 2 {
            self.crowd = self.connections.len();
            self.released += limits::TRIM_BYTES;
        }
    }

    /// Hands an accepted connection to the worker it was admitted to. `Err`: its mailbox is full; open it here.
    pub fn deal(&mut self, to: usize, dealt: Dealt) -> Result<(), Dealt> {
        match self.shared.posts[to].send(Message::Deal(dealt)) {
            Ok(()) => Ok(()),
            Err(Message::Deal(dealt)) => {
                // Relaxed: a count, as in `admit`.
                self.shared.posts[to].connections.fetch_sub(1, Ordering::Relaxed);
                self.shared.posts[self.id].connections.fetch_add(1, Ordering::Relaxed);
                Err(dealt)
            }
            Err(_) => unreachable!("a message that is not sent comes back as it was"),
        }
    }
}
