//! What commands take, as the server tells it: `LATENCY HISTOGRAM`, `LATENCY HDR`, `INFO commandstats`, `latencystats` and
//! `errorstats`.

use std::collections::BTreeMap;

use crate::client::{Client, request};
use crate::introspection::info;
use crate::server::{Engine, Server};

on_every_engine![
    every_call_is_counted_once,
    refused_and_failed_calls_are_told_apart,
    requests_of_a_transaction_count_by_themselves,
    a_request_that_streams_is_one_call,
    histograms_are_shown_as_redis_shows_them,
    percentiles_are_those_that_are_asked_for,
    hdr_has_percentiles_and_the_histogram,
    hdr_times_replies_that_wait_to_their_end,
    tracking_can_be_switched_off,
];

/// A line of statistics: `calls=1,usec=2` and so on.
fn line(client: &mut Client, section: &str, name: &str) -> BTreeMap<String, f64> {
    let all = info(client, &[section]);
    let Some(line) = all.get(name).filter(|line| !line.is_empty()) else { return BTreeMap::new() };
    let pairs = line.split(',').map(|pair| pair.split_once('=').expect("a name and a value"));
    pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// `calls`, `rejected_calls` and `failed_calls` of a command.
fn calls(client: &mut Client, command: &str) -> [u64; 3] {
    let line = line(client, "commandstats", &format!("cmdstat_{command}"));
    ["calls", "rejected_calls", "failed_calls"].map(|name| {
        let value = line.get(name).copied().unwrap_or(0.0);
        format!("{value}").parse().expect("a whole number")
    })
}

fn every_call_is_counted_once(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let batch = request(&["INCR", "n"]).repeat(200);
    for round in 1..=5 {
        client.send(&batch);
        (0..200).for_each(|_| assert!(client.integer() > 0));
        assert_eq!(calls(&mut client, "incr"), [round * 200, 0, 0]);
    }
    client.talk("> GET n\n< $4\n< 1000");
    assert_eq!(calls(&mut client, "get"), [1, 0, 0]);
    assert_eq!(calls(&mut client, "info")[0], 6, "all but the one that tells");
    let incr = line(&mut client, "commandstats", "cmdstat_incr");
    assert!(incr["usec"] > 0.0 && incr["usec_per_call"] > 0.0, "{incr:?}");
    client.talk("> CONFIG RESETSTAT\n< +OK");
    assert_eq!(calls(&mut client, "incr"), [0, 0, 0]);
    assert_eq!(calls(&mut client, "config|resetstat")[0], 1, "it is told behind itself");
}

fn refused_and_failed_calls_are_told_apart(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    for (asked, reply) in [
        ("SET text a", "+OK"),
        ("INCR text", "-ERR value is not an integer or out of range"),
        ("INCR", "-ERR wrong number of arguments for 'incr' command"),
        ("HGET text f", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "),
    ] {
        client.ask_words(asked, format!("{reply}\r\n"));
    }
    assert_eq!(calls(&mut client, "incr"), [1, 1, 1]);
    assert_eq!(calls(&mut client, "hget"), [1, 0, 1]);
    let errors = info(&mut client, &["errorstats"]);
    assert_eq!(errors["errorstat_ERR"], "count=3");
    assert_eq!(errors["errorstat_WRONGTYPE"], "count=1");
    let default = info(&mut client, &[]);
    assert!(default.contains_key("errorstat_ERR") && !default.contains_key("cmdstat_incr"));
    client.talk("> CONFIG RESETSTAT\n< +OK");
    assert!(info(&mut client, &["errorstats"]).is_empty());
}

fn requests_of_a_transaction_count_by_themselves(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> MULTI
         < +OK
         > INCR a
         < +QUEUED
         > INCR a
         < +QUEUED
         > HGET a f
         < +QUEUED
         > EXEC
         < *3
         < :1
         < :2
         < -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
    assert_eq!(calls(&mut client, "incr"), [2, 0, 0]);
    assert_eq!(calls(&mut client, "hget"), [1, 0, 1]);
    assert_eq!(calls(&mut client, "exec")[0], 1);
    assert_eq!(calls(&mut client, "multi")[0], 1);
}

fn a_request_that_streams_is_one_call(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let keys: Vec<String> = (0..40_000).map(|number| format!("key:{number}")).collect();
    let mut arguments = vec!["EXISTS"];
    arguments.extend(keys.iter().map(String::as_str));
    let whole = request(&arguments);
    for piece in whole.chunks(50_000) {
        client.send(piece);
    }
    client.expect(":0\r\n");
    assert_eq!(calls(&mut client, "exists"), [1, 0, 0]);
    assert_eq!(flat(&mut client, &["LATENCY", "HISTOGRAM", "exists"])[2], "1");
}

/// The lines of a reply that are not lengths, in order.
fn flat(client: &mut Client, arguments: &[&str]) -> Vec<String> {
    client.send(request(arguments));
    client.send(request(&["PING"]));
    let mut lines = Vec::new();
    loop {
        let line = client.line();
        if line == "+PONG" {
            return lines;
        }
        if !line.starts_with(['*', '$', '%']) {
            lines.push(line.trim_start_matches([':', ',']).to_owned());
        }
    }
}

fn histograms_are_shown_as_redis_shows_them(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    (0..50).for_each(|_| client.talk("> SET k v\n< +OK"));
    assert_eq!(flat(&mut client, &["CONFIG", "GET", "appendfsync"]).len(), 2);
    let lines = flat(&mut client, &["LATENCY", "HISTOGRAM", "set"]);
    assert_eq!(&lines[..4], ["set", "calls", "50", "histogram_usec"]);
    let numbers: Vec<u64> = lines[4..].iter().map(|line| line.parse().expect("a number")).collect();
    let (micros, counts): (Vec<u64>, Vec<u64>) = numbers.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    assert!(micros.is_sorted() && counts.is_sorted() && counts.last() == Some(&50), "{micros:?} {counts:?}");
    let known = (0..30).map(|doublings| (1024_u64 << doublings) + (1024_u64 << doublings) / 128);
    let known: Vec<u64> = known.map(|end| (end - 1) / 1000).collect();
    assert!(micros.iter().all(|micros| known.contains(micros)), "steps double: {micros:?}");
    assert_eq!(flat(&mut client, &["LATENCY", "HISTOGRAM", "nosuch"]), Vec::<String>::new());
    let container = flat(&mut client, &["LATENCY", "HISTOGRAM", "CONFIG"]);
    assert_eq!(container[0], "config|get", "a container stands for its subcommands");
    let all = flat(&mut client, &["LATENCY", "HISTOGRAM"]);
    assert!(all.contains(&"set".to_owned()) && all.contains(&"latency|histogram".to_owned()));
}

fn percentiles_are_those_that_are_asked_for(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> INCR n\n< :1");
    let line_of = |client: &mut Client| line(client, "latencystats", "latency_percentiles_usec_incr");
    let shown = line_of(&mut client);
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["p50", "p99", "p99.9"]);
    assert!(shown["p50"] > 0.0 && shown["p50"].total_cmp(&shown["p99.9"]).is_eq(), "there is one value");
    let set = |client: &mut Client, value| {
        client.ask(&["CONFIG", "SET", "latency-tracking-info-percentiles", value], "+OK\r\n");
    };
    set(&mut client, "0 100");
    assert_eq!(line_of(&mut client).keys().collect::<Vec<_>>(), ["p0", "p100"]);
    set(&mut client, "");
    assert!(line_of(&mut client).is_empty());
}

/// Count and greatest value of the two histograms of a command, in microseconds.
fn hdr(client: &mut Client, command: &str) -> [(u64, f64); 2] {
    let lines = flat(client, &["LATENCY", "HDR", command]);
    let reply = lines.iter().position(|line| line == "reply").expect("reply times are told");
    [&lines[1..reply], &lines[reply + 1..]].map(|lines| {
        let value = |name: &str| {
            let at = lines.iter().position(|line| line == name).expect("the figure is told");
            lines[at + 1].as_str()
        };
        (value("count").parse().expect("a count"), value("max").parse().expect("microseconds"))
    })
}

fn hdr_has_percentiles_and_the_histogram(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["INCR", "n"]).repeat(100));
    (0..100).for_each(|_| assert!(client.integer() > 0));
    let lines = flat(&mut client, &["LATENCY", "HDR", "incr"]);
    let names: Vec<&str> = lines.iter().map(String::as_str).collect();
    for name in ["count", "min", "p50", "p90", "p99", "p99.9", "p99.99", "max", "hdr", "reply"] {
        assert!(names.contains(&name), "{name} is told");
    }
    let [service, reply] = hdr(&mut client, "incr");
    assert_eq!((service.0, reply.0), (100, 100));
    assert!(reply.1 >= service.1, "a reply leaves when its command is done, not earlier");
}

fn hdr_times_replies_that_wait_to_their_end(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> WAIT 1 60\n< :0");
    let [service, reply] = hdr(&mut client, "wait");
    assert_eq!((service.0, reply.0), (1, 1));
    assert!(reply.1 >= 59_000.0, "the reply came {} µs after its request", reply.1);
    assert!(service.1 < reply.1, "to wait is no work");
}

fn tracking_can_be_switched_off(engine: Engine) {
    let server = Server::with_flags(engine, &["--latency-tracking", "no"]);
    let mut client = server.connect();
    client.talk("> INCR n\n< :1");
    assert_eq!(flat(&mut client, &["LATENCY", "HISTOGRAM"]), Vec::<String>::new());
    assert_eq!(calls(&mut client, "incr"), [1, 0, 0], "calls are counted all the same");
    client.talk("> CONFIG SET latency-tracking yes\n< +OK\n> INCR n\n< :2");
    assert_eq!(flat(&mut client, &["LATENCY", "HISTOGRAM", "incr"])[2], "1");
}
