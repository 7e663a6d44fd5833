//! How far a service has read, by the broker's own word, as the services ask it themselves. Offsets
//! follow the transaction, so what is read has had its effect.

use devstack::Patience;
use sagactl::{
    audit::{ServiceName, readers},
    fleet::{Fleet, Member},
};
use shared::{contract, kafka, lag::Group};

/// The topics that services read.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    contract::TOPICS.iter().map(|it| it.name).filter(|it| !it.contains('.'))
}

/// The whole names of the topics that a service reads.
pub(crate) fn topics_of(prefix: &str, member: Member) -> Vec<String> {
    service_of(member).topics().iter().map(|it| format!("{prefix}{it}")).collect()
}

/// Whether a service reads a topic.
pub(crate) fn reads(member: Member, topic: &str) -> bool {
    readers(topic).contains(&service_of(member))
}

/// The service that a member runs.
fn service_of(member: Member) -> ServiceName {
    ServiceName::ALL.into_iter().find(|service| Member::of(*service) == member).unwrap()
}

/// Waits until a service has read up to the end that each of its topics has now.
pub(crate) async fn to_the_end(fleet: &Fleet, member: Member) {
    let broker = fleet.broker();
    let waiting = tokio::task::spawn_blocking(move || wait(&broker, member));
    waiting.await.unwrap();
}

fn wait(broker: &kafka::Settings, member: Member) {
    let mut group = Group::new(broker, member.program()).unwrap();
    let topics = service_of(member).topics();
    let mut patience = Patience::until(&format!("{member} has read everything"));
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
