//! The session commands, and the part of a connection that commands see. Knows no socket and no address.

use std::sync::Arc;

use crate::limits;
use crate::resp::args::Args;
use crate::resp::encode::Protocol;
use crate::resp::integer;

use super::acl::{Denial, User, Users};
use super::flow::Silence;
use super::queue::Transaction;
use super::texts::{NOT_INTEGER, SYNTAX, WRONG_PASSWORD, quotable};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// What commands know of the connection they came from.
#[derive(Debug)]
pub struct Session {
    /// The connection's number, never used twice.
    pub id: u64,
    /// Spoken version.
    pub protocol: Protocol,
    /// Whether commands beyond `AUTH` and `HELLO` are allowed.
    pub authenticated: bool,
    /// Passwords that did not fit, since the last one that did.
    pub failures: u8,
    /// Version of the list of users that `user` is from.
    users: u32,
    /// Who it is; the default user as long as it has not said.
    pub user: Arc<User>,
    /// `CLIENT NO-EVICT ON`: it is not ended for `maxmemory-clients`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH ON`: shown by `CLIENT LIST`; keys have no access time here.
    pub no_touch: bool,
    /// It is shown what the server executes (`MONITOR`).
    pub monitors: bool,
    /// Which replies it does not want.
    pub silence: Silence,
    /// What the client said of itself; absent for a client that said nothing.
    pub identity: Option<Box<Identity>>,
    /// What it has queued and watches; absent while that is nothing.
    pub transaction: Option<Box<Transaction>>,
}

impl Session {
    /// The session of a new connection.
    pub fn new(id: u64, users: &Users) -> Self {
        let (version, user) = (users.version(), users.default_user());
        Self {
            id,
            protocol: Protocol::Resp2,
            authenticated: user.needs_no_password(),
            failures: 0,
            users: version,
            user,
            no_evict: false,
            no_touch: false,
            monitors: false,
            silence: Silence::None,
            identity: None,
            transaction: None,
        }
    }

    /// Takes over what was changed of its user. False: there is no such user any more, be there another of its name.
    #[inline]
    pub fn refresh(&mut self, users: &Users) -> bool {
        self.users == users.version() || self.take_user(users)
    }

    #[cold]
    fn take_user(&mut self, users: &Users) -> bool {
        // Before the user is looked for: what changes meanwhile is another version.
        self.users = users.version();
        let Some(user) = users.get(self.user.name()).filter(|user| user.is_same(&self.user)) else {
            return false;
        };
        self.user = user;
        // Who has not said a password need not any more where none is asked for, as in Redis.
        self.authenticated |= self.user.name() == User::DEFAULT && self.user.needs_no_password();
        true
    }

    /// Whether so many passwords did not fit that it is closed.
    fn has_guessed_enough(&self) -> bool {
        self.failures >= limits::WRONG_PASSWORDS
    }

    /// Is this user from now on, who has said its password.
    fn become_user(&mut self, user: Arc<User>, version: u32) {
        (self.user, self.users) = (user, version);
        self.authenticated = true;
        self.failures = 0;
    }

    /// The name the client gave itself, empty without one.
    pub fn name(&self) -> &[u8] {
        self.identity.as_deref().map_or(&[], |identity| &identity.name)
    }

    /// Room for what the client says of itself.
    pub fn identity_mut(&mut self) -> &mut Identity {
        self.identity.get_or_insert_default()
    }

    /// Takes the client's name; an empty one takes the name away.
    pub fn set_name(&mut self, name: &[u8]) {
        if self.identity.is_some() || !name.is_empty() {
            self.identity_mut().name = name.to_vec();
        }
    }
}

/// What a client said of itself.
#[derive(Debug, Default)]
pub struct Identity {
    /// `CLIENT SETNAME`
    pub name: Vec<u8>,
    /// `CLIENT SETINFO LIB-NAME`
    pub lib_name: Vec<u8>,
    /// `CLIENT SETINFO LIB-VER`
    pub lib_version: Vec<u8>,
}

/// Whether a name or version of a client's can stand in a line of `CLIENT LIST`: visible ASCII, no blanks.
pub(super) fn is_presentable(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// The error for a name that is not presentable.
pub(super) const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// Version of the server that clients are told, as they choose commands by it.
pub(super) const SERVER_VERSION: &str = "7.2.4";

/// `PING [message]`
pub static PING: Command = Command {
    name: "ping",
    arity: -1,
    flags: Flags::FAST,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        summary: "Answers PONG, or the message.",
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::new("message", "string").maybe()],
    },
    run: ping,
    subcommands: &[],
};

/// `ECHO message`
pub static ECHO: Command = Command {
    name: "echo",
    arity: 2,
    flags: Flags::FAST.and(Flags::LOADING).and(Flags::STALE),
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Answers the message.",
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::new("message", "string")],
    },
    run: echo,
    subcommands: &[],
};

/// `HELLO [2 | 3 [AUTH user password] [SETNAME name]]`
pub static HELLO: Command = Command {
    name: "hello",
    arity: -1,
    flags: GREETS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Introduces client and server, and chooses the protocol version.",
        since: "6.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::block(
            "arguments",
            &[
                Argument::new("protover", "integer"),
                Argument::block(
                    "username_password",
                    &[Argument::new("username", "string"), Argument::new("password", "string")],
                )
                .after("AUTH")
                .maybe(),
                Argument::new("clientname", "string").after("SETNAME").maybe(),
            ],
        )
        .maybe()],
    },
    run: hello,
    subcommands: &[],
};

/// `AUTH [user] password`
pub static AUTH: Command = Command {
    name: "auth",
    arity: -2,
    flags: GREETS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Shows a password to the server.",
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::new("username", "string").maybe(), Argument::new("password", "string")],
    },
    run: auth,
    subcommands: &[],
};

/// `SELECT 0`
pub static SELECT: Command = Command {
    name: "select",
    arity: 2,
    flags: Flags::FAST.and(Flags::LOADING).and(Flags::STALE),
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Chooses a database; there is one, 0.",
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::new("index", "integer")],
    },
    run: select,
    subcommands: &[],
};

/// `QUIT`
pub static QUIT: Command = Command {
    name: "quit",
    arity: -1,
    flags: ENDS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Ends the connection.",
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[],
    },
    run: quit,
    subcommands: &[],
};

/// `RESET`
pub static RESET: Command = Command {
    name: "reset",
    arity: 1,
    flags: ENDS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Brings the connection back to the state it began in.",
        since: "6.2.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[],
    },
    run: reset,
    subcommands: &[],
};

/// Of those that end a transaction rather than being part of it.
const ENDS: Flags = GREETS.and(Flags::AT_ONCE).and(Flags::DROPS);

const GREETS: Flags = Flags::NOSCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY);

fn ping(call: &mut Call<'_>) -> Outcome {
    match call.args.len() {
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.args.get(1)),
        _ => call.reply.error("ERR wrong number of arguments for 'ping' command"),
    }
    Outcome::Done
}

fn echo(call: &mut Call<'_>) -> Outcome {
    call.reply.bulk(call.args.get(1));
    Outcome::Done
}

fn select(call: &mut Call<'_>) -> Outcome {
    match integer::parse(call.args.get(1)) {
        None => call.reply.error(NOT_INTEGER),
        Some(0) => call.reply.ok(),
        Some(index) if i32::try_from(index).is_ok() => call.reply.error("ERR DB index is out of range"),
        Some(_) => {
            call.reply.error("ERR value is out of range, value must between -2147483648 and 2147483647");
        }
    }
    Outcome::Done
}

fn quit(call: &mut Call<'_>) -> Outcome {
    call.reply.ok();
    Outcome::Close
}

/// Makes the session the user of this name, if this is its password. `Some`: it is not, and that was replied.
fn become_user(call: &mut Call<'_>, name: &[u8], password: &[u8]) -> Option<Outcome> {
    if call.session.has_guessed_enough() {
        // Of a transaction, which is answered to its end: no more of them are looked at.
        call.reply.error(WRONG_PASSWORD);
        return Some(Outcome::Close);
    }
    let users = call.host.users();
    let version = users.version();
    if let Some(user) = users.authenticate(name, password) {
        call.session.become_user(user, version);
        return None;
    }
    call.tally.wrong_passwords += 1;
    call.session.failures += 1;
    let denial = Denial {
        count: 0,
        reason: "auth",
        in_transaction: call.session.queue().is_some(),
        object: call.command.name.to_ascii_uppercase().into_bytes(),
        user: name[..name.len().min(limits::DENIED_BYTES)].to_vec(),
        client: call.host.describe_client(call.session),
        unix_ms: call.now.ms(),
    };
    call.host.users().note(denial, call.host.limits().denials);
    call.reply.error(WRONG_PASSWORD);
    Some(if call.session.has_guessed_enough() { Outcome::Close } else { Outcome::Done })
}

fn auth(call: &mut Call<'_>) -> Outcome {
    let (name, password) = match call.args.len() {
        2 if call.host.users().default_user().is_open() => {
            call.reply.error(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            );
            return Outcome::Done;
        }
        2 => (User::DEFAULT, call.args.get(1)),
        3 => (call.args.get(1), call.args.get(2)),
        _ => {
            call.reply.error(SYNTAX);
            return Outcome::Done;
        }
    };
    become_user(call, name, password).unwrap_or_else(|| {
        call.reply.ok();
        Outcome::Done
    })
}

fn reset(call: &mut Call<'_>) -> Outcome {
    call.session.forget_transaction(call.table);
    let session = &mut *call.session;
    session.set_name(b"");
    session.no_evict = false;
    session.no_touch = false;
    session.monitors = false;
    if session.silence != Silence::Now {
        session.silence = Silence::None;
    }
    session.protocol = Protocol::Resp2;
    let users = call.host.users();
    session.users = users.version();
    session.user = users.default_user();
    session.authenticated = session.user.needs_no_password();
    call.reply.set_protocol(Protocol::Resp2);
    call.reply.simple("RESET");
    Outcome::Done
}

/// What `HELLO` was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Greeting<'a> {
    protocol: Option<Protocol>,
    /// User and password.
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

/// Why `HELLO` refused.
#[derive(Clone, Copy, Debug)]
enum GreetingError<'a> {
    /// The text, as it is.
    Plain(&'static str),
    /// An option nobody knows, or one that lacks its arguments.
    Option(&'a [u8]),
}

impl<'a> Greeting<'a> {
    fn read(args: &Args<'a>) -> Result<Self, GreetingError<'a>> {
        let mut greeting = Self::default();
        let mut rest = args.tail(1);
        if let Some(version) = rest.next() {
            greeting.protocol = Some(match integer::parse(version) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return Err(GreetingError::Plain("NOPROTO unsupported protocol version")),
                None => {
                    return Err(GreetingError::Plain(
                        "ERR Protocol version is not an integer or out of range",
                    ));
                }
            });
        }
        while let Some(option) = rest.next() {
            if option.eq_ignore_ascii_case(b"auth") && rest.len() >= 2 {
                greeting.credentials = rest.next().zip(rest.next());
            } else if option.eq_ignore_ascii_case(b"setname") && rest.len() >= 1 {
                greeting.name = rest.next();
                if !greeting.name.is_some_and(is_presentable) {
                    return Err(GreetingError::Plain(BAD_NAME));
                }
            } else {
                return Err(GreetingError::Option(option));
            }
        }
        Ok(greeting)
    }
}

fn hello(call: &mut Call<'_>) -> Outcome {
    let greeting = match Greeting::read(&call.args) {
        Ok(greeting) => greeting,
        Err(GreetingError::Plain(text)) => {
            call.reply.error(text);
            return Outcome::Done;
        }
        Err(GreetingError::Option(option)) => {
            call.reply.error_parts([
                b"ERR Syntax error in HELLO option '".as_slice(),
                quotable(option),
                b"'",
            ]);
            return Outcome::Done;
        }
    };
    if let Some((user, password)) = greeting.credentials
        && let Some(refused) = become_user(call, user, password)
    {
        return refused;
    }
    if !call.session.authenticated {
        call.tally.unauthenticated += 1;
        call.reply.error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version \
             at the same time",
        );
        return Outcome::Done;
    }
    if let Some(name) = greeting.name {
        call.session.set_name(name);
    }
    if let Some(protocol) = greeting.protocol {
        call.session.protocol = protocol;
        call.reply.set_protocol(protocol);
    }
    introduce(call);
    Outcome::Done
}

fn introduce(call: &mut Call<'_>) {
    let reply = &mut call.reply;
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", SERVER_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(match reply.protocol() {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    });
    reply.bulk(b"id");
    reply.integer(i64::try_from(call.session.id).unwrap_or(i64::MAX));
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}
