//! A ring with its receive blocks: built and filled by whoever starts the server, enabled by the worker that uses it.
//!
//! Until it is enabled a ring takes no entries, and has no owner; so it may be built on another thread, and everything
//! it will need is registered before its restrictions hold.

#![expect(unsafe_code, reason = "blocks are registered by address")]

use std::{fmt, io};

use io_uring::{IoUring, Submitter};

use super::super::refusal::{Call, Obstacle};
use super::super::rung::{Rung, Supply};
use super::buffers::{Group, Lending};
use super::entries;
use super::fixed::Fixed;
use crate::buffer::block::Blocks;
use crate::buffer::witness;
use crate::limits;

/// How large a ring is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Entries of the submission queue: what one turn can want at once; a full queue is submitted in between.
    submissions: u32,
    /// Entries of the completion queue: more can be under way, and none are lost, but each overflow ends receives.
    completions: u32,
    /// Receive blocks: all there are, or those that are registered at a time.
    blocks: u16,
}

impl Size {
    /// A worker's.
    const WORKER: Self = Self { submissions: 1024, completions: 8192, blocks: limits::BLOCKS_PER_WORKER };
    /// A worker's, if there are to be so many entries.
    pub(super) fn of(entries: Option<u32>) -> Self {
        entries.map_or(Self::WORKER, |entries| Self {
            submissions: entries,
            completions: 2 * entries,
            ..Self::WORKER
        })
    }

    /// Just large enough to try things out.
    pub(super) const TRIAL: Self = Self { submissions: 8, completions: 16, blocks: 2 };
}

/// A ring that is not enabled, with its blocks.
pub struct Ring {
    pub(super) rung: Rung,
    /// Whether receives that stay armed may be bounded.
    pub(super) capped: bool,
    // Before the blocks, so that it goes first.
    pub(super) ring: IoUring,
    pub(super) memory: Memory,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("rung", &self.rung).field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// Receive blocks.
#[derive(Debug)]
pub(super) enum Memory {
    /// Of all connections, in buffer rings.
    Shared(Shared),
    /// Each connection's own.
    Fixed(Fixed),
}

/// The buffer rings that connections receive from.
#[derive(Debug)]
pub(super) struct Shared {
    /// For all connections but those on rations.
    pub(super) common: Lending,
    /// For those that send more than may be executed in a turn.
    pub(super) ration: Lending,
}

impl Shared {
    /// The blocks of a group.
    pub(super) fn of(&mut self, group: Group) -> &mut Lending {
        match group {
            Group::Common => &mut self.common,
            Group::Ration => &mut self.ration,
        }
    }
}

impl Memory {
    /// Blocks there are, those that hold nobody's bytes, and the fewest that did at one time.
    pub(super) fn blocks(&self) -> [u32; 3] {
        match self {
            Self::Shared(Shared { common, ration }) => {
                let count = common.count() + ration.count();
                [count, count - common.held() - ration.held(), common.low_water()].map(u32::from)
            }
            Self::Fixed(fixed) => fixed.blocks(),
        }
    }

    pub(super) fn supply(&self) -> Supply {
        match self {
            Self::Shared(_) => Supply::Shared,
            Self::Fixed(_) => Supply::Fixed,
        }
    }

    /// Shows a test what is registered.
    pub(super) fn show(&self) {
        match self {
            Self::Shared(shared) => witness::registered(shared.common.arena()),
            Self::Fixed(fixed) => fixed.arenas().for_each(witness::registered),
        }
    }
}

impl Ring {
    /// Builds a ring that stands on `rung`, and registers its blocks.
    pub(super) fn build(rung: Rung, supply: Supply, size: Size) -> Result<Self, Obstacle> {
        // Saves an indirection for each entry (6.6); older kernels refuse the flag and do without.
        let ring = match set_up(rung, size, true) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => set_up(rung, size, false),
            result => result,
        };
        let ring = ring.map_err(Obstacle::of(Call::Setup))?;
        let register = || {
            let submitter = ring.submitter();
            Ok(match supply {
                Supply::Shared => {
                    let common = Blocks::new(size.blocks, limits::BLOCK_BYTES);
                    let common = Lending::new(Group::Common, common, limits::LENT_AT_LEAST, &submitter)?;
                    let ration = Blocks::new(limits::RATION_BLOCKS, limits::RATION_BLOCK_BYTES);
                    let ration = Lending::new(Group::Ration, ration, limits::RATION_BLOCKS, &submitter)?;
                    register_arena(&submitter, &common);
                    Memory::Shared(Shared { common, ration })
                }
                Supply::Fixed => Memory::Fixed(Fixed::new(size.blocks, &submitter)?),
            })
        };
        let memory = register().map_err(Obstacle::of(Call::Register))?;
        Ok(Self { rung, capped: false, ring, memory })
    }
}

fn set_up(rung: Rung, size: Size, without_array: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_clamp().setup_cqsize(size.completions).setup_submit_all().setup_r_disabled();
    match rung {
        Rung::Defer => builder.setup_single_issuer().setup_defer_taskrun(),
        Rung::Coop => builder.setup_single_issuer().setup_coop_taskrun(),
        Rung::Oneshot => builder.setup_coop_taskrun(),
    };
    if without_array {
        builder.setup_no_sqarray();
    }
    builder.build(size.submissions)
}

/// Restricts a ring to what the engine asks of it and lets it begin; the calling thread is its only user from now on.
/// `Ok(Some)`: it works, but the kernel did not take the restrictions, which make nothing work better.
pub(super) fn enable(submitter: &Submitter<'_>, supply: Supply) -> io::Result<Option<io::Error>> {
    let unrestricted = entries::restrict(submitter, supply).err();
    submitter.register_enable_rings()?;
    Ok(unrestricted)
}

/// Ends what `enable` began, when nothing is in flight any more: the kernel must not know the blocks when they are
/// freed.
pub(super) fn disband(submitter: &Submitter<'_>, memory: &Memory) -> io::Result<()> {
    match memory {
        Memory::Shared(Shared { common, ration }) => {
            debug_assert_eq!(common.held() + ration.held(), 0, "every block came back");
            common.unregister(submitter)?;
            ration.unregister(submitter)
        }
        // Their pages stay with the ring, which is about to end, and no operation names them.
        Memory::Fixed(_) => Ok(()),
    }
}

/// Registers the blocks' memory as one fixed buffer, which pins it. Receives do not need it; where too little
/// memory may be locked the engine works without.
fn register_arena(submitter: &Submitter<'_>, lending: &Lending) {
    let (base, len) = lending.arena();
    let whole = libc::iovec { iov_base: base.cast(), iov_len: len };
    // SAFETY: the arena is allocated and stays so until `lending` is dropped, which is after the ring has ended
    // (see `Lending::drop`); the registration itself only pins pages.
    if let Err(error) = unsafe { submitter.register_buffers(&[whole]) } {
        log::info!("receive blocks are not registered with the ring: {error} (remedy: raise LimitMEMLOCK=)");
    }
}
