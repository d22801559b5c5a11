//! What the server shows in handshakes and asks of its clients: certificate and key, and who may connect. Reads their files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::validity::Certificates;

/// What a profile is made of.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The port whose connections are encrypted.
    pub port: u16,
    /// Certificate chain, the server's own first, in PEM.
    pub certificate: Option<&'a Path>,
    /// Its private key, in PEM.
    pub key: Option<&'a Path>,
    /// Authorities that sign clients' certificates: a file, and a directory of files.
    pub authorities: (Option<&'a Path>, Option<&'a Path>),
    /// Which clients have to show one.
    pub clients: Clients,
    /// Whether TLS 1.2 is spoken, and 1.3.
    pub versions: (bool, bool),
    /// Sessions that are remembered, to be taken up again with a shorter handshake; 0 = none.
    pub sessions: usize,
}

/// Which clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// None.
    Anybody,
    /// None, but one that is shown has to be right.
    MayShow,
    /// All.
    MustShow,
}

/// Why there is no such profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The directive that it lies in.
    pub directive: &'static str,
    /// The reason, with the remedy.
    pub reason: String,
}

impl Refusal {
    fn new(directive: &'static str, reason: impl Into<String>) -> Self {
        Self { directive, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.directive, self.reason)
    }
}

/// What new connections to a port are encrypted with. Cheap to clone; those that are open keep theirs.
#[derive(Clone)]
pub struct Profile {
    port: u16,
    pub(super) config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Profile {
    /// Whether connections to this port are encrypted.
    pub fn is_for(&self, port: u16) -> bool {
        self.port == port
    }

    /// Until when its certificates hold.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Reads all files. `Err` names the first directive that does not do.
    pub fn load(terms: &Terms<'_>) -> Result<Self, Refusal> {
        let certificate = named(CERTIFICATE, terms.certificate, "the server's certificate")?;
        let key = named(KEY, terms.key, "the certificate's private key")?;
        let chain = certificates(CERTIFICATE, certificate)?;
        let key = (key, private_key(key)?);
        let provider = Arc::new(ring::default_provider());
        let authorities = Authorities::read(terms)?;
        let certificates = Arc::new(Certificates::of(&chain, &authorities.certificates));
        let verifier = verifier(terms.clients, authorities.roots, &provider)?;
        let versions: &[&SupportedProtocolVersion] = match terms.versions {
            (true, true) => &[&TLS13, &TLS12],
            (true, false) => &[&TLS12],
            (false, _) => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| Refusal::new("tls-protocols", error.to_string()))?;
        let (key_file, key) = key;
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| unfit(&error, certificate, key_file))?;
        config.session_storage = storage(terms.sessions);
        if terms.sessions == 0 {
            config.send_tls13_tickets = 0;
        }
        Ok(Self { port: terms.port, config: Arc::new(config), certificates })
    }
}

const CERTIFICATE: &str = "tls-cert-file";
const KEY: &str = "tls-key-file";
const AUTHORITIES: &str = "tls-ca-cert-file";
const AUTHORITY_DIR: &str = "tls-ca-cert-dir";

fn named<'a>(directive: &'static str, path: Option<&'a Path>, what: &str) -> Result<&'a Path, Refusal> {
    path.ok_or_else(|| {
        Refusal::new(directive, format!("not set, and tls-port needs it (remedy: the PEM file of {what})"))
    })
}

fn storage(sessions: usize) -> Arc<dyn StoresServerSessions> {
    if sessions == 0 {
        return Arc::new(NoServerSessionStorage {});
    }
    ServerSessionMemoryCache::new(sessions)
}

fn read(directive: &'static str, path: &Path) -> Result<Vec<u8>, Refusal> {
    let failed = |error| Refusal::new(directive, format!("cannot read '{}': {error}", path.display()));
    fs::read(path).map_err(failed)
}

fn certificates(directive: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let pem = read(directive, path)?;
    let name = path.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(Refusal::new(directive, format!("'{name}' holds no certificate in PEM form")))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(Refusal::new(directive, format!("'{name}' is no PEM file: {error}"))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Refusal> {
    let pem = read(KEY, path)?;
    let name = path.display();
    let is_encrypted = |mark: &[u8]| pem.windows(mark.len()).any(|part| part == mark);
    if is_encrypted(b"BEGIN ENCRYPTED PRIVATE KEY") || is_encrypted(b"Proc-Type: 4,ENCRYPTED") {
        let remedy = "(remedy: `openssl pkey -in OLD -out NEW`, and permissions or systemd's LoadCredential= to guard it)";
        return Err(Refusal::new(
            KEY,
            format!("'{name}' needs a passphrase, which is not supported {remedy}"),
        ));
    }
    // What stands in the file is no text for a log, so its errors are not repeated.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| Refusal::new(KEY, format!("'{name}' holds no private key in PEM form")))
}

fn unfit(error: &Error, certificate: &Path, key: &Path) -> Refusal {
    let (certificate, key) = (certificate.display(), key.display());
    match error {
        Error::InconsistentKeys(_) => {
            Refusal::new(KEY, format!("the key in '{key}' is not that of the certificate in '{certificate}'"))
        }
        Error::InvalidCertificate(reason) => {
            Refusal::new(CERTIFICATE, format!("the certificate in '{certificate}' does not do: {reason:?}"))
        }
        _ => Refusal::new(KEY, format!("the key in '{key}' does not do: {error}")),
    }
}

/// The authorities that clients' certificates are judged by: none where nobody asks for one.
struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    /// What rustls keeps of the same ones.
    roots: RootCertStore,
}

impl Authorities {
    fn read(terms: &Terms<'_>) -> Result<Self, Refusal> {
        let mut found = Self { certificates: Vec::new(), roots: RootCertStore::empty() };
        if terms.clients == Clients::Anybody {
            return Ok(found);
        }
        let (file, dir) = terms.authorities;
        if let Some(path) = file {
            found.take(AUTHORITIES, path)?;
        }
        if let Some(path) = dir {
            for path in files(path)? {
                found.take(AUTHORITY_DIR, &path)?;
            }
        }
        if found.certificates.is_empty() {
            let reason = "not set, and clients' certificates are to be judged by it (remedy: the PEM file of the authority that \
                          signs them; or tls-auth-clients no, where a password is enough)";
            return Err(Refusal::new(AUTHORITIES, reason));
        }
        Ok(found)
    }

    /// Takes the certificates of a file, each of which must do for an authority.
    fn take(&mut self, directive: &'static str, path: &Path) -> Result<(), Refusal> {
        for certificate in certificates(directive, path)? {
            self.roots.add(certificate.clone()).map_err(|error| {
                Refusal::new(directive, format!("a certificate in '{}' does not do: {error}", path.display()))
            })?;
            self.certificates.push(certificate);
        }
        Ok(())
    }
}

/// Who judges clients' certificates.
fn verifier(
    clients: Clients,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Refusal> {
    if clients == Clients::Anybody {
        return Ok(Arc::new(NoClientAuth));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if clients == Clients::MayShow { builder.allow_unauthenticated() } else { builder };
    let built = builder.build();
    built.map(|verifier| verifier as _).map_err(|error| Refusal::new(AUTHORITIES, error.to_string()))
}

/// The files of a directory that hold certificates, in the order of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let failed = |error| Refusal::new(AUTHORITY_DIR, format!("cannot read '{}': {error}", dir.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_pem = |bytes: Vec<u8>| CertificateDer::from_pem_slice(&bytes).is_ok();
        if path.is_file() && is_pem(read(AUTHORITY_DIR, &path)?) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
