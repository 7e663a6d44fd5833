//! Settings of the broker: address, security, replication of topics.

use std::{fs::File, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::{CheckSettings, InvalidSetting, secret, secret_file, within};
use crate::{
    kafka::{self, ClientCertificate, ConnectionSecurity, SaslLogin, SaslMechanism, TlsSettings},
    topics::ReplicaCount,
};

/// What every client of the broker needs to know.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerSettings {
    /// Where the brokers are: `host:port,host:port`.
    #[arg(long, env = "KAFKA_BROKERS", default_value = "127.0.0.1:9092")]
    pub kafka_brokers: String,
    /// Stands before the name of each topic and group: one cluster can serve several deployments.
    #[arg(long, env = "KAFKA_TOPIC_PREFIX", default_value = "")]
    pub kafka_topic_prefix: String,
    /// Copies of each partition that are made when a topic is created.
    #[arg(long, env = "KAFKA_REPLICATION", default_value_t = 1)]
    pub kafka_replication: i32,
    /// Copies of a message that have to be there before it is confirmed; a majority of
    /// `KAFKA_REPLICATION` if nothing is said. Topics that ask for less are refused.
    #[arg(long, env = "KAFKA_MIN_IN_SYNC")]
    pub kafka_min_in_sync: Option<i32>,
    /// How connections to the brokers are protected.
    #[arg(long, env = "KAFKA_SECURITY", value_enum, default_value_t)]
    pub kafka_security: BrokerSecurity,
    /// CA certificates (PEM) that brokers' certificates are checked against. Default: the system's
    /// CA certificates.
    #[arg(long, env = "KAFKA_TLS_CA_FILE")]
    pub kafka_tls_ca_file: Option<PathBuf>,
    /// Our own certificate (PEM), where brokers ask for one.
    #[arg(long, env = "KAFKA_TLS_CERTIFICATE_FILE")]
    pub kafka_tls_certificate_file: Option<PathBuf>,
    /// The private key (PEM, without a passphrase) of our own certificate.
    #[arg(long, env = "KAFKA_TLS_KEY_FILE")]
    pub kafka_tls_key_file: Option<PathBuf>,
    /// How the password is proven; SCRAM-SHA-512 if nothing is said.
    #[arg(long, env = "KAFKA_SASL_MECHANISM", value_enum)]
    pub kafka_sasl_mechanism: Option<SaslMechanism>,
    /// The user name at the broker (SASL).
    #[arg(long, env = "KAFKA_SASL_USERNAME")]
    pub kafka_sasl_username: Option<String>,
    /// The password at the broker (SASL).
    #[arg(long, env = "KAFKA_SASL_PASSWORD", hide_env_values = true, value_parser = secret)]
    pub kafka_sasl_password: Option<SecretString>,
    /// A file that holds our password, in place of `KAFKA_SASL_PASSWORD`.
    #[arg(long, env = "KAFKA_SASL_PASSWORD_FILE", conflicts_with = "kafka_sasl_password")]
    pub kafka_sasl_password_file: Option<PathBuf>,
    /// The name of this instance within its consumer group, unique per instance. With it, an
    /// instance that restarts within ten seconds keeps its partitions.
    #[arg(long, env = "KAFKA_GROUP_MEMBER")]
    pub kafka_group_member: Option<String>,
}

/// How connections to the brokers are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum BrokerSecurity {
    /// No encryption and no passwords.
    #[default]
    Plaintext,
    /// Encrypted, with certificates and without a password.
    Tls,
    /// In plain text, with a password (which SCRAM does not send).
    SaslPlaintext,
    /// Encrypted, with a password.
    SaslTls,
}

impl CheckSettings for BrokerSettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        within("KAFKA_REPLICATION", self.kafka_replication.into(), 1, 7)?;
        let in_sync = self.replicas().in_sync_min;
        within("KAFKA_MIN_IN_SYNC", in_sync.into(), 1, self.kafka_replication.into())?;
        brokers(&self.kafka_brokers)?;
        legal("KAFKA_TOPIC_PREFIX", &self.kafka_topic_prefix)?;
        if let Some(member) = &self.kafka_group_member {
            legal("KAFKA_GROUP_MEMBER", member)?;
        }
        self.security().map(drop)
    }
}

impl BrokerSettings {
    /// How the broker is used, by a client of this name.
    pub fn settings(&self, client_id: &str) -> Result<kafka::KafkaSettings, InvalidSetting> {
        Ok(kafka::KafkaSettings {
            brokers: self.kafka_brokers.clone(),
            prefix: self.kafka_topic_prefix.clone(),
            client_id: client_id.to_owned(),
            security: self.security()?.into(),
            member: self.kafka_group_member.clone().filter(|member| !member.is_empty()),
        })
    }

    /// On how many brokers a message is.
    pub fn replicas(&self) -> ReplicaCount {
        let majority = ReplicaCount::majority(self.kafka_replication);
        ReplicaCount {
            in_sync_min: self.kafka_min_in_sync.unwrap_or(majority.in_sync_min),
            ..majority
        }
    }

    fn security(&self) -> Result<ConnectionSecurity, InvalidSetting> {
        let (tls, login) = match self.kafka_security {
            BrokerSecurity::Plaintext => (false, false),
            BrokerSecurity::Tls => (true, false),
            BrokerSecurity::SaslPlaintext => (false, true),
            BrokerSecurity::SaslTls => (true, true),
        };
        Ok(ConnectionSecurity {
            tls: if tls { Some(self.tls()?) } else { self.no_tls()? },
            login: if login { Some(self.login()?) } else { self.no_login()? },
        })
    }

    fn tls(&self) -> Result<TlsSettings, InvalidSetting> {
        if let Some(file) = &self.kafka_tls_ca_file {
            readable("KAFKA_TLS_CA_FILE", file)?;
        }
        let own = match (&self.kafka_tls_certificate_file, &self.kafka_tls_key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                readable("KAFKA_TLS_CERTIFICATE_FILE", certificate)?;
                readable("KAFKA_TLS_KEY_FILE", key)?;
                Some(ClientCertificate {
                    certificate_file: certificate.clone(),
                    key_file: key.clone(),
                })
            }
            (Some(_), None) => {
                let reason = "it is not set, and the certificate's file is";
                return Err(InvalidSetting::new("KAFKA_TLS_KEY_FILE", reason));
            }
            (None, Some(_)) => {
                let reason = "it is not set, and the key's file is";
                return Err(InvalidSetting::new("KAFKA_TLS_CERTIFICATE_FILE", reason));
            }
        };
        Ok(TlsSettings { ca_file: self.kafka_tls_ca_file.clone(), own })
    }

    /// Refuses a certificate that would not be used.
    fn no_tls(&self) -> Result<Option<TlsSettings>, InvalidSetting> {
        let set = [
            ("KAFKA_TLS_CA_FILE", self.kafka_tls_ca_file.is_some()),
            ("KAFKA_TLS_CERTIFICATE_FILE", self.kafka_tls_certificate_file.is_some()),
            ("KAFKA_TLS_KEY_FILE", self.kafka_tls_key_file.is_some()),
        ];
        none_of(set, "it is set, and KAFKA_SECURITY is neither tls nor sasl_tls")?;
        Ok(None)
    }

    fn login(&self) -> Result<SaslLogin, InvalidSetting> {
        let wanted = "it is not set, and KAFKA_SECURITY asks for a login";
        let user = self.kafka_sasl_username.clone().filter(|text| !text.is_empty());
        let password = self
            .kafka_sasl_password
            .as_ref()
            .filter(|password| !password.expose_secret().is_empty());
        let password = match (password, &self.kafka_sasl_password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(file)) => secret_file("KAFKA_SASL_PASSWORD_FILE", file)?,
            (None, None) => return Err(InvalidSetting::new("KAFKA_SASL_PASSWORD", wanted)),
        };
        Ok(SaslLogin {
            mechanism: self.kafka_sasl_mechanism.unwrap_or_default(),
            user: user.ok_or_else(|| InvalidSetting::new("KAFKA_SASL_USERNAME", wanted))?,
            password,
        })
    }

    /// Refuses a password that would not be used.
    fn no_login(&self) -> Result<Option<SaslLogin>, InvalidSetting> {
        let set = [
            ("KAFKA_SASL_MECHANISM", self.kafka_sasl_mechanism.is_some()),
            ("KAFKA_SASL_USERNAME", self.kafka_sasl_username.is_some()),
            ("KAFKA_SASL_PASSWORD", self.kafka_sasl_password.is_some()),
            ("KAFKA_SASL_PASSWORD_FILE", self.kafka_sasl_password_file.is_some()),
        ];
        none_of(set, "it is set, and KAFKA_SECURITY is neither sasl_tls nor sasl_plaintext")?;
        Ok(None)
    }
}

fn none_of<const N: usize>(
    set: [(&'static str, bool); N],
    reason: &'static str,
) -> Result<(), InvalidSetting> {
    match set.into_iter().find(|(_, is_set)| *is_set) {
        Some((name, _)) => Err(InvalidSetting::new(name, reason)),
        None => Ok(()),
    }
}

/// Whether a file is there and may be read; what is in it is the client's to judge.
fn readable(name: &'static str, path: &PathBuf) -> Result<(), InvalidSetting> {
    let complaint =
        |reason: String| InvalidSetting::new(name, format!("{}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| complaint(error.to_string()))?;
    match file.metadata() {
        Ok(what) if what.is_file() => Ok(()),
        Ok(_) => Err(complaint("it is not a file".to_owned())),
        Err(error) => Err(complaint(error.to_string())),
    }
}

fn brokers(text: &str) -> Result<(), InvalidSetting> {
    let ok = text.split(',').all(|broker| {
        broker.trim().rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|n| n > 0)
        })
    });
    if ok {
        Ok(())
    } else {
        Err(InvalidSetting::new("KAFKA_BROKERS", "it is not host:port,host:port"))
    }
}

/// What brokers take for a part of a name.
fn legal(name: &'static str, text: &str) -> Result<(), InvalidSetting> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.len() <= 100 && text.bytes().all(legal) {
        return Ok(());
    }
    let reason = "more than 100 characters, or others than letters, digits, '.', '_' and '-'";
    Err(InvalidSetting::new(name, reason))
}
