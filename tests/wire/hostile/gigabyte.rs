//! A gibibyte of requests in one stream: it passes, and leaves nothing behind.

use std::io::Write;
use std::thread;

use super::{Belongings, memory};
use crate::client::{bulk, request};
use crate::server::{Engine, Server};

on_every_engine![a_gibibyte_in_one_stream];

const GIBIBYTE: usize = 1 << 30;

/// KiB that the server may hold at any time: the longest request in its carry, which doubles, the values in the table,
/// a backlog, and the replies that the sockets do not take at once.
const HELD_KB: u64 = 6 * 1024;

/// Requests of about a mebibyte and the replies to them: values of half a mebibyte, keys of 60 KiB, a name of nothing,
/// and many small ones. The counter is where it began, so that one round is like another.
fn round() -> (Vec<u8>, Vec<u8>) {
    let value = vec![b'v'; 512 * 1024];
    let key = vec![b'k'; 60 * 1024];
    let argument = vec![b'a'; 250 * 1024];
    let requests = [
        request(&[b"SET", b"big", &value[..]]),
        request(&[&b"GET"[..], &key]),
        request(&[&b"EXISTS"[..], &key, b"big", &key]),
        request(&[&b"NOSUCH"[..], &argument]),
        [request(&["INCR", "n"]), request(&["DECR", "n"])].concat().repeat(600),
    ];
    let unknown =
        format!("-ERR unknown command 'NOSUCH', with args beginning with: '{}' \r\n", "a".repeat(128));
    let replies = ["+OK\r\n$-1\r\n:1\r\n", &unknown, &":1\r\n:0\r\n".repeat(600)].concat();
    (requests.concat(), replies.into_bytes())
}

fn a_gibibyte_in_one_stream(engine: Engine) {
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    witness.ask(&["PING"], "+PONG\r\n");
    let before = Belongings::of(&server, &mut witness);
    let base = memory(&server);
    let (requests, replies) = round();
    let rounds = GIBIBYTE.div_ceil(requests.len());
    let mut client = server.connect();
    let mut sender = client.tcp().try_clone().expect("a descriptor can be duplicated");
    let sending = thread::spawn(move || (0..rounds).try_for_each(|_| sender.write_all(&requests)));
    let mut most = 0;
    for n in 1..=rounds {
        client.follow(&replies, |_| {});
        most = most.max(memory(&server).saturating_sub(base));
        if n % 64 == 0 {
            witness.ask(&["INCR", "quick"], format!(":{}\r\n", n / 64));
        }
    }
    sending.join().expect("the sender does not panic").expect("the server takes it all");
    eprintln!("{}: held {most} KiB at most", engine.name());
    assert!(most < HELD_KB, "{most} KiB were held at some point");
    witness.ask(&["GET", "big"], bulk("v".repeat(512 * 1024)));
    witness.ask(&["GET", "n"], "$1\r\n0\r\n");
    drop(client);
    before.expect_back(&server, &mut witness);
}
