//! Sessions against a client of the same library, and certificates made for that. Other modules' tests use both.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore, SupportedProtocolVersion};

use super::{Clients, Profile, Step, Terms, Tls};
use crate::limits;

mod files;
mod refusals;

pub(crate) use files::Files;

/// The versions that are spoken.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

impl Files {
    /// A profile of these for `port`.
    pub(crate) fn profile(&self, port: u16, clients: Clients) -> Profile {
        let (certificate, key, ca) = (self.path("server.crt"), self.path("server.key"), self.path("ca.crt"));
        let terms = terms(port, &certificate, &key);
        Profile::load(&Terms { clients, authorities: (Some(&ca), None), ..terms })
            .expect("the files are right")
    }

    fn certificates(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let pem = fs::read(self.path(name)).expect("it was written");
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().expect("it is PEM")
    }
}

fn terms<'a>(port: u16, certificate: &'a Path, key: &'a Path) -> Terms<'a> {
    Terms {
        port,
        certificate: Some(certificate),
        key: Some(key),
        authorities: (None, None),
        clients: Clients::Anybody,
        versions: (true, true),
        sessions: 16,
    }
}

/// A client.
pub(crate) struct Peer(pub(crate) ClientConnection);

impl Peer {
    /// One that trusts the authority, and shows its certificate if it `shows` one.
    pub(crate) fn new(files: &Files, version: &'static SupportedProtocolVersion, shows: bool) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in files.certificates("ca.crt") {
            roots.add(certificate).expect("it is an authority");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider has it")
            .with_root_certificates(roots);
        let config = if shows {
            let key = PrivateKeyDer::from_pem_file(files.path("client.key")).expect("it is a key");
            builder.with_client_auth_cert(files.certificates("client.crt"), key).expect("they fit")
        } else {
            builder.with_no_client_auth()
        };
        let name = "localhost".try_into().expect("a name");
        Self(ClientConnection::new(Arc::new(config), name).expect("the configuration is right"))
    }

    /// Encrypts `plain`, and gives all ciphertext that is to be sent.
    pub(crate) fn say(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut rest = plain;
        loop {
            let taken = self.0.writer().write(rest).expect("the session is open");
            rest = &rest[taken..];
            while self.0.wants_write() {
                self.0.write_tls(&mut wire).expect("a vector takes everything");
            }
            if rest.is_empty() {
                return wire;
            }
        }
    }

    /// Takes ciphertext and gives the plain text in it.
    pub(crate) fn hear(&mut self, mut wire: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        while !wire.is_empty() {
            self.0.read_tls(&mut wire).expect("it is read from memory");
            self.0.process_new_packets()?;
            match self.0.reader().read_to_end(&mut plain) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        Ok(plain)
    }
}

/// Gives the session ciphertext in pieces of `step`.
fn receive(tls: &mut Tls, wire: &[u8], step: usize) -> (Vec<u8>, Step) {
    let (mut plain, mut last) = (Vec::new(), Step::Done);
    for piece in wire.chunks(step) {
        let mut block = piece.to_vec();
        let mut ciphertext = tls.take_in(&mut block);
        loop {
            let before = plain.len();
            last = tls.decrypt(&mut ciphertext, &mut plain);
            assert!(plain.len() - before <= limits::TLS_PLAIN_BYTES + 16 * 1024, "pieces are bounded");
            if last != Step::More {
                break;
            }
        }
        tls.keep(ciphertext);
    }
    (plain, last)
}

/// Encrypts `replies` and gives all that is to be sent, `step` bytes at a time.
fn send(tls: &mut Tls, mut replies: &[u8], step: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    loop {
        if tls.begin_send() {
            while tls.room() > 0 && !replies.is_empty() {
                let (now, later) = replies.split_at(replies.len().min(tls.room()).min(16 * 1024));
                tls.encrypt(now);
                replies = later;
            }
        }
        if !tls.start_send() {
            assert_eq!(tls.unsent(), 0);
            return wire;
        }
        let sent = tls.sending().len().min(step);
        wire.extend_from_slice(&tls.sending()[..sent]);
        tls.sent(sent);
    }
}

/// A session and its client after the handshake.
fn connected(files: &Files, version: &'static SupportedProtocolVersion, step: usize) -> (Box<Tls>, Peer) {
    let mut tls = Tls::new(&files.profile(1, Clients::Anybody)).expect("the profile is right");
    let mut peer = Peer::new(files, version, false);
    let mut wire = peer.say(b"");
    while tls.is_handshaking() {
        assert_eq!(receive(&mut tls, &wire, step), (Vec::new(), Step::Done));
        let answer = send(&mut tls, b"", step);
        assert!(peer.hear(&answer).expect("the certificate is right").is_empty());
        wire = peer.say(b"");
    }
    assert!(!peer.0.is_handshaking());
    (tls, peer)
}

fn is_empty(tls: &Tls) -> bool {
    [&tls.partial, &tls.queued, &tls.outgoing].iter().all(|buffer| buffer.capacity() == 0)
}

#[test]
fn what_is_said_arrives_in_order_however_it_is_split() {
    let files = Files::new();
    let long: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for version in VERSIONS {
        for step in [1, 2, 3, 5, 21, 22, 1000, 4096, 100_000] {
            let (mut tls, mut peer) = connected(&files, version, step);
            for text in [b"PING\r\n".as_slice(), &long, b"last"] {
                let wire = peer.say(text);
                assert!(receive(&mut tls, &wire, step) == (text.to_vec(), Step::Done), "in steps of {step}");
                let wire = send(&mut tls, text, step);
                assert!(peer.hear(&wire).expect("it was not changed on its way") == text);
            }
            assert!(is_empty(&tls), "what is idle holds no buffer: {step}");
        }
    }
}

#[test]
fn a_record_may_be_cut_anywhere() {
    let files = Files::new();
    for version in VERSIONS {
        let (mut tls, mut peer) = connected(&files, version, 4096);
        let length = peer.say(b"INCR n\r\n").len();
        // What was said is lost on purpose: a new session for each cut.
        for cut in 1..length {
            (tls, peer) = connected(&files, version, 4096);
            let wire = peer.say(b"INCR n\r\n");
            assert_eq!(receive(&mut tls, &wire[..cut], length), (Vec::new(), Step::Done), "cut at {cut}");
            let rest = receive(&mut tls, &wire[cut..], length);
            assert_eq!(rest, (b"INCR n\r\n".to_vec(), Step::Done), "cut at {cut}");
        }
        drop(tls);
    }
}

#[test]
fn bytes_in_flight_stay_while_the_session_has_more_to_say() {
    let files = Files::new();
    let (mut tls, mut peer) = connected(&files, &TLS13, 4096);
    assert!(tls.begin_send());
    tls.encrypt(b"+PONG\r\n");
    assert!(tls.start_send() && !tls.start_send(), "one send at a time");
    let (address, before) = (tls.sending().as_ptr(), tls.sending().to_vec());
    for _ in 0..3 {
        peer.0.refresh_traffic_keys().expect("this version can");
        let wire = peer.say(b"PING\r\n");
        assert_eq!(receive(&mut tls, &wire, 4096), (b"PING\r\n".to_vec(), Step::Done));
    }
    assert!(!tls.begin_send(), "not while it is in flight");
    assert_eq!((tls.sending().as_ptr(), tls.sending()), (address, before.as_slice()));
    tls.sent(before.len());
    let rest = send(&mut tls, b":1\r\n", 4096);
    assert!(rest.len() > 30, "new keys were announced");
    assert_eq!(peer.hear(&[before, rest].concat()), Ok(b"+PONG\r\n:1\r\n".to_vec()));
}

#[test]
fn the_end_is_said_behind_the_last_reply() {
    let files = Files::new();
    for version in VERSIONS {
        let (mut tls, mut peer) = connected(&files, version, 4096);
        let wire = send(&mut tls, b"+OK\r\n", 4096);
        assert!(tls.close(), "it is to be said");
        assert!(tls.unsent() > 0);
        let end = send(&mut tls, b"", 4096);
        assert!(!tls.close(), "it is said once");
        assert_eq!(peer.hear(&wire), Ok(b"+OK\r\n".to_vec()));
        assert_eq!(peer.hear(&end), Ok(Vec::new()));
        assert_eq!(peer.0.reader().read(&mut [0; 8]).expect("it was not cut off"), 0);
    }
}

#[test]
fn who_has_said_the_end_is_still_answered() {
    let files = Files::new();
    for version in VERSIONS {
        let (mut tls, mut peer) = connected(&files, version, 4096);
        let mut wire = peer.say(b"GET k\r\n");
        peer.0.send_close_notify();
        wire.extend(peer.say(b""));
        assert_eq!(receive(&mut tls, &wire, wire.len()), (b"GET k\r\n".to_vec(), Step::End));
        let answer = send(&mut tls, b"$-1\r\n", 4096);
        assert!(tls.close());
        let answer = [answer, send(&mut tls, b"", 4096)].concat();
        assert_eq!(peer.hear(&answer), Ok(b"$-1\r\n".to_vec()));
    }
}

#[test]
fn keys_that_cannot_be_renewed_wear_out() {
    let files = Files::new();
    for (version, wears_out) in [(VERSIONS[0], true), (VERSIONS[1], false)] {
        let (mut tls, mut peer) = connected(&files, version, 4096);
        assert!(!tls.is_worn_out());
        tls.wear();
        assert_eq!(tls.is_worn_out(), wears_out);
        let wire = send(&mut tls, b"+OK\r\n", 4096);
        assert_eq!(peer.hear(&wire), Ok(b"+OK\r\n".to_vec()), "what waits is still said");
    }
}

#[test]
fn plain_text_is_told_that_it_is_none() {
    let files = Files::new();
    for text in
        [b"PING\r\n".as_slice(), b"*1\r\n$4\r\nPING\r\n", b"GET / HTTP/1.1\r\n\r\n", &[0; 100], &[0x16; 9]]
    {
        for step in [1, text.len()] {
            let mut tls = Tls::new(&files.profile(1, Clients::Anybody)).expect("the profile is right");
            assert_eq!(receive(&mut tls, text, step), (Vec::new(), Step::Failed), "{text:?}");
            assert!(tls.has_failed() && tls.failure().is_some());
            let alert = send(&mut tls, b"never", 4096);
            assert_eq!((alert[0], alert.len()), (21, 7), "an alert in the clear: {alert:?}");
            assert!(!tls.close(), "there is no session to end");
            assert!(is_empty(&tls));
        }
    }
}

#[test]
fn changed_ciphertext_ends_the_session() {
    let files = Files::new();
    for version in VERSIONS {
        let length = connected(&files, version, 4096).1.say(b"INCR n\r\n").len();
        for at in 5..length {
            let (mut tls, mut peer) = connected(&files, version, 4096);
            let mut wire = [peer.say(b"PING\r\n"), peer.say(b"INCR n\r\n"), peer.say(b"INCR n\r\n")].concat();
            let first = wire.len() - 2 * length;
            wire[first + at] ^= 0x20;
            assert_eq!(
                receive(&mut tls, &wire, wire.len()),
                (b"PING\r\n".to_vec(), Step::Failed),
                "byte {at}"
            );
            assert!(!send(&mut tls, b"", 4096).is_empty(), "it is told");
        }
    }
}

#[test]
fn a_handshake_has_so_many_bytes() {
    let files = Files::new();
    let mut tls = Tls::new(&files.profile(1, Clients::Anybody)).expect("the profile is right");
    // The beginning of a message of 64 KiB less one, in records of a byte each: none of them is the last.
    let record = [0x16, 3, 1, 0, 1, 1];
    let mut wire = vec![0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    wire.extend(record.repeat(limits::TLS_HANDSHAKE_BYTES / record.len()));
    let (_, step) = receive(&mut tls, &wire, 4096);
    assert_eq!(step, Step::Failed);
    assert!(is_empty(&tls), "nothing is kept of it");
}

#[test]
fn clients_show_certificates_where_they_have_to() {
    let files = Files::new();
    let others = Files::new();
    for version in VERSIONS {
        for (clients, shows, passes) in [
            (Clients::Anybody, false, true),
            (Clients::Anybody, true, true),
            (Clients::MayShow, false, true),
            (Clients::MayShow, true, true),
            (Clients::MustShow, false, false),
            (Clients::MustShow, true, true),
        ] {
            let peer = Peer::new(&files, version, shows);
            assert_eq!(shakes_hands(&files.profile(1, clients), peer), passes, "{clients:?} {shows}");
        }
        // One that another authority signed.
        fs::copy(files.path("ca.crt"), others.path("ca.crt")).expect("files can be copied");
        for clients in [Clients::MayShow, Clients::MustShow] {
            assert!(
                !shakes_hands(&files.profile(1, clients), Peer::new(&others, version, true)),
                "{clients:?}"
            );
        }
    }
}

fn shakes_hands(profile: &Profile, mut peer: Peer) -> bool {
    let mut tls = Tls::new(profile).expect("the profile is right");
    let mut wire = peer.say(b"");
    while tls.is_handshaking() {
        let (_, step) = receive(&mut tls, &wire, 4096);
        let answer = send(&mut tls, b"", 4096);
        let heard = peer.hear(&answer);
        if step == Step::Failed {
            assert!(matches!(heard, Err(Error::AlertReceived(_))), "it is told: {heard:?}");
            return false;
        }
        heard.expect("the server's certificate is right");
        wire = peer.say(b"");
    }
    true
}

#[test]
fn a_profile_knows_until_when_its_certificates_hold() {
    // What rcgen writes where nothing else is said: the first moment of the year 4096.
    const UNTIL: i64 = 67_090_118_400;
    let files = Files::new();
    let asked = files.profile(1, Clients::MayShow);
    let known = asked.certificates();
    let (server, authority) = (known.server.as_ref().unwrap(), known.authority.as_ref().unwrap());
    assert_eq!((server.until_unix_s, authority.until_unix_s, known.authorities), (UNTIL, UNTIL, 1));
    assert_ne!(server.serial, authority.serial);
    for serial in [&server.serial, &authority.serial] {
        assert!(
            serial.len().is_multiple_of(2) && serial.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{serial}"
        );
    }
    let unasked = files.profile(1, Clients::Anybody);
    assert_eq!((&unasked.certificates().server, &unasked.certificates().authority), (&known.server, &None));
}
