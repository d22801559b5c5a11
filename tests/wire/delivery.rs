//! However requests arrive, whole or in crumbs, one or a hundred thousand at once, the replies are the same.

use std::thread;

use crate::client::{Arrival, bulk, request};
use crate::crowd::connected;
use crate::server::{Engine, PATIENCE, Server, wait_until};

on_every_ring![
    ten_thousand_commands_in_one_write,
    one_byte_at_a_time,
    cut_at_every_byte,
    a_value_of_a_mebibyte,
    values_across_block_borders,
    pipelines_across_block_borders,
    mset_and_mget_of_a_hundred_thousand_keys,
    a_hundred_thousand_keys_removed_and_counted,
    half_closed_clients_get_their_replies,
    a_reset_amid_a_request_harms_nobody,
    all_written_before_anything_is_read,
    a_huge_mget_written_before_anything_is_read,
    an_error_reaches_a_client_that_still_sends,
    a_slow_reader_gets_everything,
    who_never_reads_is_cut_off,
];

/// A few requests of each kind, and what they are answered.
const MIXED: (&str, &str) = (
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n10\r\n\
     *2\r\n$4\r\nINCR\r\n$1\r\nk\r\n\
     PING\r\n\
     *2\r\n$3\r\nGET\r\n$1\r\nk\r\n\
     *0\r\n\
     *3\r\n$4\r\nMGET\r\n$1\r\nk\r\n$1\r\nx\r\n\
     NOSUCH a\r\n\
     *2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
    "+OK\r\n:11\r\n+PONG\r\n$2\r\n11\r\n*2\r\n$2\r\n11\r\n$-1\r\n\
     -ERR unknown command 'NOSUCH', with args beginning with: 'a' \r\n:1\r\n",
);

fn ten_thousand_commands_in_one_write(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["INCR", "n"]).repeat(10_000));
    let replies: String = (1..=10_000).map(|n| format!(":{n}\r\n")).collect();
    client.expect(replies);
    client.talk("> GET n\n< $5\n< 10000");
}

fn one_byte_at_a_time(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let (requests, replies) = MIXED;
    for _ in 0..3 {
        for byte in requests.as_bytes() {
            client.send([*byte]);
        }
        client.expect(replies);
    }
}

fn cut_at_every_byte(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let (requests, replies) = MIXED;
    for cut in 1..requests.len() {
        let (first, rest) = requests.split_at(cut);
        client.send(first);
        // Whoever asks after the first part was sent is answered after it was received.
        server.connect().talk("> PING\n< +PONG");
        client.send(rest);
        client.expect(replies);
    }
}

fn a_value_of_a_mebibyte(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let value: Vec<u8> = (0_u32..1 << 20).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    client.send(request(&[b"SET", b"big", &value[..]]));
    client.expect("+OK\r\n");
    for _ in 0..3 {
        client.send(request(&["GET", "big"]));
        client.expect(bulk(&value));
    }
    client.send(request(&[&b"GETSET"[..], b"big", &value[..value.len() / 2]]));
    client.expect(bulk(&value));
    client.send([request(&["INCR", "big"]), request(&["GETDEL", "big"]), request(&["DBSIZE"])].concat());
    client.expect("-ERR value is not an integer or out of range\r\n");
    client.expect([bulk(&value[..value.len() / 2]), b":0\r\n".to_vec()].concat());
}

/// Lengths around the powers of two at which buffers end.
fn border_lengths() -> impl Iterator<Item = usize> {
    [512, 1024, 4096, 8192, 16 * 1024, 32 * 1024, 64 * 1024].into_iter().flat_map(|border| {
        let framing = request(&[&b"SET"[..], b"k", b""]).len();
        (border - 3..=border + 3).chain(border - framing - 8..=border - framing + 8)
    })
}

fn values_across_block_borders(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    for length in border_lengths() {
        let value = vec![b'v'; length];
        client.send(
            [request(&[&b"SET"[..], b"k", &value]), request(&["GET", "k"]), request(&["PING"])].concat(),
        );
        client.expect([b"+OK\r\n".to_vec(), bulk(&value), b"+PONG\r\n".to_vec()].concat());
    }
}

fn pipelines_across_block_borders(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let pairs: Vec<u8> = [request(&["SET", "key", "value"]), request(&["GET", "key"])].concat();
    let first_argument: Vec<usize> = (4060..4100).chain(8180..8200).collect();
    for length in first_argument {
        let shift = vec![b's'; length];
        client.send([request(&[&b"ECHO"[..], &shift]), pairs.repeat(200)].concat());
        client.expect([bulk(&shift), b"+OK\r\n$5\r\nvalue\r\n".repeat(200)].concat());
    }
}

/// The names of `count` keys, each seen as `key:<n>`.
fn key_names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key:{n}")).collect()
}

fn mset_and_mget_of_a_hundred_thousand_keys(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let names = key_names(100_000);
    let mut mset = vec!["MSET".to_owned()];
    mset.extend(names.iter().enumerate().flat_map(|(n, name)| [name.clone(), n.to_string()]));
    client.send(request(&mset));
    client.expect("+OK\r\n");
    client.talk("> DBSIZE\n< :100000");
    let mut mget = vec!["MGET".to_owned()];
    mget.extend(names.iter().rev().cloned());
    client.send(request(&mget));
    let mut reply = b"*100000\r\n".to_vec();
    (0..100_000).rev().for_each(|n: u32| reply.extend_from_slice(&bulk(n.to_string())));
    client.expect(reply);
    client.talk("> PING\n< +PONG");
}

fn a_hundred_thousand_keys_removed_and_counted(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let names = key_names(100_000);
    let of = |command: &str| request(&[&[command.to_owned()], &names[..]].concat());
    client.send(of("EXISTS"));
    client.expect(":0\r\n");
    for name in &names {
        client.send(request(&["INCR", name]));
    }
    client.expect(":1\r\n".repeat(names.len()));
    client.send([of("EXISTS"), of("TOUCH"), of("DEL"), of("UNLINK"), request(&["DBSIZE"])].concat());
    client.expect(":100000\r\n:100000\r\n:100000\r\n:0\r\n:0\r\n");
}

fn half_closed_clients_get_their_replies(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["INCR", "n"]).repeat(1000));
    client.send("*2\r\n$4\r\nINCR\r\n$1\r\n");
    client.half_close();
    let replies: String = (1..=1000).map(|n| format!(":{n}\r\n")).collect();
    client.expect(replies);
    client.expect_closed();
    server.connect().talk("> GET n\n< $4\n< 1000");
}

fn a_reset_amid_a_request_harms_nobody(engine: Engine) {
    let server = Server::start(engine);
    let mut witness = server.connect();
    for cut in 1..20 {
        let mut client = server.connect();
        client.send(request(&["INCR", "whole"]));
        client.expect(format!(":{cut}\r\n"));
        client.send(&request(&["INCR", "partial"])[..cut]);
        client.reset();
        witness.talk("> PING\n< +PONG\n> EXISTS partial\n< :0");
    }
    for _ in 0..20 {
        let mut client = server.connect();
        client.send(request(&["SET", "big", &"v".repeat(100_000)]));
        client.send(request(&["GET", "big"]).repeat(100));
        client.reset();
        witness.talk("> PING\n< +PONG");
    }
    server.connect().talk("> GET whole\n< $2\n< 19");
}

fn all_written_before_anything_is_read(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let value = "v".repeat(100);
    client.ask(&["SET", "k", &value], "+OK\r\n");
    client.send(request(&["GET", "k"]).repeat(100_000));
    client.expect(bulk(&value).repeat(100_000));
    client.talk("> PING\n< +PONG");
}

fn a_huge_mget_written_before_anything_is_read(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let value = "v".repeat(1000);
    client.ask(&["SET", "k", &value], "+OK\r\n");
    let mut arguments = vec!["k"; 50_001];
    arguments[0] = "MGET";
    client.send(request(&arguments));
    client.send(request(&["PING"]));
    client.expect("*50000\r\n");
    client.expect(bulk(&value).repeat(50_000));
    client.expect("+PONG\r\n");
}

fn an_error_reaches_a_client_that_still_sends(engine: Engine) {
    let server = Server::start(engine);
    for rest in [1000, 100_000, 4_000_000] {
        let mut client = server.connect();
        client.send("INCR n\r\n*2\r\n$3\r\nGET\r\n$-5\r\n");
        // The server may have closed while this is under way; what it said before must come through.
        let _closed_meanwhile = client.try_send("x".repeat(rest));
        assert_eq!(client.line().chars().next(), Some(':'), "requests before the broken one are answered");
        client.expect("-ERR Protocol error: invalid bulk length\r\n");
        client.expect_closed();
    }
}

fn a_slow_reader_gets_everything(engine: Engine) {
    let server = Server::start(engine);
    let value = "v".repeat(500_000);
    server.connect().ask(&["SET", "k", &value], "+OK\r\n");
    let mut reader = server.connect();
    reader.send(request(&["GET", "k"]).repeat(60));
    // 30 MB wait for this reader while others are served.
    thread::scope(|scope| {
        for name in ["a", "b"] {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for n in 1..=500 {
                    client.ask(&["INCR", name], format!(":{n}\r\n"));
                }
            });
        }
    });
    for _ in 0..60 {
        reader.expect(bulk(&value));
    }
    reader.talk("> PING\n< +PONG");
}

fn who_never_reads_is_cut_off(engine: Engine) {
    let server = Server::with_flags(engine, &["--client-output-buffer-limit", "normal", "4mb", "0", "0"]);
    let mut witness = server.connect();
    witness.ask(&["SET", "k", &"v".repeat(500_000)], "+OK\r\n");
    let mut mute = server.connect();
    mute.talk("> PING\n< +PONG");
    // 100 MB of replies, far more than the limit and the sockets hold together.
    mute.send(request(&["GET", "k"]).repeat(200));
    wait_until("the client that never reads is gone", || connected(&mut witness) == 1);
    // What the sockets held still comes; then it is over.
    while let Arrival::Bytes = mute.receive(PATIENCE) {
        mute.take();
    }
    mute.expect_closed();
    witness.talk("> PING\n< +PONG");
}
