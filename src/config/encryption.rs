//! TLS: the values of its directives, and the directives themselves. Opens no file; that is the server's business.

use super::directive::Change::{Immutable, Live};
use super::directive::Directive;
use super::directive::Write::{Many, One};
use super::table::{path_or_none, put, shown_path};
use super::value::{Fault, choice, choice_name, integer, yes_no, yes_no_name};
use std::path::PathBuf;

/// Everything about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// TCP port of encrypted connections, 0 = none.
    pub port: u16,
    /// The server's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// Authorities that sign clients' certificates, in one file.
    pub ca_cert_file: Option<PathBuf>,
    /// The same, a file each.
    pub ca_cert_dir: Option<PathBuf>,
    /// Which clients have to show a certificate.
    pub auth_clients: AuthClients,
    /// Versions that are spoken.
    pub protocols: Protocols,
    /// Whether sessions are remembered, to be taken up again.
    pub session_caching: bool,
    /// How many.
    pub session_cache_size: usize,
}

impl Default for Encryption {
    fn default() -> Self {
        Self {
            port: 0,
            cert_file: None,
            key_file: None,
            ca_cert_file: None,
            ca_cert_dir: None,
            auth_clients: AuthClients::Yes,
            protocols: Protocols { tls12: true, tls13: true },
            session_caching: true,
            session_cache_size: 20_480,
        }
    }
}

/// Which clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    /// None.
    No,
    /// All.
    Yes,
    /// None, but one that is shown has to be right.
    Optional,
}

impl AuthClients {
    /// The names.
    const NAMES: &[(&str, Self)] = &[("no", Self::No), ("yes", Self::Yes), ("optional", Self::Optional)];
}

/// Versions of TLS; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// RFC 5246.
    pub tls12: bool,
    /// RFC 8446.
    pub tls13: bool,
}

impl Protocols {
    /// Reads versions; a single empty word means all. Those before 1.2 are refused.
    fn parse(words: &[&str]) -> Result<Self, Fault> {
        let mut read = Self { tls12: false, tls13: false };
        for word in words.iter().flat_map(|words| words.split_ascii_whitespace()) {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.2" => read.tls12 = true,
                "tlsv1.3" => read.tls13 = true,
                "tlsv1" | "tlsv1.1" => {
                    let reason =
                        format!("{word} is broken (RFC 8996) and not spoken here; set TLSv1.2 TLSv1.3");
                    return Err(Fault::refused(reason));
                }
                _ => return Err(Fault::malformed("argument must be TLSv1.2, TLSv1.3 or both")),
            }
        }
        let all = Self { tls12: true, tls13: true };
        Ok(if read.tls12 || read.tls13 { read } else { all })
    }

    fn shown(self) -> String {
        match (self.tls12, self.tls13) {
            (true, false) => "TLSv1.2",
            (false, true) => "TLSv1.3",
            _ => "",
        }
        .to_owned()
    }
}

/// Sessions that may be remembered: at some 700 bytes each this is more than a machine's worth of clients.
const SESSIONS: i64 = 1_000_000;

/// The directives.
pub(super) const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "tls-port",
        default: "0",
        help: "TCP port of TLS connections, on the addresses of bind; 0 = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.tls.port, integer(word, 0..=65_535))),
        show: |config| config.tls.port.to_string(),
    },
    Directive {
        name: "tls-cert-file",
        default: "\"\"",
        help: "PEM file of the server's certificate and those that lead from it to its authority",
        change: Live,
        write: One(|config, word| put(&mut config.tls.cert_file, Ok(path_or_none(word)))),
        show: |config| shown_path(config.tls.cert_file.as_deref()),
    },
    Directive {
        name: "tls-key-file",
        default: "\"\"",
        help: "PEM file of the certificate's private key",
        change: Live,
        write: One(|config, word| put(&mut config.tls.key_file, Ok(path_or_none(word)))),
        show: |config| shown_path(config.tls.key_file.as_deref()),
    },
    Directive {
        name: "tls-key-file-pass",
        default: "\"\"",
        help: "a key with a passphrase is refused; this is \"\"",
        change: Live,
        write: One(|_, word| no_passphrase(word)),
        show: |_| String::new(),
    },
    Directive {
        name: "tls-ca-cert-file",
        default: "\"\"",
        help: "PEM file of the authorities that sign clients' certificates",
        change: Live,
        write: One(|config, word| put(&mut config.tls.ca_cert_file, Ok(path_or_none(word)))),
        show: |config| shown_path(config.tls.ca_cert_file.as_deref()),
    },
    Directive {
        name: "tls-ca-cert-dir",
        default: "\"\"",
        help: "directory of such files",
        change: Live,
        write: One(|config, word| put(&mut config.tls.ca_cert_dir, Ok(path_or_none(word)))),
        show: |config| shown_path(config.tls.ca_cert_dir.as_deref()),
    },
    Directive {
        name: "tls-auth-clients",
        default: "yes",
        help: "which clients show a certificate: yes (all), optional (who has one), no (none)",
        change: Live,
        write: One(|config, word| put(&mut config.tls.auth_clients, choice(word, AuthClients::NAMES))),
        show: |config| choice_name(config.tls.auth_clients, AuthClients::NAMES),
    },
    Directive {
        name: "tls-protocols",
        default: "\"\"",
        help: "versions that are spoken: TLSv1.2 TLSv1.3; \"\" = both",
        change: Live,
        write: Many(|config, words| put(&mut config.tls.protocols, Protocols::parse(words))),
        show: |config| config.tls.protocols.shown(),
    },
    Directive {
        name: "tls-session-caching",
        default: "yes",
        help: "remember sessions, so that a client that comes again has a shorter handshake",
        change: Live,
        write: One(|config, word| put(&mut config.tls.session_caching, yes_no(word))),
        show: |config| yes_no_name(config.tls.session_caching),
    },
    Directive {
        name: "tls-session-cache-size",
        default: "20480",
        help: "sessions that are remembered",
        change: Live,
        write: One(|config, word| put(&mut config.tls.session_cache_size, integer(word, 1..=SESSIONS))),
        show: |config| config.tls.session_cache_size.to_string(),
    },
];

fn no_passphrase(word: &str) -> Result<(), Fault> {
    if word.is_empty() {
        return Ok(());
    }
    Err(Fault::refused(
        "keys with a passphrase are not supported; store the key without one, and remove this",
    ))
}

#[cfg(test)]
mod tests {
    use super::Protocols;

    #[test]
    fn versions_are_read_as_words_or_as_one() {
        let read = |words: &[&str]| Protocols::parse(words).map(|it| (it.tls12, it.tls13)).ok();
        assert_eq!(read(&["TLSv1.2", "tlsv1.3"]), Some((true, true)));
        assert_eq!(read(&["TLSv1.2 TLSv1.3"]), Some((true, true)));
        assert_eq!(read(&["TLSv1.3"]), Some((false, true)));
        assert_eq!(read(&[""]), Some((true, true)));
        assert_eq!(read(&["TLSv1.1 TLSv1.2"]), None);
        assert_eq!(read(&["SSLv3"]), None);
    }
}
