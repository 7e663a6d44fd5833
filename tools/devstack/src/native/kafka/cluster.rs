//! Three nodes, each broker and controller. With one node lost, no confirmed message is lost; with
//! two nodes lost, no message is confirmed.

use std::array;

use super::{InstalledKafka, SETTINGS, address, filled_in, write};
use crate::{
    StackError, StorageDurability,
    native::{java::ClassSharing, ports::PortPair, server::NativeServer, supervisor::ServerFolder},
    probe::ServerProbe,
};

const NODE: &str = include_str!("../../../native/kafka/cluster.properties");

impl InstalledKafka {
    /// Starts three brokers with empty data folders and waits until each answers.
    pub(crate) async fn start_cluster(
        &self,
        workspace: &ServerFolder,
        durability: StorageDurability,
    ) -> Result<([NativeServer; 3], String), StackError> {
        let ports: [PortPair; 3] = array::from_fn(|_| PortPair::claim());
        let brokers = ports.each_ref().map(|port_pair| address(port_pair.numbers[0])).join(",");
        let mut id = 0;
        let voters = ports.each_ref().map(|pair| {
            id += 1;
            format!("{id}@{}", address(pair.numbers[1]))
        });
        let voters = voters.join(",");
        let [first, second, third] = ports;
        let start =
            async |id, ports| self.start_node(workspace, durability, (id, ports), &voters).await;
        // All at once: a quorum has to come together before any of them answers.
        let (first, second, third) =
            tokio::try_join!(start(1, first), start(2, second), start(3, third))?;
        Ok(([first, second, third], brokers))
    }

    async fn start_node(
        &self,
        workspace: &ServerFolder,
        durability: StorageDurability,
        (id, ports): (u32, PortPair),
        voters: &str,
    ) -> Result<NativeServer, StackError> {
        let folder = workspace.folder(&format!("kafka-{id}"))?;
        let data = workspace.folder(&format!("kafka-{id}/data"))?;
        let settings = format!("{SETTINGS}\n{NODE}")
            .replace("@node@", &id.to_string())
            .replace("@voters@", voters);
        let file = folder.join("server.properties");
        write(&file, &filled_in(&settings, ports.numbers, &data))?;
        self.format_as(&file, &[]).await?;
        let mut launch = self.launch(&folder, durability, ClassSharing::Use);
        // Three of them have to fit where one did.
        for flag in launch.arguments.iter_mut().filter(|text| text.starts_with("-Xmx")) {
            "-Xmx256m".clone_into(flag);
        }
        let probe = ServerProbe::Kafka { brokers: address(ports.numbers[0]), client: vec![] };
        NativeServer::start_on(ports, (launch, probe), workspace).await
    }
}
