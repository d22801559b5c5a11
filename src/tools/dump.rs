//! `tallyring dump`: what a start would load, as lines for people and scripts, or as requests for `redis-cli --pipe`.
//!
//! ```text
//! "key" TAB kind TAB value TAB deadline         deadline   milliseconds since the Unix epoch, - = none
//! string     42 or "text"                       hash       "field" 42 "field" "text"
//! throttle   nanoseconds since the epoch        window     milliseconds/buckets number:sum number:sum
//! token      "token" answer, behind all keys; the key is - where it is the server's own
//! ```

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::data::Data;
use super::{Terminal, ToolError, written};
use crate::clock::Clock;
use crate::resp::quote;
use crate::table::{Scalar, Table, Value};

/// Fields of one `HSET`: requests stay small, whatever the hash.
const FIELDS_PER_REQUEST: usize = 256;

/// Prints the content of the directory at `path`.
pub(super) fn run(path: &Path, pipe: bool, terminal: &mut Terminal<'_>) -> Result<(), ToolError> {
    let data = Data::look(path)?;
    let table = Table::new();
    data.read(&mut table.replayer())?;
    drop(data);
    let now_ms = Clock::system().unix_us() / 1000;
    let mut out = BufWriter::new(&mut *terminal.out);
    let mut skipped = Skipped::default();
    let printed =
        if pipe { requests(&table, now_ms, &mut out, &mut skipped) } else { lines(&table, now_ms, &mut out) };
    let printed = printed.and_then(|()| out.flush());
    drop(out);
    if let Some(line) = skipped.line() {
        terminal.say(&line);
    }
    written(printed)
}

/// What no command of Redis can set.
#[derive(Default)]
struct Skipped {
    throttles: u64,
    windows: u64,
    tokens: u64,
}

impl Skipped {
    fn line(&self) -> Option<String> {
        let Self { throttles, windows, tokens } = self;
        (throttles + windows + tokens > 0).then(|| {
            format!(
                "left out, as no command sets them: {throttles} throttles, {windows} windows, {tokens} tokens"
            )
        })
    }
}

/// Calls `show` with each key that is alive, in no order, until it fails.
fn for_each(
    table: &Table,
    now_ms: u64,
    mut show: impl FnMut(&[u8], Value<'_>, Option<u64>) -> io::Result<()>,
) -> io::Result<()> {
    let mut outcome = Ok(());
    table.for_each(&mut |key, value, deadline| {
        if outcome.is_ok() && deadline.is_none_or(|deadline| deadline > now_ms) {
            outcome = show(key, value, deadline);
        }
    });
    outcome
}

fn put_scalar(line: &mut Vec<u8>, scalar: Scalar<'_>) {
    match scalar {
        Scalar::Int(number) => line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        Scalar::Str(text) => quote::put(line, text),
    }
}

fn put_value(line: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Int(number) => put_scalar(line, Scalar::Int(number)),
        Value::Str(text) => put_scalar(line, Scalar::Str(text)),
        Value::Throttle(until) => put_scalar(line, Scalar::Int(until)),
        Value::Hash(fields) => {
            let mut separator: &[u8] = b"";
            fields.for_each(&mut |field, value| {
                line.extend_from_slice(separator);
                quote::put(line, field);
                line.push(b' ');
                put_scalar(line, value);
                separator = b" ";
            });
        }
        Value::Window(window) => {
            let shape = window.shape();
            line.extend_from_slice(format!("{}/{}", shape.length_ms, shape.buckets).as_bytes());
            for (bucket, sum) in window.entries() {
                line.extend_from_slice(format!(" {bucket}:{sum}").as_bytes());
            }
        }
    }
}

fn put_deadline(line: &mut Vec<u8>, deadline: Option<u64>) {
    line.push(b'\t');
    match deadline {
        Some(deadline) => line.extend_from_slice(itoa::Buffer::new().format(deadline).as_bytes()),
        None => line.push(b'-'),
    }
    line.push(b'\n');
}

fn lines(table: &Table, now_ms: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    for_each(table, now_ms, |key, value, deadline| {
        line.clear();
        quote::put(&mut line, key);
        line.extend_from_slice(format!("\t{}\t", value.kind()).as_bytes());
        put_value(&mut line, value);
        put_deadline(&mut line, deadline);
        out.write_all(&line)
    })?;
    let mut outcome = Ok(());
    table.for_each_token(&mut |key, token, used| {
        if outcome.is_err() || used.deadline <= now_ms {
            return;
        }
        line.clear();
        match key {
            Some(key) => quote::put(&mut line, key),
            None => line.push(b'-'),
        }
        line.extend_from_slice(b"\ttoken\t");
        quote::put(&mut line, token);
        line.extend_from_slice(format!(" {}", used.value).as_bytes());
        put_deadline(&mut line, Some(used.deadline));
        outcome = out.write_all(&line);
    });
    outcome
}

fn requests(table: &Table, now_ms: u64, out: &mut dyn Write, skipped: &mut Skipped) -> io::Result<()> {
    let mut request = Vec::new();
    for_each(table, now_ms, |key, value, deadline| {
        request.clear();
        match value {
            Value::Int(number) => {
                put_request(&mut request, &[b"SET", key, itoa::Buffer::new().format(number).as_bytes()])
            }
            Value::Str(text) => put_request(&mut request, &[b"SET", key, text]),
            Value::Hash(fields) => {
                let mut pairs: Vec<Vec<u8>> = Vec::new();
                fields.for_each(&mut |field, value| {
                    let value = match value {
                        Scalar::Int(number) => number.to_string().into_bytes(),
                        Scalar::Str(text) => text.to_vec(),
                    };
                    pairs.extend([field.to_vec(), value]);
                });
                for pairs in pairs.chunks(2 * FIELDS_PER_REQUEST) {
                    let head = [b"HSET".as_slice(), key].into_iter();
                    let arguments: Vec<&[u8]> = head.chain(pairs.iter().map(Vec::as_slice)).collect();
                    put_request(&mut request, &arguments);
                }
            }
            Value::Throttle(_) => skipped.throttles += 1,
            Value::Window(_) => skipped.windows += 1,
        }
        if let Some(deadline) = deadline.filter(|_| !request.is_empty()) {
            let deadline = deadline.to_string();
            put_request(&mut request, &[b"PEXPIREAT", key, deadline.as_bytes()]);
        }
        out.write_all(&request)
    })?;
    table.for_each_token(&mut |_, _, used| skipped.tokens += u64::from(used.deadline > now_ms));
    Ok(())
}

/// Appends a request as clients send it.
pub(super) fn put_request(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}
