//! A connection beside the load: one question at a time, and nobody waits for the answer.
//!
//! A process of its own for that would take the generator's processor away just when latencies are looked at. Knows
//! where a reply of one line or one bulk string ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::Fault;

/// The connection.
pub(crate) struct Aside {
    stream: TcpStream,
    /// Whether an answer is due.
    pub(super) due: bool,
    received: Vec<u8>,
}

impl Aside {
    /// Connects; nothing is asked yet.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, due: false, received: Vec::new() })
    }

    /// Asks, unless an answer is due; says whether it did.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<bool, Fault> {
        if self.due {
            return Ok(false);
        }
        self.stream.write_all(request)?;
        self.due = true;
        Ok(true)
    }

    /// The answer, once it is there: a line with its first byte, or what is in a bulk string.
    pub(crate) fn answer(&mut self) -> Result<Option<String>, Fault> {
        if !self.due {
            return Ok(None);
        }
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(Fault::Closed),
            Ok(read) => self.received.extend_from_slice(&bytes[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(answer) = complete(&self.received)? else { return Ok(None) };
        self.due = false;
        self.received.clear();
        Ok(Some(answer))
    }
}

/// The reply that some bytes are, if it is whole.
fn complete(bytes: &[u8]) -> Result<Option<String>, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let Some((line, rest)) = text.split_once("\r\n") else { return Ok(None) };
    let Some(length) = line.strip_prefix('$') else { return Ok(Some(line.to_owned())) };
    let length: usize =
        length.parse().map_err(|_| Fault::WrongReply(format!("a bulk string of {length}")))?;
    Ok((rest.len() >= length + 2).then(|| rest[..length].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn an_answer_is_there_when_its_end_is() {
        let whole = |bytes| complete(bytes).unwrap();
        assert_eq!(whole(b""), None);
        assert_eq!(whole(b"+Background saving sta"), None);
        assert_eq!(whole(b"-ERR no\r\n").as_deref(), Some("-ERR no"));
        assert_eq!(whole(b"$4\r\na:1\r"), None);
        assert_eq!(whole(b"$4\r\na:1\r\n"), None);
        assert_eq!(whole(b"$5\r\na:1\r\n\r\n").as_deref(), Some("a:1\r\n"));
        assert!(complete(b"$x\r\n").is_err());
    }
}
