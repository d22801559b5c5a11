//! Clients that wait for their replies and check each of them: counters, bulk requests, rows, expiring keys, transactions,
//! limiters, windows, increments that are applied once.
//!
//! Every actor has keys of its own, so that it knows what each reply has to be. All of them exist from the beginning on
//! ([`fill`]), or their number is that of some seconds: what there is does not grow.

use std::io;
use std::time::Duration;

use super::ground::{Ground, add, expect, expect_number, wrong};
use super::ledger::{Account, FIELDS, Name};
use super::peer::{Peer, Reply, request};
use super::random::Random;

/// Counters of each of the two that do nothing but count.
const COUNTERS: usize = 150_000;
/// Counters of bulk requests, and how many one of them names.
const BULK: usize = 100_000;
const NAMED: usize = 10_000;
/// Rows of eight counters.
const ROWS: usize = 20_000;
/// Keys that expire.
const SESSIONS: u64 = 20_000;
/// Counters that two transactions' halves count, and those that are counted once.
const PAIRS: usize = 2_000;
/// Limiters, and windows.
const LIMITERS: u64 = 5_000;
const WINDOWS: u64 = 1_000;

/// Requests in a pipeline.
const DEPTH: usize = 32;

/// Keys of one `MSET` that fills.
const STEP: usize = 1_000;

/// Beginnings of the keys of plain counters, one for each of those that count them.
pub(crate) const PLAIN: [&str; 2] = ["views:article:", "likes:article:"];

/// Beginnings of keys that exist from the beginning on, and how many there are.
const FILLED: [(&str, usize); 6] = [
    (PLAIN[0], COUNTERS),
    (PLAIN[1], COUNTERS),
    ("bulk:", BULK),
    ("pair:a:", PAIRS),
    ("pair:b:", PAIRS),
    ("once:", PAIRS),
];

/// Creates all keys that stay.
///
/// # Errors
/// What the connection says, and wrong replies.
pub(crate) fn fill(peer: &mut Peer) -> io::Result<()> {
    let ok = Reply::Status("OK".to_owned());
    for (start, count) in FILLED.into_iter().chain(super::faults::FILLED) {
        for from in (0..count).step_by(STEP) {
            let pairs: Vec<String> =
                (from..(from + STEP).min(count)).map(|n| format!("{start}{n} 0")).collect();
            expect(&peer.ask_line(&format!("MSET {}", pairs.join(" ")))?, &ok, "MSET")?;
        }
    }
    for row in 0..ROWS {
        let zeros: Vec<String> = (1..=FIELDS).map(|field| format!("f{field} 0")).collect();
        expect_number(
            &peer.ask_line(&format!("HSET row:{row} {}", zeros.join(" ")))?,
            FIELDS as u64,
            "HSET",
        )?;
    }
    for limiter in 0..LIMITERS {
        peer.ask_line(&throttle(limiter))?;
    }
    expect(&peer.ask(&["SET", super::faults::LARGE, &"v".repeat(super::faults::LARGE_BYTES)])?, &ok, "SET")
}

/// `INCR` in pipelines.
///
/// # Errors
/// What the connection says, and wrong replies; so for all actors.
pub(crate) fn count(ground: &Ground, which: usize) -> io::Result<()> {
    let start = PLAIN[which];
    let mut account = Account::new(Name::Key(start), COUNTERS);
    let (mut random, mut peer) = (Random::new(which as u64), ground.connect()?);
    while ground.goes_on(Duration::from_millis(2)) {
        let numbers: Vec<usize> = (0..DEPTH).map(|_| random.index(COUNTERS)).collect();
        let pipeline: Vec<u8> =
            numbers.iter().flat_map(|number| request(&["INCR", &format!("{start}{number}")])).collect();
        peer.send(&pipeline)?;
        for number in numbers {
            expect_number(&peer.reply()?, account.count(number, 1), "INCR")?;
        }
        add(&ground.counts.requests, DEPTH as u64);
    }
    ground.ledger.close(account);
    Ok(())
}

/// `MINCRBY` and `MGET` of many keys.
pub(crate) fn bulk(ground: &Ground) -> io::Result<()> {
    let mut account = Account::new(Name::Key("bulk:"), BULK);
    let (mut random, mut peer) = (Random::new(3), ground.connect()?);
    while ground.goes_on(Duration::from_millis(100)) {
        let from = random.index(BULK);
        let numbers: Vec<usize> = (from..from + NAMED).map(|number| number % BULK).collect();
        let more = random.below(9) + 1;
        let keys = |join: &dyn Fn(usize) -> String| {
            numbers.iter().map(|&number| join(number)).collect::<Vec<_>>().join(" ")
        };
        let reply =
            ground.ask(&mut peer, &format!("MINCRBY {}", keys(&|number| format!("bulk:{number} {more}"))))?;
        if reply.elements().len() != NAMED {
            return Err(wrong(&reply, "MINCRBY"));
        }
        for (&number, value) in numbers.iter().zip(reply.elements()) {
            expect_number(value, account.count(number, more), "MINCRBY")?;
        }
        let reply = ground.ask(&mut peer, &format!("MGET {}", keys(&|number| format!("bulk:{number}"))))?;
        if reply.elements().len() != NAMED {
            return Err(wrong(&reply, "MGET"));
        }
        for (&number, value) in numbers.iter().zip(reply.elements()) {
            expect_number(value, account.count(number, 0), "MGET")?;
        }
    }
    ground.ledger.close(account);
    Ok(())
}

/// Counters in rows.
pub(crate) fn rows(ground: &Ground) -> io::Result<()> {
    let mut account = Account::new(Name::Field("row:"), ROWS * FIELDS);
    let (mut random, mut peer) = (Random::new(4), ground.connect()?);
    while ground.goes_on(Duration::from_millis(2)) {
        let (row, field) = (random.index(ROWS), random.index(FIELDS - 1));
        let (this, next) = (row * FIELDS + field, row * FIELDS + field + 1);
        let reply = ground.ask(&mut peer, &format!("HINCRBY row:{row} f{} 3", field + 1))?;
        expect_number(&reply, account.count(this, 3), "HINCRBY")?;
        let line = format!("HMINCRBY row:{row} f{} 1 f{} 2", field + 1, field + 2);
        let reply = ground.ask(&mut peer, &line)?;
        let [one, two] = reply.elements() else { return Err(wrong(&reply, "HMINCRBY")) };
        expect_number(one, account.count(this, 1), "HMINCRBY")?;
        expect_number(two, account.count(next, 2), "HMINCRBY")?;
    }
    ground.ledger.close(account);
    Ok(())
}

/// Keys that expire within seconds, so that there are always some thousands.
pub(crate) fn sessions(ground: &Ground) -> io::Result<()> {
    let (mut random, mut peer) = (Random::new(5), ground.connect()?);
    while ground.goes_on(Duration::from_millis(5)) {
        let mut pipeline = Vec::new();
        for _ in 0..DEPTH / 2 {
            let (key, ms) = (format!("session:{}", random.below(SESSIONS)), 500 + random.below(2_500));
            pipeline.extend(request(&["SET", &key, "1", "PX", &ms.to_string()]));
        }
        peer.send(&pipeline)?;
        for _ in 0..DEPTH / 2 {
            expect(&peer.reply()?, &Reply::Status("OK".to_owned()), "SET")?;
        }
        add(&ground.counts.requests, DEPTH as u64 / 2);
        let key = format!("session:{}", random.below(SESSIONS));
        let reply = ground.ask(&mut peer, &format!("GETTTL {key}"))?;
        let [_, Reply::Integer(left)] = reply.elements() else { return Err(wrong(&reply, "GETTTL")) };
        if !(-2..=3_000).contains(left) || *left == -1 {
            return Err(wrong(&reply, "GETTTL"));
        }
    }
    Ok(())
}

fn throttle(limiter: u64) -> String {
    format!("CL.THROTTLE limit:{limiter} 15 30 60")
}

/// Transactions, limiters, windows, and increments that are applied once.
pub(crate) fn several(ground: &Ground) -> io::Result<()> {
    let mut pairs = ["pair:a:", "pair:b:"].map(|start| Account::new(Name::Key(start), PAIRS));
    let mut once = Account::new(Name::Key("once:"), PAIRS);
    let (mut random, mut peer, mut token) = (Random::new(6), ground.connect()?, 0_u64);
    while ground.goes_on(Duration::from_millis(2)) {
        transaction(ground, &mut peer, &mut pairs, random.index(PAIRS))?;
        let reply = ground.ask(&mut peer, &throttle(random.below(LIMITERS)))?;
        if reply.elements().len() != 5 {
            return Err(wrong(&reply, "CL.THROTTLE"));
        }
        let window = random.below(WINDOWS);
        let reply = ground.ask(&mut peer, &format!("WINCRBY window:{window} 1 WINDOW 5000 BUCKETS 10"))?;
        if reply.number().is_none_or(|sum| sum == 0) {
            return Err(wrong(&reply, "WINCRBY"));
        }
        token += 1;
        let number = random.index(PAIRS);
        let line = format!("INCRONCE once:{number} 1 t{token} EX 5");
        let value = once.count(number, 1);
        for applied in [1, 0] {
            let reply = ground.ask(&mut peer, &line)?;
            let [is, did] = reply.elements() else { return Err(wrong(&reply, "INCRONCE")) };
            expect_number(is, value, "INCRONCE")?;
            // Where this one comes so late that the window is over, it would be applied; it never is.
            expect_number(did, applied, "INCRONCE")?;
        }
    }
    pairs.into_iter().chain([once]).for_each(|account| ground.ledger.close(account));
    Ok(())
}

fn transaction(ground: &Ground, peer: &mut Peer, pairs: &mut [Account; 2], number: usize) -> io::Result<()> {
    let queued = Reply::Status("QUEUED".to_owned());
    if number.is_multiple_of(4) {
        ground.ask(peer, &format!("WATCH pair:a:{number}"))?;
    }
    ground.ask(peer, "MULTI")?;
    for half in ["a", "b"] {
        expect(&ground.ask(peer, &format!("INCR pair:{half}:{number}"))?, &queued, "INCR in MULTI")?;
    }
    let reply = ground.ask(peer, "EXEC")?;
    let [one, two] = reply.elements() else { return Err(wrong(&reply, "EXEC")) };
    expect_number(one, pairs[0].count(number, 1), "EXEC")?;
    expect_number(two, pairs[1].count(number, 1), "EXEC")
}
