//! What took long: `SLOWLOG`, `LATENCY` and the directives behind them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::{Client, request};
use crate::introspection::info;
use crate::server::{Engine, Server, is_foreign, wait_until};

on_every_engine![
    a_slow_command_is_logged,
    thresholds_hold_from_the_moment_they_are_set,
    long_requests_are_cut,
    passwords_are_not_shown,
    commands_of_a_transaction_are_logged_one_by_one,
    the_log_shrinks_to_its_length,
    workers_share_one_log,
    streamed_requests_are_logged,
    malformed_wishes_are_refused,
    the_monitor_notes_what_took_long,
    the_monitor_draws,
    the_doctor_is_asked,
    the_doctor_finds_a_hot_connection,
    keys_that_expire_at_once_are_noticed,
    syncs_are_measured,
];

const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

/// An entry of the slow log.
#[derive(Debug)]
struct Entry {
    id: i64,
    unix_s: i64,
    duration_us: i64,
    arguments: Vec<String>,
    peer: String,
    name: String,
}

fn array(client: &mut Client) -> usize {
    let line = client.line();
    let count = line.strip_prefix('*').and_then(|digits| digits.parse().ok());
    count.unwrap_or_else(|| panic!("an array should have come, not {line:?}"))
}

/// The whole slow log, the newest first.
fn log(client: &mut Client) -> Vec<Entry> {
    client.send(request(&["SLOWLOG", "GET", "-1"]));
    (0..array(client))
        .map(|_| {
            assert_eq!(array(client), 6);
            let [id, unix_s, duration_us] = [(); 3].map(|()| client.integer());
            let arguments = (0..array(client)).map(|_| client.text()).collect();
            Entry { id, unix_s, duration_us, arguments, peer: client.text(), name: client.text() }
        })
        .collect()
}

/// The requests in the slow log, the newest first.
fn logged(client: &mut Client) -> Vec<String> {
    log(client).into_iter().map(|entry| entry.arguments.join(" ")).collect()
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since.as_secs().cast_signed()
}

fn a_slow_command_is_logged(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk("> SLOWLOG GET\n< *0\n> SLOWLOG LEN\n< :0\n> CLIENT SETNAME sleeper\n< +OK");
    let before = now_s();
    client.talk("> DEBUG SLEEP 0.05\n< +OK\n> SLOWLOG LEN\n< :1");
    let entries = log(&mut client);
    let [entry] = &entries[..] else { panic!("one command was slow: {entries:?}") };
    assert_eq!((entry.id, entry.arguments.join(" ").as_str()), (0, "DEBUG SLEEP 0.05"));
    assert!((before..=now_s()).contains(&entry.unix_s), "{entry:?} is of now");
    assert!((50_000..5_000_000).contains(&entry.duration_us), "{entry:?} took 50 ms");
    let own = client.tcp().local_addr().expect("a connected socket has an address");
    assert_eq!((&entry.peer, entry.name.as_str()), (&own.to_string(), "sleeper"));
    client.talk("> SLOWLOG RESET\n< +OK\n> SLOWLOG LEN\n< :0\n> DEBUG SLEEP 0.02\n< +OK");
    assert_eq!(log(&mut client)[0].id, 1, "numbers go on");
}

fn thresholds_hold_from_the_moment_they_are_set(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk(
        "> CONFIG SET slowlog-log-slower-than 0
         < +OK
         > SET a 1
         < +OK
         > NOSUCH
         < -ERR unknown command 'NOSUCH', with args beginning with: 
         > GET
         < -ERR wrong number of arguments for 'get' command
         > INCR a
         < :2
         > SLOWLOG LEN
         < :3
         > CONFIG SET slowlog-log-slower-than -1
         < +OK
         > DEBUG SLEEP 0.02
         < +OK",
    );
    let expected = ["SLOWLOG LEN", "INCR a", "SET a 1", "CONFIG SET slowlog-log-slower-than 0"];
    assert_eq!(logged(&mut client), expected, "what is refused is not executed, and so takes no time");
    client.talk(
        "> CONFIG SET slowlog-log-slower-than 15000
         < +OK
         > SLOWLOG RESET
         < +OK
         > DEBUG SLEEP 0.02
         < +OK
         > DEBUG SLEEP 0
         < +OK",
    );
    assert_eq!(logged(&mut client), ["DEBUG SLEEP 0.02"]);
}

fn long_requests_are_cut(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk("> CONFIG SET slowlog-log-slower-than 0\n< +OK");
    let keys = |count: usize| (3..count + 3).map(|key| key.to_string()).collect::<Vec<_>>().join(" ");
    client.ask_words(&format!("DEL {}", keys(31)), ":0\r\n");
    client.ask_words(&format!("DEL {}", keys(32)), ":0\r\n");
    client.ask_words(&format!("DEL {}", keys(2000)), ":0\r\n");
    for length in [128, 129, 100_000] {
        client.ask(&["SET", "k", &"A".repeat(length)], "+OK\r\n");
    }
    let logged = logged(&mut client);
    let full = "A".repeat(128);
    assert_eq!(logged[0], format!("SET k {full}... (99872 more bytes)"));
    assert_eq!(logged[1], format!("SET k {full}... (1 more bytes)"));
    assert_eq!(logged[2], format!("SET k {full}"));
    assert_eq!(logged[3], format!("DEL {} ... (1970 more arguments)", keys(30)));
    assert_eq!(logged[4], format!("DEL {} ... (2 more arguments)", keys(30)));
    assert_eq!(logged[5], format!("DEL {}", keys(31)));
}

fn passwords_are_not_shown(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk(
        "> CONFIG SET slowlog-log-slower-than 0
         < +OK
         > CONFIG SET timeout 0 requirepass secret
         < +OK
         > AUTH secret
         < +OK
         > AUTH default secret
         < +OK
         > AUTH wrong
         < -WRONGPASS invalid username-password pair or user is disabled.
         > CONFIG SET requirepass \"\"
         < +OK
         > MULTI
         < +OK
         > CONFIG SET requirepass \"\"
         < +QUEUED
         > EXEC
         < *1
         < +OK",
    );
    client.send(request(&["HELLO", "2", "SETNAME", "auth", "AUTH", "default", "secret"]));
    client.reply();
    let logged = logged(&mut client);
    let expected = [
        "HELLO 2 SETNAME auth AUTH (redacted) (redacted)",
        "CONFIG SET requirepass (redacted)",
        "MULTI",
        "CONFIG SET requirepass (redacted)",
        "AUTH (redacted)",
        "AUTH (redacted) (redacted)",
        "AUTH (redacted)",
        "CONFIG SET timeout 0 requirepass (redacted)",
        "CONFIG SET slowlog-log-slower-than 0",
    ];
    assert_eq!(logged, expected);
}

fn commands_of_a_transaction_are_logged_one_by_one(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk(
        "> MULTI
         < +OK
         > INCR a
         < +QUEUED
         > DEBUG SLEEP 0.03
         < +QUEUED
         > INCR a
         < +QUEUED
         > DEBUG SLEEP 0.02
         < +QUEUED
         > EXEC
         < *4
         < :1
         < +OK
         < :2
         < +OK",
    );
    let entries = log(&mut client);
    let [later, earlier] = &entries[..] else { panic!("two commands were slow: {entries:?}") };
    assert_eq!(later.arguments.join(" "), "DEBUG SLEEP 0.02");
    assert_eq!(earlier.arguments.join(" "), "DEBUG SLEEP 0.03");
    assert!((20_000..5_000_000).contains(&later.duration_us) && earlier.duration_us >= 30_000, "{entries:?}");
}

fn the_log_shrinks_to_its_length(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk("> CONFIG SET slowlog-log-slower-than 0\n< +OK");
    for n in 0..20 {
        client.ask(&["ECHO", &n.to_string()], format!("${}\r\n{n}\r\n", n.to_string().len()));
    }
    client.talk("> CONFIG SET slowlog-log-slower-than 1000000\n< +OK\n> SLOWLOG LEN\n< :21");
    client.send(request(&["SLOWLOG", "GET"]));
    client.expect("*10\r\n*6\r\n:20\r\n");
    client.send(request(&["PING"]));
    while client.line() != "+PONG" {}
    client.talk("> CONFIG SET slowlog-max-len 2\n< +OK\n> SLOWLOG LEN\n< :2");
    assert_eq!(logged(&mut client), ["ECHO 19", "ECHO 18"]);
    client.talk("> CONFIG SET slowlog-max-len 0\n< +OK\n> SLOWLOG LEN\n< :0");
    client.talk("> CONFIG SET slowlog-log-slower-than 0\n< +OK\n> SLOWLOG GET 5\n< *0");
    client.talk("> CONFIG SET slowlog-max-len 100\n< +OK\n> PING\n< +PONG");
    assert_eq!(logged(&mut client)[0], "PING");
}

fn workers_share_one_log(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "3", "--slowlog-log-slower-than", "0"]);
    let mut clients: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.ask(&["ECHO", &n.to_string()], format!("$1\r\n{n}\r\n"));
    }
    let entries = log(&mut clients[3]);
    let echoes: Vec<&Entry> = entries.iter().filter(|entry| entry.arguments[0] == "ECHO").collect();
    assert_eq!(echoes.len(), 6, "{entries:?}");
    assert!(entries.windows(2).all(|pair| pair[0].id == pair[1].id + 1), "{entries:?}");
    for (n, client) in clients.iter_mut().enumerate() {
        let own = client.tcp().local_addr().expect("a connected socket has an address").to_string();
        assert!(echoes.iter().any(|it| it.peer == own && it.arguments[1] == n.to_string()), "{echoes:?}");
    }
    clients[0].talk("> CONFIG SET slowlog-log-slower-than -1\n< +OK");
    wait_until("all workers know of it", || {
        clients[1].talk("> SLOWLOG RESET\n< +OK");
        clients.iter_mut().for_each(|client| client.talk("> PING\n< +PONG"));
        logged(&mut clients[2]).is_empty()
    });
}

/// A part of a request that is executed while it arrives is shown under the name of its command.
fn streamed_requests_are_logged(engine: Engine) {
    if is_foreign() {
        return;
    }
    let server = Server::with_flags(engine, &["--slowlog-log-slower-than", "0", "--stream-threshold", "4kb"]);
    let mut client = server.connect();
    let keys: Vec<String> = (0..10_000).map(|n| format!("key:{n}")).collect();
    let words: Vec<&str> = ["exists"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    client.ask(&words, ":0\r\n");
    let entries = log(&mut client);
    assert!(entries.iter().filter(|entry| entry.arguments[0] == "exists").count() > 0, "{entries:?}");
    let first = entries.iter().rfind(|entry| entry.arguments[0] == "exists").expect("there is one");
    assert_eq!(first.arguments[1], "key:0", "{first:?}");
    assert!(first.arguments[31].ends_with(" more arguments)"), "{first:?}");
}

fn malformed_wishes_are_refused(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    server.connect().talk(
        "> SLOWLOG GET -2
         < -ERR count should be greater than or equal to -1
         > SLOWLOG GET x
         < -ERR count should be greater than or equal to -1
         > SLOWLOG GET 1 2
         < -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
         > SLOWLOG GET 0
         < *0
         > SLOWLOG LEN 1
         < -ERR wrong number of arguments for 'slowlog|len' command
         > SLOWLOG
         < -ERR wrong number of arguments for 'slowlog' command
         > SLOWLOG NOSUCH
         < -ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.
         > LATENCY HELP xxx
         < -ERR wrong number of arguments for 'latency|help' command
         > LATENCY HISTORY
         < -ERR wrong number of arguments for 'latency|history' command
         > LATENCY GRAPH command
         < -ERR No samples available for event 'command'
         > LATENCY GRAPH no\\r\\nsuch
         < -ERR No samples available for event 'no  such'
         > CONFIG SET latency-monitor-threshold -1
         < -ERR CONFIG SET failed (possibly related to argument 'latency-monitor-threshold') - argument must be between 0 and 9223372036854775807 inclusive
         > CONFIG SET slowlog-log-slower-than -2
         < -ERR CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - argument must be between -1 and 9223372036854775807 inclusive",
    );
}

fn the_monitor_notes_what_took_long(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk(
        "> CONFIG GET latency-monitor-threshold
         < *2
         < $25
         < latency-monitor-threshold
         < $1
         < 0
         > DEBUG SLEEP 0.02
         < +OK
         > LATENCY LATEST
         < *0
         > CONFIG SET latency-monitor-threshold 200
         < +OK
         > DEBUG SLEEP 0.02
         < +OK
         > LATENCY LATEST
         < *0
         > LATENCY HISTORY command
         < *0
         > LATENCY HISTORY blabla
         < *0
         > LATENCY RESET
         < :0",
    );
    let before = now_s();
    // More than a second lies between any two ends.
    client.talk("> DEBUG SLEEP 0.3\n< +OK\n> DEBUG SLEEP 1.2\n< +OK\n> DEBUG SLEEP 1.1\n< +OK");
    client.send(request(&["LATENCY", "HISTORY", "command"]));
    assert_eq!(array(&mut client), 3);
    let samples: Vec<(i64, i64)> = (0..3)
        .map(|_| {
            assert_eq!(array(&mut client), 2);
            (client.integer(), client.integer())
        })
        .collect();
    assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0), "{samples:?}");
    for ((unix_s, ms), least) in samples.iter().zip([300, 1200, 1100]) {
        assert!((before..=now_s()).contains(unix_s) && (least..least + 900).contains(ms), "{samples:?}");
    }
    client.send(request(&["LATENCY", "LATEST"]));
    client.expect("*1\r\n*4\r\n$7\r\ncommand\r\n");
    let [unix_s, ms, most] = [(); 3].map(|()| client.integer());
    assert_eq!(((unix_s, ms), most), (samples[2], samples[1].1));
    client.talk(
        "> LATENCY RESET blabla fast-command
         < :0
         > LATENCY HISTORY COMMAND
         < *0
         > LATENCY RESET COMMAND command
         < :1
         > LATENCY LATEST
         < *0
         > CONFIG SET latency-monitor-threshold 0
         < +OK
         > DEBUG SLEEP 0.3
         < +OK
         > LATENCY LATEST
         < *0",
    );
}

fn the_monitor_draws(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    client.talk(
        "> CONFIG SET latency-monitor-threshold 5\n< +OK\n> LATENCY RESET\n< :0\n> DEBUG SLEEP 0.01\n< +OK",
    );
    client.send(request(&["LATENCY", "GRAPH", "command"]));
    let drawn = client.text();
    let lines: Vec<&str> = drawn.split('\n').collect();
    assert!(lines[0].starts_with("command - high ") && lines[0].contains(" ms (all time high "), "{drawn}");
    assert_eq!(lines[1], "-".repeat(80));
    assert_eq!(lines[2..7], [" ", " ", " ", "_", " "], "one sample is its own lowest: {drawn}");
    client.send(request(&["HELLO", "3"]));
    client.reply();
    client.send(request(&["LATENCY", "GRAPH", "command"]));
    assert!(client.line().starts_with('='), "text with its format");
}

fn the_doctor_is_asked(engine: Engine) {
    let server = Server::with_flags(engine, &DEBUG);
    let mut client = server.connect();
    let ask = |client: &mut Client| {
        client.send(request(&["LATENCY", "DOCTOR"]));
        client.text()
    };
    assert!(!ask(&mut client).is_empty());
    if is_foreign() {
        return;
    }
    client.talk("> CONFIG SET slowlog-log-slower-than -1\n< +OK");
    let report = ask(&mut client);
    assert!(report.starts_with("All fine"), "{report}");
    assert!(
        report.contains("latency-monitor-threshold 100") && report.contains("slowlog-log-slower-than"),
        "{report}"
    );
    client.talk(
        "> CONFIG SET slowlog-log-slower-than 10000 latency-monitor-threshold 100
         < +OK
         > DEBUG SLEEP 0.15
         < +OK",
    );
    let report = ask(&mut client);
    assert!(report.contains("1. Slow commands: DEBUG (1 of the slow log, up to 1"), "{report}");
    assert!(report.contains("no DEBUG SLEEP where clients wait") && !report.contains("is off"), "{report}");
    client.talk("> SLOWLOG RESET\n< +OK\n> LATENCY RESET\n< :1");
    let report = ask(&mut client);
    assert_eq!(report, "All fine: nothing that was looked at holds clients up.\n");
}

fn the_doctor_finds_a_hot_connection(engine: Engine) {
    if is_foreign() {
        return;
    }
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let (mut hot, mut calm, mut doctor) = (server.connect(), server.connect(), server.connect());
    hot.send(request(&["CLIENT", "ID"]));
    let id = hot.integer();
    let (pipeline, replies) = (request(&["PING"]).repeat(5_000), "+PONG\r\n".repeat(5_000));
    wait_until("the doctor names the client that sends most", || {
        hot.send(&pipeline);
        hot.expect(&replies);
        calm.talk("> PING\n< +PONG");
        doctor.send(request(&["LATENCY", "DOCTOR"]));
        doctor.text().contains(&format!("Hot connection: client id={id} sent "))
    });
}

fn keys_that_expire_at_once_are_noticed(engine: Engine) {
    if is_foreign() {
        return;
    }
    let server = Server::with_flags(engine, &["--appendonly", "no"]);
    let mut client = server.connect();
    let mut wire = Vec::new();
    for n in 0..5_000 {
        wire.extend(request(&["SET", &format!("session:{n}:x"), "1", "PX", "300"]));
    }
    client.send(wire);
    client.expect("+OK\r\n".repeat(5_000));
    wait_until("all keys are gone", || {
        client.send(request(&["DBSIZE"]));
        client.integer() == 0
    });
    let capped: u64 =
        info(&mut client, &["stats"])["expired_time_cap_reached_count"].parse().expect("it is a number");
    assert!((10..=5_000).contains(&capped), "64 keys go in a turn, and {capped} turns left some");
}

fn syncs_are_measured(engine: Engine) {
    if is_foreign() {
        return;
    }
    let server = Server::with_flags(engine, &["--appendfsync", "always"]);
    let mut client = server.connect();
    let number = |client: &mut Client, name: &str| -> u64 {
        info(client, &["persistence"])[name].parse().expect("it is a number")
    };
    assert_eq!(number(&mut client, "journal_syncs"), 0);
    for n in 1..=5 {
        client.ask(&["INCR", "n"], format!(":{n}\r\n"));
    }
    // A reply leaves when its sync is known, which is a moment before it is counted.
    wait_until("five syncs are counted", || number(&mut client, "journal_syncs") >= 5);
    let (last, most) = (number(&mut client, "aof_last_fsync_us"), number(&mut client, "journal_sync_max_us"));
    assert!(last > 0 && most >= last && most >= number(&mut client, "journal_sync_p99_us"));
    assert_eq!(number(&mut client, "journal_lag_bytes"), 0, "what was answered is synced");
    assert_eq!(number(&mut client, "journal_lag_ms"), 0);
    // Once a second, by another thread: what was appended waits until somebody asks for it.
    client.talk("> CONFIG SET appendfsync everysec\n< +OK\n> CONFIG RESETSTAT\n< +OK\n> INCR n\n< :6");
    client.talk("> WAITAOF 1 0 10000\n< *2\n< :1\n< :0");
    wait_until("its sync is counted", || number(&mut client, "journal_syncs") >= 1);
    assert_eq!(number(&mut client, "aof_delayed_fsync"), 0);
}
