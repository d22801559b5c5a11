//! Plays one case on one server: prepares it, delivers the input in every way, judges what comes, and looks whether
//! the server still serves. The errors say what differed.
//!
//! Deliveries that share nothing are under way together, each on a connection of its own, so that the pause of a cut
//! and the wait for silence are spent once for all of them.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::case::{Case, Delivery};
use crate::client::{Arrival, Client, difference, escape, request};
use crate::server::{PATIENCE, Server};

/// Pause between the two halves of a cut input, so that they arrive apart; part of the recorded cases' format.
const CUT_PAUSE: Duration = Duration::from_millis(2);

/// How long nothing must come before it counts as silence; part of the recorded cases' format.
const SILENCE: Duration = Duration::from_millis(300);

/// A client that never reads gives up sending when nothing has moved for so long. Longer than the patience that a
/// server has with such a client.
const STUCK: Duration = Duration::from_secs(1);

/// Plays all deliveries of a case; the failures, a few at most: hundreds would only hide those of other cases.
pub(super) fn play(case: &Case, server: &Server) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |how: &str, outcome: Result<(), String>| {
        if let Err(error) = outcome {
            failures.push(format!("{} ({}), {how}: {error}", case.id, case.title));
        }
        failures.len() < 3
    };
    let deliveries = case.deliveries();
    if case.stands_alone() {
        for (how, outcome) in play_together(case, server, &deliveries) {
            if !note(&format!("sent {how:?}"), outcome) {
                break;
            }
        }
    } else {
        let mut steward = None;
        for how in deliveries {
            let outcome = if case.read {
                play_one(case, server, how, &mut steward)
            } else {
                play_unread(case, server, &mut steward)
            };
            if !note(&format!("sent {how:?}"), outcome) {
                break;
            }
        }
    }
    note("afterwards", still_serves(case, server));
    failures
}

/// A delivery under way.
struct Attempt {
    client: Client,
    how: Delivery,
    /// When its last byte was sent.
    sent: Instant,
}

/// Plays deliveries of a case that share nothing, all at once.
fn play_together(case: &Case, server: &Server, all: &[Delivery]) -> Vec<(Delivery, Result<(), String>)> {
    let before = server.anonymous_kb();
    let mut attempts = deliver(case, server, all);
    let mut outcomes: Vec<_> =
        attempts.iter_mut().map(|attempt| (attempt.how, judge(case, attempt))).collect();
    if let Some(last) = outcomes.last_mut()
        && last.1.is_ok()
    {
        // For all connections together what is allowed for one.
        last.1 = check_memory(case, server, before);
    }
    for (attempt, (_, outcome)) in attempts.iter_mut().zip(&mut outcomes) {
        if outcome.is_ok() {
            *outcome = probe(case, &mut attempt.client);
        }
    }
    outcomes
}

/// Plays one delivery of a case that has the server for itself. `steward` prepares it, if there is need to.
fn play_one(case: &Case, server: &Server, how: Delivery, steward: &mut Option<Client>) -> Result<(), String> {
    prepare(case, server, steward)?;
    let held = hold(case, server)?;
    let before = server.anonymous_kb();
    let mut attempts = deliver(case, server, &[how]);
    let attempt = &mut attempts[0];
    judge(case, attempt)?;
    check_memory(case, server, before)?;
    probe(case, &mut attempt.client)?;
    drop(held);
    check_afterwards(case, server)
}

/// Opens a connection for each delivery and sends the input on it. The server may close while that is under way.
fn deliver(case: &Case, server: &Server, all: &[Delivery]) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> =
        all.iter().map(|&how| Attempt { client: server.connect(), how, sent: Instant::now() }).collect();
    for attempt in &mut attempts {
        let _closed_meanwhile = match attempt.how {
            Delivery::Whole => attempt.client.try_send(&case.send),
            Delivery::CutAt(cut) => attempt.client.try_send(&case.send[..cut]),
            Delivery::ByteByByte => case.send.iter().try_for_each(|&byte| attempt.client.try_send([byte])),
        };
    }
    if all.iter().any(|how| matches!(how, Delivery::CutAt(_))) {
        thread::sleep(CUT_PAUSE);
    }
    for attempt in &mut attempts {
        if let Delivery::CutAt(cut) = attempt.how {
            let _closed_meanwhile = attempt.client.try_send(&case.send[cut..]);
        }
        if case.fin {
            attempt.client.half_close();
        }
        attempt.sent = Instant::now();
    }
    attempts
}

/// Receives what comes, and compares it with what may come.
fn judge(case: &Case, attempt: &mut Attempt) -> Result<(), String> {
    let open = collect(case, attempt);
    let got = attempt.client.unread();
    if case.outcomes.iter().any(|outcome| outcome.fits(got, open)) {
        return Ok(());
    }
    let first = &case.outcomes[0];
    let state = if open { "open" } else { "closed" };
    let want = if first.open { "open" } else { "closed" };
    Err(format!("{}, connection {state}, expected {want}", difference("", &first.reply, got, "in all")))
}

/// Receives until an outcome is whole, the server closes (false), or it has been silent.
fn collect(case: &Case, attempt: &mut Attempt) -> bool {
    let silence_fits = case.outcomes.iter().any(|outcome| outcome.is_silence());
    let mut moved = attempt.sent;
    loop {
        let got = attempt.client.unread();
        if case.is_probed() && case.outcomes.iter().any(|outcome| outcome.is_whole(got)) {
            return true;
        }
        if !case.outcomes.iter().any(|outcome| outcome.may_follow(got)) {
            return true;
        }
        // Only where silence itself is an outcome is it taken for one soon; a slow machine is not silent.
        let over = silence_fits || case.outcomes.iter().any(|outcome| outcome.fits(got, true));
        let wait = if over { SILENCE } else { PATIENCE };
        match attempt.client.receive(wait.saturating_sub(moved.elapsed())) {
            Arrival::Bytes => moved = Instant::now(),
            Arrival::Closed => return false,
            Arrival::Nothing => return true,
        }
    }
}

/// The very next bytes after the reply answer a `PING`: nothing was left over, lost or misframed. Only where the
/// connection is open and there was a reply.
fn probe(case: &Case, client: &mut Client) -> Result<(), String> {
    let got = client.unread().to_vec();
    let open = case.outcomes.iter().any(|outcome| outcome.fits(&got, true));
    let (true, true, Some(probe)) = (open && !got.is_empty(), case.is_probed(), &case.probe) else {
        return Ok(());
    };
    let whole = [&got, &probe[..]].concat();
    client.try_send(request(&["PING"])).map_err(|error| format!("PING could not be sent: {error}"))?;
    while client.unread().len() < whole.len() && whole.starts_with(client.unread()) {
        match client.receive(PATIENCE) {
            Arrival::Bytes => {}
            Arrival::Closed | Arrival::Nothing => break,
        }
    }
    if client.unread() == whole {
        return Ok(());
    }
    Err(format!("the PING that follows: {}", difference("", &whole, client.unread(), "in all")))
}

fn check_memory(case: &Case, server: &Server, before: Option<u64>) -> Result<(), String> {
    if let (Some(allowed), Some(before), Some(after)) = (case.rss_max_kb, before, server.anonymous_kb()) {
        let grown = after.saturating_sub(before);
        if grown > allowed {
            return Err(format!("the server's memory grew by {grown} KiB, {allowed} are allowed"));
        }
    }
    Ok(())
}

/// Plays a case whose client never reads.
fn play_unread(case: &Case, server: &Server, steward: &mut Option<Client>) -> Result<(), String> {
    prepare(case, server, steward)?;
    let held = hold(case, server)?;
    let before = server.anonymous_kb();
    let mut client = server.connect();
    let mut closed = send_unread(&mut client, &case.send)?;
    if case.fin && !closed {
        client.half_close();
    }
    let may_be_open = case.outcomes.iter().any(|outcome| outcome.open);
    if !may_be_open && !closed {
        closed = watch(&client, EpollFlags::empty(), PATIENCE)?.1;
    }
    if !case.outcomes.iter().any(|outcome| outcome.open != closed) {
        let (state, want) = if closed { ("closed", "open") } else { ("open", "closed") };
        return Err(format!("connection {state}, expected {want}"));
    }
    check_memory(case, server, before)?;
    drop(held);
    check_afterwards(case, server)
}

/// Sends until all is sent, the server closes (true), or nothing moves any more.
fn send_unread(client: &mut Client, input: &[u8]) -> Result<bool, String> {
    client.tcp().set_nonblocking(true).expect("a connected socket can be non-blocking");
    let mut rest = input;
    while !rest.is_empty() {
        match io::Write::write(&mut client.tcp(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let (writable, closed) = watch(client, EpollFlags::EPOLLOUT, STUCK)?;
                if closed || !writable {
                    return Ok(closed);
                }
            }
            Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

/// Waits for one of `events`, or for the other side's close. Says which it was.
fn watch(client: &Client, events: EpollFlags, wait: Duration) -> Result<(bool, bool), String> {
    let failed = |errno| format!("cannot wait for a socket: {errno}");
    // Not poll(2), whose flag for an end of stream behind unread bytes `nix` does not know.
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
    let wanted = EpollEvent::new(events | EpollFlags::EPOLLRDHUP, 0);
    epoll.add(client.tcp(), wanted).map_err(failed)?;
    let mut found = [EpollEvent::empty()];
    let timeout = EpollTimeout::try_from(wait).expect("seconds fit");
    let count = epoll.wait(&mut found, timeout).map_err(failed)?;
    let found = found[..count].iter().fold(EpollFlags::empty(), |all, one| all | one.events());
    let closed = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
    Ok((found.intersects(events), found.intersects(closed)))
}

/// Empties the server and runs the setup, on a connection of its own that is kept for the next time.
fn prepare(case: &Case, server: &Server, steward: &mut Option<Client>) -> Result<(), String> {
    let Some(setup) = &case.setup else { return Ok(()) };
    let mut client = match steward.take() {
        Some(client) => client,
        None => authenticated(case, server)?,
    };
    let flush = vec!["FLUSHALL".to_owned()];
    for command in std::iter::once(&flush).chain(setup) {
        let reply = roundtrip(&mut client, command)?;
        if reply.starts_with(b"-") {
            return Err(format!("setup {command:?} was answered {}", escape(&reply)));
        }
    }
    *steward = Some(client);
    Ok(())
}

/// Opens the connections that stay open during the case. The place of one that was closed just before may
/// take a moment to be free.
fn hold(case: &Case, server: &Server) -> Result<Vec<Client>, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut held = Vec::new();
    while held.len() < case.hold {
        let mut client = server.connect();
        match roundtrip(&mut client, &["PING".to_owned()]) {
            Ok(reply) if reply == b"+PONG\r\n" => held.push(client),
            Ok(_) | Err(_) if Instant::now() < deadline => {}
            Ok(reply) => return Err(format!("connection {} was told {}", held.len() + 1, escape(&reply))),
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// A connection that has given the password, if there is one.
fn authenticated(case: &Case, server: &Server) -> Result<Client, String> {
    let mut client = server.connect();
    if let Some(password) = case.password() {
        let reply = roundtrip(&mut client, &["AUTH".to_owned(), password.to_owned()])?;
        if reply != b"+OK\r\n" {
            return Err(format!("AUTH was answered {}", escape(&reply)));
        }
    }
    Ok(client)
}

/// A request on a connection that has nothing else under way, and all that comes until the reply's last line.
fn roundtrip(client: &mut Client, command: &[String]) -> Result<Vec<u8>, String> {
    client.try_send(request(command)).map_err(|error| format!("{command:?} could not be sent: {error}"))?;
    while !client.unread().ends_with(b"\r\n") {
        match client.receive(PATIENCE) {
            Arrival::Bytes => {}
            Arrival::Closed => return Err(format!("the connection was closed on {command:?}")),
            Arrival::Nothing => return Err(format!("{command:?} was not answered")),
        }
    }
    Ok(client.take())
}

/// The case's own check, on a new connection.
fn check_afterwards(case: &Case, server: &Server) -> Result<(), String> {
    let Some((command, expected)) = &case.then else { return Ok(()) };
    let mut client = authenticated(case, server)?;
    client.try_send(request(command)).map_err(|error| format!("{command:?} could not be sent: {error}"))?;
    while client.unread().len() < expected.len() {
        match client.receive(PATIENCE) {
            Arrival::Bytes => {}
            Arrival::Closed | Arrival::Nothing => break,
        }
    }
    if client.unread() == expected {
        return Ok(());
    }
    Err(format!("afterwards {command:?}: {}", difference("", expected, client.unread(), "in all")))
}

/// The process is alive and answers on a new connection.
pub(super) fn still_serves(case: &Case, server: &Server) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer =
            authenticated(case, server).and_then(|mut client| roundtrip(&mut client, &["PING".to_owned()]));
        match answer {
            Ok(reply) if reply == b"+PONG\r\n" => return Ok(()),
            Ok(_) | Err(_) if case.hold > 0 && Instant::now() < deadline => {}
            Ok(reply) => return Err(format!("a new connection's PING was answered {}", escape(&reply))),
            Err(error) => return Err(format!("the server serves no more: {error}")),
        }
    }
}

/// Whether the server has a command of this name.
pub(super) fn knows(case: &Case, server: &Server, command: &str) -> Result<bool, String> {
    let mut client = authenticated(case, server)?;
    let reply = roundtrip(&mut client, &[command.to_owned()])?;
    Ok(!reply.starts_with(b"-ERR unknown command"))
}
