//! From start to stop: where the server listens, when it refuses to start, how it ends.

use std::fs;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use crate::client::{Client, request};
use crate::server::{Engine, Server, wait_until};

on_every_ring![
    sigterm_answers_what_was_sent,
    sigterm_ends_a_server_with_idle_clients,
    a_taken_port_is_refused_in_one_line,
    a_unix_socket_is_served,
    ipv6_is_served,
];

/// What Redis tells in its own way.
mod ours {
    use super::*;

    on_every_engine![the_service_manager_is_told];
}

fn sigterm_answers_what_was_sent(engine: Engine) {
    const SENT: usize = 20_000;
    let mut server = Server::with_flags(engine, &["--threads", "2"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.ask(&["PING"], "+PONG\r\n");
        client.send(request(&["INCR", &n.to_string()]).repeat(SENT));
    }
    server.terminate();
    for client in &mut clients {
        let replies: String = (1..=SENT).map(|n| format!(":{n}\r\n")).collect();
        client.expect(replies);
        client.expect_closed();
    }
    expect_clean_exit(&mut server);
}

fn sigterm_ends_a_server_with_idle_clients(engine: Engine) {
    let mut server = Server::with_flags(engine, &["--threads", "2"]);
    let mut idle: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    idle[0].send("*2\r\n$3\r\nGET\r\n$1");
    server.terminate();
    idle.iter_mut().for_each(Client::expect_closed);
    expect_clean_exit(&mut server);
    assert!(TcpStream::connect(server.addr()).is_err(), "nobody listens any more");
}

#[track_caller]
fn expect_clean_exit(server: &mut Server) {
    let asked = Instant::now();
    wait_until("the server exits", || server.exited().is_some());
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?} to exit", asked.elapsed());
    let status = server.exited().expect("it has just exited");
    assert_eq!(status.code(), Some(0), "SIGTERM is an ordinary end; it logged:\n{}", server.output());
}

fn a_taken_port_is_refused_in_one_line(engine: Engine) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let by_another = taken.local_addr().expect("a listener has an address").port();
    let server = Server::with_flags(engine, &[]);
    let port = server.addr().port();
    for port in [by_another, port] {
        let mut second = refused(engine, port);
        let output = second.output();
        assert_eq!(
            second.exited().and_then(|status| status.code()),
            Some(1),
            "exit code 1; it logged:\n{output}"
        );
        let wanted = |line: &&str| line.to_lowercase().contains("address already in use");
        let said: Vec<&str> = output.lines().filter(wanted).collect();
        assert_eq!(said.len(), 1, "one line says that the address is in use:\n{output}");
        assert!(said[0].contains(&port.to_string()), "it names port {port}: {}", said[0]);
        assert!(!output.contains("panicked"), "refusing is no panic:\n{output}");
    }
    server.connect().ask(&["PING"], "+PONG\r\n");
}

/// Starts a server on a port where another listens, and waits until it gives up: the other's answers must not
/// be taken for its own.
fn refused(engine: Engine, port: u16) -> Server {
    let mut second = Server::spawn(engine, port, &[]);
    wait_until("the second server gives up", || second.exited().is_some());
    second
}

fn a_unix_socket_is_served(engine: Engine) {
    for (mode, bits) in [("700", 0o700), ("770", 0o770), ("666", 0o666)] {
        let server =
            Server::with_flags(engine, &["--unixsocket", "tallyring.sock", "--unixsocketperm", mode]);
        let path = server.dir().join("tallyring.sock");
        let found = fs::metadata(&path).expect("the socket exists").permissions().mode();
        assert_eq!(found & 0o777, bits, "unixsocketperm {mode}");
        let mut client = Client::over_unix(UnixStream::connect(&path).expect("the socket accepts"));
        client.talk("> INCR n\n< :1\n> GET n\n< $1\n< 1");
        server.connect().talk("> INCR n\n< :2");
        client.talk("> QUIT\n< +OK");
        client.expect_closed();
    }
}

fn ipv6_is_served(engine: Engine) {
    if let Err(error) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        panic!("this machine has no IPv6 on loopback (net.ipv6.conf.lo.disable_ipv6?): {error}");
    }
    let server = Server::with_flags(engine, &["--bind", "::1"]);
    let mut client = server.connect();
    client.talk("> INCR n\n< :1");
    client.send(request(&["CLIENT", "INFO"]));
    assert!(client.text().contains(" addr=[::1]:"), "IPv6 addresses stand in brackets");
}

/// The operator's word that this kernel gives no ring is checked: the engine must then refuse to start and say why.
#[cfg(feature = "uring")]
#[test]
fn a_missing_ring_is_refused_with_its_cause() {
    if Engine::Uring.is_expected() {
        let server = Server::with_flags(Engine::Uring, &[]);
        return server.connect().ask(&["PING"], "+PONG\r\n");
    }
    let mut server = Server::spawn(Engine::Uring, 0, &[]);
    wait_until("the server refuses to start", || server.exited().is_some());
    let output = server.output();
    assert_eq!(server.exited().and_then(|status| status.code()), Some(1), "it logged:\n{output}");
    assert!(output.contains("io_uring"), "it says what is missing:\n{output}");
}

/// Reads what a service manager would, until a message has this line.
fn told(manager: &UnixDatagram, line: &str) {
    let mut message = [0; 4096];
    loop {
        let len = manager.recv(&mut message).unwrap_or_else(|error| panic!("{line} was never said: {error}"));
        if String::from_utf8_lossy(&message[..len]).lines().any(|said| said == line) {
            return;
        }
    }
}

fn the_service_manager_is_told(engine: Engine) {
    let path = std::env::temp_dir().join(format!("tallyring-notify-{}-{engine:?}", std::process::id()));
    let _left_over = fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path).expect("a directory for temporary files");
    manager.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    let mut server =
        Server::prepared(engine, &["--threads", "1", "--enable-debug-command", "yes"], &|command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "150000");
        });
    told(&manager, "READY=1");
    told(&manager, "WATCHDOG=1");
    told(&manager, "WATCHDOG=1");
    // A worker that stands still is not alive.
    server.connect().send("DEBUG SLEEP 0.5\r\n");
    wait_until("it is seen", || server.output().contains("worker 0 has stood still"));
    told(&manager, "WATCHDOG=1");
    server.terminate();
    told(&manager, "STOPPING=1");
    wait_until("the server exits", || server.exited().is_some());
    fs::remove_file(&path).expect("it was bound");
}
