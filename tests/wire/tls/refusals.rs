//! What is no TLS, where TLS is not expected, and starts that are refused.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use rustls::version::TLS13;

use super::{Flags, Secured, refused, sent, session, trusting, until_closed};
use crate::client::Client;
use crate::introspection::info;
use crate::server::{Engine, Server, free_port, wait_until};

use super::files::Files;

on_every_engine![
    what_is_no_tls_is_told_so,
    tls_on_the_plain_port_is_no_request,
    handshakes_that_do_not_end_take_little,
    the_encrypted_port_may_be_the_only_one,
];

fn what_is_no_tls_is_told_so(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    let mut hello = Vec::new();
    session(&trusting(&secured.files, &TLS13, None))
        .write_tls(&mut hello)
        .expect("a vector takes everything");
    let mut plain = secured.server.connect();
    let garbage: Vec<Vec<u8>> = vec![
        b"PING\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 70_000],
        vec![0xff; 100],
        vec![0x16, 3, 1, 0x49, 1],
    ];
    for (count, bytes) in (1..).zip(&garbage) {
        let told = until_closed(sent(secured.socket(), bytes));
        assert_eq!(
            (told.first(), told.len()),
            (Some(&21), 7),
            "an alert is sent, and nothing else: {told:?}"
        );
        assert_eq!(refused(&mut plain, "tls_handshake"), count, "it is counted");
    }
    // What only breaks off is nobody's fault.
    for cut in [0, 1, 5, 6, hello.len() / 2, hello.len() - 1] {
        assert_eq!(until_closed(sent(secured.socket(), &hello[..cut])), b"", "cut at {cut}");
    }
    // What was right, and then is not.
    let mut client = secured.connect(&TLS13);
    client.ask(&["PING"], "+PONG\r\n");
    let socket = client.tcp().try_clone().expect("a descriptor can be duplicated");
    assert_eq!(until_closed(sent(socket, &[0x17, 3, 3, 0, 20].repeat(5)))[0], 0x17, "it is told, encrypted");
    assert_eq!(refused(&mut plain, "tls_session"), 1);
    plain.talk("> PING\n< +PONG");
}

/// Whoever begins a handshake and never ends it takes no more than whoever lacks the password.
fn handshakes_that_do_not_end_take_little(engine: Engine) {
    const CROWD: u64 = 500;
    let secured = Secured::start(engine, &[]);
    let mut witness = secured.server.connect();
    let number = |witness: &mut Client, field: &str| -> u64 {
        info(witness, &[])[field].parse().expect("it is a number")
    };
    let memory = || secured.server.anonymous_kb().expect("it runs");
    let (base, received) = (memory(), number(&mut witness, "total_net_input_bytes"));
    // The beginning of a message of 64 KiB less one, in records of 4 KiB: most of what a handshake may have.
    let record = [&[0x16, 3, 1, 0x10, 0][..], &[0; 4096]].concat();
    let mut wire = record.repeat(7);
    wire[5..9].copy_from_slice(&[1, 0, 0xff, 0xff]);
    let sockets: Vec<TcpStream> = (0..CROWD)
        .map(|_| {
            let mut socket = secured.socket();
            socket.write_all(&wire).expect("the kernel takes it");
            socket
        })
        .collect();
    wait_until("the server has heard all of them", || {
        number(&mut witness, "total_net_input_bytes") >= received + CROWD * wire.len() as u64
    });
    let each = memory().saturating_sub(base) * 1024 / CROWD;
    eprintln!("{}: {each} bytes for each", engine.name());
    assert!(each < 64 * 1024, "{each} bytes for each");
    assert_eq!(number(&mut witness, "connected_clients"), CROWD + 1, "none of them is ended for it");
    drop(sockets);
    wait_until("they are gone", || number(&mut witness, "connected_clients") == 1);
}

fn tls_on_the_plain_port_is_no_request(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    let mut hello = Vec::new();
    session(&trusting(&secured.files, &TLS13, None))
        .write_tls(&mut hello)
        .expect("a vector takes everything");
    let socket = TcpStream::connect(secured.server.addr()).expect("it listens");
    let told = until_closed(sent(socket, &hello));
    assert!(told.is_empty() || told.starts_with(b"-ERR "), "{}", told.escape_ascii());
    secured.server.connect().talk("> PING\n< +PONG");
}

fn the_encrypted_port_may_be_the_only_one(engine: Engine) {
    let (files, port) = (Files::new(), free_port(&[]));
    let flags = Secured::flags(&files, port);
    let server = Server::spawn(engine, 0, &flags.each());
    wait_until("it listens", || server.output().contains(" ready: "));
    assert!(server.output().contains(&format!("127.0.0.1:{port} (TLS)")), "{}", server.output());
    let secured = Secured { server, files, port };
    let mut client = secured.connect(&TLS13);
    assert_eq!(info(&mut client, &["server"])["tcp_port"], port.to_string());
    let config = trusting(&secured.files, &TLS13, None);
    let mut another = Client::over_tls(session(&config), secured.socket(), usize::MAX);
    another.talk("> INCR n\n< :1");
}

/// What a start, and a check of the configuration, say before they end.
#[track_caller]
fn complaint(flags: &Flags, more: &[&str]) -> String {
    let run = |check: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
        command.args(["--port", "0", "--admin-port", "0", "--appendonly", "no", "--log-format", "text"]);
        command.args(flags.each()).args(more).args(check);
        let run = command.output().expect("the program can be run");
        assert!(!run.status.success(), "it does not start");
        String::from_utf8_lossy(&run.stderr).into_owned()
    };
    let (started, checked) = (run(&[]), run(&["--check-config"]));
    let reason = checked.trim_end().strip_prefix("tallyring: ").expect("it says who complains").to_owned();
    assert!(started.contains(&reason), "a start says the same: {started}{checked}");
    reason
}

#[test]
fn a_start_is_refused_with_the_remedy() {
    let files = Files::new();
    let flags = Secured::flags(&files, free_port(&[]));
    let path = |name: &str| files.path(name).display().to_string();
    for (more, reason) in [
        (vec!["--tls-cert-file", &path("nowhere")], "tls-cert-file: cannot read"),
        (vec!["--tls-cert-file", ""], "tls-cert-file: not set"),
        (vec!["--tls-key-file", &path("client.key")], "is not that of the certificate"),
        (vec!["--tls-auth-clients", "yes", "--tls-ca-cert-file", ""], "tls-auth-clients no"),
    ] {
        let said = complaint(&flags, &more);
        assert!(said.contains(reason), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
