//! The journal's reader: a damaged log gives a beginning of what was written, or a refusal; and whatever stands in files
//! whose checksums are right, it gives something or a refusal, and what it gives is there again after another start.
//!
//! Input: [`Dials`], then a [`Script`]. Switch 0: files and a ring that were never written by a writer, instead of
//! damaged ones that were. Switch 1: the log was closed. Switch 2: there is a ring.

use tallyring::journal::recovery::{Extent, Recovered, Refusal, recover};
use tallyring::journal::ring::image::Image;
use tallyring::journal::ring::{Allowance, Memory};
use tallyring::journal::segment::sequence_of;
use tallyring::journal::writer::{Settings, SyncMode, Writer};
use tallyring::journal::{Identity, record};
use tallyring::table::Table;
use tallyring::table::effect::Effect;

use super::damage::damage;
use super::directory::Directory;
use super::forged;
use super::input::{Dials, Random};
use super::script::Script;

/// A ring of a few frames, and files that are as short as they may be beside it.
const RING_BYTES: u64 = 1024;
const SETTINGS: Settings = Settings { sync: SyncMode::Always, segment_bytes: 16 * 1024, group_bytes: 300 };

/// This life of the machine.
pub(super) const BOOT: u128 = 7;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((dials, rest)) = Dials::split(data) else { return };
    let mut script = Script(rest);
    if dials.on(0) {
        let (files, ring) = forged::directory(&mut script, dials.on(2));
        let from = if dials.on(3) { script.number() } else { 0 };
        let reach = if dials.on(4) { script.number() } else { 0 };
        let (table, extent) = (Table::new(), Extent { from, reach });
        // A table takes whatever effects there are.
        let _refused = recover(&files, extent, ring.as_ref(), BOOT, &mut table.replayer());
        goes_on(&files, extent, ring.as_ref());
    } else {
        let log = Log::made(&mut Random::new(u64::from(dials.seed)), dials.on(1));
        let ring = log.ring.as_ref().filter(|_| dials.on(2));
        log.is_begun(ring, &mut script);
    }
}

fn identity(life: u64) -> Identity {
    Identity { run: u128::from(life), boot: BOOT, secret: life.wrapping_mul(0x5555) }
}

/// The records of all effects that are recovered.
fn shown(files: &Directory, extent: Extent, ring: Option<&Image>) -> Result<(Recovered, Vec<u8>), Refusal> {
    let mut records = Vec::new();
    let show = &mut |effect: &Effect<'_>| record::encode(effect, &mut records);
    let recovered = recover(files, extent, ring, BOOT, show)?;
    Ok((recovered, records))
}

/// A start on what was recovered leaves it to the next one.
fn goes_on(files: &Directory, extent: Extent, ring: Option<&Image>) {
    let Ok((recovered, records)) = shown(files, extent, ring) else { return };
    let memory = Memory::anonymous(RING_BYTES).expect("there is memory");
    let begun = Writer::begin(files.clone(), &recovered, identity(90), SETTINGS, memory);
    let (mut writer, ring) = begun.expect("nothing fails there");
    assert!(writer.close(&ring, 0).expect("nothing fails there"), "there is space");
    let (again, same) = shown(files, extent, None).expect("what was read is read again");
    assert!(same == records, "another start has {} bytes of records, not {}", same.len(), records.len());
    assert!(again.report.closed && again.report.cut.is_none());
    assert_eq!(again.last(), recovered.last());
}

/// A log as servers write it.
struct Log {
    files: Directory,
    /// What the last one left in its ring.
    ring: Option<Image>,
    /// The records of all its frames, and where in them each frame ends.
    records: Vec<u8>,
    ends: Vec<usize>,
}

impl Log {
    /// One of a few lives.
    fn made(random: &mut Random, closed: bool) -> Self {
        let mut log = Self { files: Directory::default(), ring: None, records: Vec::new(), ends: vec![0] };
        let lives = 1 + random.below(3);
        for life in 0..lives {
            log.live(life as u64, random, closed || life + 1 < lives);
        }
        log
    }

    fn live(&mut self, life: u64, random: &mut Random, closed: bool) {
        let (recovered, records) =
            shown(&self.files, Extent::default(), self.ring.as_ref()).expect("nothing was damaged yet");
        assert!(records == self.records, "a life has what the one before it wrote");
        let memory = Memory::anonymous(RING_BYTES).expect("there is memory");
        let sync = *random.pick(&[SyncMode::Always, SyncMode::EverySecond, SyncMode::Never]);
        let settings = Settings { sync, ..SETTINGS };
        let begun = Writer::begin(self.files.clone(), &recovered, identity(life + 1), settings, memory);
        let (mut writer, ring) = begun.expect("nothing fails there");
        let (mut allowance, mut now_ms) = (Allowance::default(), 1_000_000);
        for _ in 0..random.below(60) {
            for _ in 0..random.below(4) {
                let bytes: Vec<u8> = (0..60).map(|_| random.byte()).collect();
                let (mut script, mut frame) = (Script(&bytes), Vec::new());
                for _ in 0..=random.below(3) {
                    put_whole(&mut script, &mut frame);
                }
                if ring.top_up(&mut allowance, ring.cost(frame.len())) {
                    ring.append(&mut allowance, &frame);
                    self.records.extend_from_slice(&frame);
                    self.ends.push(self.records.len());
                }
            }
            now_ms += random.below(500) as u64;
            writer.step(&ring, now_ms, random.one_in(9)).expect("nothing fails there");
        }
        if closed {
            assert!(writer.close(&ring, now_ms).expect("nothing fails there"), "there is space");
        } else if !random.one_in(4) {
            writer.step(&ring, now_ms, false).expect("nothing fails there");
        }
        self.ring = Some(Image::of_ring(&ring));
    }

    /// Damaged, it is a beginning of what it was, or refused.
    fn is_begun(&self, ring: Option<&Image>, script: &mut Script<'_>) {
        let files = self.files.copy();
        let done = damage(&files, script, |name| sequence_of(name).is_some());
        let Ok((_, records)) = shown(&files, Extent::default(), ring) else {
            assert!(!done.is_empty(), "nothing was damaged, and it is refused");
            return;
        };
        let begins = self.records.starts_with(&records) && self.ends.contains(&records.len());
        assert!(begins, "{done:?}: {} bytes of records are no beginning", records.len());
        if done.is_empty() && ring.is_some() {
            assert_eq!(records.len(), self.records.len(), "what was appended is there");
        }
        goes_on(&files, Extent::default(), ring);
    }
}

/// Appends a record that is one, and not long.
fn put_whole(script: &mut Script<'_>, out: &mut Vec<u8>) {
    let mut record = Vec::new();
    script.put_record(&mut record);
    match record::decode(&record) {
        // As it is written by us: bytes that are read as the same may be others.
        Ok((effect, _)) if record.len() < 1000 => record::encode(&effect, out),
        Ok(_) | Err(_) => record::encode(&Effect::Deadline { key: b"a", deadline: None }, out),
    }
}
