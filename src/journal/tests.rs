//! The journal as a whole, on disks that fail, lose power and lie.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Identity;
use super::disk::{Disk, Failure};
use super::frame::WORD;
use super::record;
use super::recovery::{Extent, Recovered, Refusal, recover};
use super::ring::image::Image;
use super::ring::{Allowance, Granted, Memory, Ring};
use super::writer::{Flush, Progress, Settings, SyncMode, Writer};
use crate::table::Value;
use crate::table::effect::{Effect, Lsn};

mod corruption;
mod death;
mod faults;
mod power;
mod real;
mod space;

use super::disk::sim::Chance;

pub(crate) const IDENTITY: Identity = Identity { run: 0x1234, boot: 0x5678, secret: 0x9abc };

/// Records of a frame with so many effects, none like that of another number.
pub(crate) fn records(number: u64, effects: u64) -> Vec<u8> {
    let mut records = Vec::new();
    for place in 0..effects {
        let key = format!("key:{number}:{place}");
        let value = Value::Int(number.cast_signed());
        record::encode(&Effect::Set { key: key.as_bytes(), value, deadline: None }, &mut records);
    }
    records
}

/// A directory that goes away with the value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn fresh() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tallyring-journal-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that stays behind is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes of the rings here: a few frames, so that they wrap around all the time.
const RING_BYTES: u64 = 1024;

/// Small files and groups, so that there are many.
fn settings(sync: SyncMode) -> Settings {
    Settings { sync, segment_bytes: 16 * 1024, group_bytes: 300 }
}

/// The identity of the life of this number.
fn identity(life: u64) -> Identity {
    Identity { run: u128::from(life), secret: life.wrapping_mul(0x5555), ..IDENTITY }
}

/// The records of a frame, sometimes one that does not fit the ring.
fn random_records(chance: &mut Chance, number: u64) -> Vec<u8> {
    if chance.below(12) > 0 {
        return records(number, 1 + chance.below(4));
    }
    let text = vec![b'x'; 300 + chance.index(3000)];
    let key = format!("long:{number}");
    let mut records = Vec::new();
    let effect = Effect::Set { key: key.as_bytes(), value: Value::Str(&text), deadline: Some(number) };
    record::encode(&effect, &mut records);
    records
}

/// What recovery shows: the records of all effects, one after the other.
fn shown<D: Disk>(disk: &D, extent: Extent, ring: Option<&Image>) -> Result<(Recovered, Vec<u8>), Refusal> {
    let mut all = Vec::new();
    let recovered = recover(disk, extent, ring, IDENTITY.boot, &mut |effect: &Effect<'_>| {
        record::encode(effect, &mut all)
    })?;
    Ok((recovered, all))
}

/// The records of all frames that were appended and not cut, and where each ends: in them and, if it was appended in this
/// life, in the log.
#[derive(Clone, Debug, Default)]
struct Expected {
    records: Vec<u8>,
    frames: Vec<(usize, Lsn)>,
}

impl Expected {
    fn add(&mut self, records: &[u8], end: Lsn) {
        self.records.extend_from_slice(records);
        self.frames.push((self.records.len(), end));
    }

    /// Bytes of records up to the last frame that is as `holds` says.
    fn up_to(&self, holds: impl Fn(Lsn) -> bool) -> usize {
        self.frames.iter().rev().find(|(_, end)| holds(*end)).map_or(0, |found| found.0)
    }

    /// Takes what was recovered as what there is, if it is a beginning that ends behind a frame, `least` bytes long or
    /// longer.
    fn accept(&mut self, recovered: &[u8], least: usize) -> Result<(), String> {
        let whole = recovered.is_empty() || self.frames.iter().any(|(len, _)| *len == recovered.len());
        if !self.records.starts_with(recovered) || !whole {
            return Err(format!("{} bytes were recovered that are no beginning", recovered.len()));
        }
        if recovered.len() < least {
            return Err(format!("{} bytes were recovered, and {least} were promised", recovered.len()));
        }
        self.records.truncate(recovered.len());
        // They are of an earlier life now, and all durable in this one.
        self.frames.retain(|(len, _)| *len <= recovered.len());
        self.frames.iter_mut().for_each(|(_, end)| *end = 0);
        Ok(())
    }
}

/// A process that writes a log.
struct Life<D: Disk> {
    writer: Writer<D>,
    ring: Ring,
    allowance: Allowance,
    now_ms: u64,
    /// Somebody else syncs.
    flushes: bool,
}

impl<D: Disk + Clone> Life<D> {
    fn begin(disk: D, recovered: &Recovered, number: u64, settings: Settings) -> Result<Self, Failure> {
        let memory = Memory::anonymous(RING_BYTES).unwrap();
        let (writer, ring) = Writer::begin(disk, recovered, identity(number), settings, memory)?;
        let flushes = settings.sync == SyncMode::Never;
        Ok(Self { writer, ring, allowance: Allowance::default(), now_ms: 1_000_000, flushes })
    }

    /// Appends, if there are credits, and what lies beside the ring has its space.
    fn append(&mut self, expected: &mut Expected, records: &[u8]) -> Option<Lsn> {
        let enough = !self.is_beside(records) || self.claim(records.len()) == Granted::All;
        if enough { self.append_anyway(expected, records) } else { None }
    }

    /// Appends, if there are credits, whether its space was obtained or not.
    fn append_anyway(&mut self, expected: &mut Expected, records: &[u8]) -> Option<Lsn> {
        let enough = self.ring.top_up(&mut self.allowance, self.ring.cost(records.len()));
        enough.then(|| {
            let end = self.ring.append(&mut self.allowance, records);
            expected.add(records, end);
            end
        })
    }

    fn is_beside(&self, records: &[u8]) -> bool {
        WORD + records.len() as u64 > self.ring.longest()
    }

    fn claim(&mut self, bytes: usize) -> Granted {
        self.ring.top_up_beside(&mut self.allowance, Ring::cost_beside(bytes), 0)
    }

    fn step(&mut self, passed_ms: u64) -> Result<Progress, Failure> {
        self.now_ms += passed_ms;
        self.writer.step(&self.ring, self.now_ms, false)
    }

    /// Appends some frames and writes them, over and over.
    fn work(&mut self, expected: &mut Expected, chance: &mut Chance, rounds: u64) -> Result<(), Failure> {
        for _ in 0..rounds {
            for _ in 0..chance.below(6) {
                let number = expected.frames.len() as u64;
                self.append(expected, &random_records(chance, number));
            }
            self.now_ms += chance.below(400);
            self.writer.step(&self.ring, self.now_ms, chance.below(20) == 0)?;
            if self.flushes && chance.below(3) == 0 {
                self.flush(expected, chance)?;
            }
        }
        Ok(())
    }

    /// Appends and writes while a flush is under way, which the disk may come to soon or late.
    fn flush(&mut self, expected: &mut Expected, chance: &mut Chance) -> Result<(), Failure> {
        let Some(flush) = self.writer.start_flush() else { return Ok(()) };
        let head = self.ring.written();
        let soon = chance.below(2) == 0;
        let (early, late) = if soon { (Some(flush.run()), None) } else { (None, Some(flush)) };
        for _ in 0..chance.below(4) {
            let number = expected.frames.len() as u64;
            self.append(expected, &random_records(chance, number));
            let progress = self.step(chance.below(30))?;
            assert!(!progress.synced && self.writer.start_flush().is_none());
        }
        assert!(self.ring.durable() < head);
        let flushed = early.or_else(|| late.map(Flush::run)).expect("it is run, soon or late");
        self.writer.finish_flush(&self.ring, self.now_ms, flushed)?;
        assert_eq!(self.ring.durable(), head);
        Ok(())
    }

    /// Bytes of records that a loss of power may not cost.
    fn promised(&self, expected: &Expected) -> usize {
        let durable = self.ring.durable();
        expected.up_to(|end| end <= durable)
    }

    /// Bytes of records that a death of the process may not cost.
    fn kept(&self, expected: &Expected) -> usize {
        expected.up_to(|end| self.ring.survives_the_process(end))
    }
}
