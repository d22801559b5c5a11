//! Slow senders: thousands of connections on which a request comes byte by byte, or never ends.

use super::{Belongings, many_files, memory, served};
use crate::client::{Client, request};
use crate::server::{Engine, Server};

on_every_engine![thousands_trickle_their_requests, requests_in_crumbs_cost_what_they_hold,];

/// Connections that trickle.
const SLOW: usize = 2000;

fn thousands_trickle_their_requests(engine: Engine) {
    let crowd = served(engine, SLOW);
    let _turn = many_files(2 * SLOW as u64);
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    witness.ask(&["PING"], "+PONG\r\n");
    let before = Belongings::of(&server, &mut witness);
    let mut slow: Vec<Client> = (0..crowd).map(|_| server.connect()).collect();
    let whole = request(&["INCR", "slow"]);
    for (sent, byte) in whole.iter().enumerate() {
        for client in &mut slow {
            client.send([*byte]);
        }
        // With every byte of theirs a neighbour is served, and nothing of theirs has happened before the last.
        witness.ask(&["INCR", "quick"], format!(":{}\r\n", sent + 1));
        if sent + 1 < whole.len() {
            witness.ask(&["EXISTS", "slow"], ":0\r\n");
        }
    }
    let mut seen = vec![false; crowd];
    for client in &mut slow {
        let value = usize::try_from(client.integer()).expect("counters start at 1");
        assert!(!std::mem::replace(&mut seen[value - 1], true), "{value} was answered twice");
    }
    drop(slow);
    before.expect_back(&server, &mut witness);
}

/// Each connection holds most of a request of 32 KiB that came in small pieces: what it costs is what it holds, however
/// it came.
fn requests_in_crumbs_cost_what_they_hold(engine: Engine) {
    const CROWD: usize = 200;
    const PIECE: usize = 512;
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    witness.ask(&["PING"], "+PONG\r\n");
    let whole = request(&["SET", "k", &"v".repeat(32 * 1024)]);
    let (most, last) = whole.split_at(whole.len() - 10);
    let before = memory(&server);
    let mut slow: Vec<Client> = (0..CROWD).map(|_| server.connect()).collect();
    for (sent, piece) in most.chunks(PIECE).enumerate() {
        slow.iter_mut().for_each(|client| client.send(piece));
        witness.ask(&["INCR", "quick"], format!(":{}\r\n", sent + 1));
    }
    let held_kb = (CROWD * most.len() / 1024) as u64;
    let grown = memory(&server).saturating_sub(before);
    // A carry doubles up to 64 KiB, and 32 KiB and a little are just above a power of two.
    assert!(grown < 2 * held_kb + 1024, "{grown} KiB for {held_kb} KiB received");
    for client in &mut slow {
        client.send(last);
        client.expect("+OK\r\n");
    }
}
