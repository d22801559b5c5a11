//! Who may connect, and certificates that are changed while the server runs.

use std::fs;

use rustls::version::TLS13;

use super::{Secured, VERSIONS, certificates, hang_up, refused, session, trusting, until_closed};
use crate::client::Client;
use crate::server::{Engine, Server, wait_until};

on_every_engine![
    clients_show_certificates_where_they_have_to,
    certificates_change_by_directives,
    certificates_change_at_sighup,
    certificates_are_told_of,
];

use super::files::Files;

fn clients_show_certificates_where_they_have_to(engine: Engine) {
    let secured = Secured::start(engine, &["--tls-auth-clients", "yes"]);
    let strangers = Files::new();
    let mut plain = secured.server.connect();
    let mut failures = 0;
    for (setting, with_none, with_wrong) in
        [("yes", false, false), ("optional", true, false), ("no", true, true)]
    {
        plain.ask(&["CONFIG", "SET", "tls-auth-clients", setting], "+OK\r\n");
        for version in VERSIONS {
            for (shown, passes) in
                [(Some(&secured.files), true), (None, with_none), (Some(&strangers), with_wrong)]
            {
                let config = trusting(&secured.files, version, shown);
                let mut client = Client::over_tls(session(&config), secured.socket(), usize::MAX);
                if passes {
                    client.ask(&["PING"], "+PONG\r\n");
                    continue;
                }
                // In 1.3 the client is done before it is judged.
                let _refused = client.try_send("PING\r\n");
                failures += 1;
                wait_until("it is refused", || refused(&mut plain, "tls_handshake") == failures);
            }
        }
    }
    let silent = secured.socket();
    let mut socket = silent.try_clone().expect("a descriptor can be duplicated");
    std::io::Write::write_all(&mut socket, b"PING\r\n").expect("it is taken");
    assert_eq!(until_closed(silent), [21, 3, 3, 0, 2, 2, 50], "an alert: what came is no TLS");
}

/// Whether a new client that trusts this authority is served.
fn serves(secured: &Secured, files: &Files) -> bool {
    let config = trusting(files, &TLS13, None);
    let mut client = Client::over_tls(session(&config), secured.socket(), usize::MAX);
    let served = client.try_send("PING\r\n").is_ok();
    if served {
        client.expect("+PONG\r\n");
    }
    served
}

fn certificates_change_by_directives(engine: Engine) {
    let secured = Secured::start(engine, &["--threads", "2"]);
    let other = Files::new();
    let path = |name: &str| other.path(name).display().to_string();
    let mut before = secured.connect(&TLS13);
    before.ask(&["PING"], "+PONG\r\n");
    let mut operator = secured.server.connect();
    let refusals = [
        (path("nowhere"), "cannot read"),
        (path("server.key"), "holds no certificate"),
        (path("server.crt"), "is not that of the certificate"),
    ];
    for (file, reason) in refusals {
        operator.send(crate::client::request(&["CONFIG", "SET", "tls-cert-file", &file]));
        let line = operator.line();
        assert!(line.starts_with("-ERR CONFIG SET failed (possibly related to argument 'tls-"), "{line}");
        assert!(line.contains(reason), "{line}");
    }
    operator.send_words("CONFIG GET tls-cert-file");
    let named = secured.files.path("server.crt").display().to_string();
    operator.expect(format!("*2\r\n$13\r\ntls-cert-file\r\n${}\r\n{named}\r\n", named.len()));
    assert!(serves(&secured, &secured.files) && !serves(&secured, &other), "the old one stays");
    let change = ["CONFIG", "SET", "tls-cert-file", &path("server.crt"), "tls-key-file", &path("server.key")];
    operator.ask(&change, "+OK\r\n");
    wait_until("all workers have heard of it", || (0..4).all(|_| serves(&secured, &other)));
    assert!(!serves(&secured, &secured.files));
    before.ask(&["PING"], "+PONG\r\n");
    operator.ask(
        &["CONFIG", "SET", "tls-key-file-pass", "sesame"],
        "-ERR CONFIG SET failed (possibly related to argument 'tls-key-file-pass') - keys with a passphrase are not \
         supported; store the key without one, and remove this\r\n",
    );
}

/// A field of `INFO tls`.
fn told(client: &mut Client, field: &str) -> String {
    client.info("tls", field)
}

fn certificates_are_told_of(engine: Engine) {
    let secured = Secured::start(engine, &["--threads", "2"]);
    let mut client = secured.server.connect();
    let before = told(&mut client, "tls_server_cert_serial");
    let left: i64 = told(&mut client, "tls_server_cert_expires_in_seconds").parse().expect("a number");
    // Those of the tests hold for two thousand years.
    assert!((60_000_000_000..67_090_118_400).contains(&left), "{left}");
    assert_eq!(told(&mut client, "tls_client_cert_serial"), "none");
    let other = Files::new();
    for name in ["server.crt", "server.key"] {
        fs::copy(other.path(name), secured.files.path(name)).expect("files can be copied");
    }
    hang_up(&secured.server);
    wait_until("the new one is told of", || told(&mut client, "tls_server_cert_serial") != before);
    let plain = Server::start(engine);
    let mut client = plain.connect();
    assert_eq!(told(&mut client, "tls_server_cert_serial"), "none");
    assert_eq!(told(&mut client, "tls_server_cert_expires_in_seconds"), "0");
}

fn certificates_change_at_sighup(engine: Engine) {
    let secured = Secured::start(engine, &["--threads", "2"]);
    let (other, old) = (Files::new(), Files::new());
    for name in ["ca.crt", "server.crt", "server.key"] {
        fs::copy(secured.files.path(name), old.path(name)).expect("files can be copied");
    }
    let mut before = secured.connect(&TLS13);
    before.ask(&["PING"], "+PONG\r\n");
    fs::write(secured.files.path("server.crt"), "nothing").expect("it can be written");
    hang_up(&secured.server);
    wait_until("it is said", || secured.server.output().contains("the certificates stay as they were"));
    assert!(serves(&secured, &old), "the old one stays");
    for name in ["server.crt", "server.key"] {
        fs::copy(other.path(name), secured.files.path(name)).expect("files can be copied");
    }
    hang_up(&secured.server);
    wait_until("all workers have heard of it", || (0..4).all(|_| serves(&secured, &other)));
    assert!(!serves(&secured, &old));
    before.ask(&["PING"], "+PONG\r\n");
    assert_eq!(certificates(&old, "server.crt").len(), 1);
}
