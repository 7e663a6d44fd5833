//! Three nodes, each broker and controller: one may be lost and nothing that was confirmed is, with
//! two lost nothing is confirmed.

use std::array;

use tokio::process::Command;

use super::{CLUSTER, Installed, SETTINGS, address, filled_in, write};
use crate::{
    Durability, Error,
    native::{
        java::Lesson, ports::Ports, server::Server, supervisor::Launch, supervisor::Workspace, tool,
    },
    probe::Probe,
};

const NODE: &str = include_str!("../../../native/kafka/cluster.properties");

impl Installed {
    /// Starts three brokers with empty data folders and waits until each answers.
    pub(crate) async fn start_cluster(
        &self,
        workspace: &Workspace,
        durability: Durability,
    ) -> Result<([Server; 3], String), Error> {
        let ports: [Ports; 3] = array::from_fn(|_| Ports::claim());
        let brokers = ports.each_ref().map(|it| address(it.numbers[0])).join(",");
        let mut id = 0;
        let voters = ports.each_ref().map(|it| {
            id += 1;
            format!("{id}@{}", address(it.numbers[1]))
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
        workspace: &Workspace,
        durability: Durability,
        (id, ports): (u32, Ports),
        voters: &str,
    ) -> Result<Server, Error> {
        let folder = workspace.folder(&format!("kafka-{id}"))?;
        let data = workspace.folder(&format!("kafka-{id}/data"))?;
        let settings = format!("{SETTINGS}\n{NODE}")
            .replace("@node@", &id.to_string())
            .replace("@voters@", voters);
        let file = folder.join("server.properties");
        write(&file, &filled_in(&settings, ports.numbers, &data))?;
        let mut command = Command::new(&self.java);
        command.arg("-cp").arg(self.classpath());
        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(&file);
        tool::run(command).await?;
        let Launch { mut arguments, .. } = self.launch(&folder, durability, Lesson::Use);
        // Three of them have to fit where one did.
        arguments.iter_mut().filter(|it| it.starts_with("-Xmx")).for_each(|it| {
            "-Xmx256m".clone_into(it);
        });
        let launch = Launch { arguments, ..self.launch(&folder, durability, Lesson::Use) };
        let probe = Probe::Kafka { brokers: address(ports.numbers[0]), client: vec![] };
        Server::start_on(ports, (launch, probe), workspace).await
    }
}
