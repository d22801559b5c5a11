//! Limits of what clients may take together: who is ended or refused, with what words, and that the others do not notice.

use std::fs;
use std::io::stdin;
use std::os::fd::IntoRawFd as _;
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};

use crate::client::{Client, request};
use crate::server::{Engine, Server, wait_until};

on_every_engine![
    those_that_take_most_are_ended_where_all_take_too_much,
    a_bound_of_nothing_is_no_bound,
    few_open_files_are_few_clients,
    without_open_files_clients_wait_and_are_served_later,
    clients_that_are_gone_are_asked_for,
    there_is_room_for_the_descriptors_of_all_clients_from_the_start,
];

/// A field of `INFO` that is a number.
fn number(client: &mut Client, field: &str) -> u64 {
    client.info("everything", field).parse().expect("a number")
}

/// The beginning of a request that holds so many kibibytes, and lacks a key and its value.
fn begun(kib: usize) -> Vec<u8> {
    let mut bytes = format!("*{}", 3 + 2 * kib.div_ceil(512)).into_bytes();
    bytes.extend(request(&["MSET"]).split_off(2));
    for _ in 0..kib.div_ceil(512) {
        bytes.extend(request(&["k", &"x".repeat(512 * 1024 - 16)]).split_off(4));
    }
    bytes
}

fn those_that_take_most_are_ended_where_all_take_too_much(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2", "--maxmemory-clients", "6mb"]);
    let mut witness = server.connect();
    witness.ask_words("SET small 1", "+OK\r\n");
    let base = anonymous(&server);
    let mut kept = server.connect();
    kept.ask_words("CLIENT NO-EVICT on", "+OK\r\n");
    kept.send(begun(1536));
    let mut modest: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut modest {
        client.send("*2\r\n$3\r\nGET\r\n$5\r\nsm");
    }
    assert_eq!(number(&mut witness, "evicted_clients"), 0);
    // All of them together would take 32 MiB and more.
    let mut greedy: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for client in &mut greedy {
        // It may be ended while it sends.
        let _ = client.try_send(begun(2048));
    }
    wait_until("all but two or three are ended", || number(&mut witness, "evicted_clients") >= 13);
    wait_until("their memory comes back", || anonymous(&server) < base + (6 << 20) + KEPT);
    for client in &mut modest {
        client.send("all\r\n");
        client.expect("$1\r\n1\r\n");
    }
    let ended = number(&mut witness, "evicted_clients");
    assert!((13..=16).contains(&ended), "{ended}");
    let log = server.output();
    assert!(log.contains("maxmemory-clients"), "{log}");
    kept.send(request(&["k", "v"]).split_off(4));
    kept.expect("+OK\r\n");
    witness.ask_words("CONFIG SET maxmemory-clients 5%", "+OK\r\n");
    witness.ask_words("CONFIG GET maxmemory-clients", "*2\r\n$17\r\nmaxmemory-clients\r\n$2\r\n5%\r\n");
    witness.ask_words("GET small", "$1\r\n1\r\n");
    drop((greedy, modest, kept));
    wait_until("all of it comes back", || anonymous(&server) < base + KEPT);
}

/// Bytes that two workers keep for reuse, 2 MiB of carries each, and what the allocator cannot give back.
const KEPT: u64 = 8 << 20;

/// Bytes of a server's own memory.
fn anonymous(server: &Server) -> u64 {
    server.anonymous_kb().expect("it runs") * 1024
}

fn a_bound_of_nothing_is_no_bound(engine: Engine) {
    let server = Server::start(engine);
    let mut witness = server.connect();
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(begun(1024));
    }
    // From one moment to the next it is one.
    wait_until("their bytes are there", || number(&mut witness, "total_net_input_bytes") > 4 << 20);
    assert_eq!(number(&mut witness, "evicted_clients"), 0);
    witness.ask_words("CONFIG SET maxmemory-clients 2mb", "+OK\r\n");
    wait_until("enough are ended", || number(&mut witness, "evicted_clients") >= 2);
    witness.ask_words("PING", "+PONG\r\n");
}

/// A peer that vanished without a word is found by probes: here is seen that they are set, as the kernel's table shows it.
fn clients_that_are_gone_are_asked_for(engine: Engine) {
    for (seconds, asked) in [("60", true), ("0", false)] {
        let server = Server::with_flags(engine, &["--tcp-keepalive", seconds]);
        let mut client = server.connect();
        client.ask_words("PING", "+PONG\r\n");
        let port = client.tcp().local_addr().expect("it is connected").port();
        let (ours, theirs) = (format!(":{:04X}", server.addr().port()), format!(":{port:04X}"));
        // proc(5): local and remote address, state, queues, timer and when it is over in hundredths of a second. 02: keep-alive.
        let timer = || {
            let table = fs::read_to_string("/proc/net/tcp").expect("there is proc");
            let line = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let line =
                line.into_iter().find(|words| words[1].ends_with(&ours) && words[2].ends_with(&theirs));
            line.expect("the connection is listed")[5].to_owned()
        };
        if asked {
            wait_until("nothing but the probe's timer runs", || timer().starts_with("02:"));
            let hundredths = u64::from_str_radix(&timer()[3..], 16).expect("a number");
            assert!(hundredths <= 6000, "{hundredths}");
        } else {
            wait_until("no timer runs", || timer().starts_with("00:"));
        }
    }
}

/// A server that may have so many open files, and no more; whoever started it has left it some of them.
///
/// The child is a copy of this process, so its table of open files holds those of the tests that run beside this one until it executes
/// the server. The places to be taken are therefore named, and what is in them overwritten: were others looked for, there
/// would be as few as those tests leave. The pipe by which `spawn` hears of errors may be among them; it then believes that there
/// were none, and an error shows as a server that is gone.
fn with_open_files(engine: Engine, count: u64, taken: i32, flags: &[&str]) -> Server {
    let prepare = |command: &mut Command| {
        use std::os::unix::process::CommandExt as _;
        #[expect(unsafe_code, reason = "places are named by their numbers")]
        let limit = move || {
            for place in 3..3 + taken {
                // SAFETY: nothing of this copy of the process uses what had the place before, and nothing closes it now.
                let _stays = unsafe { nix::unistd::dup2_raw(stdin(), place)? }.into_raw_fd();
            }
            setrlimit(Resource::RLIMIT_NOFILE, count, count)?;
            Ok(())
        };
        // SAFETY: between fork and exec it makes system calls and allocates nothing.
        #[expect(unsafe_code, reason = "a limit of the server's process alone")]
        unsafe {
            command.pre_exec(limit)
        };
    };
    Server::prepared(engine, flags, &prepare)
}

fn few_open_files_are_few_clients(engine: Engine) {
    let server = with_open_files(engine, 100, 0, &["--threads", "1"]);
    assert!(server.output().contains("maxclients"), "{}", server.output());
    let mut clients: Vec<Client> = Vec::new();
    let refused = loop {
        let mut client = server.connect();
        // A refused one is told, whether it asks or not.
        let _ = client.try_send("PING\r\n");
        match client.line().as_str() {
            "+PONG" => clients.push(client),
            line => break line.to_owned(),
        }
        assert!(clients.len() < 100);
    };
    assert_eq!(refused, "-ERR max number of clients reached");
    assert!(clients.len() > 20, "{}", clients.len());
    drop(clients.split_off(1));
    wait_until("there is room again", || number(&mut clients[0], "connected_clients") == 1);
    server.connect().ask_words("PING", "+PONG\r\n");
}

fn without_open_files_clients_wait_and_are_served_later(engine: Engine) {
    // So many that it believes to have enough.
    let server = with_open_files(engine, 300, 200, &["--threads", "1"]);
    let mut first = server.connect();
    let mut clients: Vec<Client> = (0..120).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("INCR n\r\n");
    }
    wait_until("the log says why nobody is accepted", || {
        server.output().contains("cannot accept connections")
    });
    let served = number(&mut first, "connected_clients");
    assert!((40..100).contains(&served), "{served}");
    assert!(number(&mut first, "unaccepted") > 0);
    // Whoever has its reply makes room for others, until all have theirs.
    for mut client in clients {
        client.integer();
    }
    first.ask_words("GET n", "$3\r\n120\r\n");
}

/// Places of the kernel's table of the server's open files; it waits for all processors each time that it has to grow.
fn places(server: &Server) -> u64 {
    let pid = server.pid().expect("a process of ours");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("what the kernel says of it");
    let line = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    line.expect("a size").trim().parse().expect("a number")
}

fn there_is_room_for_the_descriptors_of_all_clients_from_the_start(engine: Engine) {
    let server = with_open_files(engine, 2200, 0, &["--maxclients", "700"]);
    assert!((700..2000).contains(&places(&server)), "{}", places(&server));
    let mut client = server.connect();
    client.ask_words("CONFIG SET maxclients 2000", "+OK\r\n");
    assert!(places(&server) >= 2000, "{}", places(&server));
    client.send_words("CONFIG SET maxclients 3000");
    let refused = client.line();
    assert!(
        refused.contains(
            "The operating system is not able to handle the specified number of clients, try with 2"
        ),
        "{refused}"
    );
    client.ask_words("CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$4\r\n2000\r\n");
}
