//! How far a service has read, by the broker's own word: its group has committed what is asked for.
//! Offsets follow the transaction, so what is read has had its effect.

use std::collections::BTreeMap;

use devstack::Patience;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use sagactl::fleet::{Fleet, Member};
use shared::contract;

use crate::raw::{ANSWER, ask};

/// Who reads each topic of events.
pub(crate) fn readers(topic: &str) -> &'static [Member] {
    use Member::{Inventory, Notify, Orders, Payments};
    match topic {
        contract::ORDER_PLACED | contract::ORDER_CANCELLED => &[Inventory, Payments, Notify],
        contract::ORDER_CONFIRMED => &[Inventory, Notify],
        contract::STOCK_RESERVED => &[Payments, Orders],
        contract::PAYMENT_REFUNDED => &[Orders, Notify],
        _others => &[Orders],
    }
}

/// The topics that services read.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    contract::TOPICS.iter().map(|it| it.name).filter(|it| !it.contains('.'))
}

/// The whole names of the topics that a service reads.
pub(crate) fn topics_of(prefix: &str, member: Member) -> Vec<String> {
    let read = topics().filter(|it| readers(it).contains(&member));
    read.map(|it| format!("{prefix}{it}")).collect()
}

/// Waits until a service has committed the end that each of its topics has now.
pub(crate) async fn to_the_end(fleet: &Fleet, member: Member) {
    let (brokers, prefix) = (fleet.stack().brokers.clone(), fleet.prefix().to_owned());
    let waiting = tokio::task::spawn_blocking(move || wait(&brokers, &prefix, member));
    waiting.await.unwrap();
}

fn wait(brokers: &str, prefix: &str, member: Member) {
    // It only asks about the group, and never joins it.
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{prefix}{member}"))
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut ends = BTreeMap::new();
    for topic in topics_of(prefix, member) {
        let metadata =
            ask("the partitions of a topic", || client.fetch_metadata(Some(&topic), ANSWER));
        for partition in metadata.topics()[0].partitions() {
            let (low, high) =
                ask("where it ends", || client.fetch_watermarks(&topic, partition.id(), ANSWER));
            if high > low {
                ends.insert((topic.clone(), partition.id()), high);
            }
        }
    }
    let mut patience = Patience::until(&format!("{member} has read everything"));
    loop {
        let behind = behind(&client, &ends);
        if behind.is_empty() {
            return;
        }
        patience.look_again_blocking(behind);
    }
}

/// The partitions that are not read to these ends, and up to where they are.
fn behind(
    client: &BaseConsumer,
    ends: &BTreeMap<(String, i32), i64>,
) -> BTreeMap<(String, i32), Offset> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in ends.keys() {
        asked.add_partition_offset(topic, *partition, Offset::Invalid).unwrap();
    }
    let told =
        ask("how far the group has read", || client.committed_offsets(asked.clone(), ANSWER));
    let mut behind = BTreeMap::new();
    for place in told.elements() {
        let name = (place.topic().to_owned(), place.partition());
        let is_read = matches!(place.offset(), Offset::Offset(read) if read >= ends[&name]);
        if !is_read {
            behind.insert(name, place.offset());
        }
    }
    behind
}
