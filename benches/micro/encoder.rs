//! Writing replies into an outgoing block: what every request pays after its command ran.

use std::hint::black_box;

use bytes::Bytes;
use tallyring::limits::OUT_BLOCK_BYTES;
use tallyring::resp::encode::{Encoder, Protocol, Spill};

use crate::timing::Bench;

/// Replies per call: a deep pipeline.
const COUNT: u32 = 64;

/// Empties a full block in place: the case measures writing, not queueing.
struct Emptied;

impl Spill for Emptied {
    fn spill(&mut self, block: &mut Vec<u8>) {
        block.clear();
    }

    fn attach(&mut self, bytes: Bytes) {
        drop(bytes);
    }
}

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    case(bench, "integer, 1 digit", |encoder, _| encoder.integer(7));
    case(bench, "integer, 6 digits", |encoder, index| encoder.integer(100_000 + i64::from(index)));
    case(bench, "bulk integer, 6 digits", |encoder, index| encoder.bulk_integer(100_000 + i64::from(index)));
    case(bench, "bulk, 16 bytes", |encoder, _| encoder.bulk(black_box(b"0123456789abcdef")));
    case(bench, "ok", |encoder, _| encoder.ok());
    case(bench, "null", |encoder, _| encoder.null());
    case(bench, "error", |encoder, _| encoder.error("ERR value is not an integer or out of range"));
}

fn case(bench: &mut Bench, name: &str, mut reply: impl FnMut(&mut Encoder<'_>, u32)) {
    let mut block = Vec::with_capacity(OUT_BLOCK_BYTES);
    bench.case(&format!("encode::{name}"), COUNT, || {
        block.clear();
        let mut spill = Emptied;
        let mut encoder = Encoder::new(&mut block, &mut spill, Protocol::Resp2);
        for index in 0..COUNT {
            reply(&mut encoder, black_box(index));
        }
        block.len()
    });
}
