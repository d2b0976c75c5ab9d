//! A certificate authority of our own, and the files that it writes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority and a directory with its files, which goes with it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("carrick-{}-{count}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(dir.join("root.pem"), certificate.pem()).expect("write");
        Self {
            issuer: Issuer::new(params, key),
            dir,
        }
    }
}

impl Authority {
    /// Its own certificate.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root.pem")
    }

    /// The chain and the key of a server with these names.
    pub fn issue(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let file = names.join("+");
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = self.file(&format!("{file}.pem"), certificate.pem().as_bytes());
        (
            chain,
            self.file(&format!("{file}.key"), key.serialize_pem().as_bytes()),
        )
    }

    /// Any file.
    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, contents).expect("write");
        path
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
