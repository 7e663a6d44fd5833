//! A member that is given no messages although there are some recovers by itself.

use std::time::Duration;

use devstack::TestWait;
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use shared::{
    consumer::{ConsumerSettings, ConsumerStep, GroupConsumer},
    health::ProcessHealth,
    kafka,
    lag::{self, GroupLag, LagWatcher, PartitionStall, PartitionStanding, TopicPartition},
    telemetry,
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::{
    NUMBERS, PATIENCE, Tally, broker, create_topics, database, number, parts, publish, totals,
    value,
};

/// One step; returns the member's health after it.
async fn step(consumer: &mut GroupConsumer<Tally>, health: &ProcessHealth) -> Result<(), String> {
    let did = consumer.step(&CancellationToken::new()).await.unwrap();
    assert!(
        matches!(did, ConsumerStep::Processed(_) | ConsumerStep::Idle | ConsumerStep::Dropped),
        "{did:?}"
    );
    health.report()["consumer"].clone().map(|_remark| ())
}

async fn leave(consumer: GroupConsumer<Tally>) {
    let stop = CancellationToken::new();
    stop.cancel();
    Box::pin(consumer.run(stop)).await.unwrap();
}

async fn until_total(
    consumer: &mut GroupConsumer<Tally>,
    pool: &PgPool,
    health: &ProcessHealth,
    sum: i64,
) {
    let mut patience = TestWait::until(&format!("the numbers add up to {sum}"));
    loop {
        let word = step(consumer, health).await;
        let total = totals(pool).await.into_values().sum::<i64>();
        if total == sum {
            return;
        }
        patience.looked((word, total));
    }
}

/// Steps until the member's health is this.
async fn until_it_says(
    consumer: &mut GroupConsumer<Tally>,
    health: &ProcessHealth,
    awaited: &str,
    is_it: impl Fn(&Result<(), String>) -> bool,
) {
    let mut patience = TestWait::until(awaited);
    loop {
        let word = step(consumer, health).await;
        if is_it(&word) {
            return;
        }
        patience.looked(word);
    }
}

/// A member of the same group that reads another topic. Partitions are assigned only when it has
/// been polled.
fn beside(kafka: &kafka::KafkaSettings) -> BaseConsumer {
    let mut config = kafka.member("tally");
    // This member must not be the one that tells the group of a topic.
    let beside: BaseConsumer =
        config.set("topic.metadata.refresh.interval.ms", "-1").create().unwrap();
    beside.subscribe(&[&kafka.topic("others")]).unwrap();
    beside
}

async fn delete(kafka: &kafka::KafkaSettings, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
    let patient = AdminOptions::new().request_timeout(Some(PATIENCE));
    for gone in admin.delete_topics(&[&kafka.topic(topic)], &patient).await.unwrap() {
        gone.unwrap();
    }
}

/// The topic is deleted while the member has no partition: a fetch would fail and report that. The
/// client also refreshes its topics every 10 s: one just before the topic is back makes it recover.
#[tokio::test]
async fn a_topic_that_was_missing_while_partitions_were_shared_out_is_read_when_it_is_back() {
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS, "others"], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 1)]).await;
    let (health, settings) = (ProcessHealth::default(), ConsumerSettings::new(kafka.clone()));
    let component = health.component("consumer");
    let mut consumer =
        GroupConsumer::new(parts(&pool, Tally::default()), &settings, component).unwrap();
    until_total(&mut consumer, &pool, &health, 1).await;
    let slow = beside(&kafka);
    let mut patience = TestWait::until("the other member has its partition");
    while slow.assignment().unwrap().count() == 0 {
        drop(slow.poll(Duration::ZERO));
        patience.looked(step(&mut consumer, &health).await);
    }
    until_it_says(&mut consumer, &health, "both have joined", Result::is_ok).await;

    let newcomer = beside(&kafka);
    let waits = |word: &Result<(), String>| {
        word.as_ref().is_err_and(|text| text.contains("not said yet which partitions to read"))
    };
    until_it_says(&mut consumer, &health, "it waits for the slow one", waits).await;
    delete(&kafka, NUMBERS).await;
    let mut patience = TestWait::until("partitions are shared out");
    while let Err(word) = step(&mut consumer, &health).await {
        drop((slow.poll(Duration::ZERO), newcomer.poll(Duration::ZERO)));
        patience.looked(word);
    }
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "b", 1, 10)]).await;

    let mut patience = TestWait::until("what is in the new topic is read");
    while totals(&pool).await.into_values().sum::<i64>() < 11 {
        drop((slow.poll(Duration::ZERO), newcomer.poll(Duration::ZERO)));
        patience.looked(step(&mut consumer, &health).await);
    }
    leave(consumer).await;
}

fn stall() -> PartitionStall {
    let at = TopicPartition { topic: NUMBERS.into(), partition: 0 };
    let since = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
    PartitionStall {
        at,
        standing: PartitionStanding { end: 12, ..PartitionStanding::default() },
        since,
    }
}

#[tokio::test]
async fn a_member_whose_group_does_not_go_on_joins_again_then_with_a_new_client_and_says_so() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 1)]).await;
    let (health, lag) = (ProcessHealth::default(), GroupLag::default());
    let settings = ConsumerSettings {
        stall_limit: Duration::from_secs(1),
        ..ConsumerSettings::new(kafka.clone())
    };
    let component = health.component("consumer");
    let mut consumer = GroupConsumer::new(parts(&pool, Tally::default()), &settings, component)
        .unwrap()
        .watching(lag.clone());
    until_total(&mut consumer, &pool, &health, 1).await;
    let tried = |remedy: &str| {
        value(&format!("consumer_recoveries_total{{service=\"tally\",remedy=\"{remedy}\"}}"))
    };

    lag.set_stalls(Some(vec![stall()]));
    let mut patience = TestWait::until("it has joined again, and with a new client");
    while tried("join_again") < 1.0 || tried("new_client") < 1.0 {
        patience.looked(step(&mut consumer, &health).await);
    }
    let why = format!("{NUMBERS}/0 is read up to offset 0 of 12");
    let mut patience = TestWait::until("it has joined, and says why it is not ready");
    loop {
        match step(&mut consumer, &health).await {
            Err(word) if word.contains(&why) => break,
            word => patience.looked(word),
        }
    }
    publish(&kafka, &[number(NUMBERS, "a", 2, 10)]).await;
    until_total(&mut consumer, &pool, &health, 11).await;

    lag.set_stalls(Some(vec![]));
    let mut patience = TestWait::until("it is ready again");
    while let Err(word) = step(&mut consumer, &health).await {
        patience.looked(word);
    }
    publish(&kafka, &[number(NUMBERS, "a", 3, 100)]).await;
    until_total(&mut consumer, &pool, &health, 111).await;
    leave(consumer).await;
}

#[tokio::test]
async fn a_member_joins_again_because_of_what_the_broker_says_of_the_groups_offsets() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, _) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    publish(&kafka, &[number(NUMBERS, "a", 1, 1)]).await;
    // Partitions are assigned by the members' names: this member has it, and never commits.
    let mut config = kafka.member("tally");
    let stuck: BaseConsumer = config.set("client.id", "0").create().unwrap();
    stuck.subscribe(&[&kafka.topic(NUMBERS)]).unwrap();
    let mut patience = TestWait::until("it has the partition");
    while stuck.assignment().unwrap().count() == 0 {
        drop(stuck.poll(Duration::ZERO));
        patience.look_again(()).await;
    }

    let (group, topics) = ("tally", vec![NUMBERS]);
    let mut watcher = LagWatcher::new(lag::LagSettings { kafka: kafka.clone(), group, topics });
    let health = ProcessHealth::default();
    let settings =
        ConsumerSettings { stall_limit: Duration::from_secs(1), ..ConsumerSettings::new(kafka) };
    let component = health.component("consumer");
    let mut consumer = GroupConsumer::new(parts(&pool, Tally::default()), &settings, component)
        .unwrap()
        .watching(watcher.lag());
    let joined_again = "consumer_recoveries_total{service=\"tally\",remedy=\"join_again\"}";
    let mut patience = TestWait::until("it has joined again");
    while value(joined_again) < 1.0 {
        drop(stuck.poll(Duration::ZERO));
        // The group may not exist yet.
        drop(watcher.step().await);
        patience.looked((step(&mut consumer, &health).await, watcher.lag().stalls().is_some()));
    }
    drop(stuck);
    let mut patience = TestWait::until("it reads what the other one did not");
    while totals(&pool).await.into_values().sum::<i64>() < 1 {
        patience.looked(step(&mut consumer, &health).await);
    }
    leave(consumer).await;
}
