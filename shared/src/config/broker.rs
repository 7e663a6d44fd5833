//! Where the brokers are, how they are spoken to, and on how many of them a message has to be.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{Check, Invalid, secret, secret_file, within};
use crate::{
    kafka::{self, Mechanism, Sasl, Security, Tls},
    topics::Copies,
};

/// The broker's side of the settings.
#[derive(Clone, Debug, clap::Args)]
pub struct Broker {
    /// Where the brokers are: `host:port,host:port`.
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub kafka_brokers: String,
    /// Stands before the name of each topic and group: one cluster can serve several deployments.
    #[arg(long, env = "KAFKA_TOPIC_PREFIX", default_value = "")]
    pub kafka_topic_prefix: String,
    /// Copies of each partition that are made when a topic is created.
    #[arg(long, env = "KAFKA_REPLICATION", default_value_t = 1)]
    pub kafka_replication: i32,
    /// So many brokers have a message before it is confirmed; a majority of the copies, if it is not
    /// said. A topic that confirms earlier is not worked with.
    #[arg(long, env = "KAFKA_MIN_IN_SYNC")]
    pub kafka_min_in_sync: Option<i32>,
    /// What stands between a service and a broker, in Kafka's words: with `ssl` the broker shows a
    /// certificate, with `sasl_ssl` the service also says who it is.
    #[arg(long, env = "KAFKA_SECURITY_PROTOCOL", value_enum, ignore_case = true)]
    #[arg(default_value_t)]
    pub kafka_security_protocol: Protocol,
    /// The authorities that may have signed the brokers' certificates, in PEM; those of the system,
    /// if it is not said.
    #[arg(long, env = "KAFKA_TLS_CA_FILE")]
    pub kafka_tls_ca_file: Option<PathBuf>,
    /// The service's own certificate, in PEM, for brokers that want to see one.
    #[arg(long, env = "KAFKA_TLS_CERTIFICATE_FILE")]
    pub kafka_tls_certificate_file: Option<PathBuf>,
    /// Its key, in PEM.
    #[arg(long, env = "KAFKA_TLS_KEY_FILE")]
    pub kafka_tls_key_file: Option<PathBuf>,
    /// How the password is proved.
    #[arg(long, env = "KAFKA_SASL_MECHANISM", value_enum, ignore_case = true, default_value_t)]
    pub kafka_sasl_mechanism: Mechanism,
    /// The service's name at the broker.
    #[arg(long, env = "KAFKA_SASL_USERNAME")]
    pub kafka_sasl_username: Option<String>,
    /// Its password.
    #[arg(long, env = "KAFKA_SASL_PASSWORD", hide_env_values = true, value_parser = secret)]
    pub kafka_sasl_password: Option<SecretString>,
    /// A file that holds the password, in place of `KAFKA_SASL_PASSWORD`.
    #[arg(long, env = "KAFKA_SASL_PASSWORD_FILE", conflicts_with = "kafka_sasl_password")]
    pub kafka_sasl_password_file: Option<PathBuf>,
    /// The name of this instance within its group, another one for each instance. With it, whoever
    /// is back within ten seconds finds its partitions where they were.
    #[arg(long, env = "KAFKA_GROUP_MEMBER")]
    pub kafka_group_member: Option<String>,
}

/// What stands between a service and a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Nothing.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// TLS, and a user by SCRAM.
    #[value(name = "sasl_ssl")]
    SaslSsl,
}

impl Check for Broker {
    fn check(&self) -> Result<(), Invalid> {
        within("KAFKA_REPLICATION", self.kafka_replication.into(), 1, 7)?;
        if let Some(least) = self.kafka_min_in_sync {
            within("KAFKA_MIN_IN_SYNC", least.into(), 1, self.kafka_replication.into())?;
        }
        addresses(&self.kafka_brokers)?;
        legal("KAFKA_TOPIC_PREFIX", &self.kafka_topic_prefix)?;
        if let Some(member) = &self.kafka_group_member {
            legal("KAFKA_GROUP_MEMBER", member)?;
        }
        self.security().map(drop)
    }
}

impl Broker {
    /// How the broker is used, by a client of this name. An error if a file is not there any more.
    pub fn kafka(&self, client_id: &str) -> Result<kafka::Settings, Invalid> {
        Ok(kafka::Settings {
            brokers: self.kafka_brokers.clone(),
            prefix: self.kafka_topic_prefix.clone(),
            client_id: client_id.to_owned(),
            security: self.security()?,
            member: self.kafka_group_member.clone().filter(|it| !it.is_empty()),
        })
    }

    /// On how many brokers a message has to be.
    pub fn copies(&self) -> Copies {
        let majority = Copies::of(self.kafka_replication);
        Copies { in_sync_min: self.kafka_min_in_sync.unwrap_or(majority.in_sync_min), ..majority }
    }

    fn security(&self) -> Result<Security, Invalid> {
        let (tls, sasl) = (self.tls()?, self.sasl()?);
        match (self.kafka_security_protocol, tls, sasl) {
            (Protocol::Plaintext, None, None) => Ok(Security::Plaintext),
            (Protocol::Ssl, tls, None) => Ok(Security::Tls(tls.unwrap_or_default())),
            (Protocol::SaslSsl, tls, Some(sasl)) => {
                Ok(Security::SaslTls(tls.unwrap_or_default(), sasl))
            }
            (Protocol::Plaintext, Some(_), _) => Err(Invalid::new(
                "KAFKA_SECURITY_PROTOCOL",
                "it is plaintext, and there are certificates: ssl or sasl_ssl is wanted",
            )),
            (Protocol::Plaintext | Protocol::Ssl, _, Some(_)) => Err(Invalid::new(
                "KAFKA_SECURITY_PROTOCOL",
                "there is a user, who is shown to a broker only with sasl_ssl",
            )),
            (Protocol::SaslSsl, _, None) => {
                Err(Invalid::new("KAFKA_SASL_USERNAME", "it is not set, and sasl_ssl wants it"))
            }
        }
    }

    fn tls(&self) -> Result<Option<Tls>, Invalid> {
        let ca_file = named(self.kafka_tls_ca_file.as_deref());
        let certificate = named(self.kafka_tls_certificate_file.as_deref());
        let key = named(self.kafka_tls_key_file.as_deref());
        for (name, file) in [
            ("KAFKA_TLS_CA_FILE", &ca_file),
            ("KAFKA_TLS_CERTIFICATE_FILE", &certificate),
            ("KAFKA_TLS_KEY_FILE", &key),
        ] {
            if let Some(file) = file {
                readable(name, file)?;
            }
        }
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Invalid::new("KAFKA_TLS_KEY_FILE", "a certificate needs its key"));
            }
            (None, Some(_)) => {
                return Err(Invalid::new(
                    "KAFKA_TLS_CERTIFICATE_FILE",
                    "a key needs its certificate",
                ));
            }
        };
        Ok((ca_file.is_some() || identity.is_some()).then_some(Tls { ca_file, identity }))
    }

    fn sasl(&self) -> Result<Option<Sasl>, Invalid> {
        let file = named(self.kafka_sasl_password_file.as_deref());
        let password = match (&self.kafka_sasl_password, file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(secret_file("KAFKA_SASL_PASSWORD_FILE", &file)?),
            (None, None) => None,
        };
        let username = self.kafka_sasl_username.clone().filter(|it| !it.is_empty());
        match (username, password) {
            (Some(username), Some(password)) => {
                Ok(Some(Sasl { mechanism: self.kafka_sasl_mechanism, username, password }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(Invalid::new("KAFKA_SASL_PASSWORD", "it is not set, and there is a user"))
            }
            (None, Some(_)) => {
                Err(Invalid::new("KAFKA_SASL_USERNAME", "it is not set, and there is a password"))
            }
        }
    }
}

/// A name that is not empty: an empty variable is one that is not set.
fn named(file: Option<&Path>) -> Option<PathBuf> {
    file.filter(|it| !it.as_os_str().is_empty()).map(Path::to_owned)
}

fn readable(name: &'static str, file: &Path) -> Result<(), Invalid> {
    match std::fs::File::open(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(Invalid::new(name, format!("{}: {error}", file.display()))),
    }
}

fn addresses(text: &str) -> Result<(), Invalid> {
    let ok = text.split(',').all(|broker| {
        broker.trim().rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|it| it > 0)
        })
    });
    if ok { Ok(()) } else { Err(Invalid::new("KAFKA_BROKERS", "it is not host:port,host:port")) }
}

/// What Kafka takes for a part of a name.
fn legal(name: &'static str, text: &str) -> Result<(), Invalid> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.len() <= 100 && text.bytes().all(legal) {
        return Ok(());
    }
    let reason = "more than 100 characters, or others than letters, digits, '.', '_' and '-'";
    Err(Invalid::new(name, reason))
}
