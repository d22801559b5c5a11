//! What differs from Redis: our own commands, one database, and what `INFO` says about engines.

use crate::client::{Arrival, bulk, request};
use crate::memory::REFUSED;
use crate::server::{Engine, PATIENCE, Server, wait_until};
use crate::session::hello;

on_every_engine![
    go_redis_introduces_itself,
    minc_by_counts_many_at_once,
    minc_by_takes_a_hundred_thousand_pairs,
    a_huge_request_cut_off_counts_a_prefix_once,
    getttl_gives_value_and_time_left,
    rates_are_limited,
    windows_slide,
    long_keys_go_together,
    watched_keys_go_together,
    increments_are_applied_once,
    a_batch_of_any_size_is_applied_once,
    a_row_changes_as_a_whole_or_not_at_all,
    memory_is_told_of_inside_transactions,
    our_commands_are_refused_without_memory,
    a_batch_is_not_queued_without_memory,
    a_huge_request_is_shown_in_part,
    only_database_zero_exists,
    keys_are_bounded,
    values_are_bounded,
    whole_requests_are_bounded,
    later_session_commands_are_understood,
    info_names_engine_and_version,
    every_listed_command_is_described,
];

fn minc_by_counts_many_at_once(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> MINCRBY a 1 b -5 a 10
         < *3
         < :1
         < :-5
         < :11
         > MSET text abc max 9223372036854775807
         < +OK
         > MINCRBY a 1 text 1 max 1 b x b 5
         < *5
         < :12
         < -ERR value is not an integer or out of range
         < -ERR increment or decrement would overflow
         < -ERR value is not an integer or out of range
         < :0
         > MGET a b text max
         < *4
         < $2
         < 12
         < $1
         < 0
         < $3
         < abc
         < $19
         < 9223372036854775807
         > MINCRBY
         < -ERR wrong number of arguments for 'mincrby' command
         > MINCRBY a
         < -ERR wrong number of arguments for 'mincrby' command
         > MINCRBY a 1 b
         < -ERR wrong number of arguments for 'mincrby' command
         > GET a
         < $2
         < 12",
    );
}

fn minc_by_takes_a_hundred_thousand_pairs(engine: Engine) {
    const PAIRS: usize = 100_000;
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut arguments = vec!["MINCRBY".to_owned()];
    arguments.extend((0..PAIRS).flat_map(|n| [format!("views:article:{n}"), n.to_string()]));
    let whole = request(&arguments);
    for round in 1..=2 {
        client.send(&whole);
        client.expect(format!("*{PAIRS}\r\n"));
        let replies: String = (0..PAIRS).map(|n| format!(":{}\r\n", n * round)).collect();
        client.expect(replies);
    }
    client.talk("> DBSIZE\n< :100000\n> GET views:article:99999\n< $6\n< 199998");
}

/// A request that streams keeps the pairs that had arrived before it was cut off: each of them counted, and once.
fn a_huge_request_cut_off_counts_a_prefix_once(engine: Engine) {
    const PAIRS: usize = 20_000;
    const ARRIVING: usize = 15_000;
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut arguments = vec!["MINCRBY".to_owned()];
    arguments.extend((0..PAIRS).flat_map(|n| [format!("n:{n}"), "1".to_owned()]));
    let whole = request(&arguments);
    let rest: usize = arguments[1 + 2 * ARRIVING..].iter().map(|argument| bulk(argument).len()).sum();
    // The next key and half of its delta come along, and change nothing.
    let torn = bulk(&arguments[1 + 2 * ARRIVING]).len() + 3;
    client.send(&whole[..whole.len() - rest + torn]);
    client.half_close();
    while let Arrival::Bytes = client.receive(PATIENCE) {}
    client.take();
    client.expect_closed();
    let mut witness = server.connect();
    witness.send(request(&["DBSIZE"]));
    let counted = usize::try_from(witness.integer()).expect("a number of keys is not negative");
    assert_eq!(counted, ARRIVING, "pairs counted, of those that had arrived");
    let mut mget = vec!["MGET".to_owned()];
    mget.extend((0..PAIRS).map(|n| format!("n:{n}")));
    witness.send(request(&mget));
    witness.expect(format!("*{PAIRS}\r\n"));
    witness.expect(["$1\r\n1\r\n".repeat(counted), "$-1\r\n".repeat(PAIRS - counted)].concat());
}

fn getttl_gives_value_and_time_left(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> GETTTL k
         < *2
         < $-1
         < :-2
         > SET k 7
         < +OK
         > GETTTL k
         < *2
         < $1
         < 7
         < :-1
         > PEXPIRE k 100000
         < :1",
    );
    client.send(request(&["GETTTL", "k"]));
    client.expect("*2\r\n$1\r\n7\r\n");
    let left = client.integer();
    assert!((90_000..=100_000).contains(&left), "GETTTL says {left} ms right after PEXPIRE 100000");
    client.talk("> GETTTL\n< -ERR wrong number of arguments for 'getttl' command");
}

fn rates_are_limited(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> CL.THROTTLE user 1 1 3600
         < *5
         < :0
         < :2
         < :1
         < :-1
         < :3600
         > TYPE user
         < +throttle
         > CL.THROTTLE user 1 1 100000 5
         < *5
         < :1
         < :2
         < :1
         < :-1
         < :3600
         > INCR user
         < -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

fn windows_slide(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> WINCRBY w 2 WINDOW 3600000 BUCKETS 1024
         < :2
         > WINCRBY w 3 WINDOW 3600000
         < :5
         > WGET w
         < :5
         > WINCRBY w 3 WINDOW 1000
         < -ERR the window was made with WINDOW 3600000 BUCKETS 1024 and keeps these
         > TYPE w
         < +window
         > WGET nothing
         < :0
         > WINCRBY short 1 WINDOW 1 BUCKETS 1
         < :1",
    );
    // Its one millisecond passes, however busy the machine is.
    wait_until("the window has passed", || {
        client.send(request(&["WGET", "short"]));
        client.integer() == 0
    });
    client.talk("> EXISTS short\n< :0");
}

fn increments_are_applied_once(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> INCRONCE n 5 token
         < *2
         < :5
         < :1",
    );
    // The same request again, over another connection.
    server.connect().talk(
        "> INCRONCE n 5 token
         < *2
         < :5
         < :0
         > MULTI
         < +OK
         > INCRONCE n 5 token
         < +QUEUED
         > MINCRONCE batch 60000 n 1 m 1
         < +QUEUED
         > EXEC
         < *2
         < *2
         < :5
         < :0
         < *2
         < :1
         < *2
         < :6
         < :1
         > MINCRONCE batch 60000 n 1 m 1
         < *2
         < :0
         < *2
         < :6
         < :1
         > DBSIZE
         < :2
         > CONFIG SET maxtokens 2
         < +OK
         > INCRONCE n 1 more
         < -ERR max number of tokens reached",
    );
    let mut client = server.connect();
    client.send(request(&["INFO", "keyspace"]));
    let info = client.text();
    assert!(info.contains("\r\ntokens:2\r\nmaxtokens:2\r\nbytes_per_token:"), "{info}");
}

/// Everything of it or nothing: it does not stream.
fn a_batch_of_any_size_is_applied_once(engine: Engine) {
    const PAIRS: usize = 50_000;
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut arguments = ["MINCRONCE", "batch", "600000"].map(str::to_owned).to_vec();
    arguments.extend((0..PAIRS).flat_map(|n| [format!("views:article:{n}"), n.to_string()]));
    let whole = request(&arguments);
    let replies: String = (0..PAIRS).map(|n| format!(":{n}\r\n")).collect();
    for applied in [1, 0, 0] {
        client.send(&whole);
        client.expect(format!("*2\r\n:{applied}\r\n*{PAIRS}\r\n{replies}"));
    }
    client.talk("> DBSIZE\n< :50000");
}

fn a_row_changes_as_a_whole_or_not_at_all(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> HMINCRBY day hits 1 bytes 512
         < *2
         < :1
         < :512
         > HSET day full 9223372036854775807
         < :1
         > HMINCRBY day hits 1 full 1
         < -ERR increment or decrement would overflow
         > HGET day hits
         < $1
         < 1
         > HINCREX day hits BYINT 5 UBOUND 3 SATURATE
         < *2
         < :3
         < :2
         > HGETSET day hits 0
         < $1
         < 3
         > HGETDEL day FIELDS 2 hits bytes
         < *2
         < $1
         < 0
         < $3
         < 512
         > HLEN day
         < :1",
    );
}

fn memory_is_told_of_inside_transactions(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> MULTI
         < +OK
         > MEMORY DOCTOR
         < +QUEUED
         > EXEC
         < *1
         < $42
         < No memory issue is found in this instance.",
    );
}

fn our_commands_are_refused_without_memory(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> SET n 5\n< +OK\n> HSET h f 1\n< :1\n> CONFIG SET maxmemory 1\n< +OK");
    for words in
        ["INCREX n", "MINCRBY n 1", "HMINCRBY h f 1", "HINCREX h f", "HGETSET h f 1", "CL.THROTTLE r 1 1 1"]
    {
        client.ask_words(words, REFUSED);
    }
    client.talk(
        "> HGETDEL h FIELDS 1 f
         < *1
         < $1
         < 1
         > CL.PEEK r 1 1 1
         < *5
         < :0
         < :2
         < :1
         < :-1
         < :1",
    );
}

fn a_batch_is_not_queued_without_memory(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> CONFIG SET maxmemory 1\n< +OK\n> MULTI\n< +OK");
    client.ask_words("MINCRONCE token 1000 n 1", REFUSED);
    client.talk("> EXEC\n< -EXECABORT Transaction discarded because of previous errors.\n> GET n\n< $-1");
}

fn a_huge_request_is_shown_in_part(engine: Engine) {
    let server = Server::start(engine);
    let (mut monitor, mut client) = (server.connect(), server.connect());
    monitor.talk("> MONITOR\n< +OK");
    let mut arguments = vec!["EXISTS".to_owned()];
    arguments.extend((0..100_000).map(|number| format!("key:{number}")));
    client.send(request(&arguments));
    client.expect(":0\r\n");
    let line = monitor.line();
    assert!(line.contains("] \"exists\" \"key:0\" \"key:1\" "), "{line}");
    let rest = line.rsplit_once(" \"... (").and_then(|(_, rest)| rest.strip_suffix(" more arguments)\""));
    let rest: usize = rest.and_then(|rest| rest.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert_eq!(line.matches("\"key:").count() + rest, 100_000);
    assert!(line.len() < 70_000, "{} bytes", line.len());
}

fn only_database_zero_exists(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk("> SELECT 1\n< -ERR DB index is out of range\n> SELECT 0\n< +OK");
}

fn keys_are_bounded(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let longest = "k".repeat(64 * 1024);
    client.ask(&["INCR", &longest], ":1\r\n");
    client.ask(&["GET", &longest], "$1\r\n1\r\n");
    let longer = format!("{longest}k");
    for arguments in [&["INCR", &longer][..], &["MSET", "a", "1", &longer, "2"]] {
        client.send(request(arguments));
        let line = client.line();
        assert!(
            line.starts_with("-ERR key is too long"),
            "a key over the limit is refused, not with {line:?}"
        );
    }
    client.talk("> DBSIZE\n< :1");
}

fn values_are_bounded(engine: Engine) {
    let server = Server::with_flags(engine, &["--proto-max-bulk-len", "1mb"]);
    let mut client = server.connect();
    client.ask(&["SET", "k", &"v".repeat(1 << 20)], "+OK\r\n");
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", (1 << 20) + 1));
    client.expect("-ERR Protocol error: invalid bulk length\r\n");
    client.expect_closed();
}

fn whole_requests_are_bounded(engine: Engine) {
    let server = Server::with_flags(engine, &["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    let pair = ["key", &"v".repeat(1000)].map(str::to_owned);
    let mut mset = vec!["MSET".to_owned()];
    (0..2000).for_each(|_| mset.extend(pair.clone()));
    // All-or-nothing, so it would have to be held whole; the server may close while it is still being sent.
    let _closed_meanwhile = client.try_send(request(&mset));
    while let Arrival::Bytes = client.receive(PATIENCE) {}
    client.take();
    client.expect_closed();
    server.connect().talk("> DBSIZE\n< :0");
}

fn later_session_commands_are_understood(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> CLIENT SETINFO LIB-NAME wire
         < +OK
         > CLIENT SETINFO lib-ver 1.2
         < +OK
         > CLIENT SETINFO FOO bar
         < -ERR Unrecognized option 'FOO'
         > CLIENT NO-TOUCH ON
         < +OK
         > CLIENT NO-EVICT ON
         < +OK
         > FUNCTION FLUSH
         < +OK",
    );
    client.send(request(&["CLIENT", "INFO"]));
    assert!(client.text().contains(" lib-name=wire lib-ver=1.2"), "CLIENT INFO shows the library");
}

fn info_names_engine_and_version(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["INFO"]));
    let all = client.text();
    let field = |name: &str| all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    assert_eq!(field("redis_version"), Some("7.2.4"));
    assert_eq!(field("tallyring_version"), Some(env!("CARGO_PKG_VERSION")));
    if !crate::server::is_foreign() {
        assert_eq!(field("engine"), Some(engine.name()), "the engine asked for is the one that runs");
    }
}

/// Every command that `COMMAND LIST` names is known to the dispatcher: none is answered as unknown.
fn every_listed_command_is_described(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["COMMAND", "LIST"]));
    let header = client.line();
    let count: usize =
        header.strip_prefix('*').and_then(|digits| digits.parse().ok()).expect("a list has a length");
    let names: Vec<String> = (0..count).map(|_| client.text()).collect();
    // `shutdown` would be the last that could be asked.
    for name in names.iter().filter(|name| *name != "shutdown") {
        // Too few arguments for most: whatever is said, the name is known.
        let mut other = server.connect();
        other.send(request(&name.split('|').collect::<Vec<_>>()));
        let line = other.line();
        assert!(!line.contains("unknown"), "COMMAND LIST names {name}, and it is answered {line:?}");
    }
}

/// What go-redis 9 sends on connecting (`initConn` in its redis.go): HELLO alone, then its name and version in one
/// pipeline; newer ones also ask for notices of maintenance, and go on without where that is refused.
fn go_redis_introduces_itself(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    hello(&mut client, &["hello", "3", "setname", "worker"]);
    let mut pipeline = request(&["client", "setinfo", "LIB-NAME", "go-redis(,go1.22.1)"]);
    pipeline.extend(request(&["client", "setinfo", "LIB-VER", "9.5.1"]));
    pipeline.extend(request(&["client", "maint_notifications", "on", "moving-endpoint-type", "internal-ip"]));
    client.send(pipeline);
    client.expect("+OK\r\n+OK\r\n-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.\r\n");
    hello(&mut client, &["hello", "2"]);
    client.send(request(&["client", "info"]));
    let line = client.text();
    assert!(
        line.contains(" name=worker ") && line.contains(" lib-name=go-redis(,go1.22.1) lib-ver=9.5.1"),
        "{line}"
    );
    client.talk("> incr n\n< :1");
}

/// The removals of a turn take more of the journal than is obtained for them.
fn long_keys_go_together(engine: Engine) {
    let server = Server::with_flags(engine, &["--journal-segment-size", "64mb"]);
    let mut client = server.connect();
    client.send(request(&["TIME"]));
    client.expect("*2\r\n");
    let seconds: u64 = client.text().parse().expect("a number of seconds");
    client.text();
    let deadline = ((seconds + 1) * 1000).to_string();
    for n in 0..40 {
        let key = format!("{n:0>32756}");
        client.ask(&["SET", &key, "1", "PXAT", &deadline], "+OK\r\n");
    }
    wait_until("all are gone", || {
        client.send(request(&["DBSIZE"]));
        client.integer() == 0
    });
}

fn watched_keys_go_together(engine: Engine) {
    const KEYS: usize = 5_000;
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut watch = vec!["WATCH".to_owned()];
    for n in 0..KEYS {
        let key = format!("watched-by-one-transaction-and-with-a-long-name:{n}");
        client.send(request(&["SET", &key, "1", "PX", "200"]));
        watch.push(key);
    }
    client.expect("+OK\r\n".repeat(KEYS));
    client.send(request(&watch));
    client.expect("+OK\r\n");
    client.talk("> MULTI\n< +OK\n> SET other 1\n< +QUEUED");
    wait_until("the first is over", || {
        let mut other = server.connect();
        other.send(request(&["PTTL", &watch[KEYS]]));
        other.integer() < 0
    });
    client.talk("> EXEC\n< *-1\n> EXISTS other\n< :0");
}
