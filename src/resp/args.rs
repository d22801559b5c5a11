//! A request's arguments: positions in the bytes they were received in.
//!
//! Nothing is copied. A request with more arguments than positions are kept for ([`crate::limits::SPANS`]) is
//! walked again from its bytes, so that a million arguments cost no memory beside those bytes.

use crate::limits;

/// Where an argument lies: offset from the start of its request's bytes, and length. Both in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The bytes this span names.
    #[inline]
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }
}

/// The arguments of one complete request, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    /// Positions of the first arguments; all of them unless there are more than `limits::SPANS`.
    spans: &'a [Span],
    count: usize,
}

impl<'a> Args<'a> {
    /// Arguments of a request lying in `bytes`, the first of them at `spans`, `count` in all.
    ///
    /// `spans` names every argument, or at least one where the request is a multibulk request of which the
    /// rest can be walked.
    #[inline]
    pub fn new(bytes: &'a [u8], spans: &'a [Span], count: usize) -> Self {
        debug_assert!(spans.len() <= count && (!spans.is_empty() || count == 0));
        Self { bytes, spans, count }
    }

    /// Number of arguments, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no argument at all, which no request that reaches a command has.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Upper bound of the bytes of any one argument: the bytes that all of them lie in.
    #[inline]
    pub fn extent(&self) -> usize {
        self.bytes.len()
    }

    /// The argument at `index`. Beyond `limits::SPANS` this walks; use [`Args::tail`] to visit many.
    ///
    /// # Panics
    /// If there is no such argument.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.spans.get(index) {
            Some(span) => span.of(self.bytes),
            None => self.tail(index).next().expect("the caller asks for an argument that exists"),
        }
    }

    /// Appends what the arguments lie in, and where they lie in it; [`Args::new`] makes the same arguments of both.
    pub fn copy_to(&self, bytes: &mut Vec<u8>, spans: &mut Vec<Span>) {
        bytes.extend_from_slice(self.bytes);
        spans.extend_from_slice(self.spans);
    }

    /// The arguments from `index` on, as a request of their own (`COMMAND GETKEYS`).
    pub fn skip(&self, index: usize) -> Self {
        let ArgsIter { bytes, spans, walked, remaining } = self.tail(index);
        // Without a position to go by, a request is walked from its first byte: let that be the next argument's.
        let bytes = if spans.is_empty() { bytes.get(walked..).unwrap_or_default() } else { bytes };
        Self { bytes, spans, count: remaining }
    }

    /// The arguments from `index` on, in order.
    #[inline]
    pub fn tail(&self, index: usize) -> ArgsIter<'a> {
        let known = self.spans.len().min(index);
        let mut iter = ArgsIter {
            bytes: self.bytes,
            spans: &self.spans[known..],
            walked: self.spans.last().map_or(0, |last| (last.start + last.len) as usize + 2),
            remaining: self.count - known,
        };
        for _ in known..index {
            iter.next();
        }
        iter
    }
}

/// Visits arguments in order; see [`Args::tail`].
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
    /// Where the `$` of the first argument without a span stands.
    walked: usize,
    remaining: usize,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some((span, rest)) = self.spans.split_first() {
            self.spans = rest;
            self.remaining -= 1;
            return Some(span.of(self.bytes));
        }
        self.walk()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<'a> ArgsIter<'a> {
    /// The next argument beyond the spans.
    #[inline(never)]
    fn walk(&mut self) -> Option<&'a [u8]> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        // The request was found complete and well formed before it was handed out: `$<digits>\r\n<bytes>\r\n`.
        let mut at = self.walked + 1;
        let mut len = 0_usize;
        while self.bytes[at] != b'\r' {
            len = len * 10 + usize::from(self.bytes[at] - b'0');
            at += 1;
        }
        let start = at + 2;
        self.walked = start + len + 2;
        Some(&self.bytes[start..][..len])
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

const _: () = assert!(limits::LINE_BYTES < u32::MAX as usize && size_of::<Span>() == 8);

#[cfg(test)]
mod tests {
    use super::{Args, Span};

    #[test]
    fn arguments_beyond_the_spans_are_walked() {
        let bytes = b"*4\r\n$3\r\nDEL\r\n$1\r\na\r\n$0\r\n\r\n$11\r\nhello world\r\n";
        let spans = [Span { start: 8, len: 3 }, Span { start: 17, len: 1 }];
        let args = Args::new(bytes, &spans, 4);
        let all: Vec<&[u8]> = args.tail(0).collect();
        assert_eq!(all, [b"DEL" as &[u8], b"a", b"", b"hello world"]);
        assert_eq!(args.get(3), b"hello world");
        assert_eq!(args.tail(2).len(), 2);
        assert_eq!(args.tail(2).next(), Some(b"" as &[u8]));
        assert_eq!(args.tail(4).next(), None);
    }

    #[test]
    fn the_rest_is_a_request_of_its_own() {
        let bytes = b"*4\r\n$3\r\nDEL\r\n$1\r\na\r\n$0\r\n\r\n$11\r\nhello world\r\n";
        let spans = [Span { start: 8, len: 3 }, Span { start: 17, len: 1 }];
        let args = Args::new(bytes, &spans, 4);
        for index in 0..=4 {
            let rest = args.skip(index);
            assert_eq!(rest.len(), 4 - index);
            assert!(rest.tail(0).eq(args.tail(index)), "from {index}");
            if index < 4 {
                assert_eq!(rest.get(0), args.get(index));
            }
        }
        assert_eq!(args.skip(2).get(1), b"hello world");
        assert_eq!(args.skip(1).skip(2).get(0), b"hello world");
    }
}
