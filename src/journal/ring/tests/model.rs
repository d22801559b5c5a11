//! Every order in which the steps of two workers and the journal thread can come. Run with
//! `RUSTFLAGS='--cfg model' cargo test --lib loom_`.

use loom::sync::Arc;
use loom::thread;

use crate::journal::Identity;
use crate::journal::ring::{Allowance, Begin, Memory, Ring};
use crate::table::effect::Lsn;

const IDENTITY: Identity = Identity { run: 1, boot: 2, secret: 3 };

fn ring(capacity: u64) -> Arc<Ring> {
    let memory = Memory::anonymous(capacity).unwrap();
    let ring = Ring::begin(memory, &IDENTITY, Begin { first: 8, epoch: 1, segment: 1 });
    ring.add_credits(capacity);
    Arc::new(ring)
}

/// All orders in which threads are interrupted up to three times, which loom's authors find to be enough.
fn model(steps: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(steps);
}

/// The records of the frame at `at`, if it is complete.
fn take(ring: &Ring, at: Lsn) -> Option<([u8; 8], Lsn)> {
    let end = at + ring.ready(at)?.bytes;
    let mut bytes = Vec::new();
    ring.copy_out(at, end, &mut bytes);
    ring.set_written(end);
    ring.add_credits(end - at);
    Some((bytes[8..].try_into().unwrap(), end))
}

#[test]
fn loom_frames_that_are_seen_are_complete() {
    model(|| {
        let ring = ring(64);
        let workers = [1, 2].map(|worker: u8| {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                let mut allowance = Allowance::default();
                assert!(ring.top_up(&mut allowance, 16));
                ring.append(&mut allowance, &[worker; 8]);
            })
        });
        let mut at = 8;
        let mut seen = Vec::new();
        for _ in 0..2 {
            if let Some((records, end)) = take(&ring, at) {
                seen.push(records);
                at = end;
            }
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        while let Some((records, end)) = take(&ring, at) {
            seen.push(records);
            at = end;
        }
        seen.sort_unstable();
        assert_eq!(seen, [[1; 8], [2; 8]]);
    });
}

#[test]
fn loom_what_is_read_is_not_yet_overwritten() {
    model(|| {
        // Room for two frames: the third lies where the first was.
        let ring = ring(32);
        let worker = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                let mut allowance = Allowance::default();
                let appends = (1..=3_u8).map_while(|number| {
                    let enough = ring.top_up(&mut allowance, 16);
                    enough.then(|| ring.append(&mut allowance, &[number; 8]))
                });
                appends.count()
            })
        };
        let mut at = 8;
        let mut next = 1;
        for _ in 0..2 {
            if let Some((records, end)) = take(&ring, at) {
                assert_eq!(records, [next; 8]);
                (at, next) = (end, next + 1);
            }
        }
        let appended = worker.join().unwrap();
        while let Some((records, end)) = take(&ring, at) {
            assert_eq!(records, [next; 8]);
            (at, next) = (end, next + 1);
        }
        assert_eq!(usize::from(next) - 1, appended);
    });
}

/// One worker holds credits for long, and spends them behind what another one has appended with newer ones: in place of
/// what the journal thread read before it gave those. `reserve` asserts that it sees as much.
#[test]
fn loom_old_credits_are_spent_behind_newer_ones() {
    model(|| {
        let ring = ring(32);
        let mut old = Allowance::default();
        assert!(ring.top_up(&mut old, 16));
        let newer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                let mut allowance = Allowance::default();
                for number in 1..=2 {
                    if ring.top_up(&mut allowance, 16) {
                        ring.append(&mut allowance, &[number; 8]);
                    }
                }
            })
        };
        let older = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                ring.append(&mut old, &[9; 8]);
            })
        };
        let first = take(&ring, 8);
        newer.join().unwrap();
        older.join().unwrap();
        let at = first.map_or(8, |(_, end)| end);
        assert!(ring.tail() == at || take(&ring, at).is_some());
    });
}
