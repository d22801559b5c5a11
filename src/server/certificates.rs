//! Certificates: the directives of TLS in the words of the module that speaks it. Files are read at the start, when a directive
//! is set and at SIGHUP; connections that are open keep what they began with.

use crate::config::{AuthClients, Config};
use crate::tls::{Clients, Profile, Refusal, Terms};

/// What the configuration asks for, all files read. `None`: no port is encrypted.
pub(super) fn profile(config: &Config) -> Result<Option<Profile>, Refusal> {
    let tls = &config.tls;
    if tls.port == 0 {
        return Ok(None);
    }
    let terms = Terms {
        port: tls.port,
        certificate: tls.cert_file.as_deref(),
        key: tls.key_file.as_deref(),
        authorities: (tls.ca_cert_file.as_deref(), tls.ca_cert_dir.as_deref()),
        clients: match tls.auth_clients {
            AuthClients::No => Clients::Anybody,
            AuthClients::Optional => Clients::MayShow,
            AuthClients::Yes => Clients::MustShow,
        },
        versions: (tls.protocols.tls12, tls.protocols.tls13),
        sessions: if tls.session_caching { tls.session_cache_size } else { 0 },
    };
    Profile::load(&terms).map(Some)
}

/// Whether a change of these directives has the files read anew: of any of TLS, also to what it is already.
pub(super) fn concerns(pairs: &[(&[u8], &[u8])]) -> bool {
    pairs.iter().any(|(name, _)| name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"tls-")))
}
