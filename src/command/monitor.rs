//! `MONITOR`, and how it shows a request: which are shown, what of them is kept secret, how the line reads. How lines
//! reach those who monitor is the worker's business.

use std::io::Write;

use crate::limits;
use crate::resp::args::Args;
use crate::resp::quote::escape;

use super::client_list::{ClientFilter, Question, QuestionKind};
use super::redact::redacted;
use super::session::Session;
use super::{Call, Command, Docs, Flags, Keys, Outcome};

/// `MONITOR`
pub static MONITOR: Command = Command {
    name: "monitor",
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Shows every request that the server executes, as it is executed.",
        since: "1.0.0",
        group: "server",
        complexity: "O(N) for each request, with N bytes of it shown",
        arguments: &[],
    },
    run: monitor,
    subcommands: &[],
};

fn monitor(call: &mut Call<'_>) -> Outcome {
    if call.held.is_some() {
        call.reply.error("ERR MONITOR isn't allowed for DENY BLOCKING client");
        return Outcome::Done;
    }
    if call.session.monitors {
        // As in Redis, which says nothing the second time.
        return Outcome::Done;
    }
    // The reply comes when every worker has begun to say what it executes.
    Outcome::Pending(Question { kind: QuestionKind::Monitor, filter: ClientFilter::default() })
}

/// Why a connection that monitors may not run a command: Redis counts it among replicas, and those keep off the keys.
#[inline]
pub fn bars(session: &Session, command: &Command) -> Option<&'static str> {
    let reaches_keys = command.flags.has(Flags::READONLY) || command.flags.has(Flags::WRITE);
    (session.monitors && reaches_keys).then_some("ERR Replica can't interact with the keyspace")
}

/// Whether requests of this command are shown at all.
pub fn is_shown(command: &Command) -> bool {
    ![Flags::SKIP_MONITOR, Flags::ADMIN, Flags::HIDDEN].iter().any(|flag| command.flags.has(*flag))
}

/// A request to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// When it was executed, in microseconds since the Unix epoch.
    pub unix_us: u64,
    /// Its name, where it is not among `args`.
    pub name: Option<&'a str>,
    /// Its arguments, or the first of them.
    pub args: Args<'a>,
    /// How many there are in all, the name included.
    pub count: usize,
}

impl Shown<'_> {
    /// Appends the line that Redis shows, as a simple string, up to the client's address: `client` writes that.
    ///
    /// Of a request above [`limits::MONITOR_LINE_BYTES`] the rest is only counted.
    pub fn line(&self, out: &mut Vec<u8>, client: impl FnOnce(&mut Vec<u8>)) {
        let (seconds, micros) = (self.unix_us / 1_000_000, self.unix_us % 1_000_000);
        write!(out, "+{seconds}.{micros:06} [0 ").expect("writing to memory does not fail");
        client(out);
        out.push(b']');
        let mut room = limits::MONITOR_LINE_BYTES;
        let mut shown = 0;
        // What streams has no secrets, and its first key may have any name.
        let whole = self.name.is_none().then(|| redacted(&self.args));
        let part = self.name.map(|name| std::iter::once(name.as_bytes()).chain(self.args.tail(0)));
        for argument in whole.into_iter().flatten().chain(part.into_iter().flatten()) {
            if room == 0 {
                break;
            }
            out.push(b' ');
            let (seen, rest) = argument.split_at(argument.len().min(room));
            quote(seen, rest.len(), out);
            room = room.saturating_sub(argument.len() + BESIDE);
            shown += 1;
        }
        if shown < self.count {
            write!(out, " \"... ({} more arguments)\"", self.count - shown)
                .expect("writing to memory does not fail");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Bytes of a line that each argument takes beside its own: two quotes and a blank.
const BESIDE: usize = 3;

/// Writes an argument in quotes, and how many bytes of it are left out.
fn quote(argument: &[u8], left_out: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(out, argument);
    if left_out > 0 {
        write!(out, "... ({left_out} more bytes)").expect("writing to memory does not fail");
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::Shown;
    use crate::command::resolve::resolve;
    use crate::limits;
    use crate::resp::args::{Args, Span};

    /// What is shown of a request of these arguments, behind the client's address.
    fn shown(arguments: &[&[u8]], declared: usize) -> String {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for argument in arguments {
            let start = u32::try_from(bytes.len()).unwrap();
            spans.push(Span { start, len: u32::try_from(argument.len()).unwrap() });
            bytes.extend_from_slice(argument);
        }
        let args = Args::new(&bytes, &spans, spans.len());
        resolve(&args).expect("tests show commands that there are");
        let mut line = Vec::new();
        Shown { unix_us: 1_339_518_083_107_412, name: None, args, count: declared }
            .line(&mut line, |out| out.extend_from_slice(b"127.0.0.1:60866"));
        let line = String::from_utf8(line).expect("what is shown is ASCII");
        let rest = line.strip_prefix("+1339518083.107412 [0 127.0.0.1:60866] ");
        rest.and_then(|rest| rest.strip_suffix("\r\n")).unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn words(line: &str) -> String {
        let arguments: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        shown(&arguments, arguments.len())
    }

    #[test]
    fn arguments_are_quoted_as_in_redis() {
        assert_eq!(words("keys *"), r#""keys" "*""#);
        let odd = b"a b\x00\xff\n\r\t\x07\x08\"\\\x7f".as_slice();
        assert_eq!(shown(&[b"GeT", odd], 2), r#""GeT" "a b\x00\xff\n\r\t\a\b\"\\\x7f""#);
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(words("AUTH sesame"), r#""AUTH" "(redacted)""#);
        assert_eq!(words("auth default sesame"), r#""auth" "(redacted)" "(redacted)""#);
        assert_eq!(
            words("HELLO 3 AUTH default sesame SETNAME x"),
            r#""HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x""#
        );
        assert_eq!(words("HELLO 2"), r#""HELLO" "2""#);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let most = limits::MONITOR_LINE_BYTES;
        let long = vec![b'x'; most + 10];
        let line = shown(&[b"set", b"k", &long], 3);
        let kept = most - "set".len() - "k".len() - 6;
        assert_eq!(
            line,
            format!(r#""set" "k" "{}... ({} more bytes)""#, "x".repeat(kept), long.len() - kept)
        );
        let empty = vec![b"".as_slice(); most];
        let many = [&[b"mget".as_slice()], &*empty].concat();
        let line = shown(&many, 10_000_001);
        assert!(line.len() <= most + 64 && line.ends_with(" more arguments)\""), "{} bytes", line.len());
    }
}
