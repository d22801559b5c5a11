//! What a client is about to ask, as far as it matters for comparing deliveries. Knows which commands are about time,
//! about other clients, and which are executed while they arrive.

use tallyring::command::Flags;
use tallyring::command::lookup::lookup;
use tallyring::limits::{self, Limits};

use super::reference::{self, Beginning, Bounds, Found};
use super::stage::PASSWORD;

/// What is known of a client's bytes before they are sent.
#[derive(Debug)]
pub struct Survey {
    /// Bytes that can be compared.
    pub bytes: usize,
    /// Somebody asks what time it is, in one way or another.
    pub timed: bool,
    /// Somebody asks about other clients' keys.
    pub meddles: bool,
    /// What stands at the end.
    pub tail: Tail,
}

/// A request that is not complete.
#[derive(Debug)]
pub enum Tail {
    /// There is none, or nothing of it is executed.
    None,
    /// Its complete arguments may have been executed, and those answered that have an answer each.
    Executed(Executed),
}

/// A request of which a part is executed.
#[derive(Debug)]
pub struct Executed {
    /// Its command's name.
    pub name: &'static str,
    /// Arguments that are executed together, and answered together where they have an answer of their own.
    pub step: usize,
    /// Arguments behind the name that are announced.
    pub declared: usize,
    /// Arguments behind the name that have arrived.
    pub complete: usize,
}

impl Survey {
    /// `None`: there is something in it that differs from one moment to the next.
    pub fn of(wire: &[u8], password: bool) -> Option<Self> {
        let mut survey = Self { bytes: 0, timed: false, meddles: false, tail: Tail::None };
        let mut authenticated = !password;
        loop {
            let bounds = Bounds { max_bulk: 1024 * 1024, authenticated };
            let rest = &wire[survey.bytes..];
            match reference::first(rest, &bounds) {
                Found::Request { bytes, args } => {
                    survey.bytes += bytes;
                    let Some((name, arguments)) = args.split_first() else { continue };
                    survey.note(&name.to_ascii_lowercase(), arguments)?;
                    authenticated = after(authenticated, &name.to_ascii_lowercase(), arguments, password);
                    if name.eq_ignore_ascii_case(b"quit") {
                        // What follows is never looked at.
                        survey.bytes = wire.len();
                        return Some(survey);
                    }
                }
                Found::Disputed | Found::Malformed { slowly: Some(_), .. } => return Some(survey),
                Found::Incomplete(before) => return Some(survey.ends(wire, &before, authenticated)),
                Found::Malformed { before, .. } => return Some(survey.ends(wire, &before, authenticated)),
            }
        }
    }

    /// With a request that is not complete, or malformed.
    fn ends(mut self, wire: &[u8], before: &Beginning, authenticated: bool) -> Self {
        self.tail = Tail::of(before, authenticated);
        // What is to be held and has too many arguments is refused as soon as its name is known.
        let refused = before.declared > Limits::default().max_args && matches!(self.tail, Tail::None);
        if !refused {
            self.bytes = wire.len();
        }
        self
    }

    fn note(&mut self, name: &[u8], arguments: &[Vec<u8>]) -> Option<()> {
        let subcommand = arguments.first().map(|first| first.to_ascii_lowercase());
        match (name, subcommand.as_deref()) {
            // What time it is, what memory is in use, what is under way; or a sudden end.
            (b"info" | b"latency" | b"monitor" | b"slowlog" | b"time" | b"post" | b"host:", _) => {
                return None;
            }
            // Passwords are random, and users are everybody's.
            (b"acl", _) => return None,
            (b"client", Some(b"list" | b"info" | b"kill")) => return None,
            (b"expire" | b"pexpire" | b"expireat" | b"pexpireat" | b"setex" | b"psetex", _) => {
                self.timed = true
            }
            (b"ttl" | b"pttl" | b"getttl", _) => self.timed = true,
            (b"set", _) if arguments.len() > 2 => self.timed = true,
            (b"flushall" | b"flushdb" | b"dbsize", _) => self.meddles = true,
            _ => {}
        }
        // A key that is too long ends a request in parts, and with it the connection.
        let long = arguments.iter().any(|argument| argument.len() > limits::KEY_BYTES);
        (!long).then_some(())
    }
}

/// Whether a client is authenticated after a request.
fn after(before: bool, name: &[u8], arguments: &[Vec<u8>], password: bool) -> bool {
    if !password {
        return true;
    }
    let fits = |user: &[u8], password: &[u8]| user == b"default" && password == PASSWORD;
    match (name, arguments) {
        (b"auth", [password]) => before || fits(b"default", password),
        (b"auth", [user, password]) => before || fits(user, password),
        (b"hello", [version, option, user, password]) => {
            let known = matches!(&**version, b"2" | b"3") && option.eq_ignore_ascii_case(b"auth");
            before || known && fits(user, password)
        }
        (b"reset", []) => false,
        _ => before,
    }
}

impl Tail {
    fn of(before: &Beginning, authenticated: bool) -> Self {
        let Some((name, arguments)) = before.args.split_first() else { return Self::None };
        let streams = lookup(name).filter(|command| authenticated && command.flags.has(Flags::STREAMS));
        streams.map_or(Self::None, |command| {
            Self::Executed(Executed {
                name: command.name,
                step: command.keys.step,
                declared: before.declared - 1,
                complete: arguments.len(),
            })
        })
    }
}

impl Executed {
    /// Elements of its whole answer; none where that is a sum.
    pub fn elements(&self) -> Option<usize> {
        matches!(self.name, "mget" | "mincrby").then_some(self.declared / self.step)
    }
}
