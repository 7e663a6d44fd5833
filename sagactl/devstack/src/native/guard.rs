//! A broker and a database that let in nobody whom they do not know.
//!
//! The broker has a second listener: TLS, and a user by SCRAM. Who runs the stack still uses the
//! plain one. The database has no plain way in at all.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    certificates::{Authority, Identity},
    kafka,
    ports::Ports,
    supervisor::Workspace,
};
use crate::Error;

/// What a client needs to be let in.
pub struct Guard {
    /// Where the broker's guarded listener is.
    pub brokers: String,
    /// The authority that signed the servers' certificates, in PEM.
    pub ca_file: PathBuf,
    /// Another authority, which signed nothing here.
    pub other_ca_file: PathBuf,
    /// A user that the broker knows.
    pub username: String,
    /// The user's password, by SCRAM-SHA-512.
    pub password: String,
    keystore: PathBuf,
    /// The database's own.
    pub(super) database: Identity,
    _ports: Ports,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl Guard {
    /// Makes certificates and a user.
    pub(crate) fn post(workspace: &Workspace) -> Result<Self, Error> {
        let authority = Authority::found(workspace, "certificates")?;
        let other = Authority::found(workspace, "certificates/other")?;
        let (broker, database) = (authority.issue()?, authority.issue()?);
        let keystore = workspace.folder("certificates")?.join("broker.pem");
        Identity::write(&keystore, &(broker.key + &broker.certificate))?;
        let ports = Ports::claim();
        Ok(Self {
            brokers: kafka::address(ports.numbers[0]),
            ca_file: authority.file,
            other_ca_file: other.file,
            username: "saga".to_owned(),
            password: super::password(),
            keystore,
            database,
            _ports: ports,
        })
    }

    /// What the broker has to know beside its usual settings.
    pub(super) fn settings(&self, [plain, controller]: [u16; 2]) -> String {
        let (plain, guarded) = (kafka::address(plain), &self.brokers);
        let controller = kafka::address(controller);
        let keystore = self.keystore.display();
        format!(
            "
listeners=PLAINTEXT://{plain},CONTROLLER://{controller},GUARDED://{guarded}
advertised.listeners=PLAINTEXT://{plain},GUARDED://{guarded}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,GUARDED:SASL_SSL
listener.name.guarded.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.guarded.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"
        )
    }

    /// The user, as the tool that formats a data folder wants to be told.
    pub(super) fn credentials(&self) -> String {
        format!("SCRAM-SHA-512=[name={},password={}]", self.username, self.password)
    }

    /// What stands behind the database's URL, so that it has to show whose it is.
    pub(super) fn query(&self) -> String {
        format!("?sslmode=verify-full&sslrootcert={}", Path::display(&self.ca_file))
    }
}
