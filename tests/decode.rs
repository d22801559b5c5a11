//! The decoder against a slow, obvious reference, for every way of cutting the bytes. Knows only `resp`.
//!
//! The reference looks at the whole input from the start each time, copies every argument, and has no state. It
//! must find the same requests, errors and remainder as the decoder does, however the bytes are delivered.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use tallyring::limits;
use tallyring::resp::args::Args;
use tallyring::resp::decode::{Decoded, Framing, ProtocolError, Rules, decode};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Request(Vec<Vec<u8>>),
    Malformed(ProtocolError),
}

const RULES: Rules = Rules { max_bulk: 1024 * 1024, authenticated: true };

/// What a server sees that receives `pieces` one after the other: its requests, and the bytes left over.
fn delivered<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, rules: &Rules) -> (Vec<Found>, Vec<u8>) {
    let mut found = Vec::new();
    let mut carry: Vec<u8> = Vec::new();
    let mut framing = Framing::default();
    let mut spans = Vec::new();
    for piece in pieces {
        carry.extend_from_slice(piece);
        let mut at = 0;
        loop {
            spans.clear();
            match decode(&mut framing, &mut carry[at..], &mut spans, rules) {
                Decoded::Request { bytes, count } => {
                    let args = Args::new(&carry[at..at + bytes], &spans, count);
                    found.push(Found::Request(args.tail(0).map(<[u8]>::to_vec).collect()));
                    assert_eq!(args.tail(0).len(), count);
                    at += bytes;
                }
                Decoded::Nothing { bytes } => at += bytes,
                Decoded::Incomplete => break,
                Decoded::Later => unreachable!("no spans are kept from one request to the next"),
                Decoded::Malformed(error) => {
                    found.push(Found::Malformed(error));
                    return (found, Vec::new());
                }
            }
        }
        carry.drain(..at);
    }
    (found, carry)
}

/// The same, by the book.
fn reference(mut input: &[u8], rules: &Rules) -> Vec<Found> {
    let mut found = Vec::new();
    loop {
        match reference_request(input, rules) {
            Ok(Some((args, rest))) => {
                if !args.is_empty() {
                    found.push(Found::Request(args));
                }
                input = rest;
            }
            Ok(None) => return found,
            Err(error) => {
                found.push(Found::Malformed(error));
                return found;
            }
        }
    }
}

type Taken<'a> = Option<(Vec<Vec<u8>>, &'a [u8])>;

fn reference_request<'a>(input: &'a [u8], rules: &Rules) -> Result<Taken<'a>, ProtocolError> {
    if input.is_empty() {
        return Ok(None);
    }
    if input[0] != b'*' {
        return reference_inline(input);
    }
    let Some((line, mut rest)) = reference_line(input, ProtocolError::LongCount)? else { return Ok(None) };
    let count = strict_number(&line[1..]).filter(|count| *count <= i64::from(i32::MAX));
    let count = count.ok_or(ProtocolError::InvalidCount)?;
    if count > 10 && !rules.authenticated {
        return Err(ProtocolError::UnauthenticatedCount);
    }
    let mut args = Vec::new();
    for _ in 0..count {
        let Some((line, after)) = reference_line(rest, ProtocolError::LongLength)? else { return Ok(None) };
        match line.first() {
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
            None => return Err(ProtocolError::ExpectedBulk(b'\r')),
        }
        let len = strict_number(&line[1..]).filter(|len| (0..=1024 * 1024).contains(len));
        let len =
            usize::try_from(len.ok_or(ProtocolError::InvalidLength)?).expect("a length in range is positive");
        if len > limits::UNAUTHENTICATED_BULK && !rules.authenticated {
            return Err(ProtocolError::UnauthenticatedLength);
        }
        if after.len() < len + 2 {
            return Ok(None);
        }
        args.push(after[..len].to_vec());
        rest = &after[len + 2..];
    }
    Ok(Some((args, rest)))
}

/// A line without its end, and what follows it; nothing while the end is missing.
type Line<'a> = Result<Option<(&'a [u8], &'a [u8])>, ProtocolError>;

fn reference_line(input: &[u8], too_long: ProtocolError) -> Line<'_> {
    match input.iter().position(|byte| *byte == b'\r') {
        Some(end) if end + 1 < input.len() => Ok(Some((&input[..end], &input[end + 2..]))),
        Some(_) => Ok(None),
        None if input.len() > limits::LINE_BYTES => Err(too_long),
        None => Ok(None),
    }
}

fn strict_number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

fn reference_inline(input: &[u8]) -> Result<Taken<'_>, ProtocolError> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return if input.len() > limits::LINE_BYTES { Err(ProtocolError::LongInline) } else { Ok(None) };
    };
    let line: Vec<u8> = input[..end].iter().copied().take_while(|byte| *byte != 0).collect();
    let mut rest = line.iter().copied().peekable();
    let mut args = Vec::new();
    loop {
        while rest.next_if(|byte| matches!(byte, b' ' | 9..=13)).is_some() {}
        if rest.peek().is_none() {
            return Ok(Some((args, &input[end + 1..])));
        }
        let mut word = Vec::new();
        while let Some(byte) = rest.next_if(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            if byte != b'"' && byte != b'\'' {
                word.push(byte);
                continue;
            }
            loop {
                let next = rest.next().ok_or(ProtocolError::UnbalancedQuotes)?;
                if next == byte {
                    break;
                }
                if next != b'\\' {
                    word.push(next);
                } else if byte == b'\'' {
                    word.push(rest.next_if_eq(&b'\'').unwrap_or(b'\\'));
                } else {
                    escaped(&mut rest, &mut word)?;
                }
            }
            if rest.peek().is_some_and(|byte| !matches!(byte, b' ' | 9..=13)) {
                return Err(ProtocolError::UnbalancedQuotes);
            }
            break;
        }
        args.push(word);
    }
}

fn escaped(
    rest: &mut std::iter::Peekable<impl Iterator<Item = u8> + Clone>,
    word: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    let mut ahead = rest.clone();
    if ahead.next() == Some(b'x')
        && let (Some(high), Some(low)) = (ahead.next(), ahead.next())
        && let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16))
    {
        word.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
        *rest = ahead;
        return Ok(());
    }
    // A backslash that is the line's last byte stands for itself, and the quote is open.
    let byte = rest.next().ok_or(ProtocolError::UnbalancedQuotes)?;
    word.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    });
    Ok(())
}

fn encoded(args: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Pieces that are requests, nearly requests, or anything.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let argument = prop::collection::vec(any::<u8>(), 0..12);
    let special = prop::sample::select(vec![
        "*0\r\n",
        "*-1\r\n",
        "*1\r\n",
        "*2\r\n",
        "*01\r\n",
        "*+1\r\n",
        "*\r\n",
        "*11\r\n",
        "*1048577\r\n",
        "$3\r\n",
        "$-1\r\n",
        "$16385\r\n",
        "$ 1\r\n",
        "$03\r\n",
        "\r\n",
        "\n",
        "\r",
        "PING\r\n",
        "  \r\n",
        "SET k \"a b\"\r\n",
        "SET k \"\\x41\\n\\q\"\n",
        "SET 'it\\'s' ''\r\n",
        "GET \"abc\r\n",
        "GET 'a'b\r\n",
        "ECHO a\"b c\"\r\n",
        "\"\"\n",
        "$4\r\nPING\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "*1\r\n:4\r\n",
        "*1\r\n$4\rXPINGxx",
        "*1\rX$4\r\nPING\r\n",
        "\0x\n",
    ]);
    prop_oneof![
        4 => prop::collection::vec(argument, 0..6).prop_map(|args| encoded(&args)),
        4 => special.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => Just(b"*12\r\n".to_vec()),
    ]
}

fn check(input: &[u8], rules: &Rules) {
    let expected = reference(input, rules);
    let (whole, rest) = delivered([input], rules);
    assert_eq!(whole, expected, "in one piece: {}", input.escape_ascii());
    for cut in 0..=input.len() {
        let (found, left) = delivered([&input[..cut], &input[cut..]], rules);
        assert_eq!(found, expected, "cut at {cut}: {}", input.escape_ascii());
        assert_eq!(left, rest, "cut at {cut}: {}", input.escape_ascii());
    }
    let (found, left) = delivered(input.chunks(1), rules);
    assert_eq!((found, left), (expected, rest), "byte by byte: {}", input.escape_ascii());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn the_decoder_finds_what_the_reference_finds(pieces in prop::collection::vec(piece(), 0..8)) {
        let input = pieces.concat();
        check(&input, &RULES);
        check(&input, &Rules { authenticated: false, ..RULES });
    }
}

#[test]
fn lines_that_never_end_are_cut_off_at_the_limit() {
    for (start, error) in [
        ("A", ProtocolError::LongInline),
        ("*1", ProtocolError::LongCount),
        ("*1\r\n$1", ProtocolError::LongLength),
    ] {
        for extra in [0, 1, 2] {
            let line = start.rfind('$').map_or(start.len(), |at| start.len() - at);
            let mut input = start.as_bytes().to_vec();
            input.extend(std::iter::repeat_n(b'1', limits::LINE_BYTES - line + extra));
            let expected = if extra == 0 { vec![] } else { vec![Found::Malformed(error)] };
            assert_eq!(delivered([&input[..]], &RULES).0, expected, "{start} {extra}");
            assert_eq!(delivered(input.chunks(777), &RULES).0, expected, "{start} {extra}, in pieces");
        }
    }
}

#[test]
fn how_many_arguments_are_too_many_is_not_decided_here() {
    // Only 2^31 is no count any more; fewer are for the command to judge.
    for (count, error) in [
        ("1048577", ProtocolError::ExpectedBulk(b':')),
        ("2147483647", ProtocolError::ExpectedBulk(b':')),
        ("2147483648", ProtocolError::InvalidCount),
    ] {
        check(format!("*{count}\r\n$1\r\na\r\n").as_bytes(), &RULES);
        let input = format!("*{count}\r\n:1\r\n");
        assert_eq!(delivered([input.as_bytes()], &RULES).0, [Found::Malformed(error)], "{count}");
    }
}

#[test]
fn a_request_of_more_arguments_than_spans_is_whole() {
    let args: Vec<Vec<u8>> = (0..5 * limits::SPANS).map(|n| format!("key:{n}").into_bytes()).collect();
    let input = encoded(&args);
    for size in [input.len(), 4096, 1000, 7] {
        let (found, rest) = delivered(input.chunks(size), &RULES);
        assert_eq!(found.len(), 1);
        assert!(found[0] == Found::Request(args.clone()), "in pieces of {size}");
        assert!(rest.is_empty());
    }
}

/// Such a blank separates words only behind a closing quote.
#[test]
fn a_quote_ends_its_word_before_any_blank() {
    for (line, expected) in [
        (&b"ECHO \"a\"\x0bb\r\n"[..], vec!["ECHO", "a", "b"]),
        (b"ECHO 'a'\x0c'b'\n", vec!["ECHO", "a", "b"]),
        (b"ECHO x\"a\"\x0b\n", vec!["ECHO", "xa"]),
        (b"ECHO a\x0bb\n", vec!["ECHO", "a\x0bb"]),
    ] {
        let words = expected.iter().map(|word| word.as_bytes().to_vec()).collect();
        let (found, rest) = delivered([line], &RULES);
        assert_eq!((found, rest.len()), (vec![Found::Request(words)], 0), "{line:?}");
    }
}
