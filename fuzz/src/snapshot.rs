//! The reader of snapshots: a damaged one is refused; and whatever stands in one whose checksums are right, it gives
//! something or a refusal, and the same each time.
//!
//! Input: [`Dials`], then a [`Script`]. Switch 0: a file that was never written by a writer, instead of a damaged one that
//! was.

use tallyring::journal::record;
use tallyring::journal::snapshot::{Head, Reader, Refusal, Summary, Writer, name_of, start_of};
use tallyring::table::Table;
use tallyring::table::effect::Effect;

use super::damage::damage;
use super::directory::Directory;
use super::input::{Dials, Random};
use super::script::Script;

/// Where all of them start.
const START: u64 = 64;

/// Blocks of a forged file, and records of a block, at most.
const BLOCKS: usize = 5;
const RECORDS: usize = 8;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((dials, rest)) = Dials::split(data) else { return };
    let mut script = Script(rest);
    if dials.on(0) {
        let files = forged(&mut script);
        let first = shown(&files);
        assert_eq!(first, shown(&files), "it is read again as it was read");
    } else {
        is_whole_or_refused(&mut Random::new(u64::from(dials.seed)), &mut script);
    }
}

/// What a snapshot tells, and the records of its effects, which a table takes too.
fn shown(files: &Directory) -> Result<(Summary, Vec<u8>), Refusal> {
    let (mut records, table) = (Vec::new(), Table::new());
    let mut count = 0;
    let summary = Reader::open(files, START)?.read_all(
        &mut |effect: &Effect<'_>| {
            record::encode(effect, &mut records);
            table.apply(effect);
            count += 1;
        },
        &mut |at, all| assert!(at <= all, "{at} bytes of {all} were read"),
    )?;
    assert_eq!(summary.totals.records, count);
    Ok((summary, records))
}

fn is_whole_or_refused(random: &mut Random, script: &mut Script<'_>) {
    let files = Directory::default();
    let mut writer =
        Writer::begin(&files, Head { run: 1, start: START, created_ms: 2 }).expect("nothing fails");
    let mut records = Vec::new();
    for _ in 0..random.below(40) {
        let bytes: Vec<u8> = (0..60).map(|_| random.byte()).collect();
        let mut record = Vec::new();
        Script(&bytes).put_record(&mut record);
        let Ok((effect, _)) = record::decode(&record) else { continue };
        if !tells_of_a_change(&effect) {
            writer.put(&effect).expect("nothing fails there");
            record::encode(&effect, &mut records);
        }
    }
    let finished = writer.finish(START + 8 * random.below(9) as u64).expect("nothing fails there");
    let summary = finished.publish().expect("nothing fails there");
    let whole = files.bytes(&name_of(START));
    let done = damage(&files, script, |name| start_of(name).is_some());
    match shown(&files) {
        Ok(found) => {
            assert!(files.bytes(&name_of(START)) == whole, "{done:?}: damage was not seen");
            assert!(found == (summary, records), "it is what was written");
        }
        Err(refusal) => {
            assert!(files.bytes(&name_of(START)) != whole, "{done:?}: nothing is damaged: {refusal}");
        }
    }
}

/// Whether an effect has no place in a snapshot.
fn tells_of_a_change(effect: &Effect<'_>) -> bool {
    match effect {
        Effect::Set { .. } | Effect::Field { .. } | Effect::Deadline { .. } | Effect::Token { .. } => false,
        Effect::Remove { .. }
        | Effect::RemoveField { .. }
        | Effect::Splice { .. }
        | Effect::Bucket { .. }
        | Effect::Flush => true,
    }
}

/// A file whose checksums are right.
fn forged(script: &mut Script<'_>) -> Directory {
    let files = Directory::default();
    let start = script.instead_of(START);
    let head = Head { run: 1, start, created_ms: script.number() };
    drop(Writer::begin(&files, head).expect("nothing fails there"));
    // The header is its own checksum's business.
    let mut bytes = files.bytes(&format!("{}.part", name_of(start)));
    let mut chain = u32::from_le_bytes(*bytes.last_chunk().expect("a header is longer"));
    let (mut blocks, mut records) = (0, 0);
    for _ in 0..script.below(BLOCKS) {
        let mut body = Vec::new();
        for _ in 0..script.below(RECORDS) {
            script.put_record(&mut body);
            records += 1;
        }
        put_block(&mut bytes, &mut chain, script, None, &body);
        blocks += 1;
    }
    let mut body = Vec::new();
    for right in [start, records, 0, records, blocks] {
        body.extend_from_slice(&script.instead_of(right).to_le_bytes());
    }
    put_block(&mut bytes, &mut chain, script, Some(u32::MAX), &body);
    let behind = script.below(20);
    bytes.extend_from_slice(script.bytes(behind));
    files.put(&name_of(START), bytes);
    files
}

fn put_block(bytes: &mut Vec<u8>, chain: &mut u32, script: &mut Script<'_>, mark: Option<u32>, body: &[u8]) {
    let length = script.instead_of(mark.map_or(body.len() as u64, u64::from)).to_le_bytes();
    let front = [chain.to_le_bytes(), [length[0], length[1], length[2], length[3]]].concat();
    *chain = crc32c::crc32c_append(crc32c::crc32c(&front), body);
    bytes.extend_from_slice(&front[4..]);
    bytes.extend_from_slice(&chain.to_le_bytes());
    bytes.extend_from_slice(body);
}
