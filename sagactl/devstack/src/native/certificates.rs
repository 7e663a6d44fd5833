//! Certificates for servers on loopback, signed by an authority that lives as long as the stack.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::supervisor::Workspace;
use crate::Error;

/// Whoever trusts the file of this authority trusts the servers of one stack, and nobody else does.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub(crate) file: PathBuf,
}

/// A server's certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new one, whose certificate is put into this folder of the workspace.
    pub(crate) fn found(workspace: &Workspace, folder: &str) -> Result<Self, Error> {
        let folder = workspace.folder(folder)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a stack's own authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let file = folder.join("ca.pem");
        fs::write(&file, issuer.pem()).map_err(Error::path("write", &file))?;
        Ok(Self { issuer, file })
    }

    /// A certificate for a server on loopback.
    pub(crate) fn issue(&self) -> Result<Identity, Error> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Identity {
    /// Writes a text that only its owner may read.
    pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
        fs::write(path, text).map_err(Error::path("write", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(Error::path("protect", path))
    }
}
