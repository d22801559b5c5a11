//! TLS on `tls-port`: the same sessions as on the plain port, who may connect, and how certificates are changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use nix::sys::signal::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion};

use crate::client::{Client, bulk, request};
use crate::introspection::info;
use crate::server::{Engine, PATIENCE, Server, free_port, wait_until};

mod certificates;
#[path = "../../src/tls/tests/files.rs"]
mod files;
mod refusals;

use files::Files;

on_every_engine![
    commands_are_answered_in_both_versions,
    large_requests_and_replies_pass,
    a_client_may_write_everything_before_it_reads,
    bytes_may_come_one_by_one,
    both_ends_may_say_the_end,
    a_drain_answers_what_was_sent,
    sessions_are_taken_up_again,
    a_client_is_listed_and_killed_like_any_other,
];

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A server with an encrypted port, and the files that it was started with.
pub(crate) struct Secured {
    pub(crate) server: Server,
    files: Files,
    port: u16,
}

impl Secured {
    #[track_caller]
    pub(crate) fn start(engine: Engine, flags: &[&str]) -> Self {
        let (files, port) = (Files::new(), free_port(&[]));
        let own = Self::flags(&files, port);
        let server = Server::with_flags(engine, &[own.each().as_slice(), flags].concat());
        Self { server, files, port }
    }

    /// The flags that make a port encrypted.
    fn flags(files: &Files, port: u16) -> Flags {
        let path = |name: &str| files.path(name).display().to_string();
        Flags(vec![
            "--tls-port".to_owned(),
            port.to_string(),
            "--tls-cert-file".to_owned(),
            path("server.crt"),
            "--tls-key-file".to_owned(),
            path("server.key"),
            "--tls-ca-cert-file".to_owned(),
            path("ca.crt"),
            "--tls-auth-clients".to_owned(),
            "no".to_owned(),
        ])
    }

    fn socket(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("it listens")
    }

    /// A client that trusts the server's authority and shows no certificate.
    pub(crate) fn connect(&self, version: &'static SupportedProtocolVersion) -> Client {
        self.connect_dripping(version, usize::MAX)
    }

    fn connect_dripping(&self, version: &'static SupportedProtocolVersion, step: usize) -> Client {
        Client::over_tls(session(&trusting(&self.files, version, None)), self.socket(), step)
    }
}

struct Flags(Vec<String>);

impl Flags {
    fn each(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

fn certificates(files: &Files, name: &str) -> Vec<CertificateDer<'static>> {
    let pem = std::fs::read(files.path(name)).expect("it was written");
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().expect("it is PEM")
}

/// What a client is that trusts an authority, and shows a certificate out of `shown`.
fn trusting(
    files: &Files,
    version: &'static SupportedProtocolVersion,
    shown: Option<&Files>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(files, "ca.crt") {
        roots.add(certificate).expect("it is an authority");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("the provider has it")
        .with_root_certificates(roots);
    let Some(shown) = shown else { return Arc::new(builder.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_file(shown.path("client.key")).expect("it is a key");
    Arc::new(builder.with_client_auth_cert(certificates(shown, "client.crt"), key).expect("they fit"))
}

fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = "localhost".try_into().expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("the configuration is right")
}

/// A counter in `INFO refusals`.
#[track_caller]
fn refused(client: &mut Client, kind: &str) -> u64 {
    let all = info(client, &["refusals"]);
    all.get(&format!("refused_{kind}")).and_then(|count| count.parse().ok()).expect("INFO has it")
}

fn commands_are_answered_in_both_versions(engine: Engine) {
    let secured = Secured::start(engine, &["--appendfsync", "always"]);
    for version in VERSIONS {
        let mut client = secured.connect(version);
        client.talk("> FLUSHALL\n< +OK\n> PING\n< +PONG\n> INCRBY n 40\n< :40\n> MGET n nothing\n< *2\n< $2\n< 40\n< $-1");
        client.talk("> MULTI\n< +OK\n> INCR n\n< +QUEUED\n> EXEC\n< *1\n< :41\n> NOSUCH\n< -ERR unknown command 'NOSUCH', with args beginning with: ");
        client.send(request(&["INCR", "p"]).repeat(20_000));
        let replies: String = (1..=20_000).map(|n| format!(":{n}\r\n")).collect();
        client.expect(replies);
        assert_eq!(client.tls().protocol_version(), Some(version.version));
    }
    let mut plain = secured.server.connect();
    plain.talk("> GET n\n< $2\n< 41");
}

fn large_requests_and_replies_pass(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    for version in VERSIONS {
        let mut client = secured.connect(version);
        let value: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[0]).collect();
        client.send(request(&[b"SET".as_slice(), b"large", &value]));
        client.expect("+OK\r\n");
        client.send(request(&["GET", "large"]).repeat(3));
        client.expect(bulk(&value).repeat(3));
        client.ask(&["SET", "k:7", "seven"], "+OK\r\n");
        let keys: Vec<String> = (0..100_000).map(|n| format!("k:{n}")).collect();
        let words: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
        client.send(request(&words));
        let nulls = |count: usize| "$-1\r\n".repeat(count);
        client.expect(format!("*100000\r\n{}$5\r\nseven\r\n{}", nulls(7), nulls(99_992)));
    }
}

fn a_client_may_write_everything_before_it_reads(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    let mut client = secured.connect(&TLS13);
    let value = "v".repeat(1000);
    client.ask(&["SET", "k", &value], "+OK\r\n");
    // 20 MB of replies, which no socket holds.
    client.send(request(&["GET", "k"]).repeat(20_000));
    client.expect(bulk(&value).repeat(20_000));
}

fn bytes_may_come_one_by_one(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    for (version, step) in [(&TLS12, 1), (&TLS13, 1), (&TLS13, 7)] {
        let mut client = secured.connect_dripping(version, step);
        client.talk("> DEL n\n< :0\n> INCR n\n< :1\n> GET n\n< $1\n< 1\n> DEL n\n< :1");
    }
}

fn both_ends_may_say_the_end(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    for version in VERSIONS {
        // A stream that ends without being said to is an error of this client.
        let mut client = secured.connect(version);
        client.talk("> SET n 1\n< +OK\n> QUIT\n< +OK");
        client.expect_closed();
        let mut client = secured.connect(version);
        client.send(request(&["INCR", "n"]));
        client.tls().send_close_notify();
        client.send("");
        client.expect(":2\r\n");
        client.expect_closed();
        let mut client = secured.connect(version);
        client.send(request(&["INCR", "n"]));
        client.half_close();
        client.expect(":3\r\n");
        client.expect_closed();
    }
}

fn a_drain_answers_what_was_sent(engine: Engine) {
    const SENT: usize = 5_000;
    let mut secured = Secured::start(engine, &["--threads", "2"]);
    let mut idle = secured.connect(&TLS13);
    idle.ask(&["PING"], "+PONG\r\n");
    let silent = secured.socket();
    let mut clients: Vec<Client> = VERSIONS.into_iter().map(|version| secured.connect(version)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.ask(&["PING"], "+PONG\r\n");
        client.send(request(&["INCR", &n.to_string()]).repeat(SENT));
    }
    secured.server.terminate();
    for client in &mut clients {
        let replies: String = (1..=SENT).map(|n| format!(":{n}\r\n")).collect();
        client.expect(replies);
        client.expect_closed();
    }
    idle.expect_closed();
    wait_until("the server exits", || secured.server.exited().is_some());
    assert_eq!(secured.server.exited().and_then(|status| status.code()), Some(0));
    drop(silent);
}

fn sessions_are_taken_up_again(engine: Engine) {
    let secured = Secured::start(engine, &[]);
    for version in VERSIONS {
        let config = trusting(&secured.files, version, None);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = Client::over_tls(session(&config), secured.socket(), usize::MAX);
            client.ask(&["PING"], "+PONG\r\n");
            assert_eq!(client.tls().handshake_kind(), Some(kind));
        }
        secured.server.connect().talk("> CONFIG SET tls-session-caching no\n< +OK");
        let mut client = Client::over_tls(session(&config), secured.socket(), usize::MAX);
        client.ask(&["PING"], "+PONG\r\n");
        assert_eq!(client.tls().handshake_kind(), Some(HandshakeKind::Full));
        secured.server.connect().talk("> CONFIG SET tls-session-caching yes\n< +OK");
    }
}

fn a_client_is_listed_and_killed_like_any_other(engine: Engine) {
    let secured = Secured::start(engine, &["--threads", "2"]);
    let mut plain = secured.server.connect();
    let mut client = secured.connect(&TLS13);
    client.send_words("CLIENT ID");
    let id = client.integer();
    plain.send_words("CLIENT LIST");
    let list = plain.text();
    let line = list.lines().find(|line| line.starts_with(&format!("id={id} "))).expect("it is listed");
    assert!(line.contains(&format!("laddr=127.0.0.1:{} ", secured.port)), "{line}");
    plain.send_words(&format!("CLIENT KILL ID {id}"));
    assert_eq!(plain.integer(), 1);
    let mut rest = Vec::new();
    client.tcp().set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    client.tcp().read_to_end(&mut rest).expect("the connection ends");
    secured.server.connect().talk("> PING\n< +PONG");
}

/// All that comes on a connection until it is closed.
#[track_caller]
fn until_closed(mut socket: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    socket.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    socket.read_to_end(&mut rest).expect("the server closes in good order");
    rest
}

/// Sends bytes and the end of the stream.
fn sent(mut socket: TcpStream, bytes: &[u8]) -> TcpStream {
    socket.write_all(bytes).expect("it is taken");
    let _closed_first = socket.shutdown(Shutdown::Write);
    socket
}

fn hang_up(server: &Server) {
    server.signal(Signal::SIGHUP);
}
