//! The audit of unread messages: control records count as read, deleted messages are named.

use std::time::Duration;

use contract::{ORDER_CONFIRMED, TOPICS};
use devstack::TestWait;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use sagactl::{
    audit::{AuditOptions, AuditTargets, audit},
    screen::ProgressBoard,
};
use shared::{
    kafka::{ConnectionSecurity, KafkaSettings},
    topics::{self, ReplicaCount},
};
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::stage;

/// As long as a machine may stand still.
const PATIENCE: Duration = Duration::from_mins(5);

/// The auditor gives up when nothing moves for so long, where it is to give up.
const SOON: Duration = Duration::from_secs(2);

/// Somebody else's producer, in whose open transaction there is a message on each of these.
fn stranger(
    kafka: &KafkaSettings,
    partitions: impl IntoIterator<Item = (&'static str, i32)>,
) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = kafka.client();
    config
        .set("transactional.id", devstack::unique_prefix())
        .set("transaction.timeout.ms", "600000")
        .set("topic.metadata.propagation.max.ms", "300000");
    let producer: ThreadedProducer<_> = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    for (topic, partition) in partitions {
        let topic = kafka.topic(topic);
        let record = BaseRecord::to(&topic).partition(partition).key("k").payload("never said");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn control_records_at_the_end_of_every_partition_are_read_by_services_and_auditor() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    let events = TOPICS.iter().filter(|topic| !topic.name.contains('.'));
    let all = events.flat_map(|spec| (0..spec.partitions).map(|partition| (spec.name, partition)));
    stranger(&stage.cluster.broker(), all).abort_transaction(PATIENCE).unwrap();
    stage.close(AuditExpectation::default()).await;
}

/// Findings of an audit of this broker alone.
async fn faults(broker: &KafkaSettings) -> Vec<String> {
    let targets = AuditTargets { broker: Some(broker.clone()), ..AuditTargets::default() };
    let options = AuditOptions { still_max: SOON, ..AuditOptions::default() };
    audit(&targets, &options, &ProgressBoard::new()).await.unwrap().faults()
}

/// A deployment's topics, and nobody who reads them.
async fn deployment() -> KafkaSettings {
    let settings = KafkaSettings {
        brokers: devstack::shared().await.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "test".to_owned(),
        security: ConnectionSecurity::default().into(),
        member: None,
    };
    let mut patience = TestWait::until("the topics are there");
    while let Err(error) = topics::create(&settings, &TOPICS, ReplicaCount::majority(1)).await {
        patience.look_again(error).await;
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_says_that_an_open_transaction_hides_what_it_cannot_read() {
    let kafka = deployment().await;
    let open = stranger(&kafka, [(ORDER_CONFIRMED, 4)]);
    let faults = faults(&kafka).await;
    let hides = "an open transaction hides the last 1 offsets of order-confirmed/4";
    assert!(faults.iter().any(|fault| fault.contains(hides)), "{faults:#?}");
    open.abort_transaction(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_names_what_was_deleted_before_a_service_read_it() {
    let kafka = deployment().await;
    for _ in 0..3 {
        stranger(&kafka, [(ORDER_CONFIRMED, 4)]).commit_transaction(PATIENCE).unwrap();
    }
    let list = |offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&kafka.topic(ORDER_CONFIRMED), 4, Offset::Offset(offset))
            .unwrap();
        list
    };
    let group: BaseConsumer = kafka.consumer(ProcessName::Notify.program()).create().unwrap();
    let mut patience = TestWait::until("an offset is committed");
    while let Err(error) = group.commit(&list(1), CommitMode::Sync) {
        patience.look_again(error).await;
    }
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    admin.delete_records(&list(4), &options).await.unwrap();

    let faults = faults(&kafka).await;
    for fault in [
        "topics are read: notify-service: never read order-confirmed/4 from offset 1 to 4: deleted",
        "topics are read: notify-service: order-confirmed/4 is read up to offset 4 of 6",
        "topics are read: inventory-service: order-confirmed/4 is read up to offset 4 of 6",
    ] {
        assert!(faults.iter().any(|found| found == fault), "{faults:#?}");
    }
}
