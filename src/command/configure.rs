//! `CONFIG` and its subcommands: the protocol's side of directives. Which directives there are and what they
//! accept is the host's business.

use super::texts::{SYNTAX, quotable};
use super::{Argument, Call, Command, ConfigError, Docs, Flags, Keys, Outcome, RewriteError, help};

/// `CONFIG`
pub static CONFIG: Command = Command {
    subcommands: &[GET, SET, REWRITE, RESETSTAT, help::help_of("5.0.0", "server", &[])],
    ..help::container("config", "Commands about the server's directives.", "2.0.0", "server")
};

const GET: Command = Command {
    name: "get",
    arity: -3,
    flags: OPERATES,
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Shows the directives whose names fit one of the patterns.",
        since: "2.0.0",
        group: "server",
        complexity: "O(N) with N patterns",
        arguments: &[Argument::block("parameter", &[Argument::new("parameter", "string")]).many()],
    },
    run: get,
    subcommands: &[],
};

const SET: Command = Command {
    name: "set",
    arity: -4,
    flags: OPERATES,
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        summary: "Sets directives while the server runs, all of them or none.",
        since: "2.0.0",
        group: "server",
        complexity: "O(N) with N directives",
        arguments: &[Argument::block(
            "parameter_value",
            &[Argument::new("parameter", "string"), Argument::new("value", "string")],
        )
        .many()],
    },
    run: set,
    subcommands: &[],
};

const REWRITE: Command = Command {
    name: "rewrite",
    arity: 2,
    // It writes to the disk, for which no transaction can wait with its keys locked.
    flags: OPERATES.and(Flags::LATER),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Writes the directives into the file that the server was started with.",
        since: "2.8.0",
        group: "server",
        complexity: "O(N) with N lines of the file",
        arguments: &[],
    },
    run: rewrite,
    subcommands: &[],
};

const RESETSTAT: Command = Command {
    name: "resetstat",
    arity: 2,
    flags: OPERATES,
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Sets the counters that INFO shows to zero.",
        since: "2.0.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: resetstat,
    subcommands: &[],
};

const OPERATES: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);

fn get(call: &mut Call<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = call.args.tail(2).collect();
    let mut directives: Vec<(String, String)> = Vec::new();
    call.host.config_get(&patterns, &mut |name, value| directives.push((name.to_owned(), value.to_owned())));
    call.reply.map(directives.len());
    for (name, value) in &directives {
        call.reply.bulk(name.as_bytes());
        call.reply.bulk(value.as_bytes());
    }
    Outcome::Done
}

fn set(call: &mut Call<'_>) -> Outcome {
    if call.args.len() % 2 == 1 {
        call.reply.error(SYNTAX);
        return Outcome::Done;
    }
    let mut rest = call.args.tail(2);
    let mut pairs: Vec<(&[u8], &[u8])> = Vec::with_capacity(rest.len() / 2);
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        pairs.push((name, value));
    }
    match call.host.config_set(&pairs) {
        Ok(()) => call.reply.ok(),
        Err(ConfigError::Unknown(name)) => call.reply.error_parts([
            b"ERR Unknown option or number of arguments for CONFIG SET - '".as_slice(),
            quotable(name.as_bytes()),
            b"'",
        ]),
        Err(ConfigError::Immutable(name)) => refuse(call, &name, "can't set immutable config"),
        Err(ConfigError::Protected(name)) => refuse(call, &name, "can't set protected config"),
        Err(ConfigError::Duplicate(name)) => refuse(call, &name, "duplicate parameter"),
        Err(ConfigError::Invalid(name, reason)) => refuse(call, &name, &reason),
    }
    Outcome::Done
}

fn refuse(call: &mut Call<'_>, name: &str, reason: &str) {
    call.reply.error_parts(
        ["ERR CONFIG SET failed (possibly related to argument '", name, "') - ", reason].map(str::as_bytes),
    );
}

fn rewrite(call: &mut Call<'_>) -> Outcome {
    match call.host.config_rewrite() {
        Ok(()) => call.reply.ok(),
        Err(RewriteError::NoFile) => call.reply.error("ERR The server is running without a config file"),
        Err(RewriteError::Failed(reason)) => {
            call.reply.error_parts([b"ERR Rewriting config file: ".as_slice(), reason.as_bytes()]);
        }
    }
    Outcome::Done
}

fn resetstat(call: &mut Call<'_>) -> Outcome {
    call.host.reset_stats();
    call.reply.ok();
    Outcome::Done
}
