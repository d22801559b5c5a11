//! Commands of operators and their tools: `LASTSAVE`, `ROLE`, `WAIT`, `DEBUG SLEEP`, `SHUTDOWN`. There are no replicas.

use crate::resp::encode::Encoder;
use crate::resp::integer;
use crate::table::Figures;

use super::flow;
use super::texts::{NOT_INTEGER, SYNTAX};
use super::{Argument, Awaited, Call, Command, Docs, Flags, Keys, Outcome};

/// `LASTSAVE`
pub static LASTSAVE: Command = Command {
    name: "lastsave",
    arity: 1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    keys: Keys::NONE,
    access: &[],
    categories: &["admin", "dangerous"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Tells the Unix time at which the data was saved last.",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: lastsave,
    subcommands: &[],
};

/// `ROLE`
pub static ROLE: Command = Command {
    name: "role",
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST),
    keys: Keys::NONE,
    access: &[],
    categories: &["admin", "dangerous"],
    tips: &[],
    docs: Docs {
        summary: "Tells the role in replication: a master without replicas.",
        since: "2.8.12",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: role,
    subcommands: &[],
};

/// `WAIT replicas milliseconds`
pub static WAIT: Command = Command {
    name: "wait",
    arity: 3,
    flags: Flags::NOSCRIPT,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    docs: Docs {
        summary: "Waits for replicas, of which there are none, and tells how many have the last change.",
        since: "3.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::new("numreplicas", "integer"), Argument::new("timeout", "integer")],
    },
    run: wait,
    subcommands: &[],
};

/// `WAITAOF numlocal numreplicas timeout`
pub static WAITAOF: Command = Command {
    name: "waitaof",
    arity: 4,
    flags: Flags::NOSCRIPT,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    docs: Docs {
        summary: "Waits until all that the client has done and seen is synced to the journal.",
        since: "7.2.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[
            Argument::new("numlocal", "integer"),
            Argument::new("numreplicas", "integer"),
            Argument::new("timeout", "integer"),
        ],
    },
    run: waitaof,
    subcommands: &[],
};

/// `DEBUG SLEEP seconds`, where `enable-debug-command` allows it.
pub static DEBUG: Command = Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "DEBUG SLEEP seconds: lets the worker of this connection stand still.",
        since: "1.0.0",
        group: "server",
        complexity: "Depends on subcommand.",
        arguments: &[
            Argument::new("subcommand", "string"),
            Argument::new("argument", "string").maybe().many(),
        ],
    },
    run: debug,
    subcommands: &[],
};

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]`
pub static SHUTDOWN: Command = Command {
    name: "shutdown",
    arity: -1,
    flags: Flags::ADMIN
        .and(Flags::NOSCRIPT)
        .and(Flags::LOADING)
        .and(Flags::STALE)
        .and(Flags::NO_MULTI)
        .and(Flags::ALLOW_BUSY),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Ends the server, as SIGTERM does: what has arrived is answered first.",
        since: "1.0.0",
        group: "server",
        complexity: "O(N) with N connections",
        arguments: &[
            Argument::choice(
                "nosave_save",
                &[Argument::word("nosave", "NOSAVE"), Argument::word("save", "SAVE")],
            )
            .maybe(),
            Argument::word("now", "NOW").maybe(),
            Argument::word("force", "FORCE").maybe(),
            Argument::word("abort", "ABORT").maybe(),
        ],
    },
    run: shutdown,
    subcommands: &[],
};

fn lastsave(call: &mut Call<'_>) -> Outcome {
    let saved = call.host.facts(Figures::default()).saving.last_save_unix_s;
    call.reply.integer(i64::try_from(saved).unwrap_or(i64::MAX));
    Outcome::Done
}

fn role(call: &mut Call<'_>) -> Outcome {
    call.reply.array(3);
    call.reply.bulk(b"master");
    call.reply.integer(0);
    call.reply.array(0);
    Outcome::Done
}

fn wait(call: &mut Call<'_>) -> Outcome {
    let Some(replicas) = integer::parse(call.args.get(1)) else {
        call.reply.error(NOT_INTEGER);
        return Outcome::Done;
    };
    match flow::timeout(call.args.get(2)) {
        Err(text) => call.reply.error(text),
        // A transaction waits for nobody.
        Ok(_) if replicas <= 0 || call.held.is_some() => call.reply.integer(0),
        Ok(ms) => return Outcome::Later(Awaited::Replicas, (ms > 0).then_some(ms)),
    }
    Outcome::Done
}

fn waitaof(call: &mut Call<'_>) -> Outcome {
    let local = match integer::parse(call.args.get(1)) {
        Some(local @ (0 | 1)) => local == 1,
        Some(_) | None => {
            call.reply.error("ERR value is out of range, value must between 0 and 1");
            return Outcome::Done;
        }
    };
    let replicas = match integer::parse(call.args.get(2)) {
        Some(replicas @ 0..) => replicas > 0,
        Some(_) | None => {
            call.reply.error("ERR value is out of range, must be positive");
            return Outcome::Done;
        }
    };
    let timeout = match flow::timeout(call.args.get(3)) {
        Ok(ms) => (ms > 0).then_some(ms),
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    let synced = call.host.is_synced();
    if local && synced.is_none() {
        call.reply.error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
        return Outcome::Done;
    }
    let synced = synced.unwrap_or(false);
    // A transaction waits for nobody.
    if (synced || !local) && !replicas || call.held.is_some() {
        tell_synced(&mut call.reply, synced);
        return Outcome::Done;
    }
    let awaited = if replicas { Awaited::JournalAndReplicas } else { Awaited::Journal };
    Outcome::Later(awaited, timeout)
}

/// The reply of `WAITAOF`: whether the journal has it all, and how many replicas have, of which there are none.
pub fn tell_synced(reply: &mut Encoder<'_>, synced: bool) {
    reply.array(2);
    reply.integer(i64::from(synced));
    reply.integer(0);
}

fn debug(call: &mut Call<'_>) -> Outcome {
    if !call.host.may_debug() {
        call.reply.error(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
             from a local connection, otherwise you need to set this option in the configuration file, and then \
             restart the server.",
        );
        return Outcome::Done;
    }
    if call.args.len() != 3 || !call.args.get(1).eq_ignore_ascii_case(b"sleep") {
        call.reply.error("ERR DEBUG supports SLEEP seconds only");
        return Outcome::Done;
    }
    let seconds = std::str::from_utf8(call.args.get(2)).ok().and_then(|text| text.parse().ok());
    match seconds.filter(|seconds: &f64| (0.0..=MOST_ASLEEP_S).contains(seconds)) {
        Some(seconds) => {
            call.host.sleep(seconds);
            call.reply.ok();
        }
        None => call.reply.error("ERR value is not a valid float"),
    }
    Outcome::Done
}

/// Seconds that a worker may be told to stand still: an hour says what there is to be said.
const MOST_ASLEEP_S: f64 = 3600.0;

fn shutdown(call: &mut Call<'_>) -> Outcome {
    let (mut save, mut nosave, mut abort, mut more) = (false, false, false, false);
    for option in call.args.tail(1) {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        let flag = if is(b"save") {
            &mut save
        } else if is(b"nosave") {
            &mut nosave
        } else if is(b"abort") {
            &mut abort
        } else if is(b"now") || is(b"force") {
            &mut more
        } else {
            call.reply.error(SYNTAX);
            return Outcome::Done;
        };
        *flag = true;
    }
    if save && nosave || abort && (save || nosave || more) {
        call.reply.error(SYNTAX);
    } else if abort {
        // It is never far away enough to be taken back: what is done takes no time that others could use.
        call.reply.error("ERR No shutdown in progress.");
    } else {
        call.host.save_at_end((save || nosave).then_some(save));
        if !call.host.shut_down() {
            call.reply.error("ERR this server is not ended by its clients");
        }
    }
    Outcome::Done
}
