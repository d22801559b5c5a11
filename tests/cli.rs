//! The command line, tried from outside: what the binary prints and which code it ends with. Starts no server.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of configuration files that goes away with the test.
struct Files {
    dir: PathBuf,
}

impl Files {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: only the numbers must differ.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("the build directory can be written to");
        Self { dir }
    }

    /// Writes a file and returns its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.join(name);
        fs::write(&path, text).expect("the build directory can be written to");
        path.to_str().expect("the build directory has a name in UTF-8").to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A directory left behind does no harm.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// How a run of the binary ended.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("the output is text"),
            err: String::from_utf8(output.stderr).expect("the output is text"),
        }
    }
}

fn tallyring(args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary can be run").into()
}

/// The warnings of a configuration that is fine.
#[track_caller]
fn fine(args: &[&str]) -> String {
    let run = tallyring(args);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "configuration is fine\n"), "{args:?}: {run:?}");
    run.err
}

/// The one line that a refused configuration gets, without the program's name.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let run = tallyring(args);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{args:?}: {run:?}");
    let line = run.err.strip_prefix("tallyring: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("{args:?}: {run:?}"));
    assert!(!line.contains('\n'), "{args:?}: more than one line: {line}");
    line.to_owned()
}

/// The line for a file of this text, without the file's path.
#[track_caller]
fn refused_file(text: &str) -> String {
    let files = Files::new();
    let path = files.write("t.conf", text);
    let line = refused(&[&path, "--check-config"]);
    line.strip_prefix(&path).unwrap_or_else(|| panic!("does not name the file: {line}")).to_owned()
}

#[track_caller]
fn warnings_of_file(text: &str) -> String {
    let files = Files::new();
    fine(&[&files.write("t.conf", text), "--check-config"])
}

#[test]
fn help_lists_every_directive_with_its_default() {
    for flag in ["--help", "-h"] {
        let run = tallyring(&[flag]);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        for (name, help) in tallyring::config::directives() {
            assert!(run.out.contains(&format!("--{name} <VALUE>")), "{name} is missing in:\n{}", run.out);
            assert!(run.out.contains(help), "{name}: {help}");
        }
        assert!(run.out.contains("[default: 6379]"));
        assert!(run.out.contains("Network:"));
        assert!(run.out.contains("Exit codes:\n  0  done\n  1  "));
        assert!(!run.out.contains("--rdbcompression"), "what means nothing here is not offered");
    }
}

#[test]
fn version_is_the_packages() {
    for flag in ["--version", "-v", "-V"] {
        let run = tallyring(&[flag]);
        assert_eq!(run.code, Some(0));
        assert_eq!(run.out, concat!("tallyring ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn a_good_configuration_is_fine() {
    assert_eq!(fine(&["--check-config"]), "");
    let files = Files::new();
    let path = files.write(
        "good.conf",
        "# a comment\n   # another\n\n\tport 7000\r\nBIND * -::* 127.0.0.1\nrequirepass \"a b\\x21\" \n\
         client-output-buffer-limit normal 1mb 0 0\nclient-output-buffer-limit pubsub 1mb 0 0\n",
    );
    assert_eq!(fine(&[&path, "--check-config"]), "");
    assert_eq!(fine(&["--check-config", &path]), "");
    assert_eq!(fine(&[&path, "--check-config", "--port", "7001", "--save", "", "--bind", "-::1", "*"]), "");
    assert_eq!(fine(&["--check-config", "--port=7001", "--loglevel warning", "--requirepass=--secret"]), "");
}

#[test]
fn flags_override_the_file() {
    let files = Files::new();
    // Nothing would be listened on but for the flag; and what the file says of snapshots no longer counts.
    let path = files.write("t.conf", "port 0\nsave 3600 1\n");
    assert!(refused(&[&path, "--check-config"]).starts_with("nothing to listen on"));
    assert_eq!(fine(&[&path, "--check-config", "--port", "7000", "--save", ""]), "");
    assert_eq!(fine(&[&path, "--check-config", "--unixsocket", "/tmp/unused.sock", "--save", ""]), "");
}

#[test]
fn a_flag_mends_what_a_file_would_be_refused_for() {
    let files = Files::new();
    let path = files.write("t.conf", "daemonize yes\nmaxmemory-policy allkeys-lru\n");
    assert!(refused(&[&path]).starts_with(&format!("{path}:1: daemonize: ")));
    assert!(refused(&[&path, "--daemonize", "no"]).starts_with(&format!("{path}:2: maxmemory-policy: ")));
    let mended = ["--check-config", &path, "--daemonize", "no", "--maxmemory-policy", "noeviction"];
    assert!(fine(&mended).contains("ignored: daemonize\n"));
}

#[test]
fn a_configuration_may_come_on_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tallyring"))
        .args(["-", "--check-config"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"port 7000\nport x\n").unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(2));
    assert!(run.err.starts_with("tallyring: <stdin>:2: port: 'x': "), "{run:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let line = refused(&["/nowhere/t.conf", "--check-config"]);
    assert_eq!(
        line,
        "cannot read configuration file '/nowhere/t.conf': No such file or directory (os error 2)"
    );
    let files = Files::new();
    assert!(refused(&[files.dir.to_str().unwrap()]).contains("Is a directory"));
    let line = refused(&[&files.write("a.conf", ""), "b.conf"]);
    assert!(line.starts_with("one configuration file at most"), "{line}");
}

#[test]
fn an_unknown_directive_is_named_with_its_place_and_a_near_miss() {
    assert_eq!(
        refused_file("port 7000\n\nmaxclient 5\n"),
        ":3: unknown directive 'maxclient'; did you mean 'maxclients'?"
    );
    assert_eq!(
        refused_file("frobnicate yes\n"),
        ":1: unknown directive 'frobnicate'; see --help for all directives"
    );
    assert_eq!(refused(&["--prot", "7000"]), "unknown option '--prot'; did you mean '--port'?");
    assert_eq!(
        refused(&["--chekc-config"]),
        "unknown option '--chekc-config'; did you mean '--check-config'?"
    );
    assert_eq!(refused(&["--frobnicate"]), "unknown option '--frobnicate'; see --help for all directives");
    assert_eq!(refused(&["-port", "7000"]), "'-port' is no option: they begin with two dashes");
    assert_eq!(refused(&["--", "7000"]), "'--' names no directive");
}

#[test]
fn a_bad_value_is_told_what_would_be_right() {
    for (line, what) in [
        ("port abc", "argument couldn't be parsed into an integer"),
        ("port 70000", "argument must be between 0 and 65535 inclusive"),
        ("port", "wrong number of arguments"),
        ("port 1 2", "wrong number of arguments"),
        ("port 7000 # comments have a line of their own", "wrong number of arguments"),
        ("protected-mode maybe", "argument must be 'yes' or 'no'"),
        ("loglevel loud", "argument(s) must be one of the following: debug, verbose, notice, warning"),
        ("proto-max-bulk-len 1tb", "argument must be a memory value"),
        ("proto-max-bulk-len 1k", "argument must be between 1048576 and 536870912 inclusive"),
        ("unixsocketperm 9", "argument couldn't be parsed as an octal number"),
        ("bind localhost", "argument must be IP addresses, * (all IPv4) or ::* (all IPv6)"),
        ("bind", "wrong number of arguments"),
        ("save 60", "Invalid save parameters"),
        (
            "client-output-buffer-limit normal 1mb 0",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        ("client-output-buffer-limit other 0 0 0", "Invalid client class specified"),
        ("client-output-buffer-limit normal x 0 0", "Error in hard, soft or soft_seconds setting"),
        ("latency-tracking-info-percentiles 50 101", "parameters should sit between [0.0,100.0]"),
        ("slowlog-log-slower-than -2", "argument must be between -1 and 9223372036854775807 inclusive"),
        ("dir \"\"", "argument must be a directory"),
    ] {
        let name = line.split(' ').next().unwrap();
        let message = refused_file(&format!("\n{line}\n"));
        assert!(message.starts_with(&format!(":2: {name}: ")), "{line}: {message}");
        assert!(message.contains(what), "{line}: {message}");
        assert!(message.contains("default "), "{line}: {message}");
    }
    let line = refused(&["--port", "abc"]);
    assert_eq!(
        line,
        "--port: 'abc': argument couldn't be parsed into an integer (TCP port; 0 = none; default 6379)"
    );
}

#[test]
fn quotes_must_be_closed_and_values_are_text() {
    assert_eq!(
        refused_file("port 7000\nrequirepass \"abc\n"),
        ":2: unbalanced quotes: close each one, and put a blank after it"
    );
    assert_eq!(refused_file("requirepass \"\\xff\"\n"), ":1: not UTF-8 text");
}

#[test]
fn a_password_is_not_repeated() {
    let long = "s3cret".repeat(200);
    for line in [format!("requirepass {long}\n"), "requirepass s3cret twice\n".to_owned()] {
        let message = refused_file(&line);
        assert!(message.starts_with(":1: requirepass: ") && !message.contains("s3cret"), "{message}");
    }
}

#[test]
fn the_token_of_the_admin_interface_is_one_word_from_one_place() {
    let message = refused_file("admin-token \"s3cret of two\"\n");
    assert!(message.starts_with(":1: admin-token: ") && message.contains("without blanks"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
    let line = refused(&["--admin-token", "s3cret", "--admin-token-file", "/run/token"]);
    assert_eq!(line, "admin-token and admin-token-file are both set: remove one of them");
    let run = tallyring(&[
        "--port",
        "0",
        "--unixsocket",
        "/nowhere/t.sock",
        "--admin-token-file",
        "/nowhere/token",
    ]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("cannot read admin-token-file /nowhere/token: No such file"), "{run:?}");
}

#[test]
fn what_this_version_cannot_promise_is_refused_with_the_reason() {
    for (line, reason) in [
        ("maxmemory-policy allkeys-lru", "set volatile-ttl or noeviction"),
        ("cluster-enabled yes", "set cluster-enabled no"),
        ("replicaof 10.0.0.1 6379", "does not replicate"),
        ("slaveof 10.0.0.1 6379", "does not replicate"),
        ("daemonize yes", "set daemonize no"),
        ("supervised systemd", "set supervised no"),
        ("tls-key-file-pass sesame", "store the key without one"),
        ("tls-protocols TLSv1.1", "TLSv1.2"),
        ("user alice on +zadd", "Unknown command or category name"),
        ("rename-command CONFIG \"\"", "commands keep their names"),
        ("loadmodule /lib/m.so", "no modules"),
        ("notify-keyspace-events KEA", "sends no events"),
        ("min-replicas-to-write 1", "set 0"),
    ] {
        let name = line.split(' ').next().unwrap();
        let message = refused_file(&format!("{line}\n"));
        assert!(
            message.starts_with(&format!(":1: {name}: ")) && message.contains(reason),
            "{line}: {message}"
        );
    }
}

#[test]
fn what_only_a_ring_can_do_is_refused_without_one() {
    if cfg!(any(feature = "uring", feature = "tokio-uring")) {
        assert_eq!(fine(&["--check-config", "--recv", "fixed"]), "");
    } else {
        assert!(refused(&["--recv", "fixed"]).contains("not part of this build"));
    }
    if cfg!(all(feature = "uring", feature = "epoll")) {
        let line = refused(&["--engine", "epoll", "--recv", "fixed"]);
        assert_eq!(line, "recv fixed: engine epoll registers no blocks; set engine uring, or recv multishot");
        assert_eq!(
            refused(&["--engine", "epoll", "--force-rung", "coop"]),
            "--force-rung: only engine uring has rungs"
        );
        assert_eq!(
            refused(&["--engine", "epoll", "--force-entries", "8"]),
            "--force-entries: only engine uring has a ring of its own"
        );
    }
}

#[test]
fn what_is_forced_is_so_by_flags_that_only_tests_know() {
    assert_eq!(fine(&["--check-config", "--force-rung", "oneshot"]), "");
    assert_eq!(
        refused(&["--force-rung", "top"]),
        "--force-rung: argument(s) must be one of the following: defer, coop, oneshot"
    );
    assert_eq!(fine(&["--check-config", "--force-entries", "8"]), "");
    assert!(refused(&["--force-entries", "0"]).starts_with("--force-entries: "));
    assert!(!tallyring(&["--help"]).out.contains("force-"));
    assert_eq!(
        refused_file("force-rung coop\n"),
        ":1: unknown directive 'force-rung'; see --help for all directives"
    );
}

#[test]
fn what_means_nothing_here_is_accepted_and_named_once() {
    let warnings = warnings_of_file("hz 10\nio-threads 4\ndaemonize no\nHZ 20\nlazyfree-lazy-eviction no\n");
    assert_eq!(
        warnings,
        "tallyring: directives without a meaning here, ignored: hz, io-threads, daemonize, lazyfree-lazy-eviction\n"
    );
    assert_eq!(
        fine(&["--check-config", "--hz", "10"]),
        "tallyring: directives without a meaning here, ignored: hz\n"
    );
}

#[test]
fn promises_that_are_kept_in_part_get_a_warning() {
    assert!(warnings_of_file("databases 16\n").contains("only database 0 exists"));
    assert_eq!(warnings_of_file("databases 1\n"), "");
    assert!(
        warnings_of_file("client-output-buffer-limit normal 1mb 1kb 5\n").contains("only the hard limit")
    );
}

#[test]
fn includes_are_followed() {
    let files = Files::new();
    let inner = files.write("inner.conf", "hz 10\nport x\n");
    let outer = files.write("outer.conf", &format!("port 7000\ninclude {inner}\n"));
    let line = refused(&[&outer]);
    assert!(line.starts_with(&format!("{inner}:2: port: 'x': ")), "{line}");
    let line = refused(&["--include", &inner]);
    assert!(line.starts_with(&format!("{inner}:2: port: 'x': ")), "{line}");

    let missing = files.write("missing.conf", "\ninclude /nowhere/t.conf\n");
    let line = refused(&[&missing]);
    assert!(
        line.starts_with(&format!("{missing}:2: cannot read configuration file '/nowhere/t.conf': ")),
        "{line}"
    );

    let itself = files.dir.join("itself.conf");
    let itself = files.write("itself.conf", &format!("include {}\n", itself.display()));
    let line = refused(&[&itself]);
    assert!(line.starts_with(&format!("{itself}:1: include: more than 16 files")), "{line}");
}

#[test]
fn includes_take_wildcards() {
    let files = Files::new();
    files.write("20.part", "loglevel x\n");
    files.write("10.part", "hz 10\n");
    let all = files.write("all.conf", &format!("include {}/*.part\n", files.dir.display()));
    let line = refused(&[&all]);
    assert!(line.contains("20.part:1: loglevel: 'x'"), "{line}");
    let none = files.write("none.conf", &format!("include {}/*.none\n", files.dir.display()));
    assert_eq!(fine(&[&none, "--check-config"]), "", "wildcards may find nothing, as in Redis");
}

#[test]
fn a_log_file_that_cannot_be_written_is_an_ordinary_failure() {
    let run = tallyring(&["--port", "0", "--unixsocket", "/nowhere/t.sock", "--logfile", "/nowhere/t.log"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(
        run.err,
        "tallyring: cannot write to logfile '/nowhere/t.log': No such file or directory (os error 2)\n"
    );
}

#[test]
fn the_example_file_is_fine_and_names_every_directive() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tallyring.conf");
    assert_eq!(fine(&[path, "--check-config"]), "");
    let text = fs::read_to_string(path).unwrap();
    for (name, _) in tallyring::config::directives() {
        let described =
            text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} ")));
        assert!(described, "{name} is missing in {path}");
    }
}
