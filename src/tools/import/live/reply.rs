//! Replies in RESP2 as a client reads them. No memory is taken for what a length only declares.

use std::io::{self, BufRead, Read as _};

/// Bytes of the longest line: an error's text.
const LINE_BYTES: u64 = 64 * 1024;

/// Bytes of the longest string, as Redis has it.
const BULK_BYTES: u64 = 512 * 1024 * 1024;

/// Arrays in arrays.
const DEPTH: u32 = 4;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Self>),
    Null,
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads the next reply.
pub(super) fn read(source: &mut impl BufRead) -> io::Result<Reply> {
    nested(source, DEPTH)
}

fn nested(source: &mut impl BufRead, depth: u32) -> io::Result<Reply> {
    let mut line = Vec::new();
    source.take(LINE_BYTES).read_until(b'\n', &mut line)?;
    let text = match line.strip_suffix(b"\r\n") {
        Some(text) => text,
        None if line.is_empty() => {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        None => return Err(invalid("a line without an end")),
    };
    let (&sort, text) = text.split_first().ok_or_else(|| invalid("an empty line"))?;
    match sort {
        b'+' => Ok(Reply::Simple(text.to_vec())),
        b'-' => Ok(Reply::Error(text.to_vec())),
        b':' => number(text).map(Reply::Integer),
        b'$' => bulk(source, number(text)?),
        b'*' => array(source, number(text)?, depth),
        _ => Err(invalid("no reply of RESP2")),
    }
}

fn number(text: &[u8]) -> io::Result<i64> {
    crate::resp::integer::parse(text).ok_or_else(|| invalid("no number where one belongs"))
}

fn bulk(source: &mut impl BufRead, len: i64) -> io::Result<Reply> {
    let Ok(len) = u64::try_from(len) else { return Ok(Reply::Null) };
    if len > BULK_BYTES {
        return Err(invalid("a string of more than 512 MiB"));
    }
    let mut bytes = Vec::new();
    source.take(len + 2).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != len + 2 || !bytes.ends_with(b"\r\n") {
        return Err(invalid("a string of another length than it has"));
    }
    bytes.truncate(bytes.len() - 2);
    Ok(Reply::Bulk(bytes))
}

fn array(source: &mut impl BufRead, len: i64, depth: u32) -> io::Result<Reply> {
    let Ok(len) = u64::try_from(len) else { return Ok(Reply::Null) };
    let depth = depth.checked_sub(1).ok_or_else(|| invalid("arrays in arrays in arrays"))?;
    (0..len).map(|_| nested(source, depth)).collect::<io::Result<_>>().map(Reply::Array)
}

#[cfg(test)]
mod tests {
    use super::{Reply, read};

    #[test]
    fn replies_come_back() {
        let mut bytes = &b"+OK\r\n-ERR no\r\n:-7\r\n$2\r\n\r\n\r\n$-1\r\n*2\r\n$1\r\n0\r\n*0\r\n*-1\r\n"[..];
        let zero = Reply::Array(vec![Reply::Bulk(b"0".to_vec()), Reply::Array(Vec::new())]);
        for expected in [
            Reply::Simple(b"OK".to_vec()),
            Reply::Error(b"ERR no".to_vec()),
            Reply::Integer(-7),
            Reply::Bulk(b"\r\n".to_vec()),
            Reply::Null,
            zero,
            Reply::Null,
        ] {
            assert_eq!(read(&mut bytes).unwrap(), expected);
        }
        assert!(read(&mut bytes).is_err());
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [
            "OK\r\n",
            "+OK",
            "+OK\n",
            "\r\n",
            ":x\r\n",
            "$2\r\na\r\n",
            "$9999999999\r\n",
            "*2\r\n:1\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert!(read(&mut bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
