//! Climbs the ladder of kernel features from the top until a rung holds: found by building rings and by using one, not
//! by version.
//!
//! A small ring is tried out first, since not everything shows when a ring is set up: a kernel that cannot keep a
//! receive armed says so when the first bytes arrive. Then each worker gets its real one.

#![expect(unsafe_code, reason = "submission entries name memory; each push says why it stays valid")]

use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

use super::super::refusal::{Call, Obstacle, explain};
use super::super::{Rung, Supply, Wanted};
use super::buffers::Group;
use super::entries;
use super::ring::{Memory, Ring, Size, disband, enable};
use crate::worker::Token;

/// The best rung that holds, what stands on it, and why it is not a better one.
type Found<T> = (Rung, T, Option<String>);

/// Finds the best rung that holds, and builds the workers' rings on it. `Err`: none holds, with cause and remedy.
pub(in crate::engine) fn climb(wanted: &Wanted) -> Result<Found<Vec<Ring>>, String> {
    best(wanted, |rung| stand_on(rung, wanted))
}

/// The first rung on which `stand` succeeds.
pub(super) fn best<T>(
    wanted: &Wanted,
    mut stand: impl FnMut(Rung) -> Result<T, Obstacle>,
) -> Result<Found<T>, String> {
    let mut above: Option<(Rung, Obstacle)> = None;
    for rung in Rung::ALL.into_iter().filter(|rung| wanted.rung.is_none_or(|only| only == *rung)) {
        match stand(rung) {
            Ok(stands) => {
                let fallback = above.map(|(above, obstacle)| {
                    let [here, there] = [rung, above].map(|rung| rung.name(wanted.supply));
                    let cause = explain(&obstacle, above.since());
                    format!("engine uring stands on {here} and not on {there}: {cause}")
                });
                return Ok((rung, stands, fallback));
            }
            Err(obstacle) => above = Some((rung, obstacle)),
        }
    }
    let (lowest, obstacle) = above.expect("there is a rung to try");
    Err(explain(&obstacle, lowest.since()))
}

fn stand_on(rung: Rung, wanted: &Wanted) -> Result<Vec<Ring>, Obstacle> {
    let stays = wanted.supply == Supply::Shared && rung != Rung::Oneshot;
    // Saves memory where one connection sends much at once (6.17); older kernels refuse it and do without.
    let capped = stays && try_out(rung, wanted.supply, true).is_ok();
    if !capped {
        try_out(rung, wanted.supply, false)?;
    }
    if stays && !capped {
        log::debug!("receives that stay armed are not bounded: they take what blocks there are at once");
    }
    // All of them before the first is used: a worker must not be the one to find that memory is short.
    (0..wanted.workers)
        .map(|_| Ok(Ring { capped, ..Ring::build(rung, wanted.supply, Size::of(wanted.entries))? }))
        .collect()
}

/// The connection to ourselves.
const ITSELF: Token = Token { slot: 0, generation: 0 };
/// Bytes that are sent to ourselves.
const GREETING: &[u8] = b"PING\r\n";
/// `user_data` of their send, which says nothing unless it fails.
const SENT: u64 = 1;

/// Sends some bytes through a ring and receives them, as the engine does.
fn try_out(rung: Rung, supply: Supply, capped: bool) -> Result<(), Obstacle> {
    // The ring is declared last, so that it goes first: the kernel must not know blocks that are freed.
    let Ring { mut memory, mut ring, .. } = Ring::build(rung, supply, Size::TRIAL)?;
    let unrestricted = enable(&ring.submitter(), supply).map_err(Obstacle::of(Call::Register))?;
    if let Some(error) = unrestricted {
        // No rung fails for that: a ring that could do more serves as well.
        log::info!("the ring is not restricted to the operations that the engine needs: {error}");
    }
    let (near, far) = UnixStream::pair().map_err(Obstacle::of(Call::Entry))?;
    let receive = match &mut memory {
        Memory::Shared(_) => entries::receive(Fd(near.as_raw_fd()), rung, Group::Common, true, capped),
        Memory::Fixed(fixed) => {
            let has_one = fixed.open(ITSELF, 0, &ring.submitter());
            assert!(has_one, "the first chunk was registered with the ring");
            let (registered, block) = fixed.lend(ITSELF.slot);
            entries::read(Fd(near.as_raw_fd()), block, registered)
        }
    };
    push(&mut ring, &receive);
    push(&mut ring, &entries::send(Fd(far.as_raw_fd()), GREETING, false).user_data(SENT));
    let received = reap(&mut ring)?;
    let armed = cqueue::more(received.flags());
    let arrived = usize::try_from(received.result()).ok();
    // What came has to be taken in before the blocks can go, right or wrong.
    take_in(&mut memory, &received);
    if armed {
        // Its end: the only other thing that is in flight.
        near.shutdown(Shutdown::Both).map_err(Obstacle::of(Call::Entry))?;
        take_in(&mut memory, &reap(&mut ring)?);
    }
    let stays = supply == Supply::Shared && rung != Rung::Oneshot;
    if arrived != Some(GREETING.len()) || armed != stays {
        let errno = if arrived.is_some() { libc::EINVAL } else { -received.result() };
        return Err(Obstacle { call: Call::Entry, error: io::Error::from_raw_os_error(errno) });
    }
    disband(&ring.submitter(), &memory).map_err(Obstacle::of(Call::Register))
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: the entry names a static, or a block that stays with the kernel until its completion: `try_out` reaps
    // that, or returns and drops the ring before the blocks.
    unsafe { ring.submission().push(entry) }.expect("a fresh queue has room for two");
}

/// Submits and waits for the receive's next completion.
fn reap(ring: &mut IoUring) -> Result<cqueue::Entry, Obstacle> {
    /// It comes at once, or the kernel does something else than we think.
    const PATIENCE: Timespec = Timespec::new().sec(5);
    loop {
        match ring.completion().next() {
            Some(completion) if completion.user_data() == SENT => {
                let error = io::Error::from_raw_os_error(-completion.result());
                return Err(Obstacle { call: Call::Entry, error });
            }
            Some(completion) => return Ok(completion),
            None => {}
        }
        match ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&PATIENCE)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Obstacle { call: Call::Enter, error }),
        }
    }
}

fn take_in(memory: &mut Memory, received: &cqueue::Entry) {
    let len = usize::try_from(received.result()).unwrap_or(0);
    match memory {
        Memory::Shared(shared) => {
            if let Some(id) = cqueue::buffer_select(received.flags()) {
                let block = shared.common.received(id, len);
                shared.common.release(block);
            }
        }
        Memory::Fixed(fixed) => {
            fixed.received(ITSELF.slot, len);
            fixed.close(ITSELF.slot);
        }
    }
}
