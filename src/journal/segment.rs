//! A file of the journal: what its bytes mean. Reads and writes none.
//!
//! ```text
//! file     [ header, a block ][ group ][ group ] … [ zeros ]
//! group    [ header: mark, first and end LSN, durable LSN, length, checksums, chain | frames ]
//! ```
//!
//! A group's **mark** is a random number of its segment, so that no client can write a group into a value; its **chain**
//! is the checksum of the header before it, which covers that one's chain and frames. Its **durable** LSN is what was
//! synced when it was written: if a later group says that an unreadable one was, it was damaged; if none does, it may as
//! well never have arrived on the device. A group without frames is there only to say so.

use super::frame::{BOXED_LEN, Header as FrameHeader, WORD, WORD_LEN};
use super::record::Malformed;
use crate::table::effect::Lsn;

/// Bytes in front of the first group: a block of the device, so that it is written whole.
pub const HEADER_BYTES: u64 = HEADER_LEN as u64;
const HEADER_LEN: usize = 4096;

/// Bytes of a group's header.
pub const GROUP_BYTES: u64 = GROUP_LEN as u64;
pub(super) const GROUP_LEN: usize = 48;

/// Name of the file that is made ahead of its use.
pub const SPARE: &str = "journal-spare";

/// Format of the files. A change that an older version would misread is a new one.
pub const VERSION: u32 = 1;

/// No log, and no number of a file or a life, comes to here: what tells of more was not written by us, and need not be
/// reckoned with.
const MOST: u64 = 1 << 62;

const PREFIX: &str = "journal-";
const MAGIC: &[u8; 24] = b"tallyring journal\0\0\0\0\0\0\0";

/// In a group's length, which is a multiple of eight: the log was closed behind it.
const CLOSED: u32 = 1;

/// The name of a segment.
pub fn name_of(sequence: u64) -> String {
    format!("{PREFIX}{sequence:016x}")
}

/// The number of the segment that has this name, if it is one's.
pub fn sequence_of(name: &str) -> Option<u64> {
    let sequence = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    (name_of(sequence) == name).then_some(sequence)
}

/// Where the log ends in the file before. What stands behind it there was cut, and is none of the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// The number of that file.
    pub sequence: u64,
    /// The first byte in it that does not count.
    pub offset: u64,
    /// Checksum of the last header in front of it.
    pub chain: u32,
}

/// What the header of a segment tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The life of the process that wrote it.
    pub run: u128,
    /// Number of that life. Each start begins a segment of its own.
    pub epoch: u64,
    /// Number of the segment, from 1 on.
    pub sequence: u64,
    /// Where its first frame stands in the stream.
    pub first: Lsn,
    /// What its groups begin with.
    pub mark: u64,
    /// What it continues. `None`: nothing.
    pub before: Option<Before>,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// The file is not of the journal.
    Foreign,
    /// A later version wrote it, in this format.
    Newer(u32),
    /// Its checksum is another, or it tells what no header does.
    Damaged,
}

impl Header {
    /// As the first block of a file.
    pub fn encode(&self) -> Vec<u8> {
        let before = self.before.unwrap_or(Before { sequence: 0, offset: 0, chain: 0 });
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u64::from(VERSION).to_le_bytes());
        bytes.extend_from_slice(&self.run.to_le_bytes());
        for number in [self.epoch, self.sequence, self.first, self.mark, before.sequence, before.offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&before.chain.to_le_bytes());
        bytes.resize(HEADER_LEN - 4, 0);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What the first block of a file tells, and its checksum: the chain of the first group.
    ///
    /// # Errors
    /// It is no such block.
    pub fn parse(block: &[u8]) -> Result<(Self, u32), NoHeader> {
        if block.len() != HEADER_LEN || !block.starts_with(MAGIC) {
            return Err(NoHeader::Foreign);
        }
        let version = u32_at(block, 24);
        if version > VERSION {
            return Err(NoHeader::Newer(version));
        }
        let (body, checksum) = block.split_at(block.len() - 4);
        let checksum = u32_at(checksum, 0);
        if version == 0 || crc32c::crc32c(body) != checksum {
            return Err(NoHeader::Damaged);
        }
        let number = |place: usize| u64_at(block, 32 + place * 8);
        let before = Before { sequence: number(6), offset: number(7), chain: u32_at(block, 96) };
        let header = Self {
            run: u128::from(number(1)) << u64::BITS | u128::from(number(0)),
            epoch: number(2),
            sequence: number(3),
            first: number(4),
            mark: number(5),
            before: (before.sequence > 0).then_some(before),
        };
        let is_possible = [header.epoch, header.sequence, header.first, before.sequence, before.offset]
            .iter()
            .all(|number| *number < MOST)
            && header.sequence > 0
            && header.first > 0
            && header.first.is_multiple_of(WORD);
        if is_possible { Ok((header, checksum)) } else { Err(NoHeader::Damaged) }
    }
}

/// Is shown the position and the records of a frame.
pub type ShowFrame<'s, 'f> = dyn FnMut(Lsn, &'f [u8]) -> Result<(), Malformed> + 's;

/// What the header of a group tells. `durable <= first <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where its first frame stands in the stream.
    pub first: Lsn,
    /// Where its last one ends.
    pub end: Lsn,
    /// All before it was durable when the group was written.
    pub durable: Lsn,
    /// Bytes of its frames in the file: a multiple of eight.
    pub bytes: u32,
    /// Checksum of its frames.
    pub checksum: u32,
    /// Checksum of the header before.
    pub chain: u32,
    /// The log was closed behind it.
    pub closed: bool,
}

impl Group {
    /// As bytes, and their checksum: the chain of the next one.
    pub fn encode(&self, mark: u64) -> ([u8; GROUP_LEN], u32) {
        debug_assert!(self.durable <= self.first && self.first <= self.end && self.bytes.is_multiple_of(8));
        let mut bytes = [0; GROUP_LEN];
        for (place, number) in [mark, self.first, self.end, self.durable].into_iter().enumerate() {
            bytes[place * 8..][..8].copy_from_slice(&number.to_le_bytes());
        }
        let length = self.bytes | if self.closed { CLOSED } else { 0 };
        for (place, number) in [length, self.checksum, self.chain].into_iter().enumerate() {
            bytes[32 + place * 4..][..4].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// What a header with this mark tells, and its checksum. `None`: it is none, or not whole.
    pub fn parse(bytes: &[u8], mark: u64) -> Option<(Self, u32)> {
        let bytes = bytes.get(..GROUP_LEN)?;
        let checksum = u32_at(bytes, 44);
        if u64_at(bytes, 0) != mark || crc32c::crc32c(&bytes[..44]) != checksum {
            return None;
        }
        let length = u32_at(bytes, 32);
        let group = Self {
            first: u64_at(bytes, 8),
            end: u64_at(bytes, 16),
            durable: u64_at(bytes, 24),
            bytes: length & !7,
            checksum: u32_at(bytes, 36),
            chain: u32_at(bytes, 40),
            closed: length & CLOSED != 0,
        };
        (group.durable <= group.first && group.first <= group.end && group.end < MOST)
            .then_some((group, checksum))
    }

    /// Shows the position and the records of each of its frames.
    ///
    /// # Errors
    /// Its bytes are not the frames that the header tells of, or showing one fails.
    pub fn for_each_frame<'f>(
        &self,
        frames: &'f [u8],
        show: &mut ShowFrame<'_, 'f>,
    ) -> Result<(), Malformed> {
        let mut rest = frames;
        let mut at = self.first;
        while !rest.is_empty() {
            let word = rest.first_chunk::<8>().ok_or(Malformed)?;
            let header = FrameHeader::parse(u64::from_le_bytes(*word)).ok_or(Malformed)?;
            let (front, records) = if header.boxed {
                let len = rest.get(WORD_LEN..BOXED_LEN).ok_or(Malformed)?;
                (BOXED_LEN, u64_at(len, 0))
            } else {
                (WORD_LEN, header.bytes - WORD - header.padding)
            };
            let (_, behind) = rest.split_at_checked(front).ok_or(Malformed)?;
            let records = usize::try_from(records).map_err(|_| Malformed)?;
            let padded = records.checked_next_multiple_of(WORD_LEN).ok_or(Malformed)?;
            let (body, behind) = behind.split_at_checked(padded).ok_or(Malformed)?;
            show(at, &body[..records])?;
            at += header.bytes;
            rest = behind;
        }
        if at == self.end { Ok(()) } else { Err(Malformed) }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

#[cfg(test)]
mod tests {
    use super::{Before, Group, Header, MOST, NoHeader, VERSION, name_of, sequence_of};
    use crate::journal::frame;

    #[test]
    fn names_are_those_that_are_given() {
        assert_eq!(name_of(0x2f), "journal-000000000000002f");
        assert_eq!(sequence_of("journal-000000000000002f"), Some(0x2f));
        for other in ["journal-2f", "journal-000000000000002F", "journal-+00000000000002f", "journal.lock"] {
            assert_eq!(sequence_of(other), None);
        }
    }

    #[test]
    fn headers_come_back() {
        let before = Some(Before { sequence: 6, offset: 4144, chain: 99 });
        let header = Header { run: 1 << 100 | 5, epoch: 2, sequence: 7, first: 800, mark: 3, before };
        for header in [header, Header { before: None, ..header }] {
            let block = header.encode();
            assert_eq!(Header::parse(&block).map(|parsed| parsed.0), Ok(header));
            let mut flipped = block.clone();
            flipped[200] ^= 1;
            assert_eq!(Header::parse(&flipped), Err(NoHeader::Damaged));
            let mut newer = block.clone();
            newer[24] += 1;
            assert_eq!(Header::parse(&newer), Err(NoHeader::Newer(VERSION + 1)));
            assert_eq!(Header::parse(&block[1..]), Err(NoHeader::Foreign));
            assert_eq!(Header::parse(&vec![0; block.len()]), Err(NoHeader::Foreign));
        }
    }

    /// Whoever reckons with them reaches no end of a number.
    #[test]
    fn numbers_that_no_log_comes_to_are_refused() {
        let header = Header { run: 1, epoch: 2, sequence: 7, first: 800, mark: 3, before: None };
        let before = |sequence, offset| Some(Before { sequence, offset, chain: 0 });
        for header in [
            Header { epoch: u64::MAX, ..header },
            Header { sequence: u64::MAX, ..header },
            Header { sequence: 0, ..header },
            Header { first: u64::MAX - 7, ..header },
            Header { first: 801, ..header },
            Header { first: 0, ..header },
            Header { before: before(u64::MAX, 4096), ..header },
            Header { before: before(6, u64::MAX), ..header },
        ] {
            assert_eq!(Header::parse(&header.encode()), Err(NoHeader::Damaged), "{header:?}");
        }
        let group =
            Group { first: 64, end: MOST, durable: 64, bytes: 0, checksum: 0, chain: 0, closed: false };
        assert_eq!(Group::parse(&group.encode(1).0, 1), None);
    }

    #[test]
    fn groups_come_back_with_their_frames() {
        let records = [vec![1; 3], vec![2; 8], vec![3; 600_000]];
        let mut frames = Vec::new();
        records.iter().for_each(|records| frame::put(&mut frames, 0, records));
        let bytes = u32::try_from(frames.len()).unwrap();
        let group = Group { first: 64, end: 112, durable: 64, bytes, checksum: 1, chain: 2, closed: true };
        let (header, checksum) = group.encode(77);
        assert_eq!(Group::parse(&header, 77), Some((group, checksum)));
        assert_eq!(Group::parse(&header, 78), None);
        let mut seen = Vec::new();
        let mut show = |at, records: &[u8]| {
            seen.push((at, records.to_vec()));
            Ok(())
        };
        assert_eq!(group.for_each_frame(&frames, &mut show), Ok(()));
        let expected: Vec<_> = [64, 80, 96].into_iter().zip(records).collect();
        assert_eq!(seen, expected);
        assert!(group.for_each_frame(&frames[..frames.len() - 8], &mut |_, _| Ok(())).is_err());
        let shorter = Group { end: 120, ..group };
        assert!(shorter.for_each_frame(&frames, &mut |_, _| Ok(())).is_err());
    }
}
