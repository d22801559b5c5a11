//! The epoll build contains no `io_uring`: not among its crates, not in its symbols, not in what it does.
//!
//! What it does is shown by a kernel filter (seccomp) that kills a process on any of the three system calls.
//! A process that makes one on purpose shows that the filter works.
#![expect(unsafe_code, reason = "making a raw system call has no safe interface")]

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;

use nix::libc;

use crate::client::{bulk, request};
use crate::filter::{Answer, RING_CALLS, take_away};
use crate::server::{Engine, Server};

/// Set for the process that makes the forbidden call on purpose.
const OFFENDER: &str = "TALLYRING_TEST_OFFENDER";

#[test]
fn the_server_makes_no_system_call_of_a_ring() {
    let watched = thread::spawn(|| {
        take_away(&RING_CALLS, Answer::Kill);
        for flags in [&["--engine", "epoll", "--threads", "2"][..], &["--engine", "auto"]] {
            serve_under_the_filter(flags);
        }
    });
    watched.join().expect("the server serves as if rings did not exist");
}

/// A workload of many shapes, against a server that was started under the filter.
fn serve_under_the_filter(flags: &[&str]) {
    let mut server = Server::with_flags(Engine::Epoll, flags);
    let mut client = server.connect();
    client.send(request(&["INFO"]));
    assert!(client.text().lines().any(|line| line == "engine:epoll"), "INFO names the engine");
    client.send(request(&["INCR", "n"]).repeat(10_000));
    (1..=10_000).for_each(|n| assert_eq!(client.integer(), n));
    let value = "v".repeat(500_000);
    client.ask(&["SET", "big", &value], "+OK\r\n");
    client.ask(&["GET", "big"], bulk(&value));
    let mut crowd: Vec<_> = (0..100).map(|_| server.connect()).collect();
    crowd.iter_mut().for_each(|one| one.ask(&["PING"], "+PONG\r\n"));
    client.ask(&["CLIENT", "KILL", "TYPE", "normal"], ":100\r\n");
    server.terminate();
    crate::server::wait_until("the server exits", || server.exited().is_some());
    assert_eq!(server.exited().and_then(|status| status.code()), Some(0), "it logged:\n{}", server.output());
}

#[test]
fn the_filter_kills_who_makes_such_a_call() {
    if env::var_os(OFFENDER).is_some() {
        // SAFETY: no ring comes of it, the kernel refuses a null parameter block; under the filter it never returns.
        unsafe { libc::syscall(*RING_CALLS.start(), 1, std::ptr::null_mut::<u8>()) };
        return;
    }
    let offend = || {
        let own = env::current_exe().expect("a running program has a path");
        let mut offender = Command::new(own);
        offender.args(["--exact", "epoll_only::the_filter_kills_who_makes_such_a_call"]);
        offender.env(OFFENDER, "1").stdout(Stdio::null()).stderr(Stdio::null());
        offender.status().expect("this program can be started again")
    };
    assert!(offend().success(), "without the filter the call is merely refused");
    let under_the_filter = thread::spawn(move || {
        take_away(&RING_CALLS, Answer::Kill);
        offend()
    });
    let status = under_the_filter.join().expect("the filter is accepted");
    assert_eq!(status.signal(), Some(libc::SIGSYS), "the filter kills the offender");
}

#[test]
fn no_crate_of_a_ring_is_linked() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args([
        "tree",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--no-default-features",
        "--features",
        "epoll",
    ]);
    let tree = cargo.output().expect("cargo runs");
    let crates = String::from_utf8_lossy(&tree.stdout);
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    assert!(crates.lines().any(|line| line.starts_with("nix ")), "the tree is listed:\n{crates}");
    let rings: Vec<&str> = crates.lines().filter(|line| line.contains("uring")).collect();
    assert!(rings.is_empty(), "the epoll build depends on {rings:?}");

    // The compiler writes a crate's name into each of its symbols, after the name's length, and the path of its
    // sources into panic messages and line tables.
    let program = fs::read(env!("CARGO_BIN_EXE_tallyring")).expect("the server was built");
    let mentions = |name: &[u8]| program.windows(name.len()).any(|window| window == name);
    assert!(mentions(b"3nix") && mentions(b"/nix-0."), "symbols and sources of linked crates are found");
    for trace in [&b"8io_uring"[..], b"/io-uring-0.", b"11tokio_uring"] {
        assert!(!mentions(trace), "the program holds {}", trace.escape_ascii());
    }
}
