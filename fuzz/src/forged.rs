//! Files of the journal and a ring whose checksums are right, and nothing else need be.

use tallyring::journal::frame;
use tallyring::journal::ring::image::Image;
use tallyring::journal::ring::{MAGIC, VERSION};
use tallyring::journal::segment::{Before, Header, name_of};

use super::directory::Directory;
use super::journal::BOOT;
use super::script::Script;

/// Files of a directory, groups of a file, and frames of a group, at most.
const FILES: usize = 3;
const GROUPS: usize = 8;
const FRAMES: usize = 6;

/// Words of a ring: its header's, and those behind it.
const HEADER_WORDS: usize = 512;
const DATA_WORDS: usize = 128;

/// Where the log has come to.
#[derive(Clone, Copy, Debug, Default)]
struct At {
    lsn: u64,
    chain: u32,
    mark: u64,
}

/// A directory with a log in it, more or less, and a ring that may go on from there.
pub fn directory(script: &mut Script<'_>, with_ring: bool) -> (Directory, Option<Image>) {
    let files = Directory::default();
    let mut at = At { lsn: 8, ..At::default() };
    let mut before = None;
    let (mut epoch, mut sequence) = (1, 1);
    for _ in 0..=script.below(FILES) {
        sequence = script.instead_of(sequence);
        epoch = script.instead_of(epoch);
        let run = u128::from(script.instead_of(epoch));
        let first = script.instead_of(at.lsn);
        at.mark = script.instead_of(0x5a5a_5a5a_5a5a_5a5a);
        let header = Header { run, epoch, sequence, first, mark: at.mark, before };
        at.lsn = first;
        let bytes = file(&header, &mut at, script);
        let offset = script.instead_of(bytes.len() as u64);
        before = Some(Before { sequence, offset, chain: at.chain });
        let name = script.instead_of(sequence);
        files.put(&name_of(name), bytes);
        sequence = sequence.wrapping_add(1);
        epoch = epoch.wrapping_add(u64::from(script.byte() & 1));
    }
    let ring = if with_ring { ring(at, epoch, script) } else { None };
    (files, ring)
}

/// A file: its header, groups, and what else there is.
fn file(header: &Header, at: &mut At, script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = header.encode();
    at.chain = u32_at(&bytes, bytes.len() - 4);
    let mut durable = at.lsn;
    for _ in 0..script.below(GROUPS) {
        durable = script.instead_of(durable);
        put_group(&mut bytes, at, durable, script);
    }
    let behind = script.below(200);
    bytes.extend_from_slice(script.bytes(behind));
    bytes.resize(bytes.len() + script.below(256) * 8, 0);
    bytes
}

fn put_group(bytes: &mut Vec<u8>, at: &mut At, durable: u64, script: &mut Script<'_>) {
    let (mut frames, mut long) = (Vec::new(), 0_u64);
    for _ in 0..script.below(FRAMES) {
        let mut records = Vec::new();
        for _ in 0..=script.below(4) {
            script.put_record(&mut records);
        }
        let Some(header) = frame::Header::of(records.len()) else { continue };
        let word = script.instead_of(header.word(1));
        frames.extend_from_slice(&word.to_le_bytes());
        frames.extend_from_slice(&records);
        frames.resize(frames.len().next_multiple_of(8), 0);
        long = long.wrapping_add(header.bytes);
    }
    let first = script.instead_of(at.lsn);
    let end = script.instead_of(first.wrapping_add(long));
    let length = script.instead_of(frames.len() as u64).to_le_bytes();
    let mut header = Vec::new();
    for number in [at.mark, first, end, durable] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&length[..4]);
    header.extend_from_slice(&crc32c::crc32c(&frames).to_le_bytes());
    header.extend_from_slice(&at.chain.to_le_bytes());
    at.chain = crc32c::crc32c(&header);
    header.extend_from_slice(&at.chain.to_le_bytes());
    at.lsn = end;
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&frames);
}

/// A ring that begins somewhere before the end of the log.
fn ring(at: At, epoch: u64, script: &mut Script<'_>) -> Option<Image> {
    let mut words = vec![0_u64; HEADER_WORDS + DATA_WORDS];
    let secret = 99;
    words[0] = MAGIC;
    words[1] = VERSION;
    words[2] = script.instead_of(DATA_WORDS as u64 * 8);
    words[3] = secret;
    words[4] = script.instead_of(epoch);
    words[5] = u64::try_from(BOOT).expect("it is small");
    words[7] = script.instead_of(at.lsn);
    let tail = at.lsn.wrapping_add(u64::from(script.byte()) * 8);
    words[16] = script.instead_of(tail);
    words[32] = script.instead_of(at.lsn);
    let key = frame::Key::new(secret);
    let mut lsn = at.lsn;
    for _ in 0..script.below(FRAMES) {
        let mut records = Vec::new();
        script.put_record(&mut records);
        let Some(header) = frame::Header::of(records.len()) else { continue };
        let word = script.instead_of(header.word(key.tag(lsn)));
        records.resize(records.len().next_multiple_of(8), 0);
        let data = std::iter::once(word)
            .chain(records.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        for (place, word) in (0_u64..).zip(data) {
            let place = usize::try_from(lsn / 8 + place).expect("64 bits") % DATA_WORDS;
            words[HEADER_WORDS + place] = word;
        }
        lsn = lsn.wrapping_add(header.bytes);
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Image::of(&bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("a header is longer"))
}
