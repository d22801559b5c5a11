//! The keys of a running server: `SCAN`, then type, value and deadline of each, many requests on their way at once.

use std::io::{BufReader, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::{Kind, Sink};
use crate::clock::Clock;
use crate::tools::ToolError;
use crate::tools::dump::put_request;

mod address;
mod reply;

use address::Address;
use reply::Reply;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that are asked for at once, and fields of a hash.
const KEYS: &[u8] = b"512";
const FIELDS: &[u8] = b"1024";

/// A server.
pub(super) struct Server {
    shown: String,
    stream: TcpStream,
    replies: BufReader<TcpStream>,
    /// Requests that are not yet sent.
    requests: Vec<u8>,
    keys: u64,
}

/// A key whose value is wanted.
struct Wanted {
    key: Vec<u8>,
    kind: Kind,
}

impl Server {
    /// Connects to what stands behind `redis://`.
    pub(super) fn connect(address: &str, db: u64) -> Result<Self, ToolError> {
        let address = Address::parse(address).map_err(|why| ToolError::usage(format!("import: {why}")))?;
        let shown = format!("{}:{}", address.host, address.port);
        let failed =
            |why: &dyn std::fmt::Display| ToolError::failed(format!("cannot connect to {shown}: {why}"));
        let found =
            (address.host.as_str(), address.port).to_socket_addrs().map_err(|error| failed(&error))?;
        let mut stream = Err("the name has no address".to_owned());
        for at in found {
            stream = TcpStream::connect_timeout(&at, PATIENCE).map_err(|error| error.to_string());
            if stream.is_ok() {
                break;
            }
        }
        let stream = stream.map_err(|why| failed(&why))?;
        let prepared = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_nodelay(true));
        prepared.map_err(|error| failed(&error))?;
        let replies = stream.try_clone().map_err(|error| failed(&error))?;
        let replies = BufReader::with_capacity(256 * 1024, replies);
        let mut server = Self { shown, stream, replies, requests: Vec::new(), keys: 0 };
        server.greet(&address, db)?;
        Ok(server)
    }

    fn greet(&mut self, address: &Address, db: u64) -> Result<(), ToolError> {
        // The name that redis-cli has for it.
        let password = address.password.clone().or_else(|| std::env::var("REDISCLI_AUTH").ok());
        match (&address.user, &password) {
            (Some(user), Some(password)) => self.must(&[b"AUTH", user.as_bytes(), password.as_bytes()])?,
            (None, Some(password)) => self.must(&[b"AUTH", password.as_bytes()])?,
            (_, None) => Reply::Null,
        };
        if db > 0 {
            self.must(&[b"SELECT", db.to_string().as_bytes()])?;
        }
        match self.must(&[b"DBSIZE"])? {
            Reply::Integer(keys) => self.keys = u64::try_from(keys).unwrap_or(0),
            other => return Err(self.strange(&other)),
        }
        Ok(())
    }

    /// Keys that it had at the beginning.
    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// Shows all of its keys. One that comes and goes meanwhile may be among them or not.
    pub(super) fn read(&mut self, clock: &Clock, sink: &mut dyn Sink) -> Result<(), ToolError> {
        let mut cursor = b"0".to_vec();
        let mut seen = 0;
        loop {
            let (next, keys) = {
                let reply = self.must(&[b"SCAN", &cursor, b"COUNT", KEYS])?;
                self.page(reply)?
            };
            seen += keys.len() as u64;
            self.page_of_keys(keys, clock, sink)?;
            sink.passed(seen);
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Types of all, then values and deadlines of those that have a place here.
    fn page_of_keys(
        &mut self,
        keys: Vec<Vec<u8>>,
        clock: &Clock,
        sink: &mut dyn Sink,
    ) -> Result<(), ToolError> {
        for key in &keys {
            put_request(&mut self.requests, &[b"TYPE", key]);
        }
        self.send()?;
        let mut wanted = Vec::with_capacity(keys.len());
        for key in keys {
            match self.reply()? {
                Reply::Simple(kind) => match kind_of(&kind) {
                    // It went meanwhile.
                    None => {}
                    Some(kind @ (Kind::String | Kind::Hash)) => wanted.push(Wanted { key, kind }),
                    Some(kind @ (Kind::Other(_) | Kind::Elsewhere)) => drop(sink.key(&key, kind, None)?),
                },
                other => return Err(self.strange(&other)),
            }
        }
        for Wanted { key, kind } in &wanted {
            match kind {
                Kind::Hash => put_request(&mut self.requests, &[b"HSCAN", key, b"0", b"COUNT", FIELDS]),
                Kind::String | Kind::Other(_) | Kind::Elsewhere => {
                    put_request(&mut self.requests, &[b"GET", key])
                }
            }
            put_request(&mut self.requests, &[b"PTTL", key]);
        }
        self.send()?;
        let mut unfinished = Vec::new();
        for key in &wanted {
            let (value, left) = (self.reply()?, self.reply()?);
            let deadline = match left {
                // -1: it has none; -2: it went meanwhile, which its value tells too.
                Reply::Integer(ms) => u64::try_from(ms).ok().map(|ms| clock.unix_us() / 1000 + ms),
                other => return Err(self.strange(&other)),
            };
            if let Some(cursor) = self.show(key, value, deadline, sink)? {
                unfinished.push((key, cursor, deadline));
            }
        }
        for (key, cursor, deadline) in unfinished {
            self.rest_of_hash(key, cursor, deadline, sink)?;
        }
        Ok(())
    }

    /// Shows a value. A hash with more fields is shown later as a whole: gives the cursor to go on with.
    fn show(
        &mut self,
        wanted: &Wanted,
        value: Reply,
        deadline: Option<u64>,
        sink: &mut dyn Sink,
    ) -> Result<Option<Vec<u8>>, ToolError> {
        match (wanted.kind, value) {
            (_, Reply::Null) => {}
            // It is something else by now.
            (_, Reply::Error(text)) if text.starts_with(b"WRONGTYPE") => {
                sink.key(&wanted.key, Kind::Other("another type than a moment before"), None)?;
            }
            (Kind::String, Reply::Bulk(value)) => {
                if sink.key(&wanted.key, Kind::String, deadline)? {
                    if value.len() <= sink.most_bytes() {
                        sink.string(&value)?
                    } else {
                        sink.too_long()
                    }
                    sink.end()?;
                }
            }
            (Kind::Hash, reply) => {
                let (cursor, fields) = self.page(reply)?;
                if cursor != b"0" {
                    return Ok(Some(b"0".to_vec()));
                }
                // No field: it went meanwhile.
                if !fields.is_empty() && sink.key(&wanted.key, Kind::Hash, deadline)? {
                    show_fields(&fields, sink)?;
                    sink.end()?;
                }
            }
            (_, other) => return Err(self.strange(&other)),
        }
        Ok(None)
    }

    /// A hash with many fields, a page at a time.
    fn rest_of_hash(
        &mut self,
        wanted: &Wanted,
        mut cursor: Vec<u8>,
        deadline: Option<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), ToolError> {
        if !sink.key(&wanted.key, Kind::Hash, deadline)? {
            return Ok(());
        }
        loop {
            let reply = self.must(&[b"HSCAN", &wanted.key, &cursor, b"COUNT", FIELDS])?;
            let (next, fields) = self.page(reply)?;
            show_fields(&fields, sink)?;
            if next == b"0" {
                return sink.end();
            }
            cursor = next;
        }
    }

    /// A cursor and what came with it.
    fn page(&self, reply: Reply) -> Result<(Vec<u8>, Vec<Vec<u8>>), ToolError> {
        let Reply::Array(parts) = reply else { return Err(self.strange(&reply)) };
        match <[Reply; 2]>::try_from(parts) {
            Ok([Reply::Bulk(cursor), Reply::Array(items)]) => {
                let bytes =
                    |item| if let Reply::Bulk(bytes) = item { Ok(bytes) } else { Err(self.strange(&item)) };
                Ok((cursor, items.into_iter().map(bytes).collect::<Result<_, _>>()?))
            }
            Ok([cursor, _]) => Err(self.strange(&cursor)),
            Err(_) => Err(ToolError::failed(format!("{}: a page of another length than two", self.shown))),
        }
    }

    /// The reply to a request, which is no error.
    fn must(&mut self, request: &[&[u8]]) -> Result<Reply, ToolError> {
        put_request(&mut self.requests, request);
        self.send()?;
        match self.reply()? {
            error @ Reply::Error(_) => Err(self.strange(&error)),
            reply => Ok(reply),
        }
    }

    fn send(&mut self) -> Result<(), ToolError> {
        let sent = self.stream.write_all(&self.requests);
        self.requests.clear();
        sent.map_err(|error| ToolError::failed(format!("cannot send to {}: {error}", self.shown)))
    }

    fn reply(&mut self) -> Result<Reply, ToolError> {
        reply::read(&mut self.replies)
            .map_err(|error| ToolError::failed(format!("cannot receive from {}: {error}", self.shown)))
    }

    /// What it said is no answer to what it was asked.
    fn strange(&self, reply: &Reply) -> ToolError {
        let text = match reply {
            Reply::Error(text) | Reply::Simple(text) => {
                String::from_utf8_lossy(text).escape_debug().to_string()
            }
            Reply::Integer(_) | Reply::Bulk(_) | Reply::Array(_) | Reply::Null => {
                "an unexpected reply".to_owned()
            }
        };
        ToolError::failed(format!("{} answered: {text}", self.shown))
    }
}

fn show_fields(fields: &[Vec<u8>], sink: &mut dyn Sink) -> Result<(), ToolError> {
    for pair in fields.chunks_exact(2) {
        let most = sink.most_bytes();
        let fits = pair.iter().all(|bytes| bytes.len() <= most);
        if fits { sink.field(&pair[0], &pair[1])? } else { sink.too_long() }
    }
    Ok(())
}

/// What `TYPE` says. `None`: there is no such key.
fn kind_of(name: &[u8]) -> Option<Kind> {
    Some(match name {
        b"none" => return None,
        b"string" => Kind::String,
        b"hash" => Kind::Hash,
        b"list" => Kind::Other("list"),
        b"set" => Kind::Other("set"),
        b"zset" => Kind::Other("zset"),
        b"stream" => Kind::Other("stream"),
        b"throttle" => Kind::Other("throttle"),
        b"window" => Kind::Other("window"),
        _ => Kind::Other("module"),
    })
}
