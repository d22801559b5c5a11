//! Requests that are decoded while they arrive: every argument once, in order, in whole steps, however the bytes are cut.
//!
//! Plays what a worker does with a large request: decoded until it is incomplete, rewound, then worked off in parts,
//! first the name alone, then steps of one or two arguments.

use tallyring::resp::decode::{Decoded, Framing, Part, decode, part, rewind};

use super::decoder::{out_of, rules_of, text_of};
use super::input::{Random, pieces};
use super::reference::{self, Bounds, Found};

/// Checks the multibulk requests at the start of `wire`, one after the other.
pub fn check(wire: &[u8], bounds: &Bounds, random: &mut Random) {
    let mut at = 0;
    // Many small requests have nothing to say that the first ones have not.
    for _ in 0..8 {
        let rest = &wire[at..];
        let found = reference::first(rest, bounds);
        if rest.first() == Some(&b'*') {
            for step in [1, 2] {
                in_parts(rest, &found, step, bounds, random);
            }
        }
        let Found::Request { bytes, .. } = found else { return };
        at += bytes;
    }
}

/// What should come out of a request in parts.
struct Expected<'a> {
    args: &'a [Vec<u8>],
    /// Bytes of the whole request, if it is complete.
    bytes: Option<usize>,
    error: Option<(&'a [u8], Option<&'a [u8]>)>,
}

fn in_parts(wire: &[u8], found: &Found, step: usize, bounds: &Bounds, random: &mut Random) {
    let expected = match found {
        Found::Request { bytes, args } => Expected { args, bytes: Some(*bytes), error: None },
        Found::Incomplete(before) => Expected { args: &before.args, bytes: None, error: None },
        Found::Malformed { text, slowly, before } => {
            Expected { args: &before.args, bytes: None, error: Some((text, slowly.map(str::as_bytes))) }
        }
        Found::Disputed => return,
    };
    let rules = rules_of(bounds);
    let mut cut = pieces(wire, 4096, random).into_iter();
    let mut framing = Framing::default();
    let mut input: Vec<u8> = Vec::new();
    // Until it is known to be incomplete and its arguments are counted.
    loop {
        let Some(piece) = cut.next() else { return };
        input.extend_from_slice(piece);
        let mut bytes = input.clone().into_boxed_slice();
        if decode(&mut framing, &mut bytes, &mut Vec::new(), &rules) != Decoded::Incomplete {
            return;
        }
        if rewind(&mut framing, &input, &rules) {
            break;
        }
    }
    let mut parts = Parts { framing, step, given: Vec::new(), done: 0, last: false, error: None };
    loop {
        parts.work_off(&mut input, &rules, random);
        if parts.last || parts.error.is_some() {
            break;
        }
        let Some(piece) = cut.next() else { break };
        input.extend_from_slice(piece);
    }
    parts.agree(&expected);
}

/// A request on its way.
struct Parts {
    framing: Framing,
    step: usize,
    given: Vec<Vec<u8>>,
    /// Bytes done with.
    done: usize,
    last: bool,
    error: Option<Vec<u8>>,
}

impl Parts {
    /// Takes out of `input` what has arrived.
    fn work_off(&mut self, input: &mut Vec<u8>, rules: &tallyring::resp::decode::Rules, random: &mut Random) {
        loop {
            // The name stands alone; what follows comes in steps.
            let step = if self.given.is_empty() { 1 } else { self.step };
            let most = if self.given.is_empty() { 1 } else { step * (1 + random.below(9)) };
            let bytes = input.clone().into_boxed_slice();
            let mut spans = Vec::new();
            match part(&mut self.framing, &bytes, &mut spans, (step, most), rules) {
                Part::Arguments { bytes: done, last } => {
                    assert!(spans.len() <= most && spans.len().is_multiple_of(step), "whole steps");
                    assert!(done <= bytes.len(), "no more than there is");
                    self.given.extend(out_of(&bytes, &spans));
                    self.done += done;
                    input.drain(..done);
                    self.last = last;
                    if last || spans.is_empty() {
                        return;
                    }
                }
                Part::Malformed(error) => {
                    assert!(spans.is_empty(), "an error comes behind what is complete");
                    self.error = Some(text_of(error));
                    return;
                }
            }
        }
    }

    fn agree(&self, expected: &Expected<'_>) {
        let step = self.step;
        // Of the arguments behind the name, those of a step that is not complete are kept back.
        let behind = expected.args.len().saturating_sub(1);
        let whole = expected.args.len().min(1) + behind / step * step;
        let odd = expected.bytes.is_some() && whole < expected.args.len();
        assert_eq!(self.given.len(), whole, "arguments in steps of {step}");
        assert!(self.given == expected.args[..whole], "arguments in steps of {step}: {:?}", self.given);
        assert_eq!(self.last, expected.bytes.is_some(), "whether the last argument was among them");
        if let Some(bytes) = expected.bytes.filter(|_| !odd) {
            assert_eq!(self.done, bytes, "bytes of the request");
        }
        match (&self.error, expected.error) {
            (None, None) => {}
            (Some(error), Some((text, slowly))) => {
                let accepted = error == text || slowly == Some(error);
                assert!(accepted, "{} instead of {}", error.escape_ascii(), text.escape_ascii());
            }
            (is, should) => panic!("the error is {is:?}, not {should:?}"),
        }
    }
}
