//! The ring itself, on the kernel that is there: what it lets through, and what not.

use std::io;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode, squeue};

use super::ring::{Memory, Ring, Size, disband, enable};
use super::{Rung, climb, probe};
use crate::engine::refusal::{Call, Obstacle};
use crate::engine::{Kind, Supply, Wanted};
use crate::limits;
use crate::worker::Token;

/// Whether the operator says that this kernel gives no ring.
fn no_ring() -> bool {
    let said = std::env::var_os("TALLYRING_NO_RING").is_some_and(|set| set == "1");
    if said {
        eprintln!("NOT RUN: TALLYRING_NO_RING=1 says that this kernel gives no ring");
    }
    said
}

/// A ring that has been enabled.
fn enabled(supply: Supply) -> (Memory, IoUring) {
    let Ring { memory, ring, .. } =
        Ring::build(Rung::Defer, supply, Size::TRIAL).expect("the kernel gives a ring");
    let unrestricted = enable(&ring.submitter(), supply).expect("a ring can be enabled");
    assert!(unrestricted.is_none(), "the kernel takes the restrictions: {unrestricted:?}");
    (memory, ring)
}

/// What becomes of an entry.
fn result_of(ring: &mut IoUring, entry: &squeue::Entry) -> i32 {
    // SAFETY: the entries of these tests name no memory.
    unsafe { ring.submission().push(entry) }.expect("the queue has room for one");
    ring.submit_and_wait(1).expect("entries are taken");
    ring.completion().next().expect("one was waited for").result()
}

#[test]
fn only_what_the_engine_does_is_let_through() {
    if no_ring() {
        return;
    }
    for supply in [Supply::Shared, Supply::Fixed] {
        let (memory, mut ring) = enabled(supply);
        let socket = io_uring::types::Fd(-1);
        let address = std::ptr::null_mut::<u8>();
        for (name, entry) in [
            ("nop", opcode::Nop::new().build()),
            ("openat", opcode::OpenAt::new(socket, address.cast()).build()),
            ("connect", opcode::Connect::new(socket, address.cast(), 0).build()),
            ("write", opcode::Write::new(socket, address, 0).build()),
            ("close", opcode::Close::new(socket).build()),
            (
                "a send that is linked",
                opcode::Send::new(socket, address, 0).build().flags(squeue::Flags::IO_LINK),
            ),
            (
                "a send by another thread",
                opcode::Send::new(socket, address, 0).build().flags(squeue::Flags::ASYNC),
            ),
        ] {
            assert_eq!(result_of(&mut ring, &entry), -libc::EACCES, "{name} with {supply:?} blocks");
        }
        let other = match supply {
            Supply::Shared => opcode::ReadFixed::new(socket, address, 0, 0).build(),
            Supply::Fixed => opcode::Recv::new(socket, address, 0).build(),
        };
        assert_eq!(result_of(&mut ring, &other), -libc::EACCES, "the receive of the other kind");
        // What is on the list is let through, and only then found to name no descriptor.
        let send = opcode::Send::new(socket, address, 0).build();
        assert_eq!(result_of(&mut ring, &send), -libc::EBADF);

        let refused =
            |result: io::Result<()>| result.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES));
        let submitter = ring.submitter();
        assert!(refused(submitter.register_probe(&mut Probe::new())), "registrations are restricted, too");
        assert!(refused(submitter.register_files(&[0])));
        assert!(refused(submitter.register_personality().map(drop)));
        disband(&submitter, &memory).expect("ending is on the list");
        drop(ring);
        drop(memory);
    }
}

#[test]
fn a_ring_that_is_not_enabled_takes_nothing() {
    if no_ring() {
        return;
    }
    let ring = Ring::build(Rung::Defer, Supply::Shared, Size::TRIAL).expect("the kernel gives a ring");
    let error = ring.ring.submit().expect_err("it is not enabled");
    assert_eq!(error.raw_os_error(), Some(libc::EBADFD));
}

#[test]
fn every_rung_below_the_best_holds_too() {
    if no_ring() {
        return;
    }
    for supply in [Supply::Shared, Supply::Fixed] {
        let wanted = Wanted { kind: Kind::Uring, supply, rung: None, entries: None, workers: 3 };
        let (best, rings, fallback) = climb(&wanted).expect("the kernel gives a ring");
        assert_eq!((rings.len(), fallback.is_some()), (3, best != Rung::ALL[0]));
        for rung in Rung::ALL.into_iter().skip_while(|rung| *rung != best) {
            let (found, rings, fallback) = climb(&Wanted { rung: Some(rung), ..wanted })
                .unwrap_or_else(|cause| panic!("{rung:?}: {cause}"));
            assert_eq!((found, rings.len(), fallback), (rung, 3, None));
        }
    }
}

#[test]
fn chunks_that_nobody_needs_are_given_back_but_for_one() {
    if no_ring() {
        return;
    }
    let (mut memory, ring) = enabled(Supply::Fixed);
    let Memory::Fixed(fixed) = &mut memory else { unreachable!("fixed blocks were asked for") };
    // Two blocks in a chunk.
    let crowd = (0..10).map(|slot| Token { slot, generation: 1 });
    assert!(crowd.clone().all(|token| fixed.open(token, 1000, &ring.submitter())));
    fixed.shed(&ring.submitter());
    assert_eq!(fixed.arenas().count(), 5);
    // The last chunk stays in use, the others do not.
    (0..8).for_each(|slot| fixed.close(slot));
    fixed.shed(&ring.submitter());
    assert_eq!(fixed.arenas().count(), 2, "one in use, one spare");
    assert!(crowd.take(8).all(|token| fixed.open(token, 1000, &ring.submitter())));
    assert_eq!(fixed.arenas().count(), 5, "numbers that were given back are used again");
    (0..10).for_each(|slot| fixed.close(slot));
    drop(ring);
}

#[test]
fn a_block_waits_for_replies_that_leave_and_not_for_a_client_that_takes_none() {
    if no_ring() {
        return;
    }
    let (mut memory, ring) = enabled(Supply::Fixed);
    let Memory::Fixed(fixed) = &mut memory else { unreachable!("fixed blocks were asked for") };
    let [busy, stuck, closed] = [0, 1, 2].map(|slot| Token { slot, generation: 7 });
    for token in [busy, stuck, closed] {
        assert!(
            fixed.open(token, 1000, &ring.submitter()),
            "a chunk has two blocks, and there may be another"
        );
        fixed.wait(token, 1000);
    }
    fixed.close(closed.slot);
    let patience = limits::UNSENT_PATIENCE_MS;
    assert_eq!(fixed.due(1000), Some(Duration::from_millis(patience)));
    assert_eq!(fixed.next_overrun(1000 + patience - 1), None, "nobody has waited that long");
    fixed.progressed(busy.slot, 1050);
    // The slot's next connection has not waited at all.
    let next = Token { slot: closed.slot, generation: 8 };
    assert!(fixed.open(next, 1050, &ring.submitter()), "its block is free again");
    assert_eq!(fixed.next_overrun(1000 + patience), Some(stuck));
    assert_eq!(fixed.next_overrun(1000 + patience), None, "the other's client has taken something");
    assert!(fixed.is_overrun(stuck.slot) && !fixed.is_overrun(busy.slot));
    fixed.progressed(stuck.slot, 1200);
    assert!(!fixed.is_overrun(stuck.slot), "its client takes replies again");
    assert_eq!(fixed.next_overrun(1050 + patience), Some(busy));
    assert_eq!(fixed.due(2000), None, "nobody waits");
    for slot in 0..3 {
        fixed.close(slot);
    }
    drop(ring);
}

#[test]
fn a_kernel_gets_the_rung_that_it_has_and_the_log_the_reason() {
    let wanted = Wanted { kind: Kind::Uring, supply: Supply::Shared, rung: None, entries: None, workers: 1 };
    let lacks = |call| Obstacle { call, error: io::Error::from_raw_os_error(libc::EINVAL) };
    let on = |best: Option<Rung>| {
        probe::best(&wanted, |rung| if Some(rung) == best { Ok(()) } else { Err(lacks(Call::Entry)) })
    };
    assert_eq!(on(Some(Rung::Defer)), Ok((Rung::Defer, (), None)));
    let why = |rung| on(Some(rung)).expect("it holds").2.expect("it is not the best");
    let (on_6_0, on_5_19) = (why(Rung::Coop), why(Rung::Oneshot));
    assert!(
        on_6_0.starts_with(
            "engine uring stands on coop-taskrun multishot and not on defer-taskrun multishot: "
        )
    );
    assert!(on_6_0.contains("the kernel is older than 6.1 (remedy: upgrade it)"), "{on_6_0}");
    assert!(
        on_5_19
            .starts_with("engine uring stands on coop-taskrun one-shot and not on coop-taskrun multishot: ")
    );
    assert!(on_5_19.contains("the kernel is older than 6.0"), "{on_5_19}");
    assert!(on(None).expect_err("no rung holds").contains("the kernel is older than 5.19"));
}
