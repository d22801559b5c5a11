//! `CLIENT` and its subcommands. What concerns other connections than the asking one becomes a
//! [`Question`]; how it travels between workers is the worker's business.

use crate::resp::integer;

use super::client_list::{ClientFilter, ClientKind, Question, QuestionKind};
use super::session::{BAD_NAME, Session, is_presentable};
use super::texts::{SYNTAX, quotable};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, flow, help};

/// `CLIENT`
pub static CLIENT: Command = Command {
    subcommands: &[
        ID,
        INFO,
        LIST,
        KILL,
        GETNAME,
        SETNAME,
        SETINFO,
        NO_EVICT,
        NO_TOUCH,
        flow::REPLY,
        flow::PAUSE,
        flow::UNPAUSE,
        help::help_of("5.0.0", "connection", &["connection"]),
    ],
    ..help::container("client", "Commands about connections.", "2.4.0", "connection")
};

const ID: Command = Command {
    name: "id",
    arity: 2,
    flags: OWN,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Tells the number of this connection.",
        since: "5.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[],
    },
    run: id,
    subcommands: &[],
};

const INFO: Command = Command {
    name: "info",
    arity: 2,
    flags: OWN,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Describes this connection as LIST does.",
        since: "6.2.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[],
    },
    run: info,
    subcommands: &[],
};

const LIST: Command = Command {
    name: "list",
    arity: -2,
    flags: ASKS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Describes connections, one a line.",
        since: "2.4.0",
        group: "connection",
        complexity: "O(N) with N connections",
        arguments: &[
            Argument::choice("normal_master_replica_pubsub", KINDS).after("TYPE").maybe(),
            Argument::block("id", &[Argument::new("client-id", "integer").many()]).after("ID").maybe(),
        ],
    },
    run: list,
    subcommands: &[],
};

const KILL: Command = Command {
    name: "kill",
    arity: -3,
    flags: ASKS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Closes connections.",
        since: "2.4.0",
        group: "connection",
        complexity: "O(N) with N connections",
        arguments: &[Argument::choice(
            "filter",
            &[
                Argument::new("ip:port", "string"),
                Argument::choice(
                    "new-format",
                    &[
                        Argument::new("client-id", "integer").after("ID").maybe(),
                        Argument::choice("normal_master_replica_pubsub", KINDS).after("TYPE").maybe(),
                        Argument::new("username", "string").after("USER").maybe(),
                        Argument::new("ip:port", "string").after("ADDR").maybe(),
                        Argument::new("ip:port", "string").after("LADDR").maybe(),
                        Argument::new("yes/no", "string").after("SKIPME").maybe(),
                    ],
                )
                .many(),
            ],
        )],
    },
    run: kill,
    subcommands: &[],
};

const GETNAME: Command = Command {
    name: "getname",
    arity: 2,
    flags: OWN,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Tells the name of this connection.",
        since: "2.6.9",
        group: "connection",
        complexity: "O(1)",
        arguments: &[],
    },
    run: getname,
    subcommands: &[],
};

const SETNAME: Command = Command {
    name: "setname",
    arity: 3,
    flags: OWN,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Names this connection; an empty name takes the name away.",
        since: "2.6.9",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::new("connection-name", "string")],
    },
    run: setname,
    subcommands: &[],
};

const SETINFO: Command = Command {
    name: "setinfo",
    arity: 4,
    flags: OWN,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Takes down the client library's name or version.",
        since: "7.2.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::choice(
            "attr",
            &[
                Argument::new("libname", "string").after("LIB-NAME"),
                Argument::new("libver", "string").after("LIB-VER"),
            ],
        )],
    },
    run: setinfo,
    subcommands: &[],
};

const NO_EVICT: Command = Command {
    name: "no-evict",
    arity: 3,
    flags: OTHERS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Protects this connection where maxmemory-clients would end it.",
        since: "7.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[ON_OFF],
    },
    run: |call| switch(call, |session| &mut session.no_evict),
    subcommands: &[],
};

const NO_TOUCH: Command = Command {
    name: "no-touch",
    arity: 3,
    flags: OWN,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Keeps this connection from changing keys' access times, which there are none of here.",
        since: "7.2.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[ON_OFF],
    },
    run: |call| switch(call, |session| &mut session.no_touch),
    subcommands: &[],
};

const OWN: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const OTHERS: Flags = Flags::ADMIN.and(OWN);
/// Of those whose reply comes later than the replies of a transaction.
const ASKS: Flags = OTHERS.and(Flags::LATER);

const KINDS: &[Argument] = &[
    Argument::word("normal", "NORMAL"),
    Argument::word("master", "MASTER"),
    Argument::word("replica", "REPLICA"),
    Argument::word("pubsub", "PUBSUB"),
];

const ON_OFF: Argument =
    Argument::choice("enabled", &[Argument::word("on", "ON"), Argument::word("off", "OFF")]);

fn id(call: &mut Call<'_>) -> Outcome {
    call.reply.integer(i64::try_from(call.session.id).unwrap_or(i64::MAX));
    Outcome::Done
}

fn info(call: &mut Call<'_>) -> Outcome {
    let line = call.host.describe_client(call.session);
    call.reply.verbatim(*b"txt", &line);
    Outcome::Done
}

fn getname(call: &mut Call<'_>) -> Outcome {
    match call.session.name() {
        [] => call.reply.null(),
        name => call.reply.bulk(name),
    }
    Outcome::Done
}

fn setname(call: &mut Call<'_>) -> Outcome {
    let name = call.args.get(2);
    if is_presentable(name) {
        call.session.set_name(name);
        call.reply.ok();
    } else {
        call.reply.error(BAD_NAME);
    }
    Outcome::Done
}

fn setinfo(call: &mut Call<'_>) -> Outcome {
    let (attribute, value) = (call.args.get(2), call.args.get(3));
    let is_name = attribute.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !attribute.eq_ignore_ascii_case(b"lib-ver") {
        call.reply.error_parts([b"ERR Unrecognized option '".as_slice(), quotable(attribute), b"'"]);
    } else if !is_presentable(value) {
        call.reply.error_parts([
            b"ERR ".as_slice(),
            attribute,
            b" cannot contain spaces, newlines or special characters.",
        ]);
    } else {
        let identity = call.session.identity_mut();
        let field = if is_name { &mut identity.lib_name } else { &mut identity.lib_version };
        *field = value.to_vec();
        call.reply.ok();
    }
    Outcome::Done
}

fn switch(call: &mut Call<'_>, flag: fn(&mut Session) -> &mut bool) -> Outcome {
    let value = call.args.get(2);
    let on = value.eq_ignore_ascii_case(b"on");
    if on || value.eq_ignore_ascii_case(b"off") {
        *flag(call.session) = on;
        call.reply.ok();
    } else {
        call.reply.error(SYNTAX);
    }
    Outcome::Done
}

/// Why a filter was refused.
#[derive(Clone, Copy, Debug)]
enum FilterError<'a> {
    /// The text, as it is.
    Plain(&'static str),
    /// Text, an argument, and a closing quote.
    Quoting(&'static str, &'a [u8]),
}

impl FilterError<'_> {
    fn reply(self, call: &mut Call<'_>) -> Outcome {
        match self {
            Self::Plain(text) => call.reply.error(text),
            Self::Quoting(text, argument) => {
                call.reply.error_parts([text.as_bytes(), quotable(argument), b"'"]);
            }
        }
        Outcome::Done
    }
}

fn kind_named(name: &[u8]) -> Result<ClientKind, FilterError<'_>> {
    ClientKind::named(name).ok_or(FilterError::Quoting("ERR Unknown client type '", name))
}

fn list(call: &mut Call<'_>) -> Outcome {
    match list_filter(call) {
        Ok(filter) => Outcome::Pending(Question { kind: QuestionKind::List, filter }),
        Err(error) => error.reply(call),
    }
}

fn list_filter<'a>(call: &Call<'a>) -> Result<ClientFilter, FilterError<'a>> {
    let count = call.args.len();
    if count == 2 {
        return Ok(ClientFilter::default());
    }
    let option = call.args.get(2);
    if count == 4 && option.eq_ignore_ascii_case(b"type") {
        return Ok(ClientFilter { kind: Some(kind_named(call.args.get(3))?), ..ClientFilter::default() });
    }
    if count < 4 || !option.eq_ignore_ascii_case(b"id") {
        return Err(FilterError::Plain(SYNTAX));
    }
    let mut ids = Vec::new();
    for text in call.args.tail(3) {
        let id = integer::parse(text).ok_or(FilterError::Plain("ERR Invalid client ID"))?;
        // No connection has a negative number; to ask for it is no error.
        ids.extend(u64::try_from(id));
    }
    ids.sort_unstable();
    Ok(ClientFilter { ids: Some(ids), ..ClientFilter::default() })
}

fn kill(call: &mut Call<'_>) -> Outcome {
    if call.args.len() == 3 {
        let filter = ClientFilter { addr: Some(call.args.get(2).to_vec()), ..ClientFilter::default() };
        return Outcome::Pending(Question { kind: QuestionKind::Kill { old_form: true }, filter });
    }
    match kill_filter(call) {
        Ok(filter) => Outcome::Pending(Question { kind: QuestionKind::Kill { old_form: false }, filter }),
        Err(error) => error.reply(call),
    }
}

fn kill_filter<'a>(call: &Call<'a>) -> Result<ClientFilter, FilterError<'a>> {
    let mut filter = ClientFilter { except: Some(call.session.id), ..ClientFilter::default() };
    let mut rest = call.args.tail(2);
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or(FilterError::Plain(SYNTAX))?;
        if option.eq_ignore_ascii_case(b"id") {
            let id = integer::parse(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
            let id = id.ok_or(FilterError::Plain("ERR client-id should be greater than 0"))?;
            filter.ids = Some(vec![id]);
        } else if option.eq_ignore_ascii_case(b"type") {
            filter.kind = Some(kind_named(value)?);
        } else if option.eq_ignore_ascii_case(b"addr") {
            filter.addr = Some(value.to_vec());
        } else if option.eq_ignore_ascii_case(b"laddr") {
            filter.laddr = Some(value.to_vec());
        } else if option.eq_ignore_ascii_case(b"user") {
            if value != b"default" {
                return Err(FilterError::Quoting("ERR No such user '", value));
            }
            filter.user = Some(value.to_vec());
        } else if option.eq_ignore_ascii_case(b"skipme") {
            filter.except = if value.eq_ignore_ascii_case(b"yes") {
                Some(call.session.id)
            } else if value.eq_ignore_ascii_case(b"no") {
                None
            } else {
                return Err(FilterError::Plain(SYNTAX));
            };
        } else {
            return Err(FilterError::Plain(SYNTAX));
        }
    }
    Ok(filter)
}
