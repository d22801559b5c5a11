//! Finds requests in received bytes, in place: multibulk and inline, as Redis 7.0 frames them.
//!
//! Promises: no allocation, no copy (an inline request's quotes are resolved inside its own bytes), nothing
//! taken for a declared length or count, and work linear in the bytes however they are delivered. A request
//! that is not complete leaves a [`Framing`] of a few words behind, from which decoding goes on.
//!
//! ```text
//! *2\r\n $4\r\n INCR\r\n $1\r\n a\r\n      a multibulk request: count, then a length before each argument
//! ├────┤ ├───┤ ├─────┤
//! header header body                       `framed` stands at the start of the piece that is incomplete
//! ```

use super::args::Span;
use super::integer;
use crate::limits;

/// What a request must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Most bytes of one argument.
    pub max_bulk: usize,
    /// Whether the narrower bounds before `AUTH` are off.
    pub authenticated: bool,
}

/// How far an unfinished request has been decoded. All offsets count from the request's first byte.
///
/// `framed <= framed + scanned <= bytes received`, and `remaining <= count`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framing {
    /// Bytes that need not be looked at again: headers and bodies that are complete.
    framed: u32,
    /// Bytes after `framed` that were searched for a line end without finding it.
    scanned: u32,
    /// Arguments declared, 0 = the count is not known yet.
    count: u32,
    /// Arguments of which the body is not complete.
    remaining: u32,
    /// Length of the argument whose body is awaited, once its header was read.
    body: Option<u32>,
    /// Complete arguments before `framed` that [`part`] has not given out, because their step is not complete.
    kept: u32,
    /// The request is to be executed whole. Means nothing to decoding.
    held: bool,
}

/// What decoding found at the start of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A complete request of `count` arguments in the first `bytes` bytes. Its spans were appended: all of them,
    /// or the first [`limits::SPANS`] of a multibulk request that has more.
    Request {
        /// Bytes of the request.
        bytes: usize,
        /// Its arguments, at least one.
        count: usize,
    },
    /// A request without arguments (`*0`, an empty line), to be skipped.
    Nothing {
        /// Bytes to skip.
        bytes: usize,
    },
    /// There is a request, but its spans do not fit behind those already kept, or it is an inline request,
    /// whose bytes may be changed only when it is next to be executed. Nothing was consumed.
    Later,
    /// More bytes are needed.
    Incomplete,
    /// The bytes are not the protocol; the connection cannot go on.
    Malformed(ProtocolError),
}

/// Why bytes are not a request. Every one closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The count after `*` is no integer or too large.
    InvalidCount,
    /// The line after `*` does not end.
    LongCount,
    /// More arguments than allowed before `AUTH`.
    UnauthenticatedCount,
    /// An argument does not begin with `$` but with this byte.
    ExpectedBulk(u8),
    /// The length after `$` is no integer, negative or too large.
    InvalidLength,
    /// The line after `$` does not end.
    LongLength,
    /// A longer argument than allowed before `AUTH`.
    UnauthenticatedLength,
    /// An inline request does not end.
    LongInline,
    /// Quotes of an inline request do not match.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The error's text, in Redis' words.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"ERR Protocol error: ");
        out.extend_from_slice(match self {
            Self::InvalidCount => b"invalid multibulk length",
            Self::LongCount => b"too big mbulk count string",
            Self::UnauthenticatedCount => b"unauthenticated multibulk length",
            Self::ExpectedBulk(_) => b"expected '$', got '",
            Self::InvalidLength => b"invalid bulk length",
            Self::LongLength => b"too big bulk count string",
            Self::UnauthenticatedLength => b"unauthenticated bulk length",
            Self::LongInline => b"too big inline request",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
        });
        if let Self::ExpectedBulk(byte) = self {
            out.extend_from_slice(&[byte, b'\'']);
        }
    }
}

/// What is there of a request that is executed while it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Complete arguments in the first `bytes` bytes, which will not be looked at again. Their spans were appended.
    Arguments {
        /// Bytes to drop once the arguments are done with.
        bytes: usize,
        /// They are the request's last.
        last: bool,
    },
    /// What comes next is not the protocol; there were no arguments before it.
    Malformed(ProtocolError),
}

impl Framing {
    /// Arguments that the request declares, 0 while that is not known.
    pub fn declared(&self) -> usize {
        self.count as usize
    }

    /// The inline request that `input` begins with, its line end included, if it is there and nothing of it was decoded;
    /// empty otherwise. [`decode`] changes its bytes.
    #[inline]
    pub fn line<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        if input.first().is_none_or(|first| *first == b'*') {
            return &[];
        }
        let scanned = self.scanned as usize;
        let end = memchr::memchr(b'\n', &input[scanned..]).map_or(0, |found| scanned + found + 1);
        if end > limits::LINE_BYTES + 2 { &[] } else { &input[..end] }
    }

    /// Notes that the request is to be executed whole, for whoever asks [`Framing::is_held`] before it is complete.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Whether [`Framing::hold`] was called for this request.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Everything before `framed` is complete, and so many arguments are not.
    #[inline]
    fn stand_at(&mut self, framed: u32, remaining: u32) {
        if framed != self.framed {
            self.scanned = 0;
        }
        (self.framed, self.remaining) = (framed, remaining);
    }
}

/// Prepares an unfinished request, all of whose bytes are in `input`, for being decoded in parts. False: it is none
/// of which the arguments are counted yet.
pub fn rewind(framing: &mut Framing, input: &[u8], rules: &Rules) -> bool {
    if framing.count == 0 {
        return false;
    }
    *framing = Framing::default();
    matches!(header(framing, input, rules), Progress::Done)
}

/// Decodes the next arguments of a request that [`rewind`] has prepared, in multiples of `step` and at most `most`, a
/// multiple of it. `input` begins where the last part ended, at first with the whole request.
pub fn part(
    framing: &mut Framing,
    input: &[u8],
    spans: &mut Vec<Span>,
    (step, most): (usize, usize),
    rules: &Rules,
) -> Part {
    debug_assert!(framing.count > 0 && spans.is_empty(), "a request whose arguments are counted");
    debug_assert!(most.is_multiple_of(step) && most > 0, "whole steps");
    // Complete arguments of a step that was not: their bytes were kept, and are short work.
    let mut kept = Framing { framed: 0, scanned: 0, remaining: framing.kept, body: None, ..*framing };
    arguments(&mut kept, input, rules, |span, _| {
        spans.push(span);
        true
    });
    let mut bytes = 0;
    // Counted down: whether a number is a multiple of another one takes a division.
    let mut lacking = step - spans.len() % step;
    let outcome = arguments(framing, input, rules, |span, end| {
        spans.push(span);
        lacking -= 1;
        if lacking == 0 {
            lacking = step;
            bytes = end;
        }
        spans.len() < most
    });
    let odd = spans.len() % step;
    spans.truncate(spans.len() - odd);
    if let Some(Decoded::Malformed(error)) = outcome
        && spans.is_empty()
    {
        return Part::Malformed(error);
    }
    if step == 1 {
        // Including a header whose body is awaited. In larger steps it is needed to find that argument again.
        bytes = framing.framed;
    }
    framing.kept = narrow(odd);
    framing.framed -= bytes;
    Part::Arguments { bytes: bytes as usize, last: framing.remaining == 0 }
}

/// Decodes the request at the start of `input`, which holds everything received since the request began.
///
/// `spans` keeps the positions of a batch of requests; those of this one are appended. After anything but
/// `Incomplete`, `framing` is as new.
///
/// # Panics
/// If `input` is 4 GiB or longer: a request's offsets are kept in 32 bits.
#[inline]
pub fn decode(framing: &mut Framing, input: &mut [u8], spans: &mut Vec<Span>, rules: &Rules) -> Decoded {
    let Some(&first) = input.first() else { return Decoded::Incomplete };
    if first != b'*' {
        return inline(framing, input, spans);
    }
    let result = if framing.framed == 0 && framing.scanned == 0 {
        fresh(framing, input, spans, rules)
    } else {
        resumed(framing, input, spans, rules)
    };
    if result != Decoded::Incomplete {
        *framing = Framing::default();
    }
    result
}

/// A multibulk request of which nothing was seen before: framed and its spans kept in one pass.
#[inline]
fn fresh(framing: &mut Framing, input: &[u8], spans: &mut Vec<Span>, rules: &Rules) -> Decoded {
    match header(framing, input, rules) {
        Progress::Done => {}
        Progress::Over(outcome) => return outcome,
    }
    let kept = spans.len();
    let count = framing.count as usize;
    if kept > 0 && count > limits::SPANS - kept.min(limits::SPANS) {
        return Decoded::Later;
    }
    let outcome = arguments(framing, input, rules, |span, _| {
        if spans.len() - kept < limits::SPANS {
            spans.push(span);
        }
        true
    });
    if let Some(outcome) = outcome {
        // Kept spans would have to wait with the connection; the second pass finds them again.
        spans.truncate(kept);
        return outcome;
    }
    Decoded::Request { bytes: framing.framed as usize, count }
}

/// A multibulk request that was incomplete before: framed from where it stopped, its spans found in a second
/// pass once it is complete. Two passes at most, whatever the number of deliveries.
#[cold]
fn resumed(framing: &mut Framing, input: &[u8], spans: &mut Vec<Span>, rules: &Rules) -> Decoded {
    if framing.count == 0
        && let Progress::Over(outcome) = header(framing, input, rules)
    {
        return outcome;
    }
    if let Some(outcome) = arguments(framing, input, rules, |_, _| true) {
        return outcome;
    }
    let bytes = framing.framed as usize;
    *framing = Framing::default();
    fresh(framing, &input[..bytes], spans, rules)
}

enum Progress {
    Done,
    Over(Decoded),
}

/// Reads `*<count>\r\n`.
#[inline]
fn header(framing: &mut Framing, input: &[u8], rules: &Rules) -> Progress {
    if let [b'*', digit @ b'1'..=b'9', b'\r', _, ..] = input {
        framing.count = u32::from(digit - b'0');
        framing.framed = 4;
    } else {
        let line = match line(framing, input, ProtocolError::LongCount) {
            Line::Complete(line) => line,
            Line::Over(outcome) => return Progress::Over(outcome),
        };
        let end = line.len() + 2;
        let Some(count @ ..=0x7fff_ffff) = integer::parse(&line[1..]) else {
            return Progress::Over(Decoded::Malformed(ProtocolError::InvalidCount));
        };
        if count > limits::UNAUTHENTICATED_ARGS && !rules.authenticated {
            return Progress::Over(Decoded::Malformed(ProtocolError::UnauthenticatedCount));
        }
        match usize::try_from(count) {
            Err(_) | Ok(0) => return Progress::Over(Decoded::Nothing { bytes: end }),
            Ok(count) => framing.count = narrow(count),
        }
        framing.framed = narrow(end);
    }
    framing.remaining = framing.count;
    framing.scanned = 0;
    Progress::Done
}

/// Reads arguments from `framing.framed` on and hands each to `take` with where the next one begins, as long as any remain
/// and `take` wants more. `Some`: what came instead of an argument.
///
/// How far it is stands in registers, and in `framing` where somebody else looks: a request may have a million arguments.
#[inline(always)]
fn arguments(
    framing: &mut Framing,
    input: &[u8],
    rules: &Rules,
    mut take: impl FnMut(Span, u32) -> bool,
) -> Option<Decoded> {
    // Offsets below are those of bytes that are there.
    narrow(input.len());
    let mut at = framing.framed;
    let mut remaining = framing.remaining;
    let mut wants = true;
    while remaining > 0 && wants {
        let span = match usual(input, at).filter(|_| framing.body.is_none()) {
            Some(span) => span,
            None => {
                framing.stand_at(at, remaining);
                match unusual(framing, input, rules) {
                    Ok(span) => span,
                    Err(outcome) => return Some(outcome),
                }
            }
        };
        at = span.start + span.len + 2;
        remaining -= 1;
        wants = take(span, at);
    }
    framing.stand_at(at, remaining);
    None
}

/// A complete argument at `at` whose length has one or two digits, the usual.
#[inline(always)]
fn usual(input: &[u8], at: u32) -> Option<Span> {
    let (header, len) = short_length(input, at)?;
    let start = at + header;
    (start as usize + len as usize + 2 <= input.len()).then_some(Span { start, len })
}

/// Bytes of a header `$<length>\r\n` of one or two digits, and the length: no search for the line's end.
#[inline(always)]
fn short_length(input: &[u8], at: u32) -> Option<(u32, u32)> {
    match input.get(at as usize..)? {
        [b'$', digit @ b'0'..=b'9', b'\r', _, ..] => Some((4, u32::from(digit - b'0'))),
        [b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => {
            Some((5, u32::from(tens - b'0') * 10 + u32::from(ones - b'0')))
        }
        _ => None,
    }
}

/// Reads `$<length>\r\n<body>\r\n` of any form at `framing.framed`.
#[cold]
#[inline(never)]
fn unusual(framing: &mut Framing, input: &[u8], rules: &Rules) -> Result<Span, Decoded> {
    let len = match framing.body {
        Some(len) => len,
        None => match short_length(input, framing.framed) {
            Some((header, len)) => {
                framing.framed += header;
                len
            }
            None => length(framing, input, rules)?,
        },
    };
    framing.scanned = 0;
    let start = framing.framed as usize;
    let end = start + len as usize + 2;
    if input.len() < end {
        framing.body = Some(len);
        return Err(Decoded::Incomplete);
    }
    framing.body = None;
    framing.framed = narrow(end);
    Ok(Span { start: narrow(start), len })
}

/// Reads `$<length>\r\n` of any form, or says what is wrong with it, in the order in which Redis looks.
#[cold]
fn length(framing: &mut Framing, input: &[u8], rules: &Rules) -> Result<u32, Decoded> {
    let line = match line(framing, input, ProtocolError::LongLength) {
        Line::Complete(line) => line,
        Line::Over(outcome) => return Err(outcome),
    };
    let (&kind, digits) = line.split_first().unwrap_or((&b'\r', &[]));
    if kind != b'$' {
        return Err(Decoded::Malformed(ProtocolError::ExpectedBulk(kind)));
    }
    let len = integer::parse(digits).and_then(|len| usize::try_from(len).ok());
    let Some(len) = len.filter(|&len| len <= rules.max_bulk) else {
        return Err(Decoded::Malformed(ProtocolError::InvalidLength));
    };
    if len > limits::UNAUTHENTICATED_BULK && !rules.authenticated {
        return Err(Decoded::Malformed(ProtocolError::UnauthenticatedLength));
    }
    framing.framed += narrow(line.len() + 2);
    Ok(narrow(len))
}

enum Line<'a> {
    Complete(&'a [u8]),
    Over(Decoded),
}

/// The line at `framing.framed` without its end. Like Redis, this takes CR and any byte after it as the end.
fn line<'a>(framing: &mut Framing, input: &'a [u8], too_long: ProtocolError) -> Line<'a> {
    let rest = &input[framing.framed as usize..];
    match memchr::memchr(b'\r', &rest[framing.scanned as usize..]) {
        Some(found) if framing.scanned as usize + found + 1 < rest.len() => {
            Line::Complete(&rest[..framing.scanned as usize + found])
        }
        Some(found) => {
            framing.scanned += narrow(found);
            Line::Over(Decoded::Incomplete)
        }
        None if rest.len() > limits::LINE_BYTES => Line::Over(Decoded::Malformed(too_long)),
        None => {
            framing.scanned = narrow(rest.len());
            Line::Over(Decoded::Incomplete)
        }
    }
}

/// An inline request: words up to a line feed.
#[cold]
fn inline(framing: &mut Framing, input: &mut [u8], spans: &mut Vec<Span>) -> Decoded {
    let Some(found) = memchr::memchr(b'\n', &input[framing.scanned as usize..]) else {
        if input.len() > limits::LINE_BYTES {
            *framing = Framing::default();
            return Decoded::Malformed(ProtocolError::LongInline);
        }
        framing.scanned = narrow(input.len());
        return Decoded::Incomplete;
    };
    let bytes = framing.scanned as usize + found + 1;
    if !spans.is_empty() {
        // Found again when it is its turn: at most one line, once per batch.
        return Decoded::Later;
    }
    *framing = Framing::default();
    if bytes > limits::LINE_BYTES + 2 {
        return Decoded::Malformed(ProtocolError::LongInline);
    }
    match words(&mut input[..bytes - 1], spans) {
        Ok(0) => Decoded::Nothing { bytes },
        Ok(count) => Decoded::Request { bytes, count },
        Err(error) => {
            spans.clear();
            Decoded::Malformed(error)
        }
    }
}

/// Splits a line into words, resolving quotes and escapes in place: the result is never longer than what it
/// is made of, so the write position never passes the read position.
fn words(line: &mut [u8], spans: &mut Vec<Span>) -> Result<usize, ProtocolError> {
    // Redis handles the line as a C string: it ends at the first NUL.
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let (mut read, mut write) = (0, 0);
    loop {
        while read < end && is_blank(line[read]) {
            read += 1;
        }
        if read == end {
            return Ok(spans.len());
        }
        let start = write;
        while read < end && !is_separator(line[read]) {
            // A closing quote ends the word, also before a blank that separates no other words.
            match line[read] {
                b'"' => {
                    (read, write) = double_quoted(&mut line[..end], read + 1, write)?;
                    break;
                }
                b'\'' => {
                    (read, write) = single_quoted(&mut line[..end], read + 1, write)?;
                    break;
                }
                byte => {
                    line[write] = byte;
                    (read, write) = (read + 1, write + 1);
                }
            }
        }
        spans.push(Span { start: narrow(start), len: narrow(write - start) });
    }
}

/// The rest of a word in double quotes, from behind the opening one to the blank behind the closing one.
fn double_quoted(
    line: &mut [u8],
    mut read: usize,
    mut write: usize,
) -> Result<(usize, usize), ProtocolError> {
    loop {
        let (byte, length) = match line[read..] {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', ref rest @ ..] => return closed(rest, read, write),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (nibble(high) << 4 | nibble(low), 4)
            }
            [b'\\', escaped, ..] => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                };
                (byte, 2)
            }
            [byte, ..] => (byte, 1),
        };
        line[write] = byte;
        (read, write) = (read + length, write + 1);
    }
}

/// The rest of a word in single quotes, in which only the quote itself can be escaped.
fn single_quoted(
    line: &mut [u8],
    mut read: usize,
    mut write: usize,
) -> Result<(usize, usize), ProtocolError> {
    loop {
        let (byte, length) = match line[read..] {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'\'', ..] => (b'\'', 2),
            [b'\'', ref rest @ ..] => return closed(rest, read, write),
            [byte, ..] => (byte, 1),
        };
        line[write] = byte;
        (read, write) = (read + length, write + 1);
    }
}

/// A closing quote must end its word.
fn closed(rest: &[u8], read: usize, write: usize) -> Result<(usize, usize), ProtocolError> {
    match rest.first() {
        Some(&byte) if !is_blank(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok((read + 1, write)),
    }
}

/// What may stand between words (`isspace` of the C locale).
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What ends an unquoted word.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Offsets inside a request fit 32 bits: `client-query-buffer-limit` is below 4 GiB.
#[inline]
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).expect("a request is shorter than 4 GiB")
}
