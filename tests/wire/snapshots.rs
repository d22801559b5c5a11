//! Snapshots: taken while the server serves, loaded at the next start, and what they make superfluous.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::client::{Client, request};
use crate::server::{Engine, Server, free_port, wait_until};

on_every_engine![
    save_and_a_kill,
    saving_under_load,
    an_orderly_end_leaves_nothing_to_replay,
    a_damaged_snapshot_is_refused,
    rules_bring_about_a_snapshot,
    without_a_directory_there_is_none,
];

/// A directory of data that outlives a server; removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn fresh() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("snapshots-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the test directory is writable");
        Self(path)
    }

    fn flags<'f>(&'f self, more: &[&'f str]) -> Vec<&'f str> {
        let path = self.0.to_str().expect("it is text");
        [&["--dir", path, "--loglevel", "debug", "--threads", "2"], more].concat()
    }

    /// Names of files that begin so, in order.
    fn names(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there");
        let names = entries.map(|entry| entry.expect("it can be read").file_name().into_string());
        let mut names: Vec<String> =
            names.map(|name| name.expect("names are text")).filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _left_over = fs::remove_dir_all(&self.0);
    }
}

/// The value of a field of `INFO persistence`.
#[track_caller]
fn info(client: &mut Client, field: &str) -> String {
    client.info("persistence", field)
}

/// Increments so many counters in one pipeline; the replies are all `:{value}`.
#[track_caller]
fn count(client: &mut Client, from: usize, to: usize, value: usize) {
    let requests: Vec<u8> = (from..to).flat_map(|n| request(&["INCR", &format!("n:{n}")])).collect();
    client.send(requests);
    client.expect(format!(":{value}\r\n").repeat(to - from));
}

fn save_and_a_kill(engine: Engine) {
    let directory = Directory::fresh();
    let server = Server::with_flags(engine, &directory.flags(&[]));
    let mut client = server.connect();
    client.talk(
        "> SET text hello EX 1000
         < +OK
         > HSET h a 1 b two
         < :2
         > EXPIRE h 1000
         < :1
         > WINCRBY w 5 WINDOW 1000000
         < :5
         > INCRONCE once 7 token EX 1000
         < *2
         < :7
         < :1",
    );
    // Some files of the journal, of a megabyte each.
    for value in 1..=15 {
        count(&mut client, 0, 10_000, value);
    }
    let before = directory.names("journal-0").len();
    assert!(before > 2, "the journal has several files: {before}");
    client.talk("> SAVE\n< +OK");
    assert_eq!(info(&mut client, "rdb_saves"), "1");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(directory.names("snapshot-").len(), 1);
    wait_until("old files of the journal are dropped", || directory.names("journal-0").len() <= 2);
    count(&mut client, 5_000, 5_100, 16);
    client.talk("> DEL n:1\n< :1\n> HINCRBY h a 1\n< :2\n> SAVE\n< +OK\n> INCR after\n< :1");
    assert_eq!(directory.names("snapshot-").len(), 1, "the older one is gone");
    drop(client);
    // Killed.
    drop(server);
    fs::write(directory.0.join("snapshot-00000000000000ff.part"), "half").expect("it is writable");

    let server = Server::with_flags(engine, &directory.flags(&[]));
    let mut client = server.connect();
    assert_eq!(directory.names("snapshot-").len(), 1, "what a killed server began is gone");
    expect_all(&mut client);
}

/// What was there before the kill.
#[track_caller]
fn expect_all(client: &mut Client) {
    client.talk(
        "> DBSIZE
         < :10004
         > GET text
         < $5
         < hello
         > HGET h a
         < $1
         < 2
         > HGET h b
         < $3
         < two
         > WGET w
         < :5
         > INCRONCE once 7 token EX 1000
         < *2
         < :7
         < :0
         > GET n:1
         < $-1
         > GET n:5050
         < $2
         < 16
         > GET n:9999
         < $2
         < 15
         > GET after
         < $1
         < 1",
    );
    for key in ["h", "text"] {
        client.send(request(&["TTL", key]));
        assert!((900..=1000).contains(&client.integer()), "{key} goes away by itself");
    }
}

fn saving_under_load(engine: Engine) {
    let directory = Directory::fresh();
    let server = Server::with_flags(engine, &directory.flags(&[]));
    let mut client = server.connect();
    count(&mut client, 0, 50_000, 1);
    client.talk("> BGSAVE\n< +Background saving started");
    for value in 2..=5 {
        count(&mut client, 0, 50_000, value);
        if value % 2 == 0 {
            let mut other = server.connect();
            other.send(request(&["BGSAVE", "SCHEDULE"]));
            let line = other.line();
            let busy = line == "-ERR Background save already in progress";
            assert!(busy || line == "+Background saving started", "{line}");
        }
    }
    wait_until("the snapshot is over", || info(&mut client, "rdb_bgsave_in_progress") == "0");
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
    client.talk("> BGREWRITEAOF\n< +Background append only file rewriting started");
    wait_until("the snapshot is over", || info(&mut client, "aof_rewrite_in_progress") == "0");
    client.send(request(&["LASTSAVE"]));
    assert!(client.integer() > 1_700_000_000);
    drop(server);
    let server = Server::with_flags(engine, &directory.flags(&[]));
    let mut client = server.connect();
    client.talk("> DBSIZE\n< :50000");
    count(&mut client, 0, 50_000, 6);
}

fn an_orderly_end_leaves_nothing_to_replay(engine: Engine) {
    let directory = Directory::fresh();
    let flags = directory.flags(&["--save", "3600", "1"]);
    let mut server = Server::with_flags(engine, &flags);
    count(&mut server.connect(), 0, 1000, 1);
    server.terminate();
    wait_until("the server exits", || server.exited().is_some());
    assert_eq!(server.exited().and_then(|status| status.code()), Some(0), "{}", server.output());

    let mut server = Server::with_flags(engine, &flags);
    assert!(server.output().contains("read 1000 keys"), "{}", server.output());
    assert!(server.output().contains("read 0 changes"), "{}", server.output());
    let mut client = server.connect();
    count(&mut client, 0, 1000, 2);
    client.send(request(&["SHUTDOWN", "NOSAVE"]));
    wait_until("the server exits", || server.exited().is_some());

    let mut server = Server::with_flags(engine, &flags);
    assert!(server.output().contains("read 1000 changes"), "{}", server.output());
    let mut client = server.connect();
    client.talk("> GET n:7\n< $1\n< 2\n> CONFIG SET save \"\"\n< +OK");
    client.send(request(&["SHUTDOWN", "SAVE"]));
    wait_until("the server exits", || server.exited().is_some());

    let server = Server::with_flags(engine, &flags);
    assert!(server.output().contains("read 0 changes"), "{}", server.output());
    server.connect().talk("> DBSIZE\n< :1000");
}

fn a_damaged_snapshot_is_refused(engine: Engine) {
    let directory = Directory::fresh();
    let flags = directory.flags(&[]);
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    count(&mut client, 0, 1000, 1);
    client.talk("> SAVE\n< +OK");
    drop(server);
    let name = directory.names("snapshot-").pop().expect("there is one");
    let path = directory.0.join(&name);
    let whole = fs::read(&path).expect("it can be read");
    for (at, what, exit) in [(5_000, "checksum", 4), (0, "not a snapshot", 4), (24, "format", 1)] {
        let mut content = whole.clone();
        content[at] ^= 0x10;
        fs::write(&path, content).expect("it is writable");
        let mut refused = Server::spawn(engine, free_port(&flags), &flags);
        wait_until("the server refuses to start", || refused.exited().is_some());
        let output = refused.output();
        assert_eq!(refused.exited().and_then(|status| status.code()), Some(exit), "{output}");
        assert!(output.contains(&name) && output.contains(what), "{output}");
        assert!(!output.contains("panicked"), "{output}");
    }
    fs::write(&path, whole).expect("it is writable");
    Server::with_flags(engine, &flags).connect().talk("> DBSIZE\n< :1000");
}

fn rules_bring_about_a_snapshot(engine: Engine) {
    let directory = Directory::fresh();
    let server = Server::with_flags(engine, &directory.flags(&[]));
    let mut client = server.connect();
    client.talk("> INCR n\n< :1\n> CONFIG SET save \"1 1\"\n< +OK");
    wait_until("a snapshot is taken", || info(&mut client, "rdb_saves") == "1");
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    client.talk(
        "> CONFIG SET save \"\"
         < +OK
         > CONFIG SET auto-aof-rewrite-min-size 1mb
         < +OK",
    );
    for value in 1..=5 {
        count(&mut client, 0, 10_000, value);
    }
    wait_until("the journal's growth brings about another", || info(&mut client, "rdb_saves") != "1");
    let base: u64 = info(&mut client, "aof_base_size").parse().expect("it is a number");
    let current: u64 = info(&mut client, "aof_current_size").parse().expect("it is a number");
    assert!(0 < base && base <= current, "{base} of {current}");
    assert_eq!(info(&mut client, "aof_enabled"), "1");
}

fn without_a_directory_there_is_none(engine: Engine) {
    let server = Server::with_flags(engine, &["--appendonly", "no"]);
    let mut client = server.connect();
    for command in ["SAVE", "BGSAVE", "BGREWRITEAOF"] {
        client.ask(&[command], "-ERR there is no data directory in use (appendonly is no)\r\n");
    }
    assert_eq!(info(&mut client, "aof_enabled"), "0");
    assert_eq!(info(&mut client, "rdb_saves"), "0");
    client.talk(
        "> MULTI
         < +OK
         > SAVE
         < -ERR Command not allowed inside a transaction",
    );
}
