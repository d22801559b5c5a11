//! Ten thousand connections, each with half a header: what they cost, that others are served, and that all of it comes
//! back.

use super::{Belongings, RUNTIME_BLOCKS, many_files, memory, number, own_block};
use crate::client::{Client, request};
use crate::server::{Engine, Server, wait_until};

on_every_engine![ten_thousand_half_headers, ten_thousand_strangers];

const CROWD: usize = 10_000;

/// Connections opened at a time: what the kernel lets wait for being accepted.
const BATCH: usize = 250;

const HALF: &str = "*3\r\n$3\r\nSE";
const REST: &str = "T\r\n$1\r\nk\r\n$1\r\nv\r\n";

/// Bytes of memory that a connection may cost: its state in the worker and the engine, a carry for half a header, and
/// what the allocator and the kernel's view of pages add. The record of idle connections says about 300.
const EACH: usize = 1024;

/// What stays: the slots of connections, which the next ones take; up to 256 reply blocks of 16 KiB and 2 MiB of carries,
/// kept for reuse; and 2 MiB for what the allocator cannot give back.
const KEPT_EACH: usize = 512;
const KEPT_KB: u64 = (4 + 2 + 2) * 1024;

fn ten_thousand_half_headers(engine: Engine) {
    let _turn = many_files(CROWD as u64 + 2000);
    let server = Server::with_flags(engine, &["--maxclients", "10100"]);
    let mut witness = server.connect();
    witness.ask(&["PING"], "+PONG\r\n");
    let before = Belongings::of(&server, &mut witness);
    let base = memory(&server);
    // The witness has a block of the tokio-uring engine, too.
    let room = if engine.name() == "tokio-uring" { RUNTIME_BLOCKS - 1 } else { CROWD };
    let mut crowd = gather(&server, &mut witness, room);
    for refused in room..CROWD {
        let mut client = server.connect();
        client.expect("-ERR max number of clients reached\r\n");
        client.expect_closed();
        if refused % 1000 == 0 {
            witness.ask(&["PING"], "+PONG\r\n");
        }
    }
    assert_eq!(number(&mut witness, "refused_maxclients"), (CROWD - room) as u64);
    let grown = memory(&server).saturating_sub(base) * 1024;
    let allowed = (room * (EACH + own_block(engine) + HALF.len())) as u64;
    eprintln!("{}: {} bytes for each of {room} connections", engine.name(), grown / room as u64);
    assert!(grown < allowed, "{} bytes for each of {room} connections", grown / room as u64);

    // Everybody else is served meanwhile, and so is whoever of them goes on.
    for n in 1..=100 {
        witness.ask(&["INCR", "quick"], format!(":{n}\r\n"));
    }
    for client in crowd.iter_mut().step_by(2) {
        client.send(REST);
    }
    for client in crowd.iter_mut().step_by(2) {
        client.expect("+OK\r\n");
    }
    // A third is reset, the others are closed.
    for (n, client) in crowd.drain(..).enumerate() {
        if n % 3 == 0 {
            client.reset();
        }
    }
    before.expect_back(&server, &mut witness);
    let kept_kb = (room * KEPT_EACH / 1024) as u64 + KEPT_KB;
    eprintln!("{}: {} KiB stay at first", engine.name(), memory(&server).saturating_sub(base));
    wait_until("the connections' memory comes back", || memory(&server).saturating_sub(base) < kept_kb);
    witness.ask(&["GET", "k"], "$1\r\nv\r\n");
}

/// Opens connections and sends half a header on each; returns when the server has all of it.
fn gather(server: &Server, witness: &mut Client, count: usize) -> Vec<Client> {
    let mut crowd: Vec<Client> = Vec::with_capacity(count);
    while crowd.len() < count {
        let more = BATCH.min(count - crowd.len());
        let received = number(witness, "total_net_input_bytes");
        for _ in 0..more {
            let mut client = server.connect();
            client.send(HALF);
            crowd.push(client);
        }
        // The witness' own requests are counted as well, and are longer than a half header.
        let theirs = (more * HALF.len()) as u64;
        let connected = crowd.len() as u64 + 1;
        wait_until("the server has accepted and heard all of them", || {
            number(witness, "connected_clients") == connected
                && number(witness, "total_net_input_bytes") >= received + theirs
        });
    }
    crowd
}

/// What stays of replies that were not read: 256 chains of a block and their marks.
const CHAINS_KB: u64 = 5 * 1024;

/// Bytes that a client may cost that has not authenticated, whatever it does.
const STRANGER: usize = 64 * 1024;

/// Ten thousand clients without the password, of which each does its worst: the beginning of a request as long as is taken,
/// requests whose replies it does not read, guesses, guesses that wait for their turn with much behind them, and what is no
/// request at all. None of them runs a command.
fn ten_thousand_strangers(engine: Engine) {
    let _turn = many_files(CROWD as u64 + 2000);
    let server = Server::with_flags(engine, &["--maxclients", "10100", "--requirepass", "secret"]);
    let mut witness = server.connect();
    witness.ask(&["AUTH", "secret"], "+OK\r\n");
    let before = Belongings::of(&server, &mut witness);
    let base = memory(&server);
    let room = if engine.name() == "tokio-uring" { RUNTIME_BLOCKS - 1 } else { CROWD };
    let long = [b"*2\r\n$4\r\nAUTH\r\n$16000\r\n".as_slice(), &[b'x'; 15_990]].concat();
    let unread = request(&["SET", "k", "v"]).repeat(400);
    let guesses = request(&["AUTH", "guess"]).repeat(9);
    let crowded = [request(&["AUTH", "guess"]), request(&["PING"]).repeat(3500)].concat();
    let worst: [&[u8]; 5] = [&long, &unread, &guesses, &crowded, b"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n*11\r\n"];
    let mut peak = base;
    let mut crowd: Vec<Client> = Vec::with_capacity(room);
    for number_of in 0..room {
        let mut client = server.connect();
        // Whoever is closed for it may be so before all is sent.
        let _ = client.try_send(worst[number_of % worst.len()]);
        crowd.push(client);
        if number_of % BATCH == 0 {
            witness.ask(&["INCR", "quick"], format!(":{}\r\n", number_of / BATCH + 1));
            peak = peak.max(memory(&server));
        }
    }
    wait_until("the server has heard all of them", || {
        peak = peak.max(memory(&server));
        // Engine tokio-uring may have had no block for the last of them.
        number(&mut witness, "refused_unauthenticated") >= (room / worst.len() * 360) as u64
    });
    let grown = peak.saturating_sub(base) * 1024;
    eprintln!("{}: {} bytes for each of {room} strangers", engine.name(), grown / room as u64);
    assert!(grown < (room * STRANGER) as u64, "{} bytes for each of {room} strangers", grown / room as u64);
    // Ours is the only key.
    witness.ask(&["DBSIZE"], ":1\r\n");
    drop(crowd);
    before.expect_back(&server, &mut witness);
    let kept_kb = (room * KEPT_EACH / 1024) as u64 + KEPT_KB + CHAINS_KB;
    wait_until("the strangers' memory comes back", || memory(&server).saturating_sub(base) < kept_kb);
    witness.ask(&["GET", "k"], "$-1\r\n");
}
