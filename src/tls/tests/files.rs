//! Certificates made for tests, in files. Also part of the wire suite, so it knows nothing of this crate.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// An authority with a certificate for the server and one for a client, as files in a directory of their own.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tallyring-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("the directory for temporary files can be written to");
        let files = Self(dir);
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("it has no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        files.write("ca.crt", &params.self_signed(&key).expect("it signs itself").pem());
        let issuer = Issuer::new(params, key);
        for (name, usage) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate().expect("keys can be made");
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
            params.extended_key_usages = vec![usage];
            files.write(
                &format!("{name}.crt"),
                &params.signed_by(&key, &issuer).expect("it can be signed").pem(),
            );
            files.write(&format!("{name}.key"), &key.serialize_pem());
        }
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory can be written to");
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _left_over = fs::remove_dir_all(&self.0);
    }
}
