//! What a directory and a ring hold of the log: shows its effects in order, and says where it ends. Changes nothing.
//!
//! ```text
//!   file n            file n + 1 (its header: where n ends)      the ring of the last process
//!   [ … groups ]│cut  [ groups ][ groups ]│ torn, or damaged?    [ frames that are in no file ]
//! ```
//!
//! The log ends at the first group that is not what its writer wrote. If it was durable, it must not be left out: any
//! group of the same file whose durable LSN lies behind it says so, and so does the next file, which is made only when all
//! that it continues is durable. If nobody says so, it is what a loss of power leaves of writes that were under way.

use std::path::PathBuf;

use super::ORIGIN;
use super::disk::{Disk, Failure};
use super::frame;
use super::ring::image::Image;
use super::segment::{Before, HEADER_BYTES, Header, NoHeader, VERSION, name_of, sequence_of};
use super::snapshot::Summary;
use crate::table::effect::{Effect, Gathered, Lsn, Replay};

mod scan;

use scan::{Scan, Source};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Effects from here on: where a snapshot was begun, or 0 for all that ever happened.
    pub from: Lsn,
    /// The log has to reach up to here, or what is loaded makes no sense without it: where that snapshot was finished.
    pub reach: Lsn,
}

impl Extent {
    /// What goes on top of a snapshot.
    pub fn on_top_of(snapshot: &Summary) -> Self {
        Self { from: snapshot.head.start, reach: snapshot.end }
    }
}

/// What was cut off the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// The first byte that does not count.
    pub offset: u64,
    /// From there to the last one that is not zero.
    pub bytes: u64,
    /// Whole groups in there, behind one that is not: nobody was told of them as durable.
    pub groups: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that were read.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Frames whose effects were shown, those of the ring among them.
    pub frames: u64,
    /// Those effects.
    pub effects: u64,
    /// Frames that only the ring had.
    pub ring_frames: u64,
    /// Bytes of the ring in which somebody was killed while he wrote.
    pub ring_holes: u64,
    /// Positions of which the ring knows that they were written and synced never, and that no file has.
    pub lost: Option<(Lsn, Lsn)>,
    /// What was cut.
    pub cut: Option<Cut>,
    /// The last process said that it was done.
    pub closed: bool,
}

/// A log that can be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// What was found.
    pub report: Report,
    /// Where the files end, and the next one begins.
    pub(super) end: Lsn,
    /// Life of the log that the last file is of; 0 = there is none.
    pub(super) epoch: u64,
    /// Where in the last file the log ends.
    pub(super) before: Option<Before>,
    /// From where on no header says that what is in the last file is durable.
    pub(super) proven_offset: u64,
    /// Number and first position of each file.
    pub(super) segments: Vec<(u64, Lsn)>,
    /// Frames of the ring that no file has.
    pub(super) carried: Vec<Vec<u8>>,
}

impl Recovered {
    /// Where the log ends, what only the ring had included.
    pub fn last(&self) -> Lsn {
        let frames = self.carried.iter().map(|records| {
            frame::Header::of(records.len()).map_or(frame::BOXED_BYTES, |header| header.bytes)
        });
        self.end + frames.sum::<u64>()
    }
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is not of the journal.
    Foreign,
    /// A later version wrote it, in this format.
    Newer(u32),
    /// Its header does not have its checksum.
    Header,
    /// It is the segment of this number, under another's name.
    Misnamed(u64),
    /// It does not continue the file before.
    Order,
    /// A group that was durable is not there any more.
    Group,
    /// Its groups are whole, and hold something that is no record.
    Record,
}

/// Why a log is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something could not be read.
    Disk(Failure),
    /// A file is not as it was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first byte that is not.
        offset: u64,
        /// How so.
        damage: Damage,
    },
    /// A file is not there.
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The log ends before what the snapshot needs of it.
    Short {
        /// Where it ends.
        end: Lsn,
        /// Where it should.
        reach: Lsn,
    },
}

impl Refusal {
    /// Whether the data is damaged, or a part of it gone; not so where it cannot be read, or only by a later version.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Disk(_) | Self::Damaged { damage: Damage::Newer(_), .. } => false,
            Self::Damaged { .. } | Self::Missing { .. } | Self::Short { .. } => true,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Disk(failure)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const REMEDY: &str =
            "restore the directory from a copy; starting without it would lose acknowledged writes";
        match self {
            Self::Disk(failure) => write!(f, "{failure}"),
            Self::Damaged { path, offset, damage } => {
                write!(f, "{} is damaged at byte {offset}: ", path.display())?;
                match damage {
                    Damage::Foreign => write!(f, "it is not a file of the journal; {REMEDY}"),
                    Damage::Newer(version) => write!(
                        f,
                        "it has format {version}, this version reads up to {VERSION}; start the version that wrote it"
                    ),
                    Damage::Header => write!(f, "its header has another checksum; {REMEDY}"),
                    Damage::Misnamed(sequence) => {
                        write!(f, "it was written as {}; {REMEDY}", name_of(*sequence))
                    }
                    Damage::Order => write!(f, "it does not continue the file before it; {REMEDY}"),
                    Damage::Group => write!(f, "what was synced there cannot be read; {REMEDY}"),
                    Damage::Record => {
                        write!(f, "there is a record that this version does not know; {REMEDY}")
                    }
                }
            }
            Self::Missing { path } => write!(f, "{} is missing; {REMEDY}", path.display()),
            Self::Short { end, reach } => {
                write!(f, "the journal ends at {end}, and the snapshot needs it up to {reach}; {REMEDY}")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// A segment that is read.
struct Found<'d, D: Disk> {
    name: String,
    header: Header,
    chain: u32,
    source: Source<'d, D>,
}

impl<D: Disk> Found<'_, D> {
    fn damaged(&self, offset: u64, damage: Damage) -> Refusal {
        Refusal::Damaged { path: self.source.path(&self.name), offset, damage }
    }
}

/// Shows the effects of the log in order. On a refusal, what was shown so far is worth nothing. `boot` is this life of the
/// machine: a ring of another one is not looked at, as its pages may be of different ages.
///
/// # Errors
/// Something that has to be there is not, or not as it was written.
pub fn recover<D: Disk>(
    disk: &D,
    extent: Extent,
    ring: Option<&Image>,
    boot: u128,
    apply: &mut dyn Replay,
) -> Result<Recovered, Refusal> {
    recover_telling(disk, extent, ring, boot, apply, &mut |_, _| {})
}

/// The same; `tell` is told from time to time how many bytes were read, of how many.
///
/// # Errors
/// As [`recover`].
pub fn recover_telling<D: Disk>(
    disk: &D,
    extent: Extent,
    ring: Option<&Image>,
    boot: u128,
    apply: &mut dyn Replay,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Recovered, Refusal> {
    let mut recovered = Recovered {
        report: Report::default(),
        end: ORIGIN,
        epoch: 0,
        before: None,
        proven_offset: HEADER_BYTES,
        segments: Vec::new(),
        carried: Vec::new(),
    };
    let files = needed_files(disk, extent.from, &mut recovered.segments)?;
    let mut scan: Option<Scan> = None;
    let (mut before, all) = (0, files.iter().map(|file| file.source.len()).sum());
    let mut files = files.into_iter().peekable();
    while let Some(mut file) = files.next() {
        let next = files.peek();
        if let Some(next) = next {
            check_life(&file, next)?;
        }
        let mut here = Scan::of(&file, extent.from);
        let mut tell_here = |at| tell(before + at, all);
        here.read(&mut file, next.map(|next| &next.header), &mut recovered.report, apply, &mut tell_here)?;
        before += file.source.len();
        if let Some(next) = next {
            check_order(&file, &here, next)?;
        } else {
            recovered.report.cut = here.cut(&mut file)?;
            recovered.epoch = file.header.epoch;
            recovered.before =
                Some(Before { sequence: file.header.sequence, offset: here.at, chain: here.chain });
        }
        recovered.report.files += 1;
        recovered.report.bytes += here.at;
        scan = Some(here);
    }
    if let Some(last) = scan {
        recovered.end = last.lsn;
        recovered.proven_offset = last.proven;
        recovered.report.closed = last.closed && recovered.report.cut.is_none();
    }
    let reach = extent.reach.max(extent.from);
    if recovered.end < reach {
        return Err(Refusal::Short { end: recovered.end, reach });
    }
    if let Some(image) = ring.filter(|image| image.boot() == boot && image.epoch() == recovered.epoch) {
        take_ring(image, &mut recovered, apply);
    }
    Ok(recovered)
}

/// Bytes of a segment, from its beginning, that are as they were written. Others may be writing behind them.
///
/// # Errors
/// It cannot be read, or has no header, or something is not there that was durable.
pub fn whole_bytes<D: Disk>(disk: &D, sequence: u64) -> Result<u64, Refusal> {
    let mut before = 0;
    loop {
        let mut file = open(disk, sequence)?;
        let mut scan = Scan::of(&file, Lsn::MAX);
        scan.read(&mut file, None, &mut Report::default(), &mut |_: &Effect<'_>| (), &mut |_| ())?;
        match scan.cut(&mut file) {
            Ok(_) => return Ok(scan.at),
            // It may have been written, and more behind it, since it was looked for: then the next look comes further.
            Err(Refusal::Damaged { .. }) if scan.at > before => before = scan.at,
            Err(refusal) => return Err(refusal),
        }
    }
}

/// The files that hold all from `from` on, in order. Older ones are not looked at: of a snapshot's superfluous files some
/// may be there yet. `segments` gets all of them; those that were not looked at begin at 0.
fn needed_files<'d, D: Disk>(
    disk: &'d D,
    from: Lsn,
    segments: &mut Vec<(u64, Lsn)>,
) -> Result<Vec<Found<'d, D>>, Refusal> {
    let mut sequences: Vec<u64> = disk.names()?.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let mut files: Vec<Found<'d, D>> = Vec::new();
    let mut older = sequences.iter().rev();
    let missing = |sequence| Err(Refusal::Missing { path: disk.path(&name_of(sequence)) });
    loop {
        let expected = files.last().map(|newer| newer.header.sequence - 1);
        let Some(&sequence) = older.next() else {
            // Nothing at all is a log that is still to begin.
            return match expected {
                None if from <= ORIGIN => Ok(files),
                None => missing(1),
                Some(expected) => missing(expected),
            };
        };
        if let Some(expected) = expected.filter(|expected| *expected != sequence) {
            return missing(expected);
        }
        let file = open(disk, sequence)?;
        let first = file.header.first;
        files.push(file);
        if first <= from.max(ORIGIN) {
            break;
        }
    }
    files.reverse();
    segments.extend(older.rev().map(|&sequence| (sequence, 0)));
    segments.extend(files.iter().map(|file| (file.header.sequence, file.header.first)));
    Ok(files)
}

fn open<D: Disk>(disk: &D, sequence: u64) -> Result<Found<'_, D>, Refusal> {
    let name = name_of(sequence);
    let mut source = Source::of(disk, disk.open(&name)?)?;
    let block = source.bytes(0, HEADER_BYTES)?.unwrap_or_default();
    let damage = match Header::parse(block) {
        Ok((header, chain)) if header.sequence == sequence => {
            return Ok(Found { name, header, chain, source });
        }
        Ok((header, _)) => Damage::Misnamed(header.sequence),
        Err(NoHeader::Foreign) => Damage::Foreign,
        Err(NoHeader::Newer(version)) => Damage::Newer(version),
        Err(NoHeader::Damaged) => Damage::Header,
    };
    Err(Refusal::Damaged { path: disk.path(&name), offset: 0, damage })
}

/// Whether a file, read up to where the next one says that it ends, is what that one continues.
fn check_order<D: Disk>(file: &Found<'_, D>, scan: &Scan, next: &Found<'_, D>) -> Result<(), Refusal> {
    let end = Before { sequence: file.header.sequence, offset: scan.at, chain: scan.chain };
    let continues = next.header.before == Some(end) && next.header.first == scan.lsn;
    if continues { Ok(()) } else { Err(next.damaged(0, Damage::Order)) }
}

/// Whether a file is of the same life as the one before, or of the next.
fn check_life<D: Disk>(file: &Found<'_, D>, next: &Found<'_, D>) -> Result<(), Refusal> {
    let same_life = next.header.epoch == file.header.epoch && next.header.run == file.header.run;
    let next_life = next.header.epoch == file.header.epoch + 1 && next.header.run != file.header.run;
    if same_life || next_life { Ok(()) } else { Err(next.damaged(0, Damage::Order)) }
}

/// Shows what a killed process had appended and not yet written.
fn take_ring(image: &Image, recovered: &mut Recovered, apply: &mut dyn Replay) {
    if !image.reaches_back_to(recovered.end) {
        if image.written() > recovered.end {
            recovered.report.lost = Some((recovered.end, image.written()));
        }
        return;
    }
    let found = image.frames(recovered.end);
    let mut gathered = Gathered::new(apply);
    for records in &found.frames {
        let effects = frame::for_each(records, &mut |effect| gathered.push(effect));
        recovered.report.effects += effects.expect("frames of an image are whole");
    }
    gathered.flush();
    drop(gathered);
    recovered.report.frames += found.frames.len() as u64;
    recovered.report.ring_frames = found.frames.len() as u64;
    recovered.report.ring_holes = found.holes;
    recovered.carried = found.frames;
}
