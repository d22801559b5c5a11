//! A disk without space, and values too long for the ring: each is refused before it changes anything, as short ones are.

use std::time::{Duration, Instant};

use crate::client::{Client, escape, request};
use crate::place::{Place, Volume, can_mount};
use crate::server::{Engine, Server, wait_until};

const REFUSED: &str = "MISCONF Errors writing to the AOF file: No space left on device";

/// Within so much time an answer is given, whatever it is.
const PROMPTLY: Duration = Duration::from_secs(2);

/// Within so much time after there is space, writes are served.
const SOON: Duration = Duration::from_secs(2);

/// Bytes of a long value.
const LONG: usize = 300_000;

/// Fields of a hash of which no part is long, and bytes of each value.
const FIELDS: usize = 6_000;
const VALUE: usize = 60;

/// Sends a request and takes its answer's first line, which comes soon.
fn answer<A: AsRef<[u8]>>(client: &mut Client, arguments: &[A]) -> String {
    let began = Instant::now();
    client.send(request(arguments));
    let line = client.line();
    assert!(began.elapsed() < PROMPTLY, "answered after {:?}: {line}", began.elapsed());
    line
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// `HSET key …`, all in one request.
fn hset(key: &str) -> Vec<String> {
    let mut words = words(&format!("HSET {key}"));
    for field in 0..FIELDS {
        words.extend([format!("field:{field}"), "v".repeat(VALUE)]);
    }
    words
}

/// Requests that would have the journal tell more than a frame in the ring can, and what each answers when it is served.
fn long_requests() -> Vec<(Vec<String>, &'static str)> {
    let long = "l".repeat(LONG);
    vec![
        (vec!["SET".into(), "text".into(), long.clone()], "+OK"),
        (vec!["APPEND".into(), "text".into(), long.clone()], ":600000"),
        (vec!["SETRANGE".into(), "text".into(), "7".into(), long.clone()], ":600000"),
        (words("COPY source source:copy"), ":1"),
        (words("COPY hash hash:copy"), ":1"),
        (words("RENAMENX hash:copy hash:other"), ":1"),
        (hset("hash:new"), ":6000"),
        (vec!["MSET".into(), "a".into(), long.clone(), "b".into(), long], "+OK"),
        // The last, as it takes away what others copy.
        (words("RENAME hash hash:renamed"), "+OK"),
    ]
}

/// A connection with a transaction whose own bytes are few, and which copies what is long, over and over.
fn begin_copies(server: &Server) -> Client {
    let mut client = server.connect();
    client.talk(
        "> MULTI\n< +OK\n> INCR n\n< +QUEUED\n> COPY hash c1\n< +QUEUED\n> COPY c1 c2\n< +QUEUED\n> COPY text c3\n< +QUEUED\n\
         > SETRANGE c4 900000 x\n< +QUEUED\n> COPY c4 c5\n< +QUEUED",
    );
    client
}

/// Sets long values until that is refused for good. Gives the last that was acknowledged.
fn fill_with_long(server: &Server) -> String {
    let mut client = server.connect();
    let (mut last, mut refusals) = ("old".to_owned(), 0);
    for round in 0.. {
        let long = format!("{:01}", round % 10).repeat(LONG);
        let line = answer(&mut client, &["SET", "s", &long]);
        if line == "+OK" {
            (last, refusals) = (long, 0);
            assert!(round < 1000, "the disk is full");
        } else {
            assert_eq!(line, format!("-{REFUSED}"));
            refusals += 1;
        }
        client.ask(&["STRLEN", "s"], format!(":{}\r\n", last.len()));
        server.connect().talk("> PING\n< +PONG");
        if refusals == 10 {
            break;
        }
    }
    last
}

/// Nothing has come of what was refused.
fn check_unchanged(server: &Server, last: &str) {
    let mut client = server.connect();
    client.ask(&["GET", "s"], format!("${}\r\n{last}\r\n", last.len()));
    client.talk(
        "> GET text\n< $5\n< short\n> EXISTS source:copy hash:copy hash:other hash:new hash:renamed a b\n< :0",
    );
    client.ask_words("HLEN hash", format!(":{FIELDS}\r\n"));
    client.talk("> EXISTS c1 c2 c3 c4 c5 queued\n< :0");
}

fn check_all(server: &Server, (last, sum): (&str, i64)) {
    let mut client = server.connect();
    client.ask(&["GET", "s"], format!("${}\r\n{last}\r\n", last.len()));
    client.talk("> STRLEN text\n< :600000\n> STRLEN source:copy\n< :300000\n> EXISTS hash hash:copy\n< :0");
    for key in ["hash:other", "hash:new", "hash:renamed", "c1", "c2"] {
        client.ask_words(&format!("HLEN {key}"), format!(":{FIELDS}\r\n"));
    }
    client.talk("> STRLEN c3\n< :5\n> STRLEN c4\n< :900001\n> STRLEN c5\n< :900001\n> STRLEN a\n< :300000");
    client.ask_words("GET n", format!("${}\r\n{sum}\r\n", sum.to_string().len()));
}

fn long_values(engine: Engine, mode: &str) {
    if !can_mount("a full file system") {
        return;
    }
    let mut volume = Volume::new(96);
    let dir = volume.dir();
    let flags = ["--dir", &dir, "--appendfsync", mode];
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    client.talk("> SET s old\n< +OK\n> SET text short\n< +OK");
    assert_eq!(answer(&mut client, &hset("hash")), format!(":{FIELDS}"));
    assert_eq!(answer(&mut client, &["SET", "source", &"s".repeat(LONG)]), "+OK");
    let mut waiting = server.connect();
    waiting.talk("> MULTI\n< +OK");
    assert_eq!(answer(&mut waiting, &["SET", "queued", &"q".repeat(LONG)]), "+QUEUED");
    let mut copies = begin_copies(&server);
    volume.fill();
    let last = fill_with_long(&server);
    let mut sum = 0;
    for (arguments, _) in long_requests() {
        // What depends on a key that is not there has nothing to tell.
        if arguments[1] != "hash:copy" {
            assert_eq!(answer(&mut client, &arguments), format!("-{REFUSED}"), "{}", arguments[0]);
        }
        let line = answer(&mut server.connect(), &["INCR", "n"]);
        sum += i64::from(line.starts_with(':'));
        assert!(line == format!(":{sum}") || line == format!("-{REFUSED}"), "{line}");
    }
    let aborted = format!("-EXECABORT Transaction discarded because of: {REFUSED}");
    assert_eq!(answer(&mut waiting, &["EXEC"]), aborted);
    assert_eq!(answer(&mut copies, &["EXEC"]), aborted);
    check_unchanged(&server, &last);
    volume.free();
    let began = Instant::now();
    wait_until("long values are taken again", || answer(&mut client, &["SET", "s", &last]) == "+OK");
    assert!(began.elapsed() < SOON, "served again after {:?}", began.elapsed());
    let mut copies = begin_copies(&server);
    assert_eq!(answer(&mut copies, &["EXEC"]), "*6");
    for (arguments, reply) in long_requests() {
        assert_eq!(answer(&mut client, &arguments), reply, "{}", arguments[0]);
    }
    check_all(&server, (&last, sum + 1));
    drop(server);
    check_all(&Server::with_flags(engine, &flags), (&last, sum + 1));
}

/// One request for more than the disk has, though it has much: it is refused, and what it took of the disk meanwhile is given
/// back, so that all others are served.
fn more_than_there_is(engine: Engine) {
    if !can_mount("a full file system") {
        return;
    }
    let volume = Volume::new(128);
    let dir = volume.dir();
    let flags =
        ["--dir", &dir, "--appendfsync", "always", "--threads", "2", "--client-query-buffer-limit", "1gb"];
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    let long = "l".repeat(1_000_000);
    let mut huge = words("MSET");
    (0..150).for_each(|n| huge.extend([format!("k{n}"), long.clone()]));
    for round in 0..3 {
        let began = Instant::now();
        client.send(request(&huge));
        let mut others = [server.connect(), server.connect(), server.connect()];
        let mut sum = 0;
        for turn in 0..30 {
            sum += 1;
            assert_eq!(answer(&mut others[turn % 3], &["INCR", &format!("n{round}")]), format!(":{sum}"));
        }
        assert_eq!(client.line(), format!("-{REFUSED}"));
        assert!(began.elapsed() < Duration::from_secs(20), "refused after {:?}", began.elapsed());
    }
    assert_eq!(answer(&mut client, &["EXISTS", "k0", "k149"]), ":0");
    // A fifth of that has space.
    huge.truncate(61);
    assert_eq!(answer(&mut client, &huge), "+OK");
    drop(server);
    Server::with_flags(engine, &flags).connect().talk("> EXISTS k0 k29 k30\n< :2\n> GET n2\n< $2\n< 30");
}

/// Keys almost as long as they may be, of which each effect tells, in a ring whose frames are a quarter of that: none of these takes
/// more than it was reckoned to need, which the program under test asserts.
fn long_keys(engine: Engine) {
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir, "--appendfsync", "everysec"];
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    let (key, other) = ("k".repeat(60_000), "o".repeat(60_000));
    let key_and = |before: &str, after: &str| {
        let mut all = words(before);
        all.push(key.clone());
        all.extend(after.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        all
    };
    let fields = (0..50).map(|n| format!("f{n} {n}")).collect::<Vec<_>>().join(" ");
    let names = (0..49).map(|n| format!("f{n}")).collect::<Vec<_>>().join(" ");
    let requests = [
        (key_and("HSET", &fields), ":50"),
        (key_and("COPY", &other), ":1"),
        (key_and("HDEL", &names), ":49"),
        (key_and("HINCRBY", "f49 1"), ":50"),
        (key_and("DEL", &other), ":2"),
        (key_and("INCRONCE", "5 token PX 60000"), "*"),
        (key_and("MINCRONCE token 60000", "1"), "*"),
        (key_and("MINCRBY", &format!("1 {other} 2 n 3")), "*"),
        (key_and("SET", "5 PX 1"), "+OK"),
        (key_and("MSET", &format!("1 {other} 2")), "+OK"),
        (key_and("INCRBYFLOAT", "1.5"), "$3"),
    ];
    for (arguments, reply) in &requests {
        client.send(request(arguments));
        let got = client.reply();
        assert!(got.starts_with(reply.as_bytes()), "{}: {}", arguments[0], escape(&got));
    }
    // Some that are over at once, looked at by those who only look, alone, together and in a transaction.
    for round in 0..5 {
        for name in ["a", "b", "c"] {
            assert_eq!(answer(&mut client, &["SET", &name.repeat(60_000 + round), "1", "PX", "1"]), "+OK");
        }
        let [a, b, c] = ["a", "b", "c"].map(|name| name.repeat(60_000 + round));
        client.talk("> MULTI\n< +OK");
        assert_eq!(answer(&mut client, &["GET", &a]), "+QUEUED");
        assert_eq!(answer(&mut client, &["MGET", &b, &c]), "+QUEUED");
        client.talk("> RANDOMKEY\n< +QUEUED");
        client.send(request(&["EXEC"]));
        client.reply();
        wait_until("they are over", || answer(&mut client, &["EXISTS", &a, &b, &c]) == ":0");
    }
    drop(server);
    let server = Server::with_flags(engine, &flags);
    server.connect().ask(&["MGET", &key, &other, "n"], "*3\r\n$3\r\n2.5\r\n$1\r\n2\r\n$1\r\n3\r\n");
}

fn long_values_with_a_sync_for_each_reply(engine: Engine) {
    long_values(engine, "always");
}

fn long_values_with_a_sync_each_second(engine: Engine) {
    long_values(engine, "everysec");
}

fn long_values_without_syncs(engine: Engine) {
    long_values(engine, "no");
}

on_both_engines!(
    long_values_with_a_sync_for_each_reply,
    long_values_with_a_sync_each_second,
    long_values_without_syncs,
    more_than_there_is,
    long_keys,
);
