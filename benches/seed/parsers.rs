//! The parsers that are compared: each takes a complete request and shows its arguments, all of which it holds until
//! then, as for a command that is executed.

use tallyring::limits::SPANS;
use tallyring::resp::args::{Args, Span};
use tallyring::resp::decode::{Decoded, Framing, Rules, decode};

use super::go::{self, Go, READER_BYTES};

/// Something that parses requests.
pub(crate) trait Parser {
    /// As tables name it.
    fn name(&self) -> &'static str;

    /// Parses the request that `input` is, and shows its arguments in order.
    fn parse(&mut self, input: &mut [u8], visit: &mut dyn FnMut(&[u8]));

    /// Bytes of received input that must be there at a time, of a request of so many.
    fn received(&self, request: usize) -> usize {
        request.min(READER_BYTES)
    }
}

/// All of them, in the order of tables.
pub(crate) fn all() -> Vec<Box<dyn Parser>> {
    vec![
        Box::new(Service { name: "Go: ReadAll per argument", go: Go::Of2014, exact: false }),
        Box::new(Service { name: "Go: its fix", go: Go::Of2014, exact: true }),
        Box::new(Service { name: "Go: ReadAll since 1.16", go: Go::Since116, exact: false }),
        Box::new(Service { name: "Go: the fix since 1.16", go: Go::Since116, exact: true }),
        Box::new(Copying),
        Box::new(InPlace { spans: Vec::with_capacity(2 * SPANS) }),
    ]
}

/// The Go service's parser: a line read and scanned before each argument.
struct Service {
    name: &'static str,
    go: Go,
    /// The fix: an argument's declared length, not `ReadAll`.
    exact: bool,
}

impl Parser for Service {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parse(&mut self, input: &mut [u8], visit: &mut dyn FnMut(&[u8])) {
        let mut rest = &*input;
        let count = go::scanned(line(&mut rest), self.go);
        // A slice of slices, each of three words, as a Vec's.
        let mut args: Vec<Vec<u8>> = Vec::with_capacity(count);
        for _ in 0..count {
            let length = go::scanned(line(&mut rest), self.go);
            let body = body(&mut rest, length);
            args.push(if self.exact {
                let mut exact = go::tiny(length);
                exact.extend_from_slice(body);
                exact
            } else {
                go::read_all(body, self.go)
            });
        }
        args.iter().for_each(|arg| visit(arg));
    }
}

/// A vector for each argument and one for all, nothing else.
struct Copying;

impl Parser for Copying {
    fn name(&self) -> &'static str {
        "plain copies"
    }

    fn parse(&mut self, input: &mut [u8], visit: &mut dyn FnMut(&[u8])) {
        let mut rest = &*input;
        let count = number(line(&mut rest));
        let mut args: Vec<Vec<u8>> = Vec::with_capacity(count);
        for _ in 0..count {
            let length = number(line(&mut rest));
            args.push(body(&mut rest, length).to_vec());
        }
        args.iter().for_each(|arg| visit(arg));
    }
}

/// Ours: positions in the received bytes. The positions' vector is a worker's, made once.
struct InPlace {
    spans: Vec<Span>,
}

/// What every client may send.
const RULES: Rules = Rules { max_bulk: 1024 * 1024, authenticated: true };

impl Parser for InPlace {
    fn name(&self) -> &'static str {
        "tallyring: in place"
    }

    fn parse(&mut self, input: &mut [u8], visit: &mut dyn FnMut(&[u8])) {
        self.spans.clear();
        match decode(&mut Framing::default(), input, &mut self.spans, &RULES) {
            Decoded::Request { bytes, count } => {
                Args::new(&input[..bytes], &self.spans, count).tail(0).for_each(visit);
            }
            other => panic!("a complete request was decoded as {other:?}"),
        }
    }

    /// The arguments stay where they were received.
    fn received(&self, request: usize) -> usize {
        request
    }
}

/// Takes the next line, its end included.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b'\n', rest).expect("a complete request's lines end") + 1;
    let (line, later) = rest.split_at(end);
    *rest = later;
    line
}

/// Takes the next argument's bytes and the line end behind them.
fn body<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (body, later) = rest.split_at(length);
    *rest = later.strip_prefix(b"\r\n").expect("an argument ends with a line end");
    body
}

/// The number in a line like `$3\r\n`.
pub(crate) fn number(line: &[u8]) -> usize {
    let digits = line[1..].strip_suffix(b"\r\n").expect("a header ends with a line end");
    digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
