//! The decoder finds what the [`reference`](super::reference) finds, however the bytes are cut; and so does the
//! interface for requests in parts.
//!
//! Input: [`Dials`], then bytes as a client sends them, in the form of [`expanded`] if switch 7 is on. Switch 0: before
//! `AUTH`. Switch 1: short arguments only.

use tallyring::resp::args::{Args, Span};
use tallyring::resp::decode::{Decoded, Framing, ProtocolError, Rules, decode};

use super::input::{Dials, Random, expanded, pieces};
use super::parts;
use super::reference::{self, Bounds, Found};

/// Inputs up to this length are also delivered in single bytes.
const SINGLE: usize = 250;

/// Inputs up to this length are also cut in two at every place.
const CUTS: usize = 48;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((dials, wire)) = Dials::split(data) else { return };
    let wire = if dials.on(7) { expanded(wire) } else { wire.to_vec() };
    let bounds =
        Bounds { max_bulk: if dials.on(1) { 20_000 } else { 1024 * 1024 }, authenticated: !dials.on(0) };
    let (requests, bytes, end) = reference::all(&wire, &bounds);
    // What a dispute is about is left out: the bytes before it have to do.
    let (wire, end) = match end {
        Found::Disputed => (&wire[..bytes], Found::Incomplete(reference::Beginning::default())),
        end => (&wire[..], end),
    };
    let expected = Expected { requests, bytes, end };
    let mut random = Random::new(u64::from(dials.seed));
    expected.agrees(&deliver(&[wire], &bounds, &mut random), "in one piece");
    if wire.len() <= SINGLE {
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        expected.agrees(&deliver(&single, &bounds, &mut random), "byte by byte");
    }
    if wire.len() <= CUTS {
        for cut in 1..wire.len() {
            let found = deliver(&[&wire[..cut], &wire[cut..]], &bounds, &mut random);
            expected.agrees(&found, "cut in two");
        }
    }
    for _ in 0..2 {
        let cut = pieces(wire, 4096, &mut random);
        expected.agrees(&deliver(&cut, &bounds, &mut random), "in pieces");
    }
    parts::check(wire, &bounds, &mut random);
}

/// What the reference says.
struct Expected {
    requests: Vec<Vec<Vec<u8>>>,
    /// Bytes that are done with, where nothing is malformed.
    bytes: usize,
    end: Found,
}

impl Expected {
    fn agrees(&self, found: &Delivered, how: &str) {
        for (index, (is, should)) in found.requests.iter().zip(&self.requests).enumerate() {
            assert!(is == should, "{how}: request {index} is {is:?}, not {should:?}");
        }
        assert_eq!(found.requests.len(), self.requests.len(), "{how}: number of requests");
        match &self.end {
            Found::Malformed { text, slowly, .. } => {
                let error = found.error.map(text_of).expect("what is malformed is refused");
                let accepted = error == *text || slowly.is_some_and(|slowly| slowly.as_bytes() == error);
                assert!(accepted, "{how}: {} instead of {}", error.escape_ascii(), text.escape_ascii());
            }
            _ => {
                assert_eq!(found.error, None, "{how}: nothing is malformed");
                assert_eq!(found.bytes, self.bytes, "{how}: bytes done with");
            }
        }
    }
}

/// What the decoder made of a delivery.
#[derive(Default)]
struct Delivered {
    requests: Vec<Vec<Vec<u8>>>,
    bytes: usize,
    error: Option<ProtocolError>,
}

/// The text of an error, without what all of them begin with.
pub fn text_of(error: ProtocolError) -> Vec<u8> {
    let mut text = Vec::new();
    error.write(&mut text);
    text.strip_prefix(b"ERR Protocol error: ").expect("every error begins so").to_vec()
}

/// The decoder's rules for these bounds.
pub fn rules_of(bounds: &Bounds) -> Rules {
    Rules { max_bulk: bounds.max_bulk, authenticated: bounds.authenticated }
}

/// Gives the decoder one piece after the other, as a worker does: requests are decoded in batches, whose positions are
/// kept together, from memory that ends where the bytes received so far end.
fn deliver(cut: &[&[u8]], bounds: &Bounds, random: &mut Random) -> Delivered {
    let rules = rules_of(bounds);
    let mut delivered = Delivered::default();
    let mut carry: Vec<u8> = Vec::new();
    let mut framing = Framing::default();
    for piece in cut {
        let watched = carry.len() < SINGLE;
        let settled = if watched { settled(&carry, bounds) } else { 0 };
        carry.extend_from_slice(piece);
        let mut input = carry.clone().into_boxed_slice();
        let (before, mut poisoned) = (framing, input.clone());
        let (bytes, outcome) = batches(&mut framing, &mut input, &rules, &mut delivered, random);
        if watched && bytes == 0 && settled > 1 {
            // Bytes that were settled before are never looked at again, but for the kind of the request.
            poisoned[1..settled].fill(b'!');
            let mut again = before;
            let same = decode(&mut again, &mut poisoned, &mut Vec::new(), &rules);
            assert_eq!(same, outcome, "with {settled} settled bytes changed");
            assert_eq!(format!("{again:?}"), format!("{framing:?}"), "with {settled} settled bytes changed");
        }
        delivered.bytes += bytes;
        if let Decoded::Malformed(error) = outcome {
            delivered.error = Some(error);
            break;
        }
        // Behind a request, an inline one is found as it was sent: nothing was changed there.
        assert!(input[bytes..] == carry[bytes..], "bytes behind the requests have changed");
        carry.drain(..bytes);
    }
    delivered
}

/// Bytes of the request at the start of `input` that need not be looked at again.
fn settled(input: &[u8], bounds: &Bounds) -> usize {
    match reference::first(input, bounds) {
        Found::Incomplete(beginning) => beginning.settled,
        _ => 0,
    }
}

/// Decodes batches until the bytes end. Gives the bytes done with, and what stopped it.
fn batches(
    framing: &mut Framing,
    input: &mut [u8],
    rules: &Rules,
    delivered: &mut Delivered,
    random: &mut Random,
) -> (usize, Decoded) {
    let mut at = 0;
    let mut spans = Vec::new();
    loop {
        spans.clear();
        let mut batch = Vec::new();
        let most = 1 + random.below(4);
        let start = at;
        let outcome = loop {
            let first = spans.len();
            match decode(framing, &mut input[at..], &mut spans, rules) {
                Decoded::Request { bytes, count } => {
                    batch.push((at, bytes, count, first..spans.len()));
                    at += bytes;
                }
                Decoded::Nothing { bytes } => at += bytes,
                outcome => break outcome,
            }
            if batch.len() == most {
                break Decoded::Later;
            }
        };
        for (start, bytes, count, kept) in batch {
            let args = Args::new(&input[start..start + bytes], &spans[kept], count);
            delivered.requests.push(copied(&args, random));
        }
        match outcome {
            Decoded::Later => assert!(at > start, "a request waits for no batch but its own"),
            outcome => return (at, outcome),
        }
    }
}

/// Copies of arguments, each way of reaching them having been tried.
fn copied(args: &Args<'_>, random: &mut Random) -> Vec<Vec<u8>> {
    let all: Vec<Vec<u8>> = args.tail(0).map(<[u8]>::to_vec).collect();
    assert_eq!(all.len(), args.len());
    let index = random.below(all.len());
    assert_eq!(args.get(index), all[index], "argument {index}");
    assert!(args.tail(index).eq(all[index..].iter()), "the arguments from {index} on");
    let rest = args.skip(index);
    assert!(rest.tail(0).eq(args.tail(index)), "the request from {index} on");
    all
}

/// Positions as [`tallyring::resp::decode::part`] appends them, copied out.
pub fn out_of(input: &[u8], spans: &[Span]) -> Vec<Vec<u8>> {
    spans.iter().map(|span| span.of(input).to_vec()).collect()
}
