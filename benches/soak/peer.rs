//! A connection that asks and waits for the reply, as a plain client does. Knows RESP2, no commands.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// How long a reply may take before the server counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+…`
    Status(String),
    /// `-…`
    Error(String),
    /// `:…`
    Integer(i64),
    /// `$…`; none = null.
    Bulk(Option<String>),
    /// `*…`; none = null.
    Array(Option<Vec<Self>>),
}

impl Reply {
    /// A number, as an integer or in digits.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => u64::try_from(*value).ok(),
            Self::Bulk(Some(text)) => text.parse().ok(),
            Self::Bulk(None) | Self::Status(_) | Self::Error(_) | Self::Array(_) => None,
        }
    }

    /// Elements of an array.
    pub(crate) fn elements(&self) -> &[Self] {
        match self {
            Self::Array(Some(elements)) => elements,
            Self::Array(None) | Self::Status(_) | Self::Error(_) | Self::Integer(_) | Self::Bulk(_) => &[],
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
}

impl Peer {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Asks, and awaits the reply.
    ///
    /// # Errors
    /// What the system says, and bytes that are no reply.
    pub(crate) fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.send(&request(words))?;
        self.reply()
    }

    /// Asks words that are separated by spaces.
    ///
    /// # Errors
    /// See [`Self::ask`].
    pub(crate) fn ask_line(&mut self, line: &str) -> io::Result<Reply> {
        self.ask(&line.split(' ').collect::<Vec<_>>())
    }

    /// Awaits a reply.
    ///
    /// # Errors
    /// See [`Self::ask`].
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let strange = || io::Error::other(format!("'{}' is no reply", line.trim_end()));
        let text = line.trim_end();
        let rest = text.get(1..).ok_or_else(strange)?;
        match text.as_bytes()[0] {
            b'+' => Ok(Reply::Status(rest.to_owned())),
            b'-' => Ok(Reply::Error(rest.to_owned())),
            b':' => rest.parse().map(Reply::Integer).map_err(|_| strange()),
            b'$' if rest == "-1" => Ok(Reply::Bulk(None)),
            b'*' if rest == "-1" => Ok(Reply::Array(None)),
            b'$' => {
                let length: usize = rest.parse().map_err(|_| strange())?;
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(Reply::Bulk(Some(String::from_utf8_lossy(&bytes).into_owned())))
            }
            b'*' => {
                let count: usize = rest.parse().map_err(|_| strange())?;
                (0..count).map(|_| self.reply()).collect::<io::Result<_>>().map(Some).map(Reply::Array)
            }
            _ => Err(strange()),
        }
    }

    /// Reads until the server ends the connection; says whether it did.
    pub(crate) fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        self.reader.by_ref().take(1 << 20).read_to_end(&mut rest).is_ok()
    }

    /// Waits no longer than this for a write.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn write_within(&self, limit: Duration) -> io::Result<()> {
        self.reader.get_ref().set_write_timeout(Some(limit))
    }

    /// Takes no more than this of what the server sends, until it is read.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn narrow(&self, bytes: usize) -> io::Result<()> {
        Ok(setsockopt(self.reader.get_ref(), sockopt::RcvBuf, &bytes)?)
    }

    /// Ends the connection with a reset, whatever is still to be read or sent.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn reset(self) -> io::Result<()> {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        Ok(setsockopt(self.reader.get_ref(), sockopt::Linger, &linger)?)
    }
}

/// A request of these words.
pub(crate) fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};

    use super::{Peer, Reply};

    #[test]
    fn replies_are_read_whole() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"*3\r\n:5\r\n$3\r\n1\r\n\r\n*1\r\n$-1\r\n-ERR no\r\n").unwrap();
        let reply = peer.reply().unwrap();
        assert_eq!(reply.elements()[0].number(), Some(5));
        assert_eq!(reply.elements()[1], Reply::Bulk(Some("1\r\n".to_owned())));
        assert_eq!(reply.elements()[2].elements(), [Reply::Bulk(None)]);
        assert_eq!(peer.reply().unwrap(), Reply::Error("ERR no".to_owned()));
        drop(server);
        assert!(peer.ends());
    }
}
