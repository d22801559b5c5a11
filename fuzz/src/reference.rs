//! Requests by the book: a parser that looks at everything from the start, copies every argument and keeps no state.
//!
//! Written from Redis' `readQuery`, `processInlineBuffer`, `processMultibulkBuffer` and `sdssplitargs`, and slow on
//! purpose: one thing after the other, errors as the texts that clients see. Knows nothing of the decoder.

use tallyring::limits;

/// What requests must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most bytes of one argument.
    pub max_bulk: usize,
    /// Whether the bounds before `AUTH` are off.
    pub authenticated: bool,
}

/// What stands at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A request; no arguments = to be skipped.
    Request {
        /// Bytes it takes.
        bytes: usize,
        /// Its arguments.
        args: Vec<Vec<u8>>,
    },
    /// The beginning of a request, or nothing.
    Incomplete(Beginning),
    /// No request.
    Malformed {
        /// The error.
        text: Vec<u8>,
        /// The error where the line arrives so slowly that it is too long before it is found to be wrong.
        slowly: Option<&'static str>,
        /// What stands before the error.
        before: Beginning,
    },
    /// A line of just the length at which its delivery decides whether it is too long, in Redis as well.
    Disputed,
}

/// The part of a multibulk request that is known before it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Arguments declared, 0 = not known, or no multibulk request.
    pub declared: usize,
    /// Bytes of complete headers and arguments.
    pub settled: usize,
    /// The complete arguments.
    pub args: Vec<Vec<u8>>,
}

/// What stands at the start of `input`.
pub fn first(input: &[u8], bounds: &Bounds) -> Found {
    match input.first() {
        None => Found::Incomplete(Beginning::default()),
        Some(b'*') => multibulk(input, bounds),
        Some(_) => inline(input),
    }
}

/// Every request in `input`, and what stands behind the last of them, at which offset.
pub fn all(input: &[u8], bounds: &Bounds) -> (Vec<Vec<Vec<u8>>>, usize, Found) {
    let mut requests = Vec::new();
    let mut at = 0;
    loop {
        match first(&input[at..], bounds) {
            Found::Request { bytes, args } => {
                at += bytes;
                if !args.is_empty() {
                    requests.push(args);
                }
            }
            end => return (requests, at, end),
        }
    }
}

const INVALID_COUNT: &str = "invalid multibulk length";
const INVALID_LENGTH: &str = "invalid bulk length";
const LONG_COUNT: &str = "too big mbulk count string";
const LONG_LENGTH: &str = "too big bulk count string";

fn multibulk(input: &[u8], bounds: &Bounds) -> Found {
    let mut so_far = Beginning::default();
    let Some(line) = line(input) else { return unended(input, LONG_COUNT, so_far) };
    let wrong = |text: &str, before: &Beginning| malformed(text.as_bytes(), line, LONG_COUNT, before);
    let Some(count) = number(&line[1..]).filter(|count| *count <= 2_147_483_647) else {
        return wrong(INVALID_COUNT, &so_far);
    };
    if count > 10 && !bounds.authenticated {
        return wrong("unauthenticated multibulk length", &so_far);
    }
    so_far.settled = line.len() + 2;
    if count <= 0 {
        return Found::Request { bytes: so_far.settled, args: Vec::new() };
    }
    so_far.declared = usize::try_from(count).expect("a positive count below 2^31");
    while so_far.args.len() < so_far.declared {
        if let Some(end) = argument(input, bounds, &mut so_far) {
            return end;
        }
    }
    Found::Request { bytes: so_far.settled, args: so_far.args }
}

/// Takes the next argument over into `so_far`, or says why that is impossible.
fn argument(input: &[u8], bounds: &Bounds, so_far: &mut Beginning) -> Option<Found> {
    let rest = &input[so_far.settled..];
    let Some(line) = line(rest) else { return Some(unended(rest, LONG_LENGTH, so_far.clone())) };
    let wrong = |text: &[u8], before: &Beginning| Some(malformed(text, line, LONG_LENGTH, before));
    // Of an empty line, the byte in the place of the `$` is its end.
    match rest[0] {
        b'$' => {}
        other => {
            return wrong(&[b"expected '$', got '".as_slice(), &[other, b'\'']].concat(), so_far);
        }
    }
    let Some(len) = number(&line[1..]).filter(|len| (0..=bounds.max_bulk as i128).contains(len)) else {
        return wrong(INVALID_LENGTH.as_bytes(), so_far);
    };
    let len = usize::try_from(len).expect("a length within bounds");
    if len > 16_384 && !bounds.authenticated {
        return wrong(b"unauthenticated bulk length", so_far);
    }
    let body = &rest[line.len() + 2..];
    if body.len() < len + 2 {
        let settled = so_far.settled + line.len() + 2;
        return Some(Found::Incomplete(Beginning { settled, ..so_far.clone() }));
    }
    so_far.args.push(body[..len].to_vec());
    so_far.settled += line.len() + 2 + len + 2;
    None
}

/// What stands before the first carriage return, if a byte follows that: Redis does not look at which.
fn line(input: &[u8]) -> Option<&[u8]> {
    let end = input.iter().position(|byte| *byte == b'\r')?;
    (end + 1 < input.len()).then(|| &input[..end])
}

/// There is no line, yet.
fn unended(rest: &[u8], too_long: &'static str, before: Beginning) -> Found {
    if rest.len() > limits::LINE_BYTES && !rest.contains(&b'\r') {
        return Found::Malformed { text: too_long.into(), slowly: None, before };
    }
    if rest.len() > limits::LINE_BYTES {
        // Its end is half there: too long already, if it came slowly.
        return Found::Disputed;
    }
    Found::Incomplete(before)
}

fn malformed(text: &[u8], line: &[u8], too_long: &'static str, before: &Beginning) -> Found {
    let slowly = (line.len() > limits::LINE_BYTES).then_some(too_long);
    Found::Malformed { text: text.to_owned(), slowly, before: before.clone() }
}

/// A decimal number as Redis' `string2ll` reads it: one spelling each.
fn number(text: &[u8]) -> Option<i128> {
    if text.len() > 20 {
        return None;
    }
    let number: i128 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let in_range = i64::try_from(number).is_ok();
    (in_range && number.to_string().as_bytes() == text).then_some(number)
}

fn inline(input: &[u8]) -> Found {
    let wrong =
        |text: &str| Found::Malformed { text: text.into(), slowly: None, before: Beginning::default() };
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return if input.len() > limits::LINE_BYTES {
            wrong("too big inline request")
        } else {
            Found::Incomplete(Beginning::default())
        };
    };
    if end == limits::LINE_BYTES + 1 {
        return Found::Disputed;
    }
    if end > limits::LINE_BYTES {
        return wrong("too big inline request");
    }
    // A C string: nothing behind a NUL is seen.
    let text = input[..end].split(|byte| *byte == 0).next().unwrap_or_default();
    match words(text) {
        Words::Split(args) => Found::Request { bytes: end + 1, args },
        Words::Unbalanced => wrong("unbalanced quotes in request"),
    }
}

/// What `sdssplitargs` makes of a line.
enum Words {
    Split(Vec<Vec<u8>>),
    Unbalanced,
}

/// A line before a C string's end: behind the text stands a NUL, which ends everything it is met in.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// C's `isspace`.
    fn blank(&self, at: usize) -> bool {
        matches!(self.byte(at), b' ' | b'\t' | b'\n' | b'\r' | 11 | 12)
    }

    /// The escape at `at` in double quotes: the byte it stands for, and where it ends. A backslash at the end is none.
    fn escape(&self, at: usize) -> Option<(u8, usize)> {
        let digit = |at: usize| char::from(self.byte(at)).to_digit(16);
        let byte = match self.byte(at + 1) {
            0 => return None,
            b'x' => match digit(at + 2).zip(digit(at + 3)) {
                Some((high, low)) => {
                    let byte = u8::try_from(high * 16 + low).expect("two digits are a byte");
                    return Some((byte, at + 4));
                }
                None => b'x',
            },
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        };
        Some((byte, at + 2))
    }
}

fn words(text: &[u8]) -> Words {
    let text = Text(text);
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while text.blank(at) {
            at += 1;
        }
        if text.byte(at) == 0 {
            return Words::Split(words);
        }
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            let byte = text.byte(at);
            let escaped = if quote == Some(b'"') && byte == b'\\' { text.escape(at) } else { None };
            if let Some((byte, behind)) = escaped {
                word.push(byte);
                at = behind;
            } else if quote == Some(b'\'') && (byte, text.byte(at + 1)) == (b'\\', b'\'') {
                word.push(b'\'');
                at += 2;
            } else if quote.is_some() && byte == 0 {
                return Words::Unbalanced;
            } else if quote == Some(byte) {
                if text.byte(at + 1) != 0 && !text.blank(at + 1) {
                    return Words::Unbalanced;
                }
                at += 1;
                break;
            } else if quote.is_none() && matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n') {
                break;
            } else if quote.is_none() && matches!(byte, b'"' | b'\'') {
                quote = Some(byte);
                at += 1;
            } else {
                word.push(byte);
                at += 1;
            }
        }
        words.push(word);
    }
}
