//! Each request through each parser: what it takes of the heap, and how long that takes. Knows parsers only by their
//! trait.

use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;

use super::counting::{self, Counted};
use super::parsers::{self, Parser};

/// A request, parsed so often.
pub(crate) struct Case {
    request: Vec<u8>,
    arguments: usize,
    repeats: usize,
}

/// What one parser did with one request.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// The parser.
    pub(crate) parser: &'static str,
    /// Arguments of the request.
    pub(crate) arguments: usize,
    /// Bytes of the request.
    pub(crate) request_bytes: usize,
    /// Times that it was parsed.
    pub(crate) repeats: usize,
    /// The heap, over all repeats.
    pub(crate) counted: Counted,
    /// Most bytes held at a time with the received ones that must be there: what a connection costs.
    pub(crate) held: usize,
    /// Nanoseconds of one parse: the median of the runs, the least, the greatest.
    pub(crate) nanoseconds: [f64; 3],
}

impl Figures {
    /// Bytes that one parse takes.
    pub(crate) fn bytes_per_request(&self) -> f64 {
        self.counted.bytes as f64 / self.repeats as f64
    }
}

/// The requests: two arguments many times, then many arguments.
pub(crate) fn cases(smoke: bool) -> Vec<Case> {
    let (repeats, many): (usize, &[usize]) =
        if smoke { (100, &[1_000]) } else { (10_000, &[10_000, 1_000_000]) };
    let few = b"*2\r\n$3\r\nGET\r\n$3\r\nKEY\r\n".to_vec();
    let mut cases = vec![Case { request: few, arguments: 2, repeats }];
    cases.extend(many.iter().map(|&arguments| {
        let mut request = format!("*{arguments}\r\n$4\r\nMGET\r\n").into_bytes();
        for id in 1..arguments {
            let key = format!("views:article:{id}");
            request.extend_from_slice(format!("${}\r\n{key}\r\n", key.len()).as_bytes());
        }
        Case { request, arguments, repeats: 1 }
    }));
    cases
}

/// Puts a case through all parsers, `runs` times for the clock.
///
/// # Panics
/// If the parsers do not agree on the arguments.
pub(crate) fn run(case: &Case, runs: usize) -> Vec<Figures> {
    let mut input = case.request.clone();
    let mut parsers = parsers::all();
    let mut agreed: Option<Vec<Vec<u8>>> = None;
    for parser in &mut parsers {
        let mut seen = Vec::new();
        parser.parse(&mut input, &mut |arg| seen.push(arg.to_vec()));
        assert_eq!(seen.len(), case.arguments, "{} finds every argument", parser.name());
        assert!(
            agreed.as_ref().is_none_or(|agreed| *agreed == seen),
            "{} finds other arguments",
            parser.name()
        );
        agreed = Some(seen);
    }
    parsers.iter_mut().map(|parser| measure(parser.as_mut(), case, &mut input, runs)).collect()
}

fn measure(parser: &mut dyn Parser, case: &Case, input: &mut [u8], runs: usize) -> Figures {
    let mut all = |parser: &mut dyn Parser| {
        for _ in 0..case.repeats {
            parser.parse(black_box(&mut *input), &mut |arg| {
                black_box(arg);
            });
        }
    };
    let counted = counting::during(|| all(&mut *parser));
    let mut nanoseconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            all(&mut *parser);
            start.elapsed().as_secs_f64() * 1e9 / case.repeats as f64
        })
        .collect();
    nanoseconds.sort_unstable_by(f64::total_cmp);
    let request_bytes = case.request.len();
    Figures {
        parser: parser.name(),
        arguments: case.arguments,
        request_bytes,
        repeats: case.repeats,
        counted,
        held: counted.peak + parser.received(request_bytes),
        nanoseconds: [nanoseconds[runs / 2], nanoseconds[0], nanoseconds[runs - 1]],
    }
}
