//! A broker with TLS and SASL: it shows a certificate and asks clients for a password.

use super::{InstalledKafka, SETTINGS, filled_in, write};
use crate::{
    StackError, StorageDurability,
    native::{
        authority::SecuredServers, java::ClassSharing, server::NativeServer,
        supervisor::ServerFolder,
    },
    probe::ServerProbe,
};

const SECURED: &str = include_str!("../../../native/kafka/secured.properties");

impl InstalledKafka {
    /// Starts a broker whose only user is that of `secured`, and waits until it answers.
    pub(crate) async fn start_secured(
        &self,
        workspace: &ServerFolder,
        durability: StorageDurability,
        secured: &SecuredServers,
    ) -> Result<(NativeServer, String), StackError> {
        let folder = workspace.folder("kafka")?;
        let data = workspace.folder("kafka/data")?;
        let plain = folder.join("format.properties");
        write(&plain, &filled_in(SETTINGS, [1, 2], &data))?;
        // The user is part of what is formatted: there is no broker yet that could be told.
        let user = |mechanism: &str| {
            format!("{mechanism}=[name={},password={}]", secured.user, secured.password)
        };
        let users = ["SCRAM-SHA-512", "SCRAM-SHA-256"]
            .map(|mechanism| ["--add-scram".to_owned(), user(mechanism)]);
        self.format_as(&plain, users.as_flattened()).await?;
        let (server, [port, _]) = NativeServer::start(workspace, |ports| {
            let settings = format!("{SETTINGS}\n{SECURED}")
                .replace("@user@", &secured.user)
                .replace("@password@", &secured.password)
                .replace("@own@", &secured.server_file("server-all.pem").to_string_lossy())
                .replace("@authority@", &secured.ca_file.to_string_lossy());
            write(&folder.join("server.properties"), &filled_in(&settings, ports, &data))?;
            let launch = self.launch(&folder, durability, ClassSharing::Use);
            let probe = ServerProbe::Kafka { brokers: address(ports[0]), client: secured.client() };
            Ok((launch, probe))
        })
        .await?;
        Ok((server, address(port)))
    }
}

/// By the name that stands in the certificate.
fn address(port: u16) -> String {
    format!("localhost:{port}")
}
