//! The seam between sockets and the core: engines own descriptors and receive blocks and drive a [`Worker`].
//!
//! An engine knows bytes, descriptors and tokens; never a command or a key. All engines do the same, turn by
//! turn: wait, say what happened, apply what each changed connection wants.

use std::os::fd::OwnedFd;

use crate::worker::Worker;

#[cfg(feature = "epoll")]
pub mod epoll;
#[cfg(any(feature = "uring", feature = "tokio-uring"))]
mod refusal;
mod rung;
mod socket;
#[cfg(feature = "tokio-uring")]
pub mod tokio_uring;
#[cfg(feature = "uring")]
pub mod uring;

pub use rung::{Rung, Supply};

/// What an engine is given.
#[derive(Debug)]
pub struct Setup {
    /// Listening sockets, non-blocking. The worker that has them deals connections out to the others.
    pub listeners: Vec<OwnedFd>,
    /// Event descriptor that becomes readable when the worker has mail.
    pub bell: OwnedFd,
}

/// The engines that this build knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A raw ring.
    #[cfg(feature = "uring")]
    Uring(Rung, Supply),
    /// Tasks of an async runtime: one read at a time into a registered block.
    #[cfg(feature = "tokio-uring")]
    TokioUring,
    /// Edge-triggered readiness.
    #[cfg(feature = "epoll")]
    Epoll,
}

/// Which engine the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The best that the kernel allows.
    #[default]
    Auto,
    /// The ring, or nothing.
    Uring,
    /// Tasks on the ring, or nothing; never chosen by itself, since it costs more than the others.
    TokioUring,
    /// Readiness.
    Epoll,
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The engine.
    pub kind: Kind,
    /// How a ring's receives get their blocks.
    pub supply: Supply,
    /// The one rung to try, for tests. None: all of them.
    pub rung: Option<Rung>,
    /// Entries of a ring, for tests. None: as many as are good.
    pub entries: Option<u32>,
    /// Workers.
    pub workers: usize,
}

/// What one worker's engine runs on; made before there are workers, so that what the kernel grants to one of them is
/// granted to all.
#[derive(Debug)]
pub enum Seat {
    /// A ring with its blocks, not enabled yet.
    #[cfg(feature = "uring")]
    Uring(Box<uring::Ring>),
    /// Nothing: a runtime belongs to the thread that makes it.
    #[cfg(feature = "tokio-uring")]
    TokioUring,
    /// Nothing: an epoll descriptor is always granted.
    #[cfg(feature = "epoll")]
    Epoll,
}

/// An engine that can run here, and how it was arrived at.
#[derive(Debug)]
pub struct Choice {
    /// The engine.
    pub engine: Engine,
    /// One for each worker.
    pub seats: Vec<Seat>,
    /// Which better one is not used, why, and the remedy; absent where there is none.
    pub fallback: Option<String>,
}

impl Engine {
    /// The engine's name, as `--engine` takes it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "uring")]
            Self::Uring(..) => "uring",
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => "tokio-uring",
            #[cfg(feature = "epoll")]
            Self::Epoll => "epoll",
        }
    }

    /// The kernel features it stands on.
    pub fn rung(self) -> &'static str {
        match self {
            #[cfg(feature = "uring")]
            Self::Uring(rung, supply) => rung.name(supply),
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => "coop-taskrun fixed",
            #[cfg(feature = "epoll")]
            Self::Epoll => "edge-triggered",
        }
    }
}

impl Seat {
    /// Drives `worker` until it is finished. `Err`: the kernel refused what it had granted before; the server
    /// cannot go on.
    pub fn run(self, setup: Setup, worker: Worker) -> std::io::Result<()> {
        match self {
            #[cfg(feature = "uring")]
            Self::Uring(ring) => uring::run(*ring, setup, worker),
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => tokio_uring::run(setup, worker),
            #[cfg(feature = "epoll")]
            Self::Epoll => epoll::run(setup, worker),
        }
    }
}

/// Finds the engine to use by building it, not by looking at versions. `Err` says what is missing and why.
pub fn choose(wanted: &Wanted) -> Result<Choice, String> {
    match wanted.kind {
        Kind::Uring => ring(wanted),
        Kind::TokioUring => tasks(wanted),
        Kind::Epoll => readiness(wanted, None),
        Kind::Auto => ring(wanted).or_else(|cause| {
            let but = match wanted.supply {
                Supply::Shared => "",
                Supply::Fixed => ", where recv fixed means nothing",
            };
            let fallback = format!("falling back to engine epoll{but}: {cause}");
            readiness(wanted, Some(fallback)).map_err(|_| cause)
        }),
    }
}

#[cfg(feature = "uring")]
fn ring(wanted: &Wanted) -> Result<Choice, String> {
    let (rung, rings, fallback) = uring::climb(wanted)?;
    let seats = rings.into_iter().map(|ring| Seat::Uring(Box::new(ring))).collect();
    Ok(Choice { engine: Engine::Uring(rung, wanted.supply), seats, fallback })
}

#[cfg(not(feature = "uring"))]
fn ring(_: &Wanted) -> Result<Choice, String> {
    Err("this build has no uring engine (cargo feature `uring`)".to_owned())
}

#[cfg(feature = "tokio-uring")]
fn tasks(wanted: &Wanted) -> Result<Choice, String> {
    tokio_uring::probe()?;
    let seats = (0..wanted.workers).map(|_| Seat::TokioUring).collect();
    Ok(Choice { engine: Engine::TokioUring, seats, fallback: None })
}

#[cfg(not(feature = "tokio-uring"))]
fn tasks(_: &Wanted) -> Result<Choice, String> {
    Err("this build has no tokio-uring engine (cargo feature `tokio-uring`)".to_owned())
}

#[cfg(feature = "epoll")]
fn readiness(wanted: &Wanted, fallback: Option<String>) -> Result<Choice, String> {
    let seats = (0..wanted.workers).map(|_| Seat::Epoll).collect();
    Ok(Choice { engine: Engine::Epoll, seats, fallback })
}

#[cfg(not(feature = "epoll"))]
fn readiness(_: &Wanted, _: Option<String>) -> Result<Choice, String> {
    Err("this build has no epoll engine (cargo feature `epoll`)".to_owned())
}

#[cfg(not(any(feature = "uring", feature = "tokio-uring", feature = "epoll")))]
compile_error!("a server needs an engine: cargo feature `uring`, `tokio-uring` or `epoll`");
