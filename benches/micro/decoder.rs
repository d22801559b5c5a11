//! Finding requests in received bytes: pipelines, one huge request, an inline one, and one that comes in two halves.

use std::hint::black_box;

use tallyring::limits::SPANS;
use tallyring::resp::args::Span;
use tallyring::resp::decode::{Decoded, Framing, Rules, decode};

use crate::timing::Bench;

/// Requests of a pipeline: a receive block full.
const COUNT: u32 = 64;

/// Arguments of the huge request, its name included.
const ARGUMENTS: u32 = 10_000;

/// What every client may send.
const RULES: Rules = Rules { max_bulk: 1024 * 1024, authenticated: true };

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    let mut spans = Vec::with_capacity(2 * SPANS);
    let mut pipeline = Vec::new();
    for index in 0..COUNT {
        pipeline.extend_from_slice(format!("*2\r\n$4\r\nINCR\r\n$14\r\ncounter:{index:06}\r\n").as_bytes());
    }
    bench.case("decode::pipeline of INCR, a request", COUNT, || {
        spans.clear();
        let (mut at, mut requests) = (0, 0);
        while at < pipeline.len() {
            at += whole(&mut Framing::default(), &mut pipeline[at..], &mut spans);
            requests += 1;
        }
        assert_eq!(requests, COUNT, "the pipeline is decoded to its end");
        spans.len()
    });

    let mut huge = format!("*{ARGUMENTS}\r\n$4\r\nMGET\r\n").into_bytes();
    for index in 1..ARGUMENTS {
        huge.extend_from_slice(format!("$14\r\ncounter:{index:06}\r\n").as_bytes());
    }
    bench.case("decode::MGET of 10,000 arguments, an argument", ARGUMENTS, || {
        spans.clear();
        whole(&mut Framing::default(), &mut huge, &mut spans)
    });

    let mut ping = *b"PING\r\n";
    bench.case("decode::inline PING", 1, || {
        spans.clear();
        whole(&mut Framing::default(), black_box(&mut ping), &mut spans)
    });

    let mut halves = *b"*2\r\n$4\r\nINCR\r\n$14\r\ncounter:123456\r\n";
    bench.case("decode::INCR in two deliveries", 1, || {
        spans.clear();
        let mut framing = Framing::default();
        let first = decode(&mut framing, black_box(&mut halves[..20]), &mut spans, &RULES);
        assert_eq!(first, Decoded::Incomplete, "half a request is none");
        whole(&mut framing, black_box(&mut halves), &mut spans)
    });
}

/// Decodes the request at the start of `input`, which is complete, and returns its length in bytes.
fn whole(framing: &mut Framing, input: &mut [u8], spans: &mut Vec<Span>) -> usize {
    match decode(framing, input, spans, &RULES) {
        Decoded::Request { bytes, .. } => bytes,
        other => panic!("a complete request was decoded as {other:?}"),
    }
}
