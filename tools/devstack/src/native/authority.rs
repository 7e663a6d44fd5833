//! Certificates for servers on this machine, and the names and passwords that go with them: made
//! anew for each stack, gone with its folder.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::supervisor::ServerFolder;
use crate::StackError;

/// The name under which the servers of a secured stack are reached. Their address, which is the
/// same place, is not in their certificate.
const NAME: &str = "localhost";

/// What a client needs to be let in by servers that want certificates and passwords, and what a
/// test needs to be turned away.
#[derive(Clone, Debug)]
pub struct SecuredServers {
    /// The certificate (PEM) of the servers' certificate authority.
    pub ca_file: PathBuf,
    /// The certificate (PEM) of an authority that signed no certificate here.
    pub stranger_file: PathBuf,
    /// The broker's only user.
    pub user: String,
    pub password: String,
    /// The certificate (PEM) of a client called [`SecuredServers::certified`].
    pub certificate_file: PathBuf,
    /// The key (PEM) of that client.
    pub key_file: PathBuf,
    /// A certificate (PEM) of the same client for the same key, that has expired.
    pub expired_file: PathBuf,
    folder: PathBuf,
}

impl SecuredServers {
    /// A role of Postgres that is let in by a certificate and has no password. It has to be made.
    pub fn certified() -> &'static str {
        "certified"
    }

    pub(super) fn new(workspace: &ServerFolder) -> Result<Self, StackError> {
        let folder = workspace.folder("certificates")?;
        let authority = CertificateAuthority::new("those who vouch")?;
        let stranger = CertificateAuthority::new("a stranger")?;
        let file = |name: &str, text: &str| write(&folder.join(name), text);
        let key = KeyPair::generate()?;
        let server = authority.sign(&named("server", &[NAME])?, &key)?;
        let key = key.serialize_pem();
        file("server.pem", &server)?;
        file("server.key", &key)?;
        // Kafka expects these in one file.
        file("server-all.pem", &format!("{key}{server}"))?;
        let key = KeyPair::generate()?;
        let mut client = named(Self::certified(), &[])?;
        let valid = authority.sign(&client, &key)?;
        client.not_before = date_time_ymd(2020, 1, 1);
        client.not_after = date_time_ymd(2021, 1, 1);
        let expired = authority.sign(&client, &key)?;
        Ok(Self {
            ca_file: file("authority.pem", &authority.certificate)?,
            stranger_file: file("stranger.pem", &stranger.certificate)?,
            user: "saga".to_owned(),
            password: super::password(),
            certificate_file: file("client.pem", &valid)?,
            key_file: file("client.key", &key.serialize_pem())?,
            expired_file: file("client-expired.pem", &expired)?,
            folder,
        })
    }

    /// A file of the servers.
    pub(super) fn server_file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Settings of the broker's client.
    pub(super) fn client(&self) -> Vec<(&'static str, String)> {
        vec![
            ("security.protocol", "sasl_ssl".to_owned()),
            ("ssl.ca.location", self.ca_file.to_string_lossy().into_owned()),
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.username", self.user.clone()),
            ("sasl.password", self.password.clone()),
        ]
    }
}

/// A certificate authority.
struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl CertificateAuthority {
    fn new(name: &str) -> Result<Self, StackError> {
        let mut params = named(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A certificate (PEM) of this kind for a key.
    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<String, StackError> {
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams, StackError> {
    let hosts: Vec<String> = hosts.iter().map(|text| (*text).to_owned()).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn write(path: &Path, text: &str) -> Result<PathBuf, StackError> {
    fs::write(path, text).map_err(StackError::path("write", path))?;
    let readable_by =
        if path.extension().is_some_and(|name| name == "key") { 0o600 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(readable_by))
        .map_err(StackError::path("close", path))?;
    Ok(path.to_owned())
}
