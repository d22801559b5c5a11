//! `COMMAND` and its subcommands: which commands there are, told to clients. How one is described is
//! [`super::describe`]'s business.

use super::describe::{Shown, describe, document, in_category};
use super::glob::{self, Case};
use super::lookup::visible;
use super::resolve::{Refusal, resolve};
use super::texts::SYNTAX;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, help};

/// `COMMAND`
pub static COMMAND: Command = Command {
    name: "command",
    arity: -1,
    flags: SHOWS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        summary: "Describes all commands.",
        since: "2.8.13",
        group: "server",
        complexity: "O(N) with N commands",
        arguments: &[],
    },
    run: bare,
    subcommands: &[COUNT, LIST, INFO, DOCS, GETKEYS, help::help_of("5.0.0", "server", &["connection"])],
};

const COUNT: Command = Command {
    name: "count",
    arity: 2,
    flags: SHOWS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Tells the number of commands.",
        since: "2.8.13",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: count,
    subcommands: &[],
};

const LIST: Command = Command {
    name: "list",
    arity: -2,
    flags: SHOWS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        summary: "Names all commands and subcommands, or those that fit a filter.",
        since: "7.0.0",
        group: "server",
        complexity: "O(N) with N commands",
        arguments: &[Argument::choice(
            "filterby",
            &[
                Argument::new("module-name", "string").after("MODULE"),
                Argument::new("category", "string").after("ACLCAT"),
                Argument::new("pattern", "pattern").after("PATTERN"),
            ],
        )
        .after("FILTERBY")
        .maybe()],
    },
    run: list,
    subcommands: &[],
};

const INFO: Command = Command {
    name: "info",
    arity: -2,
    flags: SHOWS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        summary: "Describes commands: arguments, properties, keys.",
        since: "2.8.13",
        group: "server",
        complexity: "O(N) with N commands",
        arguments: NAMES,
    },
    run: info,
    subcommands: &[],
};

const DOCS: Command = Command {
    name: "docs",
    arity: -2,
    flags: SHOWS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        summary: "Documents commands.",
        since: "7.0.0",
        group: "server",
        complexity: "O(N) with N commands",
        arguments: NAMES,
    },
    run: docs,
    subcommands: &[],
};

const GETKEYS: Command = Command {
    name: "getkeys",
    arity: -4,
    flags: SHOWS,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Picks the keys out of a whole command.",
        since: "2.8.13",
        group: "server",
        complexity: "O(N) with N arguments",
        arguments: &[Argument::new("command", "string"), Argument::new("arg", "string").maybe().many()],
    },
    run: getkeys,
    subcommands: &[],
};

const SHOWS: Flags = Flags::LOADING.and(Flags::STALE);
const NAMES: &[Argument] = &[Argument::new("command-name", "string").maybe().many()];

fn bare(call: &mut Call<'_>) -> Outcome {
    call.reply.array(visible().count());
    for shown in Shown::tops() {
        describe(shown, &mut call.reply);
    }
    Outcome::Done
}

fn count(call: &mut Call<'_>) -> Outcome {
    call.reply.count(visible().count());
    Outcome::Done
}

fn info(call: &mut Call<'_>) -> Outcome {
    if call.args.len() == 2 {
        return bare(call);
    }
    call.reply.array(call.args.len() - 2);
    for name in call.args.tail(2) {
        match Shown::named(name) {
            Some(shown) => describe(shown, &mut call.reply),
            None => call.reply.null(),
        }
    }
    Outcome::Done
}

fn docs(call: &mut Call<'_>) -> Outcome {
    let shown: Vec<Shown> = if call.args.len() == 2 {
        Shown::tops().collect()
    } else {
        call.args.tail(2).filter_map(Shown::named).collect()
    };
    call.reply.map(shown.len());
    for shown in shown {
        document(shown, &mut call.reply);
    }
    Outcome::Done
}

fn list(call: &mut Call<'_>) -> Outcome {
    let mut options = call.args.tail(2);
    let (filter, kind, value) = (options.next(), options.next(), options.next());
    let fits: Box<dyn Fn(Shown) -> bool + '_> = match (filter, kind, value, options.len()) {
        (None, ..) => Box::new(|_| true),
        (Some(filter), Some(kind), Some(value), 0) if filter.eq_ignore_ascii_case(b"filterby") => {
            if kind.eq_ignore_ascii_case(b"module") {
                // There are no modules.
                Box::new(|_| false)
            } else if kind.eq_ignore_ascii_case(b"aclcat") {
                let category = String::from_utf8_lossy(value).to_ascii_lowercase();
                Box::new(move |shown| in_category(shown.command, &category))
            } else if kind.eq_ignore_ascii_case(b"pattern") {
                Box::new(|shown| glob::matches(value, shown.name().as_bytes(), Case::Ignored))
            } else {
                call.reply.error(SYNTAX);
                return Outcome::Done;
            }
        }
        _ => {
            call.reply.error(SYNTAX);
            return Outcome::Done;
        }
    };
    let names: Vec<String> = Shown::tops()
        .flat_map(|top| std::iter::once(top).chain(top.subcommands()))
        .filter(|shown| fits(*shown))
        .map(Shown::name)
        .collect();
    call.reply.array(names.len());
    for name in names {
        call.reply.bulk(name.as_bytes());
    }
    Outcome::Done
}

fn getkeys(call: &mut Call<'_>) -> Outcome {
    let whole = call.args.skip(2);
    let command = match resolve(&whole) {
        Ok(command) => command,
        Err(Refusal::UnknownCommand(_) | Refusal::UnknownSubcommand(..)) => {
            call.reply.error("ERR Invalid command specified");
            return Outcome::Done;
        }
        Err(Refusal::Arity(_, command)) => {
            call.reply.error(if command.keys.first == 0 {
                "ERR The command has no key arguments"
            } else {
                "ERR Invalid number of arguments specified for command"
            });
            return Outcome::Done;
        }
        Err(refusal @ Refusal::LongKey(_)) => {
            refusal.encode(&mut call.reply);
            return Outcome::Done;
        }
    };
    if command.keys.first == 0 {
        call.reply.error("ERR The command has no key arguments");
        return Outcome::Done;
    }
    call.reply.array(command.keys_of(&whole).count());
    for key in command.keys_of(&whole) {
        call.reply.bulk(key);
    }
    Outcome::Done
}
