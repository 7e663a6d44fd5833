//! How far a whole group has read, whichever member reads which partition.

use std::time::Duration;

use devstack::{TestWait, until};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use shared::{
    consumer::{ConsumerSettings, GroupConsumer},
    health::ProcessHealth,
    kafka,
    lag::{self, GroupProbe, LagCause, LagWatcher, PartitionStanding},
    telemetry,
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::{
    NUMBERS, PATIENCE, Tally, broker, create_topics, database, number, parts, publish, totals,
    value,
};

fn watcher(kafka: &kafka::KafkaSettings) -> LagWatcher {
    LagWatcher::new(lag::LagSettings {
        kafka: kafka.clone(),
        group: "tally",
        topics: vec![NUMBERS],
    })
}

/// Steps until all messages that were published by `moment` are read.
async fn until_read(watcher: &mut LagWatcher, moment: Instant) {
    let mut patience = TestWait::until("everything that had been said is read");
    loop {
        let looked = watcher.step().await.map_err(|error| error.to_string());
        if watcher.lag().read_up_to().is_some_and(|instant| instant >= moment) {
            return;
        }
        patience.look_again(looked).await;
    }
}

async fn consumer(kafka: &kafka::KafkaSettings) -> GroupConsumer<Tally> {
    let (pool, _) = database().await;
    let health = ProcessHealth::default().component("consumer");
    GroupConsumer::new(
        parts(&pool, Tally::default()),
        &ConsumerSettings::new(kafka.clone()),
        health,
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_read_once_its_consumer_has_committed_it() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 3).await;
    let mut watcher = watcher(&kafka);
    until_read(&mut watcher, Instant::now()).await;

    let messages: Vec<_> = (0..20).map(|n: i64| number(NUMBERS, &n.to_string(), 1, 1)).collect();
    publish(&kafka, &messages).await;
    let said = Instant::now();
    let (mut looks, mut patience) = (0, TestWait::until("the broker answers"));
    while looks < 3 {
        looks += i32::from(watcher.step().await.is_ok());
        patience.looked(looks);
    }
    assert!(watcher.lag().read_up_to() < Some(said), "nobody has read it");

    let stop = CancellationToken::new();
    let running = consumer(&kafka).await.run(stop.clone());
    let watching = async {
        until_read(&mut watcher, said).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(running, watching);
    ended.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_stuck_keeps_the_group_from_having_read() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 2).await;
    // The member joins, is assigned partitions, and never processes a message.
    let stuck: BaseConsumer = kafka.consumer("tally").create().unwrap();
    stuck.subscribe(&[&kafka.topic(NUMBERS)]).unwrap();
    let stop = CancellationToken::new();
    let running = consumer(&kafka).await.run(stop.clone());
    let mut watcher = watcher(&kafka);
    let trying = async {
        let mut patience = TestWait::until("the group has two members");
        while stuck.assignment().unwrap().count() != 1 {
            tokio::task::block_in_place(|| stuck.poll(Duration::from_millis(50)));
            // The consumer runs in between: if it has joined first, it has to give partitions up.
            patience.look_again(stuck.assignment().unwrap().count()).await;
        }
        until_read(&mut watcher, Instant::now()).await;
        let messages: Vec<_> =
            (0..20).map(|n: i64| number(NUMBERS, &n.to_string(), 1, 1)).collect();
        publish(&kafka, &messages).await;
        let said = Instant::now();
        assert!(watcher.lag().read_up_to() < Some(said), "half of it is unread");
        let gone = tokio::task::spawn_blocking(move || drop(stuck));
        until_read(&mut watcher, said).await;
        gone.await.unwrap();
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(running, trying);
    ended.unwrap();
}

/// A producer with an open transaction that wrote these numbers to their partitions.
fn in_transaction(
    kafka: &kafka::KafkaSettings,
    numbers: &[(i32, i64)],
) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = kafka.client();
    config
        .set("transactional.id", devstack::unique_prefix())
        .set("transaction.timeout.ms", "600000")
        .set("topic.metadata.propagation.max.ms", "300000");
    let producer: ThreadedProducer<_> = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    put(kafka, &producer, numbers);
    producer
}

/// Publishes numbers to partitions and waits until they are confirmed.
fn put(
    kafka: &kafka::KafkaSettings,
    producer: &ThreadedProducer<DefaultProducerContext>,
    numbers: &[(i32, i64)],
) {
    let topic = kafka.topic(NUMBERS);
    for (partition, n) in numbers {
        let message = number(NUMBERS, &n.to_string(), 1, *n);
        let mut headers = OwnedHeaders::new();
        for (key, value) in message.headers.iter() {
            headers = headers.insert(Header { key, value });
        }
        let (key, payload) = (message.key.unwrap(), message.payload.unwrap());
        let record = BaseRecord::to(&topic).partition(*partition).key(&key).payload(&payload);
        producer.send(record.headers(headers)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// The same without a transaction.
fn put_plainly(kafka: &kafka::KafkaSettings, numbers: &[(i32, i64)]) {
    let mut config = kafka.client();
    config.set("topic.metadata.propagation.max.ms", "300000");
    put(kafka, &config.create().unwrap(), numbers);
}

/// Samples until the watcher has given this reason for unread messages.
async fn until_behind(watcher: &mut LagWatcher, is_it: impl Fn(&LagCause) -> bool) -> LagCause {
    let mut patience = TestWait::until("the reason is known");
    loop {
        let looked = watcher.step().await.map_err(|error| error.to_string());
        match watcher.lag().behind() {
            Some(behind) if is_it(&behind) => return behind,
            other => patience.look_again((looked, other)).await,
        }
    }
}

/// Runs a consumer beside a test.
async fn beside<T>(kafka: &kafka::KafkaSettings, test: impl AsyncFnOnce(&PgPool) -> T) -> T {
    let (pool, _) = database().await;
    let health = ProcessHealth::default().component("consumer");
    let settings = ConsumerSettings::new(kafka.clone());
    let consumer = GroupConsumer::new(parts(&pool, Tally::default()), &settings, health).unwrap();
    let stop = CancellationToken::new();
    let running = consumer.run(stop.clone());
    let testing = async {
        let outcome = test(&pool).await;
        stop.cancel();
        outcome
    };
    let (ended, outcome) = tokio::join!(running, testing);
    ended.unwrap();
    outcome
}

async fn until_processed(pool: &PgPool, key: &str) {
    until("a number is processed", async || totals(pool).await.contains_key(key)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_records_and_aborted_messages_at_the_end_of_a_partition_are_read() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 3).await;
    let mut watcher = watcher(&kafka);
    beside(&kafka, async |pool| {
        // In the order of the partitions: a control record after a message, messages that no
        // consumer is given with a control record after them, nothing.
        in_transaction(&kafka, &[(0, 1)]).commit_transaction(PATIENCE).unwrap();
        in_transaction(&kafka, &[(0, 2), (1, 3)]).abort_transaction(PATIENCE).unwrap();
        let said = Instant::now();
        until_read(&mut watcher, said).await;
        assert_eq!(watcher.lag().behind(), None);
        assert_eq!(totals(pool).await.into_keys().collect::<Vec<_>>(), ["1"]);
    })
    .await;
    // The state stays when no member is left: the offsets are committed.
    until_read(&mut watcher, Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_transaction_hides_is_not_read_until_it_ends() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 2).await;
    let mut watcher = watcher(&kafka);
    beside(&kafka, async |pool| {
        put_plainly(&kafka, &[(1, 1)]);
        until_processed(pool, "1").await;
        until_read(&mut watcher, Instant::now()).await;
        let open = in_transaction(&kafka, &[(1, 2)]);
        put_plainly(&kafka, &[(1, 3), (0, 4)]);
        let said = Instant::now();
        let hidden = |cause: &LagCause| matches!(cause, LagCause::OpenTransaction { .. });
        let behind = until_behind(&mut watcher, hidden).await;
        assert_eq!(
            behind.to_string(),
            "an open transaction of another producer hides numbers/1 from offset 1 to 3"
        );
        until_processed(pool, "4").await;
        assert!(!totals(pool).await.contains_key("3"));
        assert!(watcher.lag().read_up_to() < Some(said));
        open.abort_transaction(PATIENCE).unwrap();
        until_read(&mut watcher, said).await;
        assert_eq!(totals(pool).await.into_keys().collect::<Vec<_>>(), ["1", "3", "4"]);
    })
    .await;
}

/// One request to the broker may take this long, and is repeated.
const ANSWER: Duration = Duration::from_secs(2);

/// Gives the topic of numbers this many partitions.
async fn add_partitions(kafka: &kafka::KafkaSettings, partitions: usize) {
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let name = kafka.topic(NUMBERS);
    let more = [NewPartitions::new(&name, partitions)];
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    admin.create_partitions(&more, &options).await.unwrap().remove(0).unwrap();
    // A producer that does not see the new partitions yet would report them as missing.
    until("the broker shows the partitions", async || {
        let ask = || admin.inner().fetch_metadata(Some(&name), ANSWER);
        let shown = tokio::task::block_in_place(ask);
        shown.is_ok_and(|metadata| metadata.topics()[0].partitions().len() == partitions)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_count_at_once() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 2).await;
    let mut watcher = watcher(&kafka);
    until_read(&mut watcher, Instant::now()).await;
    add_partitions(&kafka, 4).await;
    put_plainly(&kafka, &[(3, 9)]);
    let said = Instant::now();
    let on_the_new_one = |lag_cause: &LagCause| matches!(lag_cause, LagCause::Unread { at, .. } if at.partition == 3);
    until_behind(&mut watcher, on_the_new_one).await;
    assert!(watcher.lag().read_up_to() < Some(said));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_while_it_runs_are_read() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 2).await;
    let mut watcher = watcher(&kafka);
    beside(&kafka, async |pool| {
        put_plainly(&kafka, &[(0, 1), (1, 2)]);
        until_processed(pool, "2").await;
        until_read(&mut watcher, Instant::now()).await;
        add_partitions(&kafka, 4).await;
        put_plainly(&kafka, &[(3, 9)]);
        until_read(&mut watcher, Instant::now()).await;
        assert_eq!(totals(pool).await["9"], 9);
    })
    .await;
}

/// Deletes and recreates the topic, once the broker has forgotten the old one.
async fn make_anew(kafka: &kafka::KafkaSettings) {
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let name = kafka.topic(NUMBERS);
    admin.delete_topics(&[&name], &options).await.unwrap().remove(0).unwrap();
    until("the topic is made anew", async || {
        let new = [NewTopic::new(&name, 1, TopicReplication::Fixed(1))];
        admin.create_topics(&new, &options).await.unwrap().remove(0).is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_not_read_before_the_group_has_read_the_new_one() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    let mut watcher = watcher(&kafka);
    beside(&kafka, async |pool| {
        put_plainly(&kafka, &(1..=20).map(|n| (0, n)).collect::<Vec<_>>());
        until_processed(pool, "20").await;
        until_read(&mut watcher, Instant::now()).await;
        make_anew(&kafka).await;
        put_plainly(&kafka, &[(0, 21), (0, 22)]);
        let said = Instant::now();
        until_read(&mut watcher, said).await;
        assert_eq!(totals(pool).await["22"], 22);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_in_a_topic_of_before_says_nothing_of_the_new_one() {
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    put_plainly(&kafka, &[(0, 1), (0, 2)]);
    let mut watcher = watcher(&kafka);
    // Like a group's offsets that were restored, or a member that commits late.
    commit(&kafka, 100);
    let said = Instant::now();
    let anew = |cause: &LagCause| matches!(cause, LagCause::MadeAnew { .. });
    let behind = until_behind(&mut watcher, anew).await;
    assert!(behind.to_string().contains("it ends at offset 2, and offset 100 is committed"));
    beside(&kafka, async |pool| {
        until_read(&mut watcher, said).await;
        assert_eq!(totals(pool).await["2"], 2);
    })
    .await;
}

/// Commits an offset for the group, which has no members.
fn commit(kafka: &kafka::KafkaSettings, offset: i64) {
    let client: BaseConsumer = kafka.consumer("tally").create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&kafka.topic(NUMBERS), 0, Offset::Offset(offset)).unwrap();
    let mut patience = TestWait::until("an offset is committed");
    while let Err(error) = client.commit(&offsets, CommitMode::Sync) {
        patience.look_again_blocking(error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_before_it_was_read_is_counted_as_a_reset_and_not_waited_for() {
    let resets = || value("consumer_offset_resets_total{service=\"tally\",topic=\"numbers\"}");
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    put_plainly(&kafka, &(21..=29).map(|n| (0, n)).collect::<Vec<_>>());
    commit(&kafka, 2);
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&kafka.topic(NUMBERS), 0, Offset::Offset(5)).unwrap();
    admin.delete_records(&before, &options).await.unwrap();

    let mut group = GroupProbe::new(&kafka, "tally").unwrap();
    let mut patience = TestWait::until("the broker answers");
    let look = loop {
        match tokio::task::block_in_place(|| group.look(&[NUMBERS.into()])) {
            Ok(look) => break look,
            Err(error) => patience.look_again(error).await,
        }
    };
    let deleted: Vec<_> = look.0.values().filter_map(PartitionStanding::deleted_unread).collect();
    assert_eq!((deleted.len(), &deleted[0]), (1, &(2..5)));
    assert_eq!(look.behind().unwrap().to_string(), "numbers/0 is read up to offset 5 of 9");

    let mut watcher = watcher(&kafka);
    beside(&kafka, async |pool| {
        let before = resets();
        until_read(&mut watcher, Instant::now()).await;
        assert!(resets() > before, "{before}");
        let read: Vec<String> = totals(pool).await.into_keys().collect();
        assert_eq!(read, ["26", "27", "28", "29"]);
    })
    .await;
}
