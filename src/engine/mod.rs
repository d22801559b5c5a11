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
mod socket;
#[cfg(feature = "tokio-uring")]
pub mod tokio_uring;
#[cfg(feature = "uring")]
pub mod uring;

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
    /// A raw ring: multishot receives into provided buffers.
    #[cfg(feature = "uring")]
    Uring(uring::Rung),
    /// Tasks of an async runtime: one read at a time into a registered block.
    #[cfg(feature = "tokio-uring")]
    TokioUring,
    /// Edge-triggered readiness.
    #[cfg(feature = "epoll")]
    Epoll,
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
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

/// An engine that can run here, and how it was arrived at.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The engine.
    pub engine: Engine,
    /// Why a better one is not used, with the remedy; absent where there is none.
    pub fallback: Option<String>,
}

impl Engine {
    /// The engine's name, as `--engine` takes it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "uring")]
            Self::Uring(_) => "uring",
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
            Self::Uring(rung) => rung.name(),
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => "coop-taskrun fixed",
            #[cfg(feature = "epoll")]
            Self::Epoll => "edge-triggered",
        }
    }

    /// Drives `worker` until it is finished. `Err`: the kernel refused what it had granted before; the server
    /// cannot go on.
    pub fn run(self, setup: Setup, worker: Worker) -> std::io::Result<()> {
        match self {
            #[cfg(feature = "uring")]
            Self::Uring(rung) => uring::run(rung, setup, worker),
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => tokio_uring::run(setup, worker),
            #[cfg(feature = "epoll")]
            Self::Epoll => epoll::run(setup, worker),
        }
    }
}

/// Finds the engine to use by building it, not by looking at versions. `Err` says what is missing and why.
pub fn choose(wanted: Wanted) -> Result<Choice, String> {
    match wanted {
        Wanted::Uring => ring().map(|engine| Choice { engine, fallback: None }),
        Wanted::TokioUring => tasks().map(|engine| Choice { engine, fallback: None }),
        Wanted::Epoll => readiness().map(|engine| Choice { engine, fallback: None }),
        Wanted::Auto => match ring() {
            Ok(engine) => Ok(Choice { engine, fallback: None }),
            Err(cause) => match readiness() {
                Ok(engine) => Ok(Choice { engine, fallback: Some(cause) }),
                Err(_) => Err(cause),
            },
        },
    }
}

#[cfg(feature = "uring")]
fn ring() -> Result<Engine, String> {
    uring::probe().map(Engine::Uring)
}

#[cfg(not(feature = "uring"))]
fn ring() -> Result<Engine, String> {
    Err("this build has no uring engine (cargo feature `uring`)".to_owned())
}

#[cfg(feature = "tokio-uring")]
fn tasks() -> Result<Engine, String> {
    tokio_uring::probe().map(|()| Engine::TokioUring)
}

#[cfg(not(feature = "tokio-uring"))]
fn tasks() -> Result<Engine, String> {
    Err("this build has no tokio-uring engine (cargo feature `tokio-uring`)".to_owned())
}

#[cfg(feature = "epoll")]
fn readiness() -> Result<Engine, String> {
    Ok(Engine::Epoll)
}

#[cfg(not(feature = "epoll"))]
fn readiness() -> Result<Engine, String> {
    Err("this build has no epoll engine (cargo feature `epoll`)".to_owned())
}

#[cfg(not(any(feature = "uring", feature = "tokio-uring", feature = "epoll")))]
compile_error!("a server needs an engine: cargo feature `uring`, `tokio-uring` or `epoll`");
