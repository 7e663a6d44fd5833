//! How far a service has read, by the broker's own word, as the services ask it themselves. Offsets
//! follow the transaction, so what is read has had its effect.

use devstack::TestWait;
use sagactl::audit::{ServiceName, readers};
use shared::{kafka, lag::GroupProbe};
use xtask::cluster::{ProcessName, ServiceCluster};

/// The topics that services read.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    contract::TOPICS.iter().map(|spec| spec.name).filter(|text| !text.contains('.'))
}

/// The whole names of the topics that a service reads.
pub(crate) fn topics_of(prefix: &str, member: ProcessName) -> Vec<String> {
    service_of(member).topics().iter().map(|text| format!("{prefix}{text}")).collect()
}

/// Whether a service reads a topic.
pub(crate) fn reads(member: ProcessName, topic: &str) -> bool {
    readers(topic).contains(&service_of(member))
}

/// The service that a member runs.
fn service_of(member: ProcessName) -> ServiceName {
    ServiceName::ALL.into_iter().find(|service| ProcessName::of(*service) == member).unwrap()
}

/// Waits until a service has read up to the end that each of its topics has now.
pub(crate) async fn to_the_end(cluster: &ServiceCluster, member: ProcessName) {
    let broker = cluster.broker();
    let waiting = tokio::task::spawn_blocking(move || wait(&broker, member));
    waiting.await.unwrap();
}

fn wait(broker: &kafka::KafkaSettings, member: ProcessName) {
    let mut group = GroupProbe::new(broker, member.program()).unwrap();
    let topics = service_of(member).topics();
    let mut patience = TestWait::until(&format!("{member} has read everything"));
    let mut ends = None;
    loop {
        match group.look(&topics) {
            Ok(look) => {
                if look.is_read_up_to(ends.get_or_insert_with(|| look.ends())) {
                    return;
                }
                patience.look_again_blocking(look.behind());
            }
            Err(error) => patience.look_again_blocking(error),
        }
    }
}
