//! What WSS needs in a test: an authority made on the spot, and a certificate of it for the loopback addresses.

use std::{fs, path::Path};

use multibase::Base;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

use super::Result;

/// Writes `ca.pem`, and `cert.pem` with `key.pem`, to the folder. Every stack finds what it wants in them: a name, both
/// loopback addresses, an authority that is one.
pub(crate) fn write(folder: &str) -> Result {
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let mut authority = named("interop authority", &[])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut certificate = named("localhost", &["localhost", "127.0.0.1", "::1"])?;
    certificate.use_authority_key_identifier_extension = true;
    certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = certificate.signed_by(&key, &authority)?;
    let write = |file: &str, label: &str, der: &[u8]| {
        let body = Base::Base64Pad.encode(der);
        let lines = body.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let body = lines.collect::<Vec<_>>().join("\n");
        let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        fs::write(folder.join(file), text)
    };
    write("ca.pem", "CERTIFICATE", authority.der())?;
    write("cert.pem", "CERTIFICATE", certificate.der())?;
    write("key.pem", "PRIVATE KEY", key.serialized_der())?;
    Ok(())
}

/// OpenSSL takes a certificate for self-signed if its name is its authority's.
fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams> {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
