//! `tallyring check`, and what all tools say of arguments and directories that are none.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use crate::stage::{Place, Server, ask, content, fine, fixture, refused, run};

/// A directory in which a server has counted and ended.
fn counted(place: &Place) -> String {
    let dir = place.at("data");
    let server = Server::on(&dir, &[]);
    let connection = &mut server.connect();
    for _ in 0..10 {
        ask::<i64>(connection, "INCR n");
    }
    ask::<i64>(connection, "HSET h f 1 g 2");
    ask::<i64>(connection, "PEXPIRE n 1000000");
    server.end();
    dir
}

#[test]
fn a_whole_directory_is_fine_and_stays_as_it_is() {
    let place = Place::new();
    let dir = counted(&place);
    let before = content(&dir);
    let report = fine(&["check", &dir]);
    assert!(report.starts_with(&format!("{dir}: fine\n  last position     ")), "{report}");
    for line in [
        "segments          1\n",
        "effects           13 changes: 10 set, 1 deadline, 2 field\n",
        "closed cleanly    yes\n",
        "tail              nothing is cut\n",
        "log ring          nothing that the files lack\n",
    ] {
        assert!(report.contains(line), "{line} is missing in:\n{report}");
    }
    assert!(content(&dir) == before, "check has changed something");
    // Also without the file whose lock tells of a server.
    fs::remove_file(format!("{dir}/journal.lock")).unwrap();
    fine(&["check", &dir]);
    assert!(!fs::exists(format!("{dir}/journal.lock")).unwrap());
}

#[test]
fn what_a_killed_server_left_is_fine() {
    let place = Place::new();
    let dir = place.at("data");
    let server = Server::on(&dir, &[]);
    ask::<i64>(&mut server.connect(), "INCR n");
    server.kill();
    let report = fine(&["check", &dir]);
    assert!(report.contains("closed cleanly    no\n") && report.contains("1 changes: 1 set\n"), "{report}");
    assert_eq!(fine(&["dump", &dir]), "\"n\"\tstring\t1\t-\n");
}

#[test]
fn damage_has_a_code_and_a_place() {
    let place = Place::new();
    let dir = counted(&place);
    let file = format!("{dir}/journal-0000000000000001");
    // In the first group, which later ones say was durable.
    let open = OpenOptions::new().read(true).write(true).open(&file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, 4096 + 60).unwrap();
    open.write_all_at(&[!byte[0]], 4096 + 60).unwrap();
    let line = refused(4, &["check", &dir]);
    assert!(line.contains(&format!("{file} is damaged at byte 4096: ")), "{line}");
    assert_eq!(run(["check", &dir]).out, format!("{dir}: damaged\n  readable before   0 changes\n"));
    assert_eq!(refused(4, &["dump", &dir]), line);
    assert_eq!(refused(4, &["backup", "--from", &dir, &place.at("copy")]), line);
    assert!(!fs::exists(place.at("copy")).unwrap());
    let source = fixture("redis-7.0.rdb");
    assert_eq!(
        refused(4, &["import", &source, "--merge", "--dir", &dir]).split(';').next(),
        line.split(';').next()
    );
}

#[test]
fn a_torn_tail_is_told() {
    let place = Place::new();
    let dir = counted(&place);
    let file = format!("{dir}/journal-0000000000000001");
    let end = fs::read(&file).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 9;
    let end = end.next_multiple_of(8);
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(b"torn", end).unwrap();
    let report = fine(&["check", &dir]);
    assert!(report.contains("would be cut: they were written and never synced"), "{report}");
    assert!(report.contains("closed cleanly    no\n"), "{report}");
}

#[test]
fn a_server_that_runs_is_in_the_way() {
    let place = Place::new();
    let dir = place.at("data");
    let server = Server::on(&dir, &[]);
    for tool in ["check", "dump"] {
        assert_eq!(refused(1, &[tool, &dir]), format!("a server uses {dir} (remedy: end it first)"));
    }
    let source = fixture("redis-7.0.rdb");
    assert!(refused(1, &["import", &source, "--dir", &dir]).starts_with("a server uses "));
    drop(server);
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let place = Place::new();
    fs::create_dir(place.at("empty")).unwrap();
    for tool in [&["check"][..], &["dump"], &["backup", &place.at("copy"), "--from"]] {
        let of = |dir: &str| refused(1, &[tool, &[dir]].concat());
        let empty = place.at("empty");
        assert_eq!(of(&empty), format!("{empty} holds no journal: it is no data directory"));
        assert!(of("/nowhere").starts_with("cannot open /nowhere at byte 0: No such file"));
    }
    assert!(!fs::exists(place.at("copy")).unwrap());
    assert_eq!(content(&place.at("empty")), []);
}

#[test]
fn usage_errors_are_one_line() {
    for (args, line) in [
        (&["check"][..], "the following required arguments were not provided: <DIR>"),
        (&["check", "a", "b"], "unexpected argument 'b' found"),
        (&["dump", "a", "--frob"], "unexpected argument '--frob' found"),
        (&["backup", "a"], "the following required arguments were not provided: --from <DATADIR>"),
        (&["import"], "import: name a source: FILE.rdb, or redis://HOST:PORT"),
        (&["import", "--dir", "x"], "import: name a source: FILE.rdb, or redis://HOST:PORT"),
        (&["import", "f", "--db", "x"], "--db: 'x' is no number"),
        (&["import", "f", "--db"], "--db: give a number"),
        (&["import", "f", "--prot", "1"], "unknown option '--prot'; did you mean '--port'?"),
        (&["import", "f", "--appendonly", "no"], "import: with appendonly no, a server would load nothing"),
        (
            &["import", "rediss://h"],
            "import: 'rediss' is no source: give FILE.rdb, or redis://HOST:PORT (no TLS)",
        ),
        (&["import", "redis://h:x"], "import: the port is a number up to 65535"),
    ] {
        assert_eq!(refused(2, args), line, "{args:?}");
    }
}

#[test]
fn every_tool_has_help() {
    let help = fine(&["--help"]);
    for tool in ["check", "dump", "backup", "import"] {
        assert!(help.contains(&format!("\n  {tool} ")), "{tool} is missing in:\n{help}");
        for flag in ["--help", "-h"] {
            let own = fine(&[tool, flag]);
            assert!(own.contains(&format!("Usage: tallyring {tool} ")), "{own}");
            assert!(own.contains("\n  4  the data directory is damaged"), "{own}");
        }
    }
    assert!(fine(&["dump", "--help"]).contains("--pipe") && fine(&["import", "-h"]).contains("--merge"));
}
