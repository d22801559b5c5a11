//! What a process left in its ring, read by the next one. Trusts nothing that it reads.

use std::io;
use std::path::Path;

use super::{HEADER_WORDS, MAGIC, Ring, VERSION, Word};
use crate::journal::frame::{self, Header, Key, WORD, WORD_LEN};
use crate::table::effect::Lsn;

/// The words of a ring, which is not in use any more.
#[derive(Clone, Debug)]
pub struct Image {
    words: Vec<u64>,
    capacity: u64,
}

/// What was found in a ring from a position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The records of each complete frame, in order.
    pub frames: Vec<Vec<u8>>,
    /// Bytes between them in which somebody was killed while he wrote.
    pub holes: u64,
    /// Where a boxed frame stands. What it and those behind it changed was not yet acknowledged to anybody.
    pub boxed_at: Option<Lsn>,
}

/// The two words of a number.
pub(super) fn halves(number: u128) -> [u64; 2] {
    let bytes = number.to_le_bytes();
    let (words, _) = bytes.as_chunks::<8>();
    [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
}

impl Image {
    /// The ring in the file at `path`. `None`: there is no file, or no ring in it.
    ///
    /// # Errors
    /// The system's.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ring in these bytes. `None`: there is none of this format.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        // As the machine has them: the ring is memory.
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let data = words.len().checked_sub(HEADER_WORDS)?;
        let image = Self { words, capacity: data as u64 * WORD };
        let fits = image.word(Word::Magic) == MAGIC
            && image.word(Word::Version) == VERSION
            && image.word(Word::Capacity) == image.capacity
            && image.capacity.is_power_of_two()
            && image.first().is_multiple_of(WORD)
            && image.tail().is_multiple_of(WORD)
            && image.first() <= image.written()
            && image.written() <= image.tail();
        fits.then_some(image)
    }

    /// What is in a ring at the moment.
    pub fn of_ring(ring: &Ring) -> Self {
        // Relaxed: as a killed process leaves it, in whatever state.
        let words = ring.memory.iter().map(|word| word.load(super::Ordering::Relaxed)).collect();
        Self { words, capacity: ring.capacity() }
    }

    fn word(&self, word: Word) -> u64 {
        self.words[word.place()]
    }

    /// The life of the log in which it was used: that of the newest segment, or it is too old.
    pub fn epoch(&self) -> u64 {
        self.word(Word::Epoch)
    }

    /// The life of the machine in which it was used. In another one its pages may be of different ages.
    pub fn boot(&self) -> u128 {
        u128::from(self.word(Word::BootHigh)) << u64::BITS | u128::from(self.word(Word::BootLow))
    }

    /// Where it began.
    pub fn first(&self) -> Lsn {
        self.word(Word::First)
    }

    /// All before it was written to files.
    pub fn written(&self) -> Lsn {
        self.word(Word::Written)
    }

    /// Where it ended.
    pub fn tail(&self) -> Lsn {
        self.word(Word::Tail)
    }

    /// Whether all from `from` to the end is in it.
    pub fn reaches_back_to(&self, from: Lsn) -> bool {
        from.is_multiple_of(WORD)
            && from >= self.first()
            && from <= self.tail()
            && self.tail() - from <= self.capacity
    }

    /// The complete frames from `from` on, to which it reaches back. Where somebody was killed while he wrote, the next
    /// complete frame is searched for: he held the lock of what he changed, so that nothing depends on it.
    pub fn frames(&self, from: Lsn) -> Found {
        debug_assert!(self.reaches_back_to(from));
        let key = Key::new(self.word(Word::Secret));
        let mut found = Found::default();
        let mut at = from;
        while at < self.tail() {
            match self.frame(key, at) {
                Some((header, _)) if header.boxed => {
                    found.boxed_at = Some(at);
                    break;
                }
                Some((header, records)) => {
                    found.frames.push(records);
                    at += header.bytes;
                }
                None => {
                    found.holes += WORD;
                    at += WORD;
                }
            }
        }
        found
    }

    fn frame(&self, key: Key, at: Lsn) -> Option<(Header, Vec<u8>)> {
        let header = key.parse(at, self.data(at))?;
        if header.bytes > self.tail() - at {
            return None;
        }
        let mut records = Vec::new();
        if !header.boxed {
            let words = (at + WORD..at + header.bytes).step_by(WORD_LEN);
            records.extend(words.flat_map(|at| self.data(at).to_le_bytes()));
            let padding = usize::try_from(header.padding).ok()?;
            records.truncate(records.len() - padding);
            frame::for_each(&records, &mut |_| ()).ok()?;
        }
        Some((header, records))
    }

    fn data(&self, at: Lsn) -> u64 {
        let word = (at & (self.capacity - 1)) / WORD;
        self.words[HEADER_WORDS + super::to_index(word)]
    }
}
