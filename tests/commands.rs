//! The commands as clients see them: sessions in bytes, replayed through `resolve` and `run` on a real table and
//! a virtual clock. Knows no socket and no engine.
//!
//! The sessions are the files of `tests/commands/`. `# title` starts one on an empty server and a new
//! connection, `> request` is followed by its reply, `@advance ms` moves the clock and `@back ms` sets it back,
//! `@protocol n` changes the protocol version, `@password text` sets one and connects anew, `@maxtokens n` is the bound
//! of tokens. All replies were taken from Redis 7.0.15 except in sessions marked as ours.

#[path = "commands/clients.rs"]
mod clients;
#[path = "commands/effects.rs"]
mod effects;
#[path = "commands/fields.rs"]
mod fields;
#[path = "commands/groups.rs"]
mod groups;
#[path = "commands/queues.rs"]
mod queues;
#[path = "commands/retries.rs"]
mod retries;
#[path = "commands/server.rs"]
mod server;
#[path = "commands/walks.rs"]
mod walks;

use std::collections::BTreeMap;
use std::fmt::Write;

use tallyring::command::Tally;
use tallyring::command::acl::{Digest, Users};
use tallyring::command::resolve::{Refusal, foresee, resolve};
use tallyring::command::session::Session;
use tallyring::limits::KEY_BYTES;
use tallyring::resp::args::Args;
use tallyring::resp::encode::Protocol;

use server::{Random, Server, arguments, multibulk, shown};

/// Replays the sessions of a file and shows every reply that differs.
fn replay(file: &str) {
    let mut server = Server::new();
    let mut title = "";
    let mut differences = String::new();
    let mut exchanges = 0;
    let mut lines = file.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("# ") {
            (server, title) = (Server::new(), text);
        } else if let Some(ms) = line.strip_prefix("@advance ") {
            server.now_ms += ms.parse::<u64>().expect("a number of milliseconds");
        } else if let Some(ms) = line.strip_prefix("@back ") {
            server.now_ms -= ms.parse::<u64>().expect("a number of milliseconds");
        } else if let Some(most) = line.strip_prefix("@maxtokens ") {
            server.host.limits.max_tokens = most.parse().expect("a number of tokens");
        } else if let Some(version) = line.strip_prefix("@protocol ") {
            server.session.protocol = if version == "3" { Protocol::Resp3 } else { Protocol::Resp2 };
        } else if let Some(password) = line.strip_prefix("@password ") {
            server.host.users = Users::new(Some(Digest::of(password.as_bytes())));
            server.session = Session::new(7, &server.host.users);
        } else if let Some(request) = line.strip_prefix("> ") {
            let expected = lines.next().expect("a request is followed by its reply");
            let reply = server.ask(request);
            if reply != expected {
                differences += &format!("# {title}\n> {request}\n  is {reply}\n not {expected}\n");
            }
            exchanges += 1;
        } else {
            panic!("no line of a session: {line}");
        }
    }
    assert!(exchanges > 0 && differences.is_empty(), "\n{differences}");
}

#[test]
fn counters() {
    replay(include_str!("commands/counters.txt"));
}

#[test]
fn strings() {
    replay(include_str!("commands/strings.txt"));
}

#[test]
fn substrings() {
    replay(include_str!("commands/substrings.txt"));
}

#[test]
fn floats() {
    replay(include_str!("commands/floats.txt"));
}

#[test]
fn bounded_counters() {
    replay(include_str!("commands/increx.txt"));
}

#[test]
fn keyspace() {
    replay(include_str!("commands/keyspace.txt"));
}

#[test]
fn rate_limits() {
    replay(include_str!("commands/throttle.txt"));
}

#[test]
fn windows() {
    replay(include_str!("commands/windows.txt"));
}

#[test]
fn tokens() {
    replay(include_str!("commands/once.txt"));
}

#[test]
fn hashes() {
    replay(include_str!("commands/hashes.txt"));
}

#[test]
fn transactions() {
    replay(include_str!("commands/transactions.txt"));
}

#[test]
fn operation() {
    replay(include_str!("commands/operate.txt"));
}

#[test]
fn bulk() {
    replay(include_str!("commands/bulk.txt"));
}

#[test]
fn keys() {
    replay(include_str!("commands/keys.txt"));
}

#[test]
fn session() {
    replay(include_str!("commands/session.txt"));
}

#[test]
fn introspection() {
    replay(include_str!("commands/introspection.txt"));
}

#[test]
fn what_is_foreseen_of_a_request_is_what_is_resolved() {
    // A request in parts is judged by its count before permission is asked for; so must a whole one be.
    for request in
        ["MINCRBY a", "MINCRBY a 1 b", "MINCRBY a 1 b 2", "MSET a 1 b", "MGET", "GET a b", "CLIENT ID x"]
    {
        let (bytes, spans) = multibulk(&arguments(request));
        let args = Args::new(&bytes, &spans, spans.len());
        match (foresee(&args, args.len()), resolve(&args)) {
            (Ok(Some(foreseen)), Ok(resolved)) => assert!(std::ptr::eq(foreseen, resolved), "{request}"),
            (Err(Refusal::Arity(_, foreseen)), Err(Refusal::Arity(_, resolved))) => {
                assert!(std::ptr::eq(foreseen, resolved), "{request}");
            }
            (foreseen, resolved) => panic!("{request}: foreseen {foreseen:?}, resolved {resolved:?}"),
        }
    }
}

#[test]
fn long_keys_are_refused_before_anything_changes() {
    let longest = vec![b'k'; KEY_BYTES];
    let longer = vec![b'k'; KEY_BYTES + 1];
    let refused = format!("-ERR key is too long ({} bytes, at most {KEY_BYTES})\\r\\n", KEY_BYTES + 1);
    let mut server = Server::new();
    assert_eq!(server.run(&[b"INCR", &longest[..]]).reply, b":1\r\n");
    assert_eq!(server.run(&[b"SET", b"v".as_slice(), &longer]).reply, b"+OK\r\n", "a value may be longer");
    assert_eq!(shown(&server.run(&[b"INCR", &longer[..]]).reply), refused);
    assert_eq!(shown(&server.run(&[b"MSET", b"a".as_slice(), b"1", &longer, b"2"]).reply), refused);
    assert_eq!(shown(&server.run(&[b"DEL", b"v".as_slice(), &longer]).reply), refused);
    assert_eq!(server.run(&[b"MSET", b"w".as_slice(), &longer]).reply, b"+OK\r\n");
    assert_eq!(server.ask("EXISTS a v w"), ":2\\r\\n");
    assert_eq!(server.run(&[b"ECHO", &longer[..]]).reply.len(), longer.len() + 10, "no key");
}

#[test]
fn requests_of_any_size_agree_with_a_model() {
    let seed = 0x7a11_0000_0001;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut server = Server::new();
    let mut model: BTreeMap<String, i64> = BTreeMap::new();
    // Around one group of keys, around two, and beyond the positions that are kept.
    for pairs in [1, 2, 31, 32, 33, 63, 64, 65, 511, 512, 3000, 1, 700, 2000] {
        let keys: Vec<String> =
            (0..pairs).map(|_| format!("views:{}", random.below(1 + pairs * 2))).collect();
        let mut request = vec!["MINCRBY".to_owned()];
        let mut expected = format!("*{pairs}\r\n");
        for key in &keys {
            let delta = i64::try_from(random.below(2000)).unwrap() - 1000;
            request.extend([key.clone(), delta.to_string()]);
            let value = model.entry(key.clone()).or_default();
            *value += delta;
            write!(expected, ":{value}\r\n").unwrap();
        }
        assert_eq!(server.run(&request).reply, expected.as_bytes(), "MINCRBY of {pairs}");

        let mut request = vec!["DEL".to_owned()];
        request.extend((0..pairs).map(|_| format!("views:{}", random.below(1 + pairs * 4))));
        let removed = request[1..].iter().filter(|key| model.remove(*key).is_some()).count();
        assert_eq!(server.run(&request).reply, format!(":{removed}\r\n").as_bytes(), "DEL of {pairs}");

        let mut request = vec!["MGET".to_owned()];
        request.extend(keys.iter().cloned());
        let mut expected = format!("*{pairs}\r\n");
        for key in &keys {
            match model.get(key) {
                Some(value) => write!(expected, "${}\r\n{value}\r\n", value.to_string().len()).unwrap(),
                None => expected.push_str("$-1\r\n"),
            }
        }
        assert_eq!(server.run(&request).reply, expected.as_bytes(), "MGET of {pairs}");

        request[0] = "EXISTS".to_owned();
        let found = keys.iter().filter(|key| model.contains_key(*key)).count();
        assert_eq!(server.run(&request).reply, format!(":{found}\r\n").as_bytes(), "EXISTS of {pairs}");

        let mut request = vec!["MSET".to_owned()];
        for (value, key) in (0..).zip(&keys).filter(|_| random.below(2) == 0) {
            request.extend([key.clone(), value.to_string()]);
            model.insert(key.clone(), value);
        }
        if request.len() > 1 {
            assert_eq!(server.run(&request).reply, b"+OK\r\n", "MSET of {pairs}");
        }
        assert_eq!(server.run(&["DBSIZE"]).reply, format!(":{}\r\n", model.len()).as_bytes());
    }
}

#[test]
fn replies_wait_for_the_changes_they_show() {
    let mut server = Server::new();
    assert_eq!(server.run(&["GET", "a"]).wait, 0, "nothing has changed yet");
    assert_eq!(server.run(&["INCR", "a"]).wait, 1, "its own change");
    assert_eq!(server.run(&["GET", "a"]).wait, 1, "the change it shows");
    assert_eq!(server.run(&["INCRBY", "a", "x"]).wait, 0, "it looked at nothing");
    assert_eq!(server.run(&["MSET", "a", "5", "b", "text"]).wait, 3, "the later of its changes");
    assert_eq!(server.run(&["INCR", "b"]).wait, 3, "an error shows the value as well");
    assert_eq!(server.run(&["MGET", "a", "b"]).wait, 3);
    assert_eq!(server.run(&["DEL", "a"]).wait, 4);
    assert_eq!(server.run(&["GET", "a"]).wait, 4, "that it is gone is a change too");
    assert_eq!(server.run(&["FLUSHALL"]).wait, 5);
    assert_eq!(server.run(&["GET", "anything"]).wait, 5);
    assert_eq!(server.run(&["SET", "c", "v", "PX", "10"]).wait, 6);
    server.now_ms += 10;
    assert_eq!(server.run(&["GET", "c"]).wait, 7, "it removed what was over");
}

#[test]
fn reading_commands_count_hits_and_misses() {
    let mut server = Server::new();
    server.ask("MSET a 1 b 2");
    for (request, hits, misses) in [
        ("GET a", 1, 0),
        ("GET x", 0, 1),
        ("MGET a x b", 2, 1),
        ("EXISTS a x", 1, 1),
        ("TOUCH a x", 1, 1),
        ("TYPE a", 1, 0),
        ("TTL x", 0, 1),
        ("PTTL a", 1, 0),
        ("GETTTL a", 1, 0),
        ("GETTTL x", 0, 1),
        ("SET a 1 GET", 1, 0),
        ("SET a 1 NX", 0, 0),
        ("GETSET a 2", 1, 0),
        ("GETDEL a", 1, 0),
        ("INCR a", 0, 0),
        ("MINCRBY a 1 x 1", 0, 0),
        ("HSET h f 1", 0, 0),
        ("HGET h f", 1, 0),
        ("HGET h g", 1, 0),
        ("HMGET nothing f g", 0, 1),
        ("HGETALL h", 1, 0),
        ("HLEN nothing", 0, 1),
        ("HSCAN h 0", 1, 0),
        ("MGET h nothing", 1, 1),
        ("HINCRBY h f 1", 0, 0),
        ("HGETDEL h FIELDS 1 f", 0, 0),
        ("EXPIRE a 10", 0, 0),
        ("DEL a x", 0, 0),
    ] {
        server.tally = Tally::default();
        server.ask(request);
        assert_eq!(server.tally, Tally { hits, misses, ..Tally::default() }, "{request}");
    }
}

#[test]
fn info_has_sections() {
    let mut server = Server::new();
    let text = |server: &mut Server, request: &[&str]| {
        let reply = String::from_utf8(server.run(request).reply).unwrap();
        let (head, body) = reply.split_once("\r\n").unwrap();
        assert_eq!(head, format!("${}", body.len() - 2));
        body[..body.len() - 2].to_owned()
    };
    let all = text(&mut server, &["INFO"]);
    assert_eq!(text(&mut server, &["INFO", "default"]), all);
    for section in ["all", "EVERYTHING"] {
        // Those that have a line for each command only where they are asked for, as in Redis.
        let more = text(&mut server, &["INFO", section]);
        assert!(more.contains("# Commandstats\r\n") && more.contains("# Latencystats\r\n"));
        assert!(!all.contains("# Commandstats") && !all.contains("# Latencystats"));
        assert_eq!(more.replace("# Commandstats\r\n\r\n", "").replace("# Latencystats\r\n\r\n", ""), all);
    }
    for field in [
        "# Server\r\nredis_version:7.2.4\r\n",
        "tallyring_version:0.1.0\r\n",
        "tcp_port:6379\r\n",
        "used_memory_human:0B\r\n",
        "aof_enabled:0\r\n",
        "loading:0\r\n",
        "role:master\r\nconnected_slaves:0\r\n",
        "# CPU\r\nused_cpu_sys:0.000000\r\n",
        "cluster_enabled:0\r\n",
        "\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n",
        "# TLS\r\ntls_server_cert_serial:none\r\ntls_server_cert_expires_in_seconds:0\r\ntls_client_cert_serial:none\r\n",
        "\r\ntls_ca_cert_count:0\r\n",
        "# Engine\r\n",
    ] {
        assert!(all.contains(field), "{field:?} in {all}");
    }
    let fields = all.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert!(fields.clone().all(|line| line.split_once(':').is_some_and(|(name, _)| !name.is_empty())));
    let mut names: Vec<&str> = fields.filter_map(|line| line.split(':').next()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "no field twice");
    let two = text(&mut server, &["INFO", "Cluster", "keyspace", "nothing"]);
    let keyspace = "# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ntemplates:0\r\n";
    assert!(two.starts_with(keyspace) && two.contains("\r\nbytes_per_packed_key:0.00\r\n"), "{two}");
    assert_eq!(text(&mut server, &["INFO", "nothing"]), "");
    server.session.protocol = Protocol::Resp3;
    assert_eq!(server.ask("INFO cluster"), "=34\\r\\ntxt:# Cluster\\r\\ncluster_enabled:0\\r\\n\\r\\n");
}

#[test]
fn bounded_counters_agree_with_plain_arithmetic() {
    const EDGES: [i64; 9] = [0, 1, -1, 5, -7, i64::MAX, i64::MIN, i64::MAX - 3, i64::MIN + 3];
    let mut random = Random(0x5eed_0002);
    let mut server = Server::new();
    for _ in 0..5_000 {
        let mut edge = || EDGES[random.below(EDGES.len())];
        let (current, by, lower, upper) = (edge(), edge(), edge(), edge());
        let [bounded_below, bounded_above, saturate, exists] = [(); 4].map(|()| random.below(2) == 1);
        let current = if exists { current } else { 0 };
        server.ask(&if exists { format!("SET k {current}") } else { "DEL k".to_owned() });
        let mut request = format!("INCREX k BYINT {by}");
        let (mut least, mut most) = (i128::from(i64::MIN), i128::from(i64::MAX));
        if bounded_below {
            least = i128::from(lower);
            write!(request, " LBOUND {lower}").unwrap();
        }
        if bounded_above {
            most = i128::from(upper);
            write!(request, " UBOUND {upper}").unwrap();
        }
        if saturate {
            request += " SATURATE";
        }
        let sum = i128::from(current) + i128::from(by);
        let (expected, left) = if least > most {
            ("-ERR LBOUND can't be greater than UBOUND\\r\\n".to_owned(), exists.then_some(current))
        } else if (least..=most).contains(&sum) || saturate {
            let new = i64::try_from(sum.clamp(least, most)).unwrap();
            match new.checked_sub(current) {
                Some(added) => (format!("*2\\r\\n:{new}\\r\\n:{added}\\r\\n"), Some(new)),
                None => ("-ERR applied increment would overflow\\r\\n".to_owned(), exists.then_some(current)),
            }
        } else {
            (format!("*2\\r\\n:{current}\\r\\n:0\\r\\n"), exists.then_some(current))
        };
        assert_eq!(server.ask(&request), expected, "{request} on {current}");
        let left = left.map_or("$-1\\r\\n".to_owned(), |left| {
            let left = left.to_string();
            format!("${}\\r\\n{left}\\r\\n", left.len())
        });
        assert_eq!(server.ask("GET k"), left, "after {request} on {current}");
    }
}
