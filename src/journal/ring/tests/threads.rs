//! With real threads, and by property.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::any;

use crate::journal::ORIGIN;
use crate::journal::frame::WORD;
use crate::journal::ring::image::Image;
use crate::journal::ring::{Allowance, Begin, Memory, Ring};
use crate::journal::tests::{IDENTITY, records};
use crate::table::effect::Lsn;

fn ring(capacity: u64, first: Lsn) -> Ring {
    let memory = Memory::anonymous(capacity).unwrap();
    let ring = Ring::begin(memory, &IDENTITY, Begin { first, epoch: 1, segment: 1 });
    ring.add_credits(capacity);
    ring
}

/// Takes the frame at `at`, if it is complete: its records and its end.
fn take(ring: &Ring, at: Lsn) -> Option<(Vec<u8>, Lsn)> {
    let header = ring.ready(at)?;
    let end = at + header.bytes;
    let records = if header.boxed {
        ring.unbox(at).records
    } else {
        let mut bytes = Vec::new();
        ring.copy_out(at, end, &mut bytes);
        bytes.drain(..usize::try_from(WORD).unwrap());
        bytes.truncate(bytes.len() - usize::try_from(header.padding).unwrap());
        bytes
    };
    ring.set_written(end);
    ring.add_credits(header.bytes);
    Some((records, end))
}

proptest::proptest! {
    #[test]
    fn frames_wrap_around(first in 1..200_u64, lengths in vec(1..200_usize, 1..60), fill in any::<u8>()) {
        let ring = ring(512, first * WORD);
        let mut allowance = Allowance::default();
        let mut at = first * WORD;
        for (number, length) in lengths.into_iter().enumerate() {
            let records: Vec<u8> = (0..length).map(|place| fill.wrapping_add((place * 7 + number).to_le_bytes()[0])).collect();
            assert!(ring.top_up(&mut allowance, ring.cost(length)));
            let end = ring.append(&mut allowance, &records);
            assert_eq!(end, ring.tail());
            assert_eq!(take(&ring, at), Some((records, end)));
            assert_eq!(take(&ring, end), None, "what is there is of an earlier round");
            at = end;
        }
    }
}

#[test]
fn credits_bound_what_is_appended() {
    let ring = ring(512, ORIGIN);
    let mut allowance = Allowance::default();
    let mut appended = 0;
    while ring.top_up(&mut allowance, ring.cost(20)) {
        ring.append(&mut allowance, &[1; 20]);
        appended += 1;
    }
    assert_eq!((appended, ring.waiting()), (16, 512));
    take(&ring, ORIGIN).unwrap();
    assert!(ring.top_up(&mut allowance, ring.cost(20)));
    ring.give_back(&mut allowance);
    assert_eq!(allowance.bytes(), 0);
    assert!(ring.top_up(&mut allowance, 32) && !ring.top_up(&mut allowance, 40));
}

#[test]
#[should_panic(expected = "credits were obtained")]
#[cfg(panic = "unwind")]
fn nothing_is_appended_without_credits() {
    ring(512, ORIGIN).append(&mut Allowance::default(), b"text");
}

#[test]
fn long_frames_wait_beside_the_ring() {
    let ring = ring(512, ORIGIN);
    let mut allowance = Allowance::default();
    assert!(ring.top_up(&mut allowance, 64));
    let first = ring.append(&mut allowance, b"short");
    assert!(ring.survives_the_process(first));
    let long = vec![5; 100_000];
    let end = ring.append(&mut allowance, &long);
    assert_eq!(end, first + ring.cost(long.len()));
    let behind = ring.append(&mut allowance, b"short");
    assert!(!ring.survives_the_process(behind) && !ring.survives_the_process(end));
    take(&ring, ORIGIN).unwrap();
    assert!(ring.survives_the_process(first) && !ring.survives_the_process(behind));
    assert_eq!(take(&ring, first), Some((long, end)));
    assert!(ring.survives_the_process(behind));
}

#[test]
fn threads_do_not_mix_their_frames() {
    const THREADS: u64 = 8;
    const EACH: u64 = 4000;
    let ring = ring(4096, ORIGIN);
    let running = AtomicUsize::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ring, running) = (&ring, &running);
            scope.spawn(move || {
                let mut allowance = Allowance::default();
                for number in 0..EACH {
                    let length = usize::try_from((number * 37 + thread * 11) % 180).unwrap();
                    let mut records = [thread.to_le_bytes(), number.to_le_bytes()].concat();
                    records.extend((0..length).map(|place| (place * 3 + length).to_le_bytes()[0]));
                    while !ring.top_up(&mut allowance, ring.cost(records.len())) {
                        thread::yield_now();
                    }
                    ring.append(&mut allowance, &records);
                }
                ring.give_back(&mut allowance);
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let mut next = vec![0; usize::try_from(THREADS).unwrap()];
        let mut at = ORIGIN;
        while running.load(Ordering::Acquire) > 0 || at < ring.tail() {
            let Some((records, end)) = take(&ring, at) else {
                thread::yield_now();
                continue;
            };
            let (words, _) = records.as_chunks::<8>();
            let (thread, number) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
            let length = records.len() - 16;
            assert_eq!(length as u64, (number * 37 + thread * 11) % 180);
            let intact = |(place, byte): (usize, &u8)| *byte == (place * 3 + length).to_le_bytes()[0];
            assert!(records[16..].iter().enumerate().all(intact), "frame {number} of thread {thread}");
            let expected = &mut next[usize::try_from(thread).unwrap()];
            assert_eq!(number, *expected, "each thread's frames keep their order");
            *expected += 1;
            at = end;
        }
        assert_eq!(next, vec![EACH; usize::try_from(THREADS).unwrap()]);
    });
    assert_eq!(ring.waiting(), 0);
}

#[test]
fn the_next_process_reads_what_was_complete() {
    let ring = ring(1024, 800);
    let mut allowance = Allowance::default();
    assert!(ring.top_up(&mut allowance, 512));
    let frames: Vec<Vec<u8>> = (0..6).map(|number| records(number, 1 + number % 3)).collect();
    ring.append(&mut allowance, &frames[0]);
    ring.append(&mut allowance, &frames[1]);
    // Somebody took his place and was killed: before he copied, and in the middle of it.
    ring.reserve(48);
    ring.append(&mut allowance, &frames[2]);
    let torn = ring.reserve(64);
    ring.copy_in(torn + WORD, &records(3, 4)[..20]);
    ring.append(&mut allowance, &frames[4]);
    let image = Image::of_ring(&ring);
    assert_eq!((image.first(), image.tail(), image.boot()), (800, ring.tail(), IDENTITY.boot));
    let found = image.frames(800);
    assert_eq!(found.frames, [&frames[0][..], &frames[1], &frames[2], &frames[4]]);
    assert_eq!((found.holes, found.boxed_at), (112, None));
    assert!(!image.reaches_back_to(792) && !image.reaches_back_to(ring.tail() + 8));
    // Behind a boxed frame nothing counts.
    ring.append(&mut allowance, &vec![7; 1000]);
    ring.append(&mut allowance, &frames[5]);
    let found = Image::of_ring(&ring).frames(800);
    assert_eq!((found.frames.len(), found.boxed_at), (4, Some(image.tail())));
}

#[test]
fn a_file_keeps_the_ring() {
    let dir = crate::journal::tests::Directory::fresh();
    let path = dir.path().join("ring");
    assert!(Image::read(&path).unwrap().is_none());
    let begin = Begin { first: ORIGIN, epoch: 3, segment: 5 };
    let ring = Ring::begin(Memory::of_file(&path, 4096).unwrap(), &IDENTITY, begin);
    ring.add_credits(4096);
    let mut allowance = Allowance::default();
    assert!(ring.top_up(&mut allowance, 64));
    let frame = records(1, 2);
    ring.append(&mut allowance, &frame);
    drop(ring);
    let image = Image::read(&path).unwrap().expect("there is a ring");
    assert_eq!((image.epoch(), image.frames(ORIGIN).frames), (3, vec![frame]));
    // The next life begins anew, in a ring of another size as well.
    let begin = Begin { first: 4096, epoch: 4, segment: 6 };
    let ring = Ring::begin(Memory::of_file(&path, 8192).unwrap(), &IDENTITY, begin);
    let image = Image::read(&path).unwrap().expect("there is a ring");
    assert_eq!((image.epoch(), image.frames(4096)), (4, Image::of_ring(&ring).frames(4096)));
    assert!(Memory::of_file(&path, 5000).is_err() && Memory::anonymous(0).is_err());
}

#[test]
fn foreign_bytes_are_no_ring() {
    assert!(
        Image::of(&[]).is_none() && Image::of(&[0; 8192]).is_none() && Image::of(&[0xff; 8192]).is_none()
    );
}
