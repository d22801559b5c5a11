//! A client that speaks bytes: it sends what it is told and checks the very next bytes that come. Knows
//! sockets; knows of the protocol how a request and a few kinds of reply are framed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ClientConnection, StreamOwned};

use crate::server::PATIENCE;

/// Bytes shown around the first difference.
const SHOWN: usize = 160;

/// One connection.
pub(crate) struct Client {
    stream: Stream,
    /// Received and not yet looked at.
    unread: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Drip>>),
    Unix(UnixStream),
}

/// A TCP connection that sends so many bytes at a time.
struct Drip {
    stream: TcpStream,
    step: usize,
}

impl Read for Drip {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        self.stream.read(block)
    }
}

impl Write for Drip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(&bytes[..bytes.len().min(self.step)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream {
    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Tls(stream) => stream.sock.stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }
}

/// What a look at the connection found.
pub(crate) enum Arrival {
    /// More bytes.
    Bytes,
    /// The other side closed: end of stream or reset.
    Closed,
    /// Nothing within the time given.
    Nothing,
}

impl Client {
    pub(crate) fn over_tcp(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a connected socket takes TCP_NODELAY");
        stream.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Self { stream: Stream::Tcp(stream), unread: Vec::new() }
    }

    /// Encrypted, `step` bytes at a time on the wire.
    pub(crate) fn over_tls(session: ClientConnection, stream: TcpStream, step: usize) -> Self {
        stream.set_nodelay(true).expect("a connected socket takes TCP_NODELAY");
        stream.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        let stream = Box::new(StreamOwned::new(session, Drip { stream, step }));
        Self { stream: Stream::Tls(stream), unread: Vec::new() }
    }

    /// The session, where there is one.
    #[track_caller]
    pub(crate) fn tls(&mut self) -> &mut ClientConnection {
        match &mut self.stream {
            Stream::Tls(stream) => &mut stream.conn,
            Stream::Tcp(_) | Stream::Unix(_) => panic!("this connection is not encrypted"),
        }
    }

    pub(crate) fn over_unix(stream: UnixStream) -> Self {
        stream.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Self { stream: Stream::Unix(stream), unread: Vec::new() }
    }

    /// The TCP socket below.
    #[track_caller]
    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => &stream.sock.stream,
            Stream::Unix(_) => panic!("this connection is a Unix socket"),
        }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.try_send(bytes) {
            panic!("the server took no more bytes: {error}");
        }
    }

    /// Sends bytes to a server that may have closed already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.writer().write_all(bytes.as_ref())?;
        self.stream.writer().flush()
    }

    /// Sends a request, and expects this reply and nothing before it.
    #[track_caller]
    pub(crate) fn ask(&mut self, arguments: &[&str], reply: impl AsRef<[u8]>) {
        self.send(request(arguments));
        self.expect(reply);
    }

    /// Sends a request of these words, and expects this reply and nothing before it.
    #[track_caller]
    pub(crate) fn ask_words(&mut self, words: &str, reply: impl AsRef<[u8]>) {
        self.send(request(&split_words(words)));
        self.expect_to(words, reply.as_ref());
    }

    /// Sends a request of these words.
    #[track_caller]
    pub(crate) fn send_words(&mut self, words: &str) {
        self.send(request(&split_words(words)));
    }

    /// Plays a session: `> INCR n` sends a request of these words, `< :1` expects a line with its line end.
    /// A word in double quotes may hold blanks; `\r`, `\n` and `\\` mean what they do in Rust.
    #[track_caller]
    pub(crate) fn talk(&mut self, session: &str) {
        let mut replies = Vec::new();
        let mut asked = "";
        for line in session.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            if let Some(words) = line.strip_prefix("> ") {
                self.expect_to(asked, &std::mem::take(&mut replies));
                self.send(request(&split_words(words)));
                asked = words;
            } else {
                let reply =
                    line.strip_prefix('<').unwrap_or_else(|| panic!("a session has no line {line:?}"));
                replies.extend_from_slice(&unescape(reply.strip_prefix(' ').unwrap_or(reply)));
                replies.extend_from_slice(b"\r\n");
            }
        }
        self.expect_to(asked, &replies);
    }

    /// The very next bytes are these.
    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        self.expect_to("", bytes.as_ref());
    }

    #[track_caller]
    fn expect_to(&mut self, asked: &str, expected: &[u8]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.unread.len().min(expected.len());
            if self.unread[..got] != expected[..got] {
                panic!("{}", difference(asked, expected, &self.unread, "and more may come"));
            }
            if got == expected.len() {
                self.unread.drain(..got);
                return;
            }
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes => {}
                Arrival::Closed => panic!("{}", difference(asked, expected, &self.unread, "then closed")),
                Arrival::Nothing => panic!("{}", difference(asked, expected, &self.unread, "then nothing")),
            }
        }
    }

    /// The very next bytes are these, however many. `seen` is told after each receive how many have come.
    #[track_caller]
    pub(crate) fn follow(&mut self, expected: &[u8], mut seen: impl FnMut(usize)) {
        let mut done = 0;
        while done < expected.len() {
            if self.unread.is_empty() && !matches!(self.receive(PATIENCE), Arrival::Bytes) {
                panic!("only {done} bytes of {} came", expected.len());
            }
            let came = self.unread.len().min(expected.len() - done);
            if self.unread[..came] != expected[done..done + came] {
                panic!(
                    "after {done} bytes {}",
                    difference("", &expected[done..], &self.unread, "and more may come")
                );
            }
            self.unread.drain(..came);
            done += came;
            seen(done);
        }
    }

    /// The server closes, and says nothing more before.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.unread.is_empty() {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes => {}
                Arrival::Closed => return,
                Arrival::Nothing => {
                    panic!("the server should have closed the connection within {PATIENCE:?}")
                }
            }
        }
        panic!("the server should have closed the connection; it said {}", escape(&self.unread));
    }

    /// The next line, without its line end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
                self.unread.drain(..end + 2);
                return line;
            }
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes => {}
                Arrival::Closed | Arrival::Nothing => {
                    panic!("a line should have come; there is only {}", escape(&self.unread))
                }
            }
        }
    }

    /// The next reply, which is an integer.
    #[track_caller]
    pub(crate) fn integer(&mut self) -> i64 {
        let line = self.line();
        line.strip_prefix(':')
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| panic!("an integer should have come, not {line:?}"))
    }

    /// The value of a field in a section of `INFO`.
    #[track_caller]
    pub(crate) fn info(&mut self, section: &str, field: &str) -> String {
        self.send(request(&["INFO", section]));
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{field} in {text}")).to_owned()
    }

    /// The next reply, which is a bulk string of text.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        let line = self.line();
        let length: usize = line
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| panic!("a bulk string should have come, not {line:?}"));
        while self.unread.len() < length + 2 {
            match self.receive(PATIENCE) {
                Arrival::Bytes => {}
                Arrival::Closed | Arrival::Nothing => {
                    panic!("{length} bytes should come, not {}", self.unread.len())
                }
            }
        }
        let text = String::from_utf8_lossy(&self.unread[..length]).into_owned();
        self.unread.drain(..length + 2);
        text
    }

    /// The next reply, whatever it is, as it came.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = reply_end(&self.unread, 0) {
                return self.unread.drain(..end).collect();
            }
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Arrival::Bytes => {}
                Arrival::Closed | Arrival::Nothing => {
                    panic!("a reply should have come; there is only {}", escape(&self.unread))
                }
            }
        }
    }

    /// Takes what comes within `timeout` and keeps it.
    pub(crate) fn receive(&mut self, timeout: Duration) -> Arrival {
        let mut block = [0; 16 * 1024];
        let timeout = timeout.max(Duration::from_millis(1));
        self.stream.set_read_timeout(timeout).expect("the timeout is not zero");
        loop {
            match self.stream.reader().read(&mut block) {
                Ok(0) => return Arrival::Closed,
                Ok(count) => {
                    self.unread.extend_from_slice(&block[..count]);
                    return Arrival::Bytes;
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Arrival::Nothing,
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Arrival::Closed,
                    _ => panic!("cannot read from the server: {error}"),
                },
            }
        }
    }

    /// Received and not yet expected.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes what was received and not yet expected.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Ends this side's stream; replies still come.
    pub(crate) fn half_close(&mut self) {
        // A server that closed first has nothing left to be told.
        let _closed_first = self.tcp().shutdown(Shutdown::Write);
    }

    /// Closes with a reset instead of an end of stream.
    pub(crate) fn reset(self) {
        let abrupt = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(self.tcp(), sockopt::Linger, &abrupt).expect("a connected socket takes SO_LINGER");
    }
}

/// Where the reply at `start` ends, if all of it is there.
pub(crate) fn reply_end(bytes: &[u8], start: usize) -> Option<usize> {
    let line = bytes.get(start..)?.windows(2).position(|two| two == b"\r\n")? + start;
    let (mut end, kind) = (line + 2, bytes[start]);
    if b"+-:_,#(".contains(&kind) {
        return Some(end);
    }
    let count: i64 = std::str::from_utf8(&bytes[start + 1..line]).ok()?.parse().expect("a length or a count");
    let Ok(count) = usize::try_from(count) else { return Some(end) };
    if b"$=".contains(&kind) {
        end += count + 2;
        return (end <= bytes.len()).then_some(end);
    }
    for _ in 0..if kind == b'%' { 2 * count } else { count } {
        end = reply_end(bytes, end)?;
    }
    Some(end)
}

/// A request as clients send it: an array of bulk strings.
pub(crate) fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(&bulk(argument));
    }
    bytes
}

/// A bulk string.
pub(crate) fn bulk(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = format!("${}\r\n", content.len()).into_bytes();
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Bytes as text that shows each of them.
pub(crate) fn escape(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Words of a session's line.
fn split_words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                quoted.split_once('"').unwrap_or_else(|| panic!("quotes do not match in {line:?}"))
            }
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(unescape(word));
        rest = after.trim_start();
    }
    words
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\\\", "\\").into_bytes()
}

/// Both sides around the first byte that differs.
pub(crate) fn difference(asked: &str, expected: &[u8], got: &[u8], ending: &str) -> String {
    let same = expected.iter().zip(got).take_while(|(want, have)| want == have).count();
    let from = same.saturating_sub(SHOWN / 4);
    let part = |bytes: &[u8]| {
        let to = bytes.len().min(from + SHOWN);
        let before = if from > 0 { "… " } else { "" };
        let after = if to < bytes.len() { " …" } else { "" };
        format!("{before}{}{after} ({} bytes)", escape(bytes.get(from..to).unwrap_or_default()), bytes.len())
    };
    let asked = if asked.is_empty() { String::new() } else { format!("  to        {asked}\n") };
    format!(
        "the reply differs at byte {same}\n{asked}  expected  {}\n  got       {}, {ending}",
        part(expected),
        part(got)
    )
}
