//! Whoever runs the server: snapshots, rewrites of the journal, directives, users, and a look at everything.

use std::io;
use std::time::{Duration, Instant};

use super::ground::{Ground, add, expect, wrong};
use super::peer::{Peer, Reply};
use super::random::Random;

/// Between two snapshots, and two rewrites.
const SAVE: Duration = Duration::from_secs(20);
const REWRITE: Duration = Duration::from_secs(30);

/// Directives that are set under way, and values of each; the last is the one that stays.
const SETTINGS: [(&str, &[&str]); 14] = [
    ("slowlog-log-slower-than", &["-1", "0", "10000"]),
    ("slowlog-max-len", &["16", "128"]),
    ("latency-tracking", &["no", "yes"]),
    ("latency-monitor-threshold", &["1", "0"]),
    ("tcp-keepalive", &["60", "0", "300"]),
    ("timeout", &["3600", "0"]),
    ("maxmemory-clients", &["256mb", "0"]),
    ("stream-threshold", &["32kb", "64kb"]),
    ("proto-max-multibulk-len", &["100000", "1048576"]),
    ("auto-aof-rewrite-percentage", &["0", "100"]),
    ("acllog-max-len", &["16", "128"]),
    ("loglevel", &["warning", "notice"]),
    ("appendfsync", &["no", "everysec"]),
    ("client-output-buffer-limit", &["normal 2097152 0 0", "normal 1048576 0 0"]),
];

/// Questions that change nothing.
const QUESTIONS: [&str; 12] = [
    "INFO everything",
    "CLIENT LIST",
    "CONFIG GET *",
    "SLOWLOG GET 10",
    "LATENCY HISTOGRAM",
    "LATENCY HDR incr mget",
    "LATENCY DOCTOR",
    "MEMORY STATS",
    "MEMORY DOCTOR",
    "COMMAND DOCS incr",
    "ACL LOG",
    "SCAN 0 COUNT 500",
];

/// Sets every directive to the value that stays.
///
/// # Errors
/// What the connection says, and refusals.
pub(crate) fn settle(peer: &mut Peer) -> io::Result<()> {
    for (name, values) in SETTINGS {
        set(peer, name, values.last().expect("each has values"))?;
    }
    Ok(())
}

fn set(peer: &mut Peer, name: &str, value: &str) -> io::Result<()> {
    let reply = peer.ask(&["CONFIG", "SET", name, value])?;
    expect(&reply, &Reply::Status("OK".to_owned()), &format!("CONFIG SET {name} {value}"))
}

/// Sets directives, asks questions, saves and rewrites.
///
/// # Errors
/// What the connection says, and wrong replies; so for all actors.
pub(crate) fn operate(ground: &Ground) -> io::Result<()> {
    let (mut random, mut peer) = (Random::new(8), ground.connect()?);
    let (mut saved, mut rewritten) = (Instant::now() - SAVE / 2, Instant::now() - REWRITE / 2);
    while ground.goes_on(Duration::from_millis(250)) {
        let (name, values) = SETTINGS[random.index(SETTINGS.len())];
        set(&mut peer, name, values[random.index(values.len())])?;
        add(&ground.counts.settings, 1);
        let question = QUESTIONS[random.index(QUESTIONS.len())];
        if let Reply::Error(text) = peer.ask_line(question)? {
            return Err(io::Error::other(format!("{text} to {question}")));
        }
        if saved.elapsed() > SAVE && began(&peer.ask(&["BGSAVE"])?, "BGSAVE")? {
            saved = Instant::now();
            add(&ground.counts.saves, 1);
        }
        if rewritten.elapsed() > REWRITE && began(&peer.ask(&["BGREWRITEAOF"])?, "BGREWRITEAOF")? {
            rewritten = Instant::now();
            add(&ground.counts.rewrites, 1);
        }
    }
    Ok(())
}

/// Whether it was begun; one that runs already is none's fault.
fn began(reply: &Reply, what: &str) -> io::Result<bool> {
    match reply {
        Reply::Status(_) => Ok(true),
        Reply::Error(text) if text.contains("in progress") => Ok(false),
        Reply::Error(_) | Reply::Integer(_) | Reply::Bulk(_) | Reply::Array(_) => Err(wrong(reply, what)),
    }
}

/// Users that are made, log in, are denied what they may not do, mistake their password, and are removed.
///
/// # Errors
/// See [`operate`].
pub(crate) fn users(ground: &Ground) -> io::Result<()> {
    let (mut random, mut owner) = (Random::new(9), ground.connect()?);
    let ok = Reply::Status("OK".to_owned());
    while ground.goes_on(Duration::from_millis(50)) {
        let name = format!("soak{}", random.below(16));
        let line = format!("ACL SETUSER {name} reset on >secret ~user:* +@read +incr +ping");
        expect(&owner.ask_line(&line)?, &ok, "ACL SETUSER")?;
        let mut user = ground.connect()?;
        match user.ask_line(&format!("AUTH {name} guess"))? {
            Reply::Error(text) if text.starts_with("WRONGPASS") => add(&ground.counts.wrong_passwords, 1),
            other => return Err(wrong(&other, "AUTH with a wrong password")),
        }
        expect(&user.ask_line(&format!("AUTH {name} secret"))?, &ok, "AUTH")?;
        if user.ask_line(&format!("INCR user:{name}"))?.number().is_none() {
            return Err(io::Error::other("a user may not do what it may"));
        }
        for line in ["FLUSHALL", "INCR views:article:1"] {
            match user.ask_line(line)? {
                Reply::Error(text) if text.starts_with("NOPERM") => add(&ground.counts.denied, 1),
                other => return Err(wrong(&other, line)),
            }
        }
        if random.below(2) == 0 {
            owner.ask_line(&format!("ACL DELUSER {name}"))?;
            if !user.ends() {
                return Err(io::Error::other("a user that is removed stays connected"));
            }
        }
    }
    for number in 0..16 {
        owner.ask_line(&format!("ACL DELUSER soak{number}"))?;
    }
    Ok(())
}
