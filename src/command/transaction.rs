//! Transactions: requests that are queued and then executed as one, if no watched key has changed meanwhile.
//!
//! `EXEC` locks the segments of all keys that its requests name, and of those it watches, in order, and gives them back
//! behind its last request. So nobody sees half of it, and what was watched stays as it was found.

use crate::table::{Held, Holding, Moment, SegmentSet};

use super::queue::{Queue, Transaction};
use super::texts::NO_MEMORY;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `MULTI`
pub static MULTI: Command = Command {
    name: "multi",
    arity: 1,
    flags: BEGINS,
    keys: Keys::NONE,
    access: &[],
    categories: &["transaction"],
    tips: &[],
    docs: Docs {
        summary: "Begins a transaction: requests are queued from here on.",
        since: "1.2.0",
        group: "transactions",
        complexity: "O(1)",
        arguments: &[],
    },
    run: multi,
    subcommands: &[],
};

/// `EXEC`
pub static EXEC: Command = Command {
    name: "exec",
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SKIP_SLOWLOG).and(Flags::AT_ONCE),
    keys: Keys::NONE,
    access: &[],
    categories: &["transaction"],
    tips: &[],
    docs: Docs {
        summary: "Executes the queued requests as one, unless a watched key has changed.",
        since: "1.2.0",
        group: "transactions",
        complexity: "Depends on commands in the transaction",
        arguments: &[],
    },
    run: exec,
    subcommands: &[],
};

/// `DISCARD`
pub static DISCARD: Command = Command {
    name: "discard",
    arity: 1,
    flags: BEGINS.and(Flags::DROPS),
    keys: Keys::NONE,
    access: &[],
    categories: &["transaction"],
    tips: &[],
    docs: Docs {
        summary: "Forgets the queued requests and the watched keys.",
        since: "2.0.0",
        group: "transactions",
        complexity: "O(N) with N queued requests and watched keys",
        arguments: &[],
    },
    run: discard,
    subcommands: &[],
};

/// `WATCH key [key …]`
pub static WATCH: Command = Command {
    name: "watch",
    arity: -2,
    flags: BEGINS,
    keys: Keys::ALL,
    access: &["RO"],
    categories: &["transaction"],
    tips: &[],
    docs: Docs {
        summary: "Lets the next transaction fail if one of these keys changes before it.",
        since: "2.2.0",
        group: "transactions",
        complexity: "O(1) for every key",
        arguments: &[Argument::KEY.many()],
    },
    run: watch,
    subcommands: &[],
};

/// `UNWATCH`
pub static UNWATCH: Command = Command {
    name: "unwatch",
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
    keys: Keys::NONE,
    access: &[],
    categories: &["transaction"],
    tips: &[],
    docs: Docs {
        summary: "Forgets the watched keys.",
        since: "2.2.0",
        group: "transactions",
        complexity: "O(N) with N watched keys",
        arguments: &[],
    },
    run: unwatch,
    subcommands: &[],
};

const BEGINS: Flags = Flags::NOSCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::ALLOW_BUSY)
    .and(Flags::AT_ONCE);

/// Whether a command is `EXEC`, whose refusals say that they end a transaction.
pub(super) fn is_exec(command: &Command) -> bool {
    std::ptr::eq(command, &raw const EXEC)
}

/// How such a refusal begins; what follows is the refusal itself, without its `ERR`.
pub(super) const ABORTED: &str = "EXECABORT Transaction discarded because of: ";

/// How the refusal of a command begins, which is then told without its dash.
pub fn aborted(command: &Command) -> &'static [u8] {
    if is_exec(command) { ABORTED.as_bytes() } else { b"" }
}

/// What a command that may need memory is refused with where there is none, in parts.
pub fn no_memory(command: &Command) -> [&'static [u8]; 2] {
    [aborted(command), NO_MEMORY.as_bytes()]
}

fn multi(call: &mut Call<'_>) -> Outcome {
    let transaction = call.session.transaction.get_or_insert_default();
    if transaction.queue.is_some() {
        call.reply.error("ERR MULTI calls can not be nested");
    } else {
        transaction.queue = Some(Queue::default());
        call.reply.ok();
    }
    Outcome::Done
}

fn discard(call: &mut Call<'_>) -> Outcome {
    if call.session.queue().is_some() {
        call.session.forget_transaction(call.table);
        call.reply.ok();
    } else {
        call.reply.error("ERR DISCARD without MULTI");
    }
    Outcome::Done
}

fn watch(call: &mut Call<'_>) -> Outcome {
    if call.session.queue().is_some() {
        call.reply.error("ERR WATCH inside MULTI is not allowed");
        return Outcome::Done;
    }
    let most = call.host.limits().query_buffer;
    for bytes in call.args.tail(1) {
        let key = call.table.key(bytes);
        let mut segment = call.table.lock(key.hash);
        let transaction = call.session.transaction.get_or_insert_default();
        let mut at = Moment { now_ms: call.now.ms(), effects: call.effects };
        let watched = transaction.watch(key, &mut segment, &mut at, most);
        call.wait = call.wait.max(segment.changed());
        if !watched {
            call.reply.error("ERR watched keys exceed client-query-buffer-limit");
            return Outcome::Done;
        }
    }
    call.reply.ok();
    Outcome::Done
}

fn unwatch(call: &mut Call<'_>) -> Outcome {
    // Inside a transaction nothing is watched any more: `EXEC` has forgotten it all.
    call.session.forget_transaction(call.table);
    call.reply.ok();
    Outcome::Done
}

fn exec(call: &mut Call<'_>) -> Outcome {
    if call.session.queue().is_some_and(|queue| queue.refused) {
        call.session.forget_transaction(call.table);
        call.reply.error("EXECABORT Transaction discarded because of previous errors.");
        return Outcome::Done;
    }
    let Some(transaction) = call.session.transaction.take_if(|transaction| transaction.queue.is_some())
    else {
        call.reply.error("ERR EXEC without MULTI");
        return Outcome::Done;
    };
    let queue = transaction.queue.as_ref().expect("it was looked for");
    let mut set = SegmentSet::default();
    for (command, args) in queue.iter() {
        call.add_segments(command, &args, &mut set);
    }
    for key in transaction.watched() {
        set.insert(call.table.key(key).hash);
    }
    let mut held = call.table.hold(&set);
    if queue.copies {
        // What the copies take is known only now.
        let recorded = transaction.watched_bytes() + call.recorded_of(queue, &mut held);
        if !call.effects.affords(recorded) {
            call.session.transaction = Some(transaction);
            return Outcome::Unwritten;
        }
    }
    call.effects.begin();
    if unwatch_held(call, &transaction, &mut held) {
        held.mark(call.effects.end());
        call.wait = call.wait.max(held.changed());
        call.reply.null_array();
        return Outcome::Done;
    }
    call.reply.array(queue.len());
    call.host.begin_within();
    let mut end = Outcome::Done;
    for (command, args) in queue.iter() {
        let errors = call.reply.errors();
        // What comes before it in the transaction may have changed who may do what.
        call.session.refresh(call.host.users());
        if !call.session.user.is_unrestricted()
            && let Err(denied) = call.session.user.permits(command, &args)
        {
            call.reply.error(denied.text_within());
            continue;
        }
        match call.within(command, args, &mut held, |call| (command.run)(call)) {
            Outcome::Done => {}
            // Too many wrong passwords: the others are answered still.
            Outcome::Close => end = Outcome::Close,
            Outcome::Drop
            | Outcome::Pending(_)
            | Outcome::Later(..)
            | Outcome::Saved(_)
            | Outcome::Unwritten => debug_assert!(false, "{} may not be queued", command.name),
        }
        let failed = call.reply.errors() > errors;
        call.host.executed_within(command, &args, failed, call.session.name());
    }
    held.mark(call.effects.end());
    call.wait = call.wait.max(held.changed());
    // Its segments are nobody's business any more: showing takes its time.
    drop(held);
    for (command, args) in queue.iter() {
        call.host.show(command, args);
    }
    end
}

/// Watches nothing any more, all its keys' segments being held. True: one of them has changed, or its time is over.
fn unwatch_held(call: &mut Call<'_>, transaction: &Transaction, held: &mut Held<'_>) -> bool {
    for bytes in transaction.watched() {
        let key = call.table.key(bytes);
        let segment = held.segment(key.hash);
        // To look for a key that is over removes it, which its watchers learn of.
        segment.get(key, &mut Moment { now_ms: call.now.ms(), effects: call.effects });
        segment.unwatch(bytes, transaction.watcher());
    }
    transaction.watcher().is_touched()
}
