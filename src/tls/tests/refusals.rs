//! Files that make no profile, each named with its directive and the reason.

use std::fs;

use super::{Files, terms};
use crate::tls::{Clients, Profile, Terms};

#[track_caller]
fn refused(terms: &Terms<'_>, directive: &str, reason: &str) {
    let refusal = Profile::load(terms).expect_err("it makes no profile");
    assert_eq!(refusal.directive, directive, "{refusal}");
    assert!(refusal.reason.contains(reason), "{refusal}");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let files = Files::new();
    let (certificate, key, other) =
        (files.path("server.crt"), files.path("server.key"), files.path("client.key"));
    let right = terms(1, &certificate, &key);
    assert!(Profile::load(&right).is_ok());
    refused(&Terms { certificate: None, ..right }, "tls-cert-file", "not set");
    refused(&Terms { key: None, ..right }, "tls-key-file", "not set");
    let nowhere = files.path("nowhere");
    refused(&Terms { certificate: Some(&nowhere), ..right }, "tls-cert-file", "nowhere': No such file");
    refused(&Terms { key: Some(&nowhere), ..right }, "tls-key-file", "nowhere': No such file");
    refused(&Terms { certificate: Some(&key), ..right }, "tls-cert-file", "holds no certificate");
    refused(&Terms { key: Some(&certificate), ..right }, "tls-key-file", "holds no private key");
    refused(&Terms { key: Some(&other), ..right }, "tls-key-file", "is not that of the certificate");
}

#[test]
fn keys_that_cannot_be_read_do_not_reach_the_log() {
    let files = Files::new();
    let (certificate, key) = (files.path("server.crt"), files.path("server.key"));
    let whole = fs::read_to_string(&key).expect("it was written");
    fs::write(&key, whole.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).expect("it can be written");
    refused(&terms(1, &certificate, &key), "tls-key-file", "needs a passphrase");
    let secret = whole.lines().nth(1).expect("there is a key").to_owned();
    fs::write(&key, whole.replace("END PRIVATE KEY", "END OF KEY")).expect("it can be written");
    let refusal = Profile::load(&terms(1, &certificate, &key)).expect_err("it has no end");
    assert!(!refusal.to_string().contains(&secret[..8]), "{refusal}");
}

#[test]
fn clients_are_judged_by_an_authority() {
    let files = Files::new();
    let (certificate, key, ca) = (files.path("server.crt"), files.path("server.key"), files.path("ca.crt"));
    let right = Terms { clients: Clients::MustShow, ..terms(1, &certificate, &key) };
    refused(&right, "tls-ca-cert-file", "tls-auth-clients no");
    refused(&Terms { authorities: (Some(&key), None), ..right }, "tls-ca-cert-file", "holds no certificate");
    assert!(Profile::load(&Terms { authorities: (Some(&ca), None), ..right }).is_ok());
    let dir = files.path(".");
    assert!(
        Profile::load(&Terms { authorities: (None, Some(&dir)), ..right }).is_ok(),
        "keys are passed over"
    );
    let nowhere = files.path("nowhere");
    refused(&Terms { authorities: (None, Some(&nowhere)), ..right }, "tls-ca-cert-dir", "No such file");
}
