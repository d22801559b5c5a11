//! What the server does where the kernel gives less than it would like: it goes one rung down and says why, or refuses
//! in one line where a ring was insisted on.
#![expect(unsafe_code, reason = "limits and capabilities are taken away between fork and exec")]

use std::os::unix::process::CommandExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::request;
use crate::filter::{Answer, RING_CALLS, take_away, take_registration_away};
use crate::server::{Engine, Prepare, Server, wait_until};

/// A field of `INFO engine`.
fn info(server: &Server, name: &str) -> String {
    let mut client = server.connect();
    client.send(request(&["INFO", "engine"]));
    let text = client.text();
    let field = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field.unwrap_or_else(|| panic!("INFO has no {name}:\n{text}")).to_owned()
}

/// The log up to the line that says what the server runs on: a worker may answer before it is written.
fn log(server: &Server) -> String {
    wait_until("the log says what it runs on", || server.output().contains(" ready: "));
    server.output()
}

/// Counts, drains and ends: whatever the server fell to, it is a whole one.
#[track_caller]
fn serve_and_end(mut server: Server) {
    let mut client = server.connect();
    client.send(request(&["INCR", "n"]).repeat(1000));
    (1..=1000).for_each(|n| assert_eq!(client.integer(), n));
    server.terminate();
    wait_until("the server exits", || server.exited().is_some());
    assert_eq!(server.exited().and_then(|status| status.code()), Some(0), "it logged:\n{}", server.output());
}

/// The server must refuse to start, in one line that has these words.
#[track_caller]
fn refuses(mut server: Server, words: &[&str]) {
    wait_until("the server refuses to start", || server.exited().is_some());
    let output = server.output();
    assert_eq!(server.exited().and_then(|status| status.code()), Some(1), "it logged:\n{output}");
    let lines: Vec<&str> = output.lines().filter(|line| line.contains("cannot set up io_uring")).collect();
    assert_eq!(lines.len(), 1, "one line says so:\n{output}");
    for word in words {
        assert!(lines[0].contains(word), "it says {word:?}:\n{output}");
    }
    assert!(!output.contains("panicked") && !output.contains("ready"), "{output}");
}

/// The server must serve on epoll, and its log say why in one line that has these words, before the one that says
/// what it runs on.
#[track_caller]
fn falls_to_epoll(server: Server, words: &[&str]) {
    assert_eq!(info(&server, "engine"), "epoll");
    assert_eq!(info(&server, "engine_rung"), "edge-triggered");
    let output = log(&server);
    let mut lines = output.lines().skip_while(|line| !line.contains("falling back to engine epoll"));
    let why = lines.next().unwrap_or_else(|| panic!("the log says that it fell:\n{output}"));
    for word in words {
        assert!(why.contains(word), "it says {word:?}:\n{output}");
    }
    let ready = lines.next().unwrap_or_default();
    assert!(ready.contains("ready: engine epoll (edge-triggered)"), "then what it runs on:\n{output}");
    serve_and_end(server);
}

/// Does something in a thread that `loses` some of what it may ask of the kernel, as have the processes it starts.
fn after(loses: impl FnOnce() + Send + 'static, act: impl FnOnce() + Send + 'static) {
    if !Engine::Uring.is_expected() {
        return;
    }
    let lost = thread::spawn(|| {
        loses();
        act();
    });
    if let Err(panic) = lost.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Who insists on a ring is refused, who does not is served on epoll, and both are told these words.
fn no_ring_at_all(words: &[&str]) {
    falls_to_epoll(Server::with_flags(Engine::Epoll, &["--engine", "auto"]), words);
    falls_to_epoll(Server::with_flags(Engine::Epoll, &["--engine", "auto", "--recv", "fixed"]), words);
    refuses(Server::spawn(Engine::Uring, 0, &["--unixsocket", "s"]), words);
    refuses(Server::spawn(Engine::UringFixed, 0, &["--unixsocket", "s"]), words);
    #[cfg(feature = "tokio-uring")]
    refuses(Server::spawn(Engine::TokioUring, 0, &["--unixsocket", "s"]), words);
}

#[test]
fn a_profile_that_forbids_rings() {
    after(
        || take_away(&RING_CALLS, Answer::Error(libc::EPERM)),
        || no_ring_at_all(&["io_uring_setup: Operation not permitted", "seccomp profile forbids", "remedy"]),
    );
}

#[test]
fn a_profile_that_hides_rings() {
    after(
        || take_away(&RING_CALLS, Answer::Error(libc::ENOSYS)),
        || no_ring_at_all(&["io_uring_setup: Function not implemented", "seccomp profile hides", "remedy"]),
    );
}

/// A ring can be built, but not used for anything.
#[test]
fn a_profile_that_forbids_one_of_the_calls() {
    for (call, name) in
        [(libc::SYS_io_uring_register, "io_uring_register"), (libc::SYS_io_uring_enter, "io_uring_enter")]
    {
        after(
            move || take_away(&(call..=call), Answer::Error(libc::EPERM)),
            move || no_ring_at_all(&[name, "Operation not permitted", "a seccomp profile forbids"]),
        );
    }
}

/// Operations of io_uring_register(2), of include/uapi/linux/io_uring.h.
const REGISTER_RESTRICTIONS: libc::c_long = 11;
const REGISTER_PBUF_RING: libc::c_long = 22;

/// Blocks cannot be shared by connections, but each may have its own.
#[test]
fn a_profile_that_forbids_buffer_rings() {
    after(
        || take_registration_away(REGISTER_PBUF_RING, Answer::Error(libc::EPERM)),
        || {
            let words = ["io_uring_register: Operation not permitted", "a seccomp profile forbids"];
            falls_to_epoll(Server::with_flags(Engine::Epoll, &["--engine", "auto"]), &words);
            refuses(Server::spawn(Engine::UringOneshot, 0, &["--unixsocket", "s"]), &words);
            serve_and_end(Server::with_flags(Engine::UringFixed, &[]));
        },
    );
}

/// A ring that could do more serves as well.
#[test]
fn a_profile_that_forbids_restrictions() {
    after(
        || take_registration_away(REGISTER_RESTRICTIONS, Answer::Error(libc::EINVAL)),
        || {
            let server = Server::with_flags(Engine::Epoll, &["--engine", "auto"]);
            assert_eq!(info(&server, "engine"), "uring");
            assert!(log(&server).contains("the ring is not restricted"), "{}", server.output());
            serve_and_end(server);
        },
    );
}

/// Bytes that may be locked, for a server without the privilege to lock as many as it likes.
fn lock_at_most(bytes: u64) -> impl Fn(&mut std::process::Command) {
    move |command| {
        let prepare = move || {
            /// linux/capability.h
            const CAP_IPC_LOCK: libc::c_ulong = 14;
            // SAFETY: a call that takes two numbers; it allocates nothing.
            let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) };
            // EPERM: the capability is not there to be dropped, and so binds nothing.
            if dropped != 0 && nix::errno::Errno::last() != nix::errno::Errno::EPERM {
                return Err(std::io::Error::last_os_error());
            }
            setrlimit(Resource::RLIMIT_MEMLOCK, bytes, bytes).map_err(std::io::Error::from)
        };
        // SAFETY: between fork and exec `prepare` makes two system calls and touches no lock and no allocator.
        unsafe { command.pre_exec(prepare) };
    }
}

/// Held by a test whose servers may lock little: the kernel counts what all processes of a user have locked.
static LOCKED: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    LOCKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that is granted a ring: waits for what servers before it have locked, which the kernel gives back some time
/// after they are gone.
fn granted(flags: &[&str], prepare: Prepare<'_>) -> Server {
    let mut granted = None;
    wait_until("a ring is granted", || {
        let server = Server::prepared(Engine::Epoll, &[&["--engine", "auto"], flags].concat(), prepare);
        let is_ring = info(&server, "engine") == "uring";
        granted = is_ring.then_some(server);
        is_ring
    });
    granted.expect("it was waited for")
}

#[test]
fn too_little_memory_may_be_locked() {
    if !Engine::Uring.is_expected() {
        return;
    }
    let _turn = take_turn();
    let words = ["Cannot allocate memory", "RLIMIT_MEMLOCK is 16 KiB", "LimitMEMLOCK="];
    let little = lock_at_most(16 * 1024);
    let auto = Server::prepared(Engine::Epoll, &["--engine", "auto"], &little);
    falls_to_epoll(auto, &words);
    let fixed = Server::prepared(Engine::Epoll, &["--engine", "auto", "--recv", "fixed"], &little);
    falls_to_epoll(fixed, &words);
    refuses(Server::spawn_prepared(Engine::Uring, 0, &["--unixsocket", "s"], &little), &words);
    #[cfg(feature = "tokio-uring")]
    refuses(Server::spawn_prepared(Engine::TokioUring, 0, &["--unixsocket", "s"], &little), &words);
}

/// What is enough for the first worker may not be for the last: that is found before any of them serves.
#[test]
fn enough_memory_may_be_locked_for_some_of_the_workers() {
    if !Engine::Uring.is_expected() {
        return;
    }
    let _turn = take_turn();
    let words = ["Cannot allocate memory", "RLIMIT_MEMLOCK is 3072 KiB"];
    let little = lock_at_most(3 * 1024 * 1024);
    serve_and_end(granted(&["--recv", "fixed", "--threads", "1"], &little));
    let flags = ["--engine", "auto", "--recv", "fixed", "--threads", "16"];
    let sixteen = Server::prepared(Engine::Epoll, &flags, &little);
    falls_to_epoll(sixteen, &words);
}

/// A runtime belongs to its worker's thread, so that the last of them may be the one to find memory short.
#[cfg(feature = "tokio-uring")]
#[test]
fn enough_memory_may_be_locked_for_some_of_the_runtimes() {
    if !Engine::TokioUring.is_expected() {
        return;
    }
    let _turn = take_turn();
    let little = lock_at_most(7 * 1024 * 1024);
    let flags = ["--unixsocket", "s", "--threads", "4"];
    let mut server = Server::spawn_prepared(Engine::TokioUring, 0, &flags, &little);
    wait_until("the server ends", || server.exited().is_some());
    let output = server.output();
    assert_eq!(server.exited().and_then(|status| status.code()), Some(1), "it logged:\n{output}");
    assert!(output.contains("RLIMIT_MEMLOCK is 7168 KiB") && !output.contains("panicked"), "{output}");
}

/// Each connection has a block of its own, and blocks are registered by the megabyte: who comes when no more may be
/// locked is told, and is served when others have left.
#[test]
fn connections_beyond_what_may_be_locked() {
    if !Engine::Uring.is_expected() {
        return;
    }
    let _turn = take_turn();
    // The usual soft limit is 1,024 descriptors, and the clients are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is such a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised that far");
    let little = lock_at_most(3 * 1024 * 1024);
    let server = granted(&["--recv", "fixed"], &little);
    let mut crowd = Vec::new();
    // Served or refused: one of them within what 3 MiB hold.
    let mut refused = loop {
        let mut client = server.connect();
        client.send("PING\r\n");
        match client.line().as_str() {
            "+PONG" => crowd.push(client),
            other => {
                assert_eq!(other, "-ERR max number of clients reached");
                break client;
            }
        }
        assert!(crowd.len() < 1000, "3 MiB are no more than 768 blocks");
    };
    refused.expect_closed();
    let served = crowd.len();
    assert!(
        served >= 512 && served % 256 == 0,
        "chunks of blocks were added to the first: {served} were served"
    );
    crowd.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    assert!(server.output().contains("no more blocks can be registered"), "{}", server.output());
    crowd.pop();
    wait_until("the block of one that left is given away", || {
        let mut next = server.connect();
        next.send("PING\r\n");
        next.line() == "+PONG"
    });
}

/// Completions beyond the queue's end are kept, receives that they ended are armed again, and every request is executed once.
#[test]
fn a_ring_of_few_entries_overflows_and_nothing_is_lost() {
    if !Engine::UringTiny.is_expected() {
        return;
    }
    for supply in [&[][..], &["--recv", "fixed"]] {
        let server = Server::with_flags(Engine::UringTiny, &[&["--threads", "1"], supply].concat());
        let mut clients: Vec<_> = (0..64).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
        let before: u64 = info(&server, "ring_overflows").parse().expect("it is a number");
        for _ in 0..10 {
            // All of them at once.
            server.freeze();
            for client in &mut clients {
                client.send(request(&["INCR", "all"]).repeat(10));
            }
            server.thaw();
            for client in &mut clients {
                (0..10).for_each(|_| assert!(client.integer() > 0));
            }
        }
        clients[0].ask(&["GET", "all"], "$4\r\n6400\r\n");
        let after: u64 = info(&server, "ring_overflows").parse().expect("it is a number");
        assert!(after > before, "64 completions in a queue of 8 are too many: {before} to {after}");
        drop(clients);
        serve_and_end(server);
    }
}

#[test]
fn the_log_and_info_name_the_rung() {
    for (engine, rung) in
        [(Engine::UringCoop, "coop-taskrun multishot"), (Engine::UringOneshot, "coop-taskrun one-shot")]
    {
        if !engine.is_expected() {
            return;
        }
        let server = Server::with_flags(engine, &[]);
        assert_eq!(
            (info(&server, "engine").as_str(), info(&server, "engine_rung").as_str()),
            ("uring", rung)
        );
        assert!(log(&server).contains(&format!("engine uring ({rung})")), "{}", server.output());
        serve_and_end(server);
    }
    let server = Server::with_flags(Engine::UringFixed, &[]);
    assert!(info(&server, "engine_rung").ends_with(" fixed"));
    serve_and_end(server);
}
