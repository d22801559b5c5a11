//! What a command changes is one group of effects, to be done again as a whole or not at all.

use tallyring::command::lookup::visible;
use tallyring::command::{Command, Flags, Parts};

use super::server::{Server, arguments};

/// A request of every command that writes, made to change as much as it can. Before each of them the table is as
/// [`prepared`] leaves it.
const REQUESTS: &[&str] = &[
    "INCR n",
    "DECR n",
    "INCRBY n 5",
    "DECRBY n 5",
    "INCRBYFLOAT n 1.5",
    "INCREX n BYINT 5 UBOUND 100 EX 100",
    "INCREX n PERSIST",
    "INCRONCE n 5 token",
    "MINCRONCE token 1000 n 1 m 2 new 3",
    "SET t new EX 100",
    "SET t new PX 1",
    "SETNX new 1",
    "SETEX t 100 new",
    "PSETEX t 100 new",
    "GETSET t new",
    "GETDEL t",
    "GETEX t EX 100",
    "GETEX t EXAT 1",
    "APPEND t more",
    "SETRANGE t 2 more",
    "MSET n 1 t 2 h 3 new 4",
    "MSETNX new:1 1 new:2 2 new:3 3",
    "MINCRBY n 1 m 2 t 3 new 4",
    "DEL n t h nothing",
    "UNLINK n t h nothing",
    "EXPIRE n 100",
    "PEXPIRE n 100",
    "EXPIREAT n 1",
    "PEXPIREAT n 99999999999999",
    "PERSIST timed",
    "RENAME h n",
    "RENAME timed t",
    "RENAMENX h new",
    "COPY h new",
    "COPY h t REPLACE",
    "FLUSHALL",
    "FLUSHDB",
    "HSET h a 5 b 6 c 7",
    "HMSET h a 5 b 6 c 7",
    "HSETNX h new 1",
    "HDEL h a b",
    "HINCRBY h a 1",
    "HINCRBYFLOAT h a 1.5",
    "HMINCRBY h a 1 b 2 c 3",
    "HINCREX h a BYINT 5",
    "HGETSET h a 5",
    "HGETDEL h FIELDS 2 a b",
    "CL.THROTTLE rate 5 5 60",
    "WINCRBY window 5 WINDOW 1000",
];

/// Commands that write nothing into the table, though Redis counts them among those that write.
const WRITE_NOTHING: &[&str] = &["function"];

fn prepared() -> Server {
    let mut server = Server::new();
    for request in
        ["SET n 5", "SET m 6", "SET t text", "SET timed 5 EX 100", "HSET h a 1 b 2", "EXPIRE h 100"]
    {
        server.ask(request);
    }
    server.effects.groups.clear();
    server
}

#[test]
fn several_changes_of_a_command_are_one_group() {
    for request in REQUESTS {
        let mut server = prepared();
        let before = server.effects.last;
        let reply = server.ask(request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
        let after = server.effects.last;
        assert!(after > before, "{request} changes something");
        let groups = &server.effects.groups;
        assert!(
            groups[..] == [(before, after)] || groups.is_empty() && after == before + 1,
            "{request}: {} changes are one group, not {groups:?}",
            after - before
        );
    }
}

#[test]
fn several_changes_within_a_transaction_are_its_group() {
    for request in REQUESTS {
        let mut server = prepared();
        let before = server.effects.last;
        for line in ["MULTI", "INCR m", request, "INCR m", "EXEC"] {
            server.ask(line);
        }
        assert_eq!(server.effects.groups, [(before, server.effects.last)], "{request}");
    }
}

#[test]
fn each_part_of_a_request_is_a_group() {
    for (request, step, changes) in
        [("DEL n m t h nothing", 1, [2, 2, 0]), ("MINCRBY n 1 m 1 t 1 new 1 x 1", 2, [2, 1, 1])]
    {
        let mut server = prepared();
        let words = arguments(request);
        let mut parts = Parts { count: words.len(), done: 1, ..Parts::default() };
        let mut last = server.effects.last;
        for (part, changes) in words[1..].chunks(2 * step).zip(changes) {
            server.run_part(&words[0], part, &mut parts);
            parts.done += part.len();
            // One key has at most one change.
            let groups = std::mem::take(&mut server.effects.groups);
            assert_eq!(server.effects.last, last + changes, "{request}");
            assert!(
                groups == [(last, last + changes)] || groups.is_empty() && part.len() == step,
                "{request}: {groups:?}"
            );
            last += changes;
        }
    }
}

#[test]
fn looking_is_no_group() {
    let mut server = prepared();
    for request in ["MGET n t h", "EXISTS n t nothing", "TOUCH n t", "GET n", "HGETALL h"] {
        server.ask(request);
    }
    assert_eq!(server.effects.groups, []);
    server.ask("SET over:1 1 PX 1");
    server.ask("SET over:2 1 PX 1");
    server.now_ms += 1;
    let before = server.effects.last;
    server.ask("MGET over:1 over:2");
    assert_eq!(
        (server.effects.last, &server.effects.groups[..]),
        (before + 2, &[][..]),
        "each goes by itself"
    );
}

#[test]
fn every_command_that_writes_has_a_request_here() {
    let writes = |command: &&Command| {
        command.flags.has(Flags::WRITE) || command.subcommands.iter().any(|it| it.flags.has(Flags::WRITE))
    };
    for command in visible().filter(writes) {
        let name = command.name;
        let asked =
            REQUESTS.iter().any(|request| arguments(request)[0].eq_ignore_ascii_case(name.as_bytes()));
        assert!(asked != WRITE_NOTHING.contains(&name), "{name}: add a request to tests/commands/groups.rs");
    }
}
