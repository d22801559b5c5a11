//! The reader of Redis' files: whatever the bytes are, it ends, says the same however they arrive, and shows no more than
//! they can hold.
//!
//! Input: [`Dials`], then the file. Switch 0: its checksum is put right. Switch 1: short values only. Switch 2: the bytes
//! stand for more, see [`expanded`].

use std::io::{self, Read};

use tallyring::tools::ToolError;
use tallyring::tools::import::rdb::{Input, Trouble, parse};
use tallyring::tools::import::{Kind, Sink};

use super::input::{Dials, Random, expanded};

/// Bytes that a compressed byte stands for at most.
const MOST_EXPANSION: usize = 89;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((dials, file)) = Dials::split(data) else { return };
    let mut file = if dials.on(2) { expanded(file) } else { file.to_vec() };
    if dials.on(0) {
        put_right(&mut file);
    }
    let most = if dials.on(1) { 20 } else { usize::MAX };
    let whole = shown(&file, most, None);
    let mut random = Random::new(u64::from(dials.seed));
    assert!(whole == shown(&file, most, Some(&mut random)), "it matters how the bytes arrive");
    if most < usize::MAX {
        let all = shown(&file, usize::MAX, None);
        assert!(
            whole.1.is_err() || all.1.is_err() || whole.0.keys == all.0.keys,
            "it matters for keys how long values may be"
        );
    }
}

/// Makes the last eight bytes the checksum of what stands before them: by the polynomial, a bit at a time.
fn put_right(file: &mut [u8]) {
    let Some((body, told)) = file.split_last_chunk_mut::<8>() else { return };
    let mut sum = 0_u64;
    for &byte in &*body {
        sum ^= u64::from(byte);
        for _ in 0..8 {
            // Without a branch, which the fuzzer would count.
            sum = sum >> 1 ^ 0x95ac_9329_ac4b_c9b5 & (sum & 1).wrapping_neg();
        }
    }
    *told = sum.to_le_bytes();
}

/// Each key of a file that is whole, with what stands before it, as a file of its own.
pub fn keys(file: &[u8]) -> Vec<Vec<u8>> {
    const HEAD: usize = 9;
    let (seen, ended) = shown(file, usize::MAX, None);
    ended.expect("the file is whole");
    let ends = seen.ends.iter().map(|end| usize::try_from(*end).expect("64 bits"));
    let begins = std::iter::once(HEAD).chain(ends.clone());
    // Of no checksum, as one that Redis was told to compute none for.
    let key = |(begin, end): (usize, usize)| {
        [&file[..HEAD], &file[begin..end], &[0xff, 0, 0, 0, 0, 0, 0, 0, 0]].concat()
    };
    begins.zip(ends).map(key).collect()
}

/// What was shown, and how it ended.
fn shown(file: &[u8], most: usize, pieces: Option<&mut Random>) -> (Seen, Result<(), String>) {
    let mut seen = Seen { most, ..Seen::default() };
    let mut source = Source { rest: file, pieces };
    let mut input = Input::of(&mut source, file.len() as u64);
    let ended = match parse(&mut input, 0, &mut seen) {
        Ok(()) => Ok(()),
        Err(Trouble::Malformed(malformed)) => Err(malformed.0.to_owned()),
        Err(Trouble::Sink(error)) => panic!("this one takes all: {error:?}"),
    };
    assert!(seen.bytes <= file.len().saturating_mul(MOST_EXPANSION), "{} bytes were shown", seen.bytes);
    (seen, ended)
}

/// Gives bytes, a few at a time.
struct Source<'f, 'r> {
    rest: &'f [u8],
    pieces: Option<&'r mut Random>,
}

impl Read for Source<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut most = out.len();
        if let Some(random) = &mut self.pieces {
            if random.one_in(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // The fewer there are, the smaller: what is read ahead is as long as all that is left.
            most = most.min(1 + random.below(9 + self.rest.len() / 20));
        }
        self.rest.read(&mut out[..most])
    }
}

/// What a sink is shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    most: usize,
    keys: Vec<(Vec<u8>, Kind, Option<u64>)>,
    values: Vec<Vec<u8>>,
    bytes: usize,
    long: u64,
    /// Where each key ends.
    ends: Vec<u64>,
}

impl Sink for Seen {
    fn key(&mut self, key: &[u8], kind: Kind, deadline: Option<u64>) -> Result<bool, ToolError> {
        self.bytes += key.len();
        self.keys.push((key.to_vec(), kind, deadline));
        Ok(matches!(kind, Kind::String | Kind::Hash))
    }

    fn most_bytes(&self) -> usize {
        self.most
    }

    fn string(&mut self, value: &[u8]) -> Result<(), ToolError> {
        assert!(value.len() <= self.most);
        self.bytes += value.len();
        self.values.push(value.to_vec());
        Ok(())
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), ToolError> {
        self.string(field)?;
        self.string(value)
    }

    fn too_long(&mut self) {
        self.long += 1;
    }

    fn end(&mut self) -> Result<(), ToolError> {
        Ok(())
    }

    fn passed(&mut self, position: u64) {
        assert!(self.ends.last().is_none_or(|last| position > *last), "a key takes bytes");
        self.ends.push(position);
    }
}
