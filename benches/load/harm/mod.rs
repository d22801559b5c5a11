//! Clients that do harm beside well-behaved ones: what each kind does, one small step at a time.
//!
//! A step is a system call or a few, none of which waits, so that the loop that keeps a schedule on the same thread is
//! hardly late for it. Knows sockets and bytes; what others notice of it is measured in [`super::limits`]. A file per kind:
//! [`slow`], [`held`], [`flood`], [`crowd`], [`strangers`], [`starved`], [`pieces`]; what they share is in [`wire`].

mod crowd;
mod flood;
mod held;
mod pieces;
mod slow;
mod starved;
mod strangers;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They send requests and do not read the replies, until they are cut off.
    Slow,
    /// They send large requests but for the end, until those that hold most are ended.
    Held,
    /// They connect and leave, beyond `maxclients`.
    Flood,
    /// Thousands that say nothing, and some that vanish in the midst of a request.
    Crowd,
    /// Thousands without a password: half headers, garbage, wrong passwords.
    Strangers,
    /// They send parts of large arguments all at once, so that receive blocks run out.
    Starved,
    /// They send requests byte by byte.
    Pieces,
}

/// A directive that a kind needs: its name, its value meanwhile, and its value afterwards.
pub(crate) type Setting = (&'static str, &'static str, &'static str);

impl Kind {
    /// All of them, in the order in which they are measured.
    pub(crate) const ALL: [Self; 7] =
        [Self::Slow, Self::Held, Self::Flood, Self::Crowd, Self::Strangers, Self::Starved, Self::Pieces];

    /// As the command line names it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Held => "held",
            Self::Flood => "flood",
            Self::Crowd => "crowd",
            Self::Strangers => "strangers",
            Self::Starved => "starved",
            Self::Pieces => "pieces",
        }
    }

    /// Reads what [`Self::text`] wrote, for clap.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let kind = Self::ALL.into_iter().find(|kind| kind.text() == text);
        kind.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::text).join(", ")))
    }

    /// For people.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Slow => "readers that do not read",
            Self::Held => "unfinished large requests",
            Self::Flood => "a flood of connections",
            Self::Crowd => "an idle and vanishing crowd",
            Self::Strangers => "an unauthenticated crowd",
            Self::Starved => "a run on receive blocks",
            Self::Pieces => "requests byte by byte",
        }
    }

    /// Connections of it in a run for published figures.
    pub(crate) fn connections(self) -> usize {
        match self {
            // Few, since the kernel keeps some MiB for each before the server does.
            Self::Slow => 8,
            Self::Held => 50,
            // At a time; of which the server accepts what `maxclients` leaves beside the well-behaved.
            Self::Flood => 256,
            Self::Crowd => 5_000,
            Self::Strangers => 9_900,
            Self::Starved => 200,
            Self::Pieces => 100,
        }
    }

    /// What the server is told before, and again afterwards.
    pub(crate) fn settings(self) -> &'static [Setting] {
        match self {
            Self::Slow => &[("client-output-buffer-limit", "normal 1048576 0 0", "normal 268435456 0 0")],
            Self::Held => &[("maxmemory-clients", "33554432", "0")],
            Self::Flood => &[("maxclients", "128", "10000")],
            Self::Strangers => &[("requirepass", "of-the-house", "")],
            Self::Crowd | Self::Starved | Self::Pieces => &[],
        }
    }

    /// The field of `INFO` that counts what the server did about it; none where it need do nothing.
    pub(crate) fn counter(self) -> Option<&'static str> {
        match self {
            Self::Slow => Some("refused_output_buffer"),
            Self::Held => Some("evicted_clients"),
            Self::Flood => Some("refused_maxclients"),
            Self::Strangers => Some("slowed_password"),
            Self::Starved => Some("receives_starved"),
            Self::Crowd | Self::Pieces => None,
        }
    }

    /// Starts it; nothing is connected yet.
    pub(crate) fn start(self, address: SocketAddr, connections: usize) -> Box<dyn Harm> {
        match self {
            Self::Slow => Box::new(slow::Slow::new(address, connections)),
            Self::Held => Box::new(held::Held::new(address, connections)),
            Self::Flood => Box::new(flood::Flood::new(address, connections)),
            Self::Crowd => Box::new(crowd::Crowd::new(address, connections)),
            Self::Strangers => Box::new(strangers::Strangers::new(address, connections)),
            Self::Starved => Box::new(starved::Starved::new(address, connections)),
            Self::Pieces => Box::new(pieces::Pieces::new(address, connections)),
        }
    }

    /// A request that creates what it asks for, and the reply to it.
    pub(crate) fn preparation(self) -> Option<(Vec<u8>, &'static str)> {
        (self == Self::Slow).then(|| (slow::large_value(), "+OK"))
    }
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Connections opened.
    pub(crate) opened: u64,
    /// Of them, ended by the server.
    pub(crate) ended: u64,
    /// Bytes sent.
    pub(crate) sent: u64,
}

/// Some clients that do harm. Dropped, they are gone with a reset.
pub(crate) trait Harm {
    /// Does a little more; never waits.
    ///
    /// # Errors
    /// What keeps it from going on: descriptors or ports used up. That the server ends a connection is none.
    fn step(&mut self) -> io::Result<()>;

    /// What was done.
    fn tally(&self) -> Tally;

    /// Least time until the next step. Where it is more than nothing, the harm is one of a given rate: bytes and requests
    /// are work like the work of others, and enough of it takes a core whatever is done about it.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::{Duration, Instant};

    use super::Kind;

    #[test]
    fn kinds_are_read_as_they_are_printed() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.text()), Ok(kind));
        }
        assert!(Kind::parse("good").is_err());
    }

    #[test]
    fn every_kind_opens_connections_and_goes_on_when_they_are_ended() {
        for kind in Kind::ALL {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let mut harm = kind.start(listener.local_addr().unwrap(), 3);
            let deadline = Instant::now() + Duration::from_secs(10);
            // Whoever connects is let go on for a moment, and then ended.
            listener.set_nonblocking(true).unwrap();
            while harm.tally().opened < 7 {
                assert!(Instant::now() < deadline, "{}: {:?}", kind.text(), harm.tally());
                harm.step().unwrap();
                if let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    let _ = stream.read(&mut [0; 16]);
                }
            }
        }
    }
}
