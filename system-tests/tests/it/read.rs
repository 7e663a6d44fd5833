//! How far a service has read, by the broker's own word, as the services ask it themselves. Offsets
//! follow the transaction, so what is read has had its effect.

use devstack::Patience;
pub(crate) use sagactl::audit::groups::readers;
use sagactl::{
    audit::groups,
    fleet::{Fleet, Member},
};
use shared::{contract, kafka, lag::Group};

/// The topics that services read.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    contract::TOPICS.iter().map(|it| it.name).filter(|it| !it.contains('.'))
}

/// The whole names of the topics that a service reads.
pub(crate) fn topics_of(prefix: &str, member: Member) -> Vec<String> {
    groups::topics_of(member).iter().map(|it| format!("{prefix}{it}")).collect()
}

/// Waits until a service has read up to the end that each of its topics has now.
pub(crate) async fn to_the_end(fleet: &Fleet, member: Member) {
    let broker = fleet.broker();
    let waiting = tokio::task::spawn_blocking(move || wait(&broker, member));
    waiting.await.unwrap();
}

fn wait(broker: &kafka::Settings, member: Member) {
    let mut group = Group::new(broker, member.program()).unwrap();
    let topics = groups::topics_of(member);
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
