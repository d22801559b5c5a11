//! A disk that stands still, with a sync for each reply: nobody sees what is not on it, and nobody else waits.

use std::time::Duration;

use crate::client::{Arrival, Client, escape};
use crate::place::{Volume, can_mount};
use crate::server::{Engine, Server, wait_until};

/// Nothing comes, though the server answers others and has had time.
#[track_caller]
fn expect_nothing(client: &mut Client) {
    match client.receive(Duration::from_millis(50)) {
        Arrival::Nothing => {}
        Arrival::Bytes => panic!("this left before it was safe: {}", escape(client.unread())),
        Arrival::Closed => panic!("the connection was closed"),
    }
}

/// What is asked while the disk stands still: changes, and looks at what they change.
struct Askers {
    writer: Client,
    grouper: Client,
    deleter: Client,
    get: Client,
    mget: Client,
    multi: Client,
    missing: Client,
}

impl Askers {
    fn connect(server: &Server) -> Self {
        let connect = || server.connect();
        connect().talk("> INCRBY n 5\n< :5\n> SET s old\n< +OK\n> SET gone v\n< +OK");
        Self {
            writer: connect(),
            grouper: connect(),
            deleter: connect(),
            get: connect(),
            mget: connect(),
            multi: connect(),
            missing: connect(),
        }
    }

    /// `meanwhile` is what others do between changes and looks.
    fn ask(&mut self, meanwhile: &mut dyn FnMut()) {
        self.writer.send_words("INCRBY n 5");
        meanwhile();
        self.grouper.send(b"MULTI\r\nINCRBY n 1\r\nSET s new\r\nEXEC\r\n");
        self.deleter.send_words("DEL gone");
        meanwhile();
        self.get.send_words("GET n");
        self.mget.send_words("MGET s n gone");
        self.multi.send(b"MULTI\r\nGET n\r\nGET s\r\nEXEC\r\n");
        self.missing.send_words("EXISTS gone");
        meanwhile();
    }

    fn expect_nothing(&mut self) {
        let Self { writer, deleter, get, mget, missing, .. } = self;
        [writer, deleter, get, mget, missing].into_iter().for_each(expect_nothing);
        // What stands before a group's result shows nothing: it may leave or wait.
        for client in [&mut self.grouper, &mut self.multi] {
            while let Arrival::Bytes = client.receive(Duration::from_millis(50)) {}
            assert!(!client.unread().contains(&b'*'), "this left early: {}", escape(client.unread()));
        }
    }

    fn expect_replies(&mut self) {
        // In whatever order they were served.
        assert!([10, 11].contains(&self.writer.integer()));
        self.grouper.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n");
        assert!([6, 11].contains(&self.grouper.integer()));
        self.grouper.expect("+OK\r\n");
        self.deleter.expect(":1\r\n");
        self.get.reply();
        self.mget.reply();
        self.multi.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n");
        self.missing.reply();
        self.writer.talk("> MGET n s gone\n< *3\n< $2\n< 11\n< $3\n< new\n< $-1");
    }
}

/// Where others are not looked at, nothing is known of the order in which these are served.
fn nothing_leaves_before_it_is_safe(engine: Engine) {
    if !can_mount("a frozen file system") {
        return;
    }
    let volume = Volume::new(64);
    let flags = ["--dir", &volume.dir(), "--appendfsync", "always", "--threads", "2"];
    let server = Server::with_flags(engine, &flags);
    let mut askers = Askers::connect(&server);
    let frozen = volume.freeze();
    askers.ask(&mut || {});
    askers.expect_nothing();
    drop(frozen);
    askers.expect_replies();
}

fn others_are_served_meanwhile(engine: Engine) {
    if !can_mount("a frozen file system") {
        return;
    }
    let volume = Volume::new(64);
    let flags = ["--dir", &volume.dir(), "--appendfsync", "always", "--threads", "2"];
    let server = Server::with_flags(engine, &flags);
    let mut askers = Askers::connect(&server);
    let mut bystanders: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let frozen = volume.freeze();
    askers.ask(&mut || {
        for bystander in &mut bystanders {
            bystander.talk("> PING\n< +PONG");
            bystander.send_words("INFO persistence");
            assert!(bystander.text().starts_with("# Persistence"));
        }
    });
    askers.expect_nothing();
    drop(frozen);
    askers.expect_replies();
}

/// The number behind a name in `INFO persistence`.
fn reading(client: &mut Client, name: &str) -> u64 {
    client.send_words("INFO persistence");
    let text = client.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number {name} in {text}"))
}

/// How long something waits is seen while it does, and afterwards how long that was and what to do about it.
fn a_disk_that_stands_still_is_noticed(engine: Engine) {
    if !can_mount("a frozen file system") {
        return;
    }
    let volume = Volume::new(64);
    let flags = ["--dir", &volume.dir(), "--appendfsync", "always", "--latency-monitor-threshold", "200"];
    let server = Server::with_flags(engine, &flags);
    let (mut writer, mut watcher) = (server.connect(), server.connect());
    writer.talk("> INCR n\n< :1");
    watcher.talk("> LATENCY LATEST\n< *0");
    let frozen = volume.freeze();
    writer.send_words("INCR n");
    wait_until("it has waited for 300 ms", || reading(&mut watcher, "journal_lag_ms") >= 300);
    assert!(reading(&mut watcher, "journal_lag_bytes") > 0);
    drop(frozen);
    writer.expect(":2\r\n");
    wait_until("nothing waits any more", || reading(&mut watcher, "journal_lag_ms") == 0);
    watcher.send_words("LATENCY LATEST");
    watcher.expect("*1\r\n*4\r\n");
    // The sync of the change, or what the thread wrote about the one before when the disk stood still.
    let event = watcher.text();
    let [_, last, most] = [(); 3].map(|()| watcher.integer());
    assert!(last >= 290 && most == last, "{event} {last} {most}");
    watcher.send_words("LATENCY DOCTOR");
    let report = watcher.text();
    let kind = match event.as_str() {
        "aof-fsync-always" => "1. Slow syncs: ",
        "aof-write" => "1. Slow writes: ",
        other => panic!("{other} is no event of the journal"),
    };
    let names = [kind, &volume.dir(), "Remedy: put dir ", "on a faster disk"];
    for words in names {
        assert!(report.contains(words), "{words:?} is not in {report}");
    }
}

on_both_engines!(
    nothing_leaves_before_it_is_safe,
    others_are_served_meanwhile,
    a_disk_that_stands_still_is_noticed
);
