//! Security of the connections to the brokers: encryption and authentication.
//!
//! The default is no protection: a connection in plain text, which anybody on the network path can
//! read. This default is for development machines.
//!
//! **Architecture invariant:** a broker whose name is not in its certificate is refused, and
//! nothing here shows a password.

use std::path::PathBuf;

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

/// How connections to the brokers are protected.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSecurity {
    /// Encryption and verification of the broker's certificate. None is plain text.
    pub tls: Option<TlsSettings>,
    /// The client's name and password, where brokers ask for a password.
    pub login: Option<SaslLogin>,
}

/// How a broker's certificate is verified.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificates (PEM) of the authorities that may sign a broker's certificate. Without it, the
    /// authorities that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, where brokers ask for one.
    pub own: Option<ClientCertificate>,
}

/// A client certificate and its private key, both PEM files.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those between it and the root (PEM).
    pub certificate_file: PathBuf,
    /// Its private key (PEM), without a passphrase.
    pub key_file: PathBuf,
}

/// A name and a password. SCRAM never sends the password itself.
#[derive(Clone, Debug)]
pub struct SaslLogin {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// The SASL user name.
    pub user: String,
    /// The SASL password; never logged.
    pub password: SecretString,
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SaslMechanism {
    /// Salted challenge and response with SHA-256.
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response with SHA-512.
    #[default]
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// As brokers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl ConnectionSecurity {
    /// Sets these values in the client's configuration.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.login) {
            (None, None) => return,
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.apply(config);
        }
        if let Some(login) = &self.login {
            config
                .set("sasl.mechanism", login.mechanism.name())
                .set("sasl.username", &login.user)
                .set("sasl.password", login.password.expose_secret());
        }
    }
}

impl TlsSettings {
    fn apply(&self, config: &mut ClientConfig) {
        let authorities = self.ca_file.as_ref().map(|path| path.to_string_lossy().into_owned());
        config
            .set("ssl.endpoint.identification.algorithm", "https")
            .set("enable.ssl.certificate.verification", "true")
            // The OpenSSL that is built in knows no folder of this system: it has to look.
            .set("ssl.ca.location", authorities.as_deref().unwrap_or("probe"));
        if let Some(own) = &self.own {
            config
                .set("ssl.certificate.location", own.certificate_file.to_string_lossy())
                .set("ssl.key.location", own.key_file.to_string_lossy());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaSettings;

    fn settings(security: ConnectionSecurity) -> KafkaSettings {
        KafkaSettings {
            brokers: "broker:9093".to_owned(),
            prefix: String::new(),
            client_id: "a-test".to_owned(),
            security: security.into(),
            member: None,
        }
    }

    fn login() -> SaslLogin {
        SaslLogin {
            mechanism: SaslMechanism::ScramSha512,
            user: "somebody".to_owned(),
            password: "hunter2".into(),
        }
    }

    #[test]
    fn what_is_set_is_what_the_client_is_told() {
        let tls = TlsSettings { ca_file: Some("/ca.pem".into()), own: None };
        for (security, protocol) in [
            (ConnectionSecurity { tls: Some(tls.clone()), login: None }, "ssl"),
            (ConnectionSecurity { tls: None, login: Some(login()) }, "sasl_plaintext"),
            (ConnectionSecurity { tls: Some(tls), login: Some(login()) }, "sasl_ssl"),
        ] {
            let client = settings(security.clone()).client();
            assert_eq!(client.get("security.protocol"), Some(protocol));
            let name_is_checked = client.get("ssl.endpoint.identification.algorithm");
            assert_eq!(name_is_checked, security.tls.as_ref().map(|_| "https"));
            assert_eq!(client.get("ssl.ca.location"), security.tls.map(|_| "/ca.pem"));
            assert_eq!(client.get("sasl.mechanism"), security.login.map(|_| "SCRAM-SHA-512"));
        }
        assert_eq!(settings(ConnectionSecurity::default()).client().get("security.protocol"), None);
    }

    #[test]
    fn without_an_authority_of_its_own_the_client_looks_for_those_of_the_system() {
        let security = ConnectionSecurity { tls: Some(TlsSettings::default()), login: None };
        assert_eq!(settings(security).client().get("ssl.ca.location"), Some("probe"));
    }

    #[test]
    fn no_debug_shows_the_password() {
        let settings = settings(ConnectionSecurity { tls: None, login: Some(login()) });
        let shown = format!("{settings:?} {:?}", settings.client());
        assert!(shown.contains("somebody") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_client_that_is_built_in_can_tls_and_scram() {
        let security =
            ConnectionSecurity { tls: Some(TlsSettings::default()), login: Some(login()) };
        settings(security).client().create::<rdkafka::producer::BaseProducer>().unwrap();
    }
}
