//! How a client and a broker know each other: certificates, and a user with a password.
//!
//! **Architecture invariant:** a password is never sent to a broker whose certificate was not
//! checked, and never shown: SCRAM without TLS does not exist here.

use std::path::PathBuf;

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

/// What stands between a client and a broker.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Nothing.
    #[default]
    Plaintext,
    /// The connection is encrypted, and the broker shows who it is.
    Tls(Tls),
    /// And the client says who it is, by SCRAM.
    SaslTls(Tls, Sasl),
}

/// Certificates, as files in PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities that may have signed the broker's certificate. None: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate and its key, if the broker wants to see one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user of the broker.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// How the password is proved.
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// How a password is proved without being sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mechanism {
    /// With SHA-256.
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// With SHA-512.
    #[default]
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Security {
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        match self {
            Self::Plaintext => {}
            Self::Tls(tls) => {
                config.set("security.protocol", "ssl");
                tls.apply(config);
            }
            Self::SaslTls(tls, sasl) => {
                config
                    .set("security.protocol", "sasl_ssl")
                    .set("sasl.mechanism", sasl.mechanism.name())
                    .set("sasl.username", &sasl.username)
                    .set("sasl.password", sasl.password.expose_secret());
                tls.apply(config);
            }
        }
    }
}

impl Tls {
    fn apply(&self, config: &mut ClientConfig) {
        // The OpenSSL that is built in knows no folder of the system's: the usual ones are tried.
        let ca = self.ca_file.as_ref().map_or_else(|| "probe".into(), |it| it.to_string_lossy());
        config
            .set("ssl.ca.location", ca)
            // The certificate has to be for the name that was asked for.
            .set("ssl.endpoint.identification.algorithm", "https")
            .set("enable.ssl.certificate.verification", "true");
        if let Some((certificate, key)) = &self.identity {
            config
                .set("ssl.certificate.location", certificate.to_string_lossy())
                .set("ssl.key.location", key.to_string_lossy());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(security: &Security) -> ClientConfig {
        let mut config = ClientConfig::new();
        security.apply(&mut config);
        config
    }

    #[test]
    fn nothing_is_asked_of_a_plain_broker() {
        assert_eq!(settings(&Security::Plaintext).get("security.protocol"), None);
    }

    #[test]
    fn certificates_are_always_checked_against_the_name() {
        let sasl = Sasl {
            mechanism: Mechanism::ScramSha256,
            username: "me".to_owned(),
            password: "hunter2".into(),
        };
        let system = Tls::default();
        for security in [Security::Tls(system.clone()), Security::SaslTls(system, sasl)] {
            let config = settings(&security);
            assert_eq!(config.get("ssl.endpoint.identification.algorithm"), Some("https"));
            assert_eq!(config.get("enable.ssl.certificate.verification"), Some("true"));
            assert_eq!(config.get("ssl.ca.location"), Some("probe"));
            assert!(!format!("{security:?}").contains("hunter2"));
        }
    }
}
