//! Which rung of the ladder of kernel features a ring can stand on here: found by building one, not by version.

use std::io;

use io_uring::IoUring;

use super::super::refusal::explain;
use super::buffers::{Group, Lending};
use crate::buffer::block::Blocks;

/// Kernel features that the engine stands on, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Completions are worked off when we ask for them (6.1), receives stay armed (6.0).
    Defer,
    /// Completions are worked off at the next system call (5.19), receives stay armed (6.0).
    Coop,
}

impl Rung {
    /// All rungs, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Defer, Self::Coop];

    /// What the start-up line and INFO call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Defer => "defer-taskrun multishot",
            Self::Coop => "coop-taskrun multishot",
        }
    }
}

/// Entries of the submission queue: what one turn can want at once; a full queue is submitted in between.
const SUBMISSIONS: u32 = 1024;
/// Entries of the completion queue: more can be under way, and none are lost, but each overflow ends receives.
const COMPLETIONS: u32 = 8192;

/// Builds a ring that stands on `rung`.
pub(super) fn build(rung: Rung) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_clamp().setup_cqsize(COMPLETIONS).setup_submit_all().setup_single_issuer();
    match rung {
        Rung::Defer => builder.setup_defer_taskrun(),
        Rung::Coop => builder.setup_coop_taskrun(),
    };
    // Saves an indirection for each entry (6.6); older kernels refuse the flag and do without.
    builder.setup_no_sqarray();
    match builder.build(SUBMISSIONS) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let mut builder = IoUring::builder();
            builder.setup_clamp().setup_cqsize(COMPLETIONS).setup_submit_all().setup_single_issuer();
            match rung {
                Rung::Defer => builder.setup_defer_taskrun(),
                Rung::Coop => builder.setup_coop_taskrun(),
            };
            builder.build(SUBMISSIONS)
        }
        result => result,
    }
}

/// Finds the best rung by building the real ring and buffer ring. `Err`: none holds, with cause and remedy.
pub fn probe() -> Result<Rung, String> {
    let mut last = None;
    for rung in Rung::ALL {
        match try_rung(rung) {
            Ok(()) => return Ok(rung),
            Err(error) => last = Some(error),
        }
    }
    Err(explain(&last.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS))))
}

fn try_rung(rung: Rung) -> io::Result<()> {
    let ring = build(rung)?;
    let lending = Lending::new(Group::Common, Blocks::for_worker(), &ring.submitter())?;
    // The ring goes first: the kernel must not know the blocks when they are freed.
    lending.unregister(&ring.submitter())?;
    drop(ring);
    drop(lending);
    Ok(())
}
