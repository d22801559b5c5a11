//! Until when certificates hold: for those who have to renew them.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// One certificate, as far as it matters to whoever renews it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its serial number in hexadecimal digits, as openssl(1) shows it.
    pub serial: String,
    /// Unix seconds of the last moment at which it holds (`notAfter`, RFC 5280, 4.1.2.5).
    pub until_unix_s: i64,
}

/// Those of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The server's own.
    pub server: Option<Validity>,
    /// Of the authorities that clients' certificates are judged by, the one that ends first.
    pub authority: Option<Validity>,
    /// How many of these there are.
    pub authorities: usize,
}

impl Certificates {
    /// Of the server's chain, its own first, and of the authorities.
    pub(super) fn of(chain: &[CertificateDer<'_>], authorities: &[CertificateDer<'_>]) -> Self {
        Self {
            server: chain.first().and_then(Validity::of),
            authority: authorities.iter().filter_map(Validity::of).min_by_key(|it| it.until_unix_s),
            authorities: authorities.len(),
        }
    }
}

impl Validity {
    /// `None`: it is not understood. Whether it may be used is not decided here.
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let digits: String = certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
        // A byte of zeros comes first where the next one would make it negative.
        let serial = match digits.trim_start_matches("00") {
            "" => "00".to_owned(),
            digits => digits.to_owned(),
        };
        Some(Self { serial, until_unix_s: certificate.validity().not_after.timestamp() })
    }
}
