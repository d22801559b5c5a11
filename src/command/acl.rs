//! `ACL`: who may do what, shown and changed. What the rules come to is in `selector`, who has them in `user`; here they
//! are only told and asked for.

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::quote::hex;

use super::describe::{CATEGORIES, Shown, in_category};
use super::lookup::full_name_of;
use super::resolve::resolve;
use super::session::Session;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, help};

mod selector;
mod user;
mod users;

pub use selector::{Denied, RuleError};
pub use user::{Digest, User};
pub use users::{Denial, UserError, Users, user_of};

use selector::Selector;

/// `ACL`
pub static ACL: Command = Command {
    subcommands: &[
        CAT,
        DELUSER,
        DRYRUN,
        GENPASS,
        GETUSER,
        LIST,
        LOAD,
        LOG,
        SAVE,
        SETUSER,
        USERS,
        WHOAMI,
        help::help_of("6.0.0", "server", &[]),
    ],
    ..help::container("acl", "Commands about users and what they may do.", "6.0.0", "server")
};

/// What the subcommands for operators have in common.
const FOR_OPERATORS: Command = Command {
    name: "",
    arity: 2,
    flags: ANYBODY.and(Flags::ADMIN),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "",
        since: "6.0.0",
        group: "server",
        complexity: "O(N) with N users",
        arguments: &[],
    },
    run: help::bare,
    subcommands: &[],
};

/// Flags of those that are for anybody.
const ANYBODY: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);

const USERNAME: Argument = Argument::new("username", "string");

const CAT: Command = Command {
    name: "cat",
    arity: -2,
    flags: ANYBODY,
    docs: Docs {
        summary: "Lists the categories, or the commands of one.",
        complexity: "O(N) with N commands",
        arguments: &[Argument::new("category", "string").maybe()],
        ..FOR_OPERATORS.docs
    },
    run: cat,
    ..FOR_OPERATORS
};

const DELUSER: Command = Command {
    name: "deluser",
    arity: -3,
    docs: Docs {
        summary: "Removes users and ends their connections.",
        complexity: "O(1) for each user",
        arguments: &[USERNAME.many()],
        ..FOR_OPERATORS.docs
    },
    run: deluser,
    ..FOR_OPERATORS
};

const DRYRUN: Command = Command {
    name: "dryrun",
    arity: -4,
    docs: Docs {
        summary: "Tells whether a user may execute a request, without executing it.",
        since: "7.0.0",
        complexity: "O(1) for each key",
        arguments: &[
            USERNAME,
            Argument::new("command", "string"),
            Argument::new("arg", "string").maybe().many(),
        ],
        ..FOR_OPERATORS.docs
    },
    run: dryrun,
    ..FOR_OPERATORS
};

const GENPASS: Command = Command {
    name: "genpass",
    arity: -2,
    flags: ANYBODY,
    docs: Docs {
        summary: "Makes a password of so many random bits, 256 if not given, in hexadecimal digits.",
        complexity: "O(1)",
        arguments: &[Argument::new("bits", "integer").maybe()],
        ..FOR_OPERATORS.docs
    },
    run: genpass,
    ..FOR_OPERATORS
};

const GETUSER: Command = Command {
    name: "getuser",
    arity: 3,
    docs: Docs {
        summary: "Shows the rules of a user.",
        complexity: "O(N) with N rules",
        arguments: &[USERNAME],
        ..FOR_OPERATORS.docs
    },
    run: getuser,
    ..FOR_OPERATORS
};

const LIST: Command = Command {
    name: "list",
    docs: Docs { summary: "Shows all users as they stand in a file.", ..FOR_OPERATORS.docs },
    run: list,
    ..FOR_OPERATORS
};

const LOAD: Command = Command {
    name: "load",
    docs: Docs { summary: "Reads the users from aclfile anew.", ..FOR_OPERATORS.docs },
    run: load,
    ..FOR_OPERATORS
};

const LOG: Command = Command {
    name: "log",
    arity: -2,
    docs: Docs {
        summary: "Shows what was denied to whom, or forgets it.",
        complexity: "O(N) with N entries",
        arguments: &[Argument::choice(
            "operation",
            &[Argument::new("count", "integer"), Argument::word("reset", "RESET")],
        )
        .maybe()],
        ..FOR_OPERATORS.docs
    },
    run: log,
    ..FOR_OPERATORS
};

const SAVE: Command = Command {
    name: "save",
    docs: Docs { summary: "Writes the users to aclfile.", ..FOR_OPERATORS.docs },
    run: save,
    ..FOR_OPERATORS
};

const SETUSER: Command = Command {
    name: "setuser",
    arity: -3,
    docs: Docs {
        summary: "Makes a user, or changes one, by rules.",
        complexity: "O(N) with N rules",
        arguments: &[USERNAME, Argument::new("rule", "string").maybe().many()],
        ..FOR_OPERATORS.docs
    },
    run: setuser,
    ..FOR_OPERATORS
};

const USERS: Command = Command {
    name: "users",
    docs: Docs { summary: "Lists the names of all users.", ..FOR_OPERATORS.docs },
    run: users,
    ..FOR_OPERATORS
};

const WHOAMI: Command = Command {
    name: "whoami",
    flags: ANYBODY,
    docs: Docs {
        summary: "Tells the user that the connection is.",
        complexity: "O(1)",
        ..FOR_OPERATORS.docs
    },
    run: whoami,
    ..FOR_OPERATORS
};

/// Bits of a password at most.
const MOST_BITS: i64 = 4096;

/// Bits of one where nothing is said.
const USUAL_BITS: i64 = 256;

/// Entries of the log that are shown where nothing is said.
const SHOWN: usize = 10;

fn cat(call: &mut Call<'_>) -> Outcome {
    match call.args.len() {
        2 => {
            call.reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|category| call.reply.bulk(category.as_bytes()));
        }
        3 => {
            let wanted = call.args.get(2);
            let Some(category) = CATEGORIES.iter().find(|it| it.as_bytes().eq_ignore_ascii_case(wanted))
            else {
                call.reply.error_parts([b"ERR Unknown category '".as_slice(), wanted, b"'"]);
                return Outcome::Done;
            };
            let all = Shown::tops().flat_map(|top| std::iter::once(top).chain(top.subcommands()));
            let names: Vec<String> =
                all.filter(|shown| in_category(shown.command, category)).map(Shown::name).collect();
            call.reply.array(names.len());
            names.iter().for_each(|name| call.reply.bulk(name.as_bytes()));
        }
        _ => help::wrong_number(call),
    }
    Outcome::Done
}

fn whoami(call: &mut Call<'_>) -> Outcome {
    call.reply.bulk(call.session.user.name());
    Outcome::Done
}

fn users(call: &mut Call<'_>) -> Outcome {
    let all = call.host.users().all();
    call.reply.array(all.len());
    all.iter().for_each(|user| call.reply.bulk(user.name()));
    Outcome::Done
}

fn list(call: &mut Call<'_>) -> Outcome {
    let all = call.host.users().all();
    call.reply.array(all.len());
    for user in all {
        call.reply.bulk(&[b"user ".as_slice(), &user.describe()].concat());
    }
    Outcome::Done
}

fn getuser(call: &mut Call<'_>) -> Outcome {
    let Some(user) = call.host.users().get(call.args.get(2)) else {
        call.reply.null();
        return Outcome::Done;
    };
    let reply = &mut call.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let flags: Vec<&str> = user.flags().collect();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|password| reply.bulk(password.text().as_bytes()));
    let (own, others) = user.selectors().split_first().expect("a user has rules of its own");
    let show = |selector: &Selector, reply: &mut crate::resp::encode::Encoder<'_>| {
        for (field, text) in [
            ("commands", selector.describe_commands().into_bytes()),
            ("keys", selector.describe_keys()),
            ("channels", selector.describe_channels()),
        ] {
            reply.bulk(field.as_bytes());
            reply.bulk(&text);
        }
    };
    show(own, reply);
    reply.bulk(b"selectors");
    reply.array(others.len());
    for selector in others {
        reply.map(3);
        show(selector, reply);
    }
    Outcome::Done
}

fn setuser(call: &mut Call<'_>) -> Outcome {
    let changed = call.host.users().set(call.args.get(2), call.args.tail(3));
    match changed {
        Ok(()) => {
            call.host.users_changed();
            call.reply.ok();
        }
        Err(error) => {
            let error = match error {
                // The rule may be a password.
                UserError::Rule(_, RuleError::NoPassword) => error.redacted(),
                UserError::Rule(..) | UserError::Name | UserError::Open(_) => error,
            };
            call.reply.error_parts([b"ERR ".as_slice(), &error.text("ACL SETUSER modifier")]);
        }
    }
    Outcome::Done
}

fn deluser(call: &mut Call<'_>) -> Outcome {
    if call.args.tail(2).any(|name| name == User::DEFAULT) {
        call.reply.error("ERR The 'default' user cannot be removed");
        return Outcome::Done;
    }
    let removed = call.args.tail(2).filter(|name| call.host.users().remove(name)).count();
    if removed > 0 {
        call.host.users_changed();
    }
    call.reply.count(removed);
    Outcome::Done
}

fn dryrun(call: &mut Call<'_>) -> Outcome {
    let name = call.args.get(2);
    let Some(user) = call.host.users().get(name) else {
        call.reply.error_parts([b"ERR User '".as_slice(), name, b"' not found"]);
        return Outcome::Done;
    };
    let request = call.args.skip(3);
    let command = match resolve(&request) {
        Ok(command) => command,
        Err(refusal) if refusal.command().is_some() => {
            refusal.encode(&mut call.reply);
            return Outcome::Done;
        }
        Err(_) => {
            call.reply.error_parts([b"ERR Command '".as_slice(), request.get(0), b"' not found"]);
            return Outcome::Done;
        }
    };
    match user.permits(command, &request) {
        Ok(()) => call.reply.ok(),
        Err(Denied::Command) => {
            let name = full_name_of(command);
            call.reply.bulk(format!("This user has no permissions to run the '{name}' command").as_bytes());
        }
        Err(Denied::Key(index)) => {
            let text =
                [b"This user has no permissions to access the '".as_slice(), request.get(index), b"' key"];
            call.reply.bulk(&text.concat());
        }
    }
    Outcome::Done
}

fn genpass(call: &mut Call<'_>) -> Outcome {
    let bits = match call.args.len() {
        2 => USUAL_BITS,
        3 => match integer::parse(call.args.get(2)) {
            Some(bits @ 1..=MOST_BITS) => bits,
            Some(_) => {
                call.reply.error(
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive \
                     number up to 4096",
                );
                return Outcome::Done;
            }
            None => {
                call.reply.error(super::texts::NOT_INTEGER);
                return Outcome::Done;
            }
        },
        _ => {
            help::wrong_number(call);
            return Outcome::Done;
        }
    };
    let digits = usize::try_from(bits.unsigned_abs().div_ceil(4)).expect("there is a bound");
    let mut random = vec![0; digits.div_ceil(2)];
    match getrandom::fill(&mut random) {
        Ok(()) => call.reply.bulk(&hex(&random).as_bytes()[..digits]),
        Err(_) => call.reply.error("ERR the system has no random bytes"),
    }
    Outcome::Done
}

const NO_FILE: &str = "ERR This server is not configured to use an ACL file (directive aclfile). Change users with ACL \
                       SETUSER, and keep them with CONFIG REWRITE.";

fn load(call: &mut Call<'_>) -> Outcome {
    match call.host.load_users() {
        None => call.reply.error(NO_FILE),
        Some(Ok(())) => call.reply.ok(),
        Some(Err(text)) => call.reply.error_parts([b"ERR ".as_slice(), text.as_bytes()]),
    }
    Outcome::Done
}

fn save(call: &mut Call<'_>) -> Outcome {
    match call.host.save_users() {
        None => call.reply.error(NO_FILE),
        Some(Ok(())) => call.reply.ok(),
        Some(Err(text)) => call.reply.error_parts([
            b"ERR There was an error trying to save the ACLs. Please check the server logs for more information: "
                .as_slice(),
            text.as_bytes(),
        ]),
    }
    Outcome::Done
}

fn log(call: &mut Call<'_>) -> Outcome {
    let count = match call.args.len() {
        2 => SHOWN,
        3 if call.args.get(2).eq_ignore_ascii_case(b"reset") => {
            call.host.users().forget_denials();
            call.reply.ok();
            return Outcome::Done;
        }
        3 => match integer::parse(call.args.get(2)) {
            Some(count) => usize::try_from(count).unwrap_or(0),
            None => {
                call.reply.error(super::texts::NOT_INTEGER);
                return Outcome::Done;
            }
        },
        _ => {
            help::wrong_number(call);
            return Outcome::Done;
        }
    };
    let denials = call.host.users().denials(count);
    let reply = &mut call.reply;
    reply.array(denials.len());
    for denial in denials {
        reply.map(7);
        reply.bulk(b"count");
        reply.integer(i64::try_from(denial.count).unwrap_or(i64::MAX));
        for (field, text) in [
            ("reason", denial.reason.as_bytes()),
            ("context", if denial.in_transaction { b"multi" } else { b"toplevel" }),
            ("object", &denial.object),
            ("username", &denial.user),
        ] {
            reply.bulk(field.as_bytes());
            reply.bulk(text);
        }
        reply.bulk(b"age-seconds");
        let age_ms = call.now.ms().saturating_sub(denial.unix_ms);
        reply.double(format!("{}.{:03}", age_ms / 1000, age_ms % 1000).as_bytes());
        reply.bulk(b"client-info");
        reply.bulk(denial.client.strip_suffix(b"\n").unwrap_or(&denial.client));
    }
    Outcome::Done
}

impl Denied {
    /// The error for a request that was denied.
    pub fn text(self, command: &'static Command) -> String {
        match self {
            Self::Command => {
                format!("NOPERM this user has no permissions to run the '{}' command", full_name_of(command))
            }
            Self::Key(_) => {
                "NOPERM this user has no permissions to access one of the keys used as arguments".to_owned()
            }
        }
    }

    /// The error for a request of a transaction that was permitted when it was queued.
    pub(super) fn text_within(self) -> &'static str {
        match self {
            Self::Command => {
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: no permission to execute the command or \
                 subcommand"
            }
            Self::Key(_) => {
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: no permission to touch the specified keys"
            }
        }
    }

    /// The entry of the log for it, of a session whose connection is shown as `client`.
    pub fn denial(
        self,
        (command, args): (&'static Command, &Args<'_>),
        session: &Session,
        client: Vec<u8>,
        unix_ms: u64,
    ) -> Denial {
        let (reason, object) = match self {
            Self::Command => ("command", full_name_of(command).into_bytes()),
            Self::Key(index) => ("key", args.get(index).to_vec()),
        };
        Denial {
            count: 0,
            reason,
            in_transaction: session.queue().is_some(),
            object,
            user: session.user.name().to_vec(),
            client,
            unix_ms,
        }
    }
}
