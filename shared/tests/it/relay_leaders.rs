//! The leader can publish, or gives its leadership up.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use devstack::{TestWait, until};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use shared::{
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    kafka,
    outbox::{self, OutboxRow},
    relay::{
        KafkaPublisher, MessagePublisher, OutboxRelay, PublishResult, RelaySettings, RelayStep,
    },
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    kit::{NUMBERS, PATIENCE, broker, create_topics, database, number},
    relay::{backlog, settings},
};

/// A broker behind a network that accepts connections and delivers no answer: it listens and sends
/// nothing.
fn silence() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Publishes to a broker until its connection is cut.
struct CutOff {
    well: KafkaPublisher,
    cut: KafkaPublisher,
    is_cut: Arc<AtomicBool>,
}

impl MessagePublisher for CutOff {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        if self.is_cut.load(Ordering::SeqCst) {
            return self.cut.publish(messages).await;
        }
        self.well.publish(messages).await
    }

    fn set_patience(&mut self, patience: Duration) {
        self.cut.set_patience(patience);
    }

    fn trouble(&self) -> String {
        self.cut.trouble()
    }
}

pub(crate) async fn keep(pool: &PgPool, number_of_it: i64) {
    let mut conn = pool.acquire().await.unwrap();
    let message = number(NUMBERS, "a", number_of_it, number_of_it);
    outbox::append(&mut conn, &[message]).await.unwrap();
}

pub(crate) fn member<P: MessagePublisher>(
    database: &db::DatabaseSettings,
    lead_limit: Duration,
    publisher: P,
    health: &ProcessHealth,
) -> OutboxRelay<P> {
    let settings = RelaySettings { lead_limit, ..settings(database) };
    OutboxRelay::new(settings, publisher, WorkerWakers::default(), health.component("relay"))
}

/// Steps until the step has this result.
pub(crate) async fn until_step<P: MessagePublisher>(relay: &mut OutboxRelay<P>, wanted: RelayStep) {
    let mut patience = TestWait::until(&format!("{wanted:?}"));
    loop {
        let step = relay.step().await.unwrap();
        if step == wanted {
            return;
        }
        patience.look_again(step).await;
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_broker_makes_room_for_one_that_is_not() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    let silence = silence();
    let brokers = silence.local_addr().unwrap().to_string();
    let is_cut = Arc::new(AtomicBool::new(false));
    let silent = kafka::KafkaSettings { brokers, ..kafka.clone() };
    let publisher = CutOff {
        well: KafkaPublisher::new(kafka.clone(), 10),
        cut: KafkaPublisher::new(silent, 10),
        is_cut: Arc::clone(&is_cut),
    };
    let (limit, health) = (Duration::from_secs(1), ProcessHealth::default());
    let mut cut = member(&database, limit, publisher, &health);
    let mut well =
        member(&database, PATIENCE, KafkaPublisher::new(kafka, 10), &ProcessHealth::default());
    keep(&pool, 1).await;
    until_step(&mut cut, RelayStep::Idle).await;
    assert_eq!((well.step().await.unwrap(), backlog(&pool).await), (RelayStep::Standby, 0));

    is_cut.store(true, Ordering::SeqCst);
    keep(&pool, 2).await;
    until_step(&mut cut, RelayStep::GaveUp).await;
    let reason = health.report()["relay"].clone().unwrap_err();
    assert!(reason.contains("has given up leading the relay: published nothing for"), "{reason}");
    until_step(&mut well, RelayStep::Idle).await;
    assert_eq!(backlog(&pool).await, 0);
    for _ in 0..3 {
        assert_eq!(
            cut.step().await.unwrap(),
            RelayStep::Resting,
            "it does not stand again at once"
        );
    }
    assert!(!health.is_ready());

    // No other relay leads: it leads again, and the network works.
    drop(well);
    is_cut.store(false, Ordering::SeqCst);
    keep(&pool, 3).await;
    until_step(&mut cut, RelayStep::Idle).await;
    assert_eq!(backlog(&pool).await, 0);
}

#[tokio::test]
async fn two_that_both_cannot_publish_take_turns_and_rest_in_between() {
    let (pool, database) = database().await;
    // A pause is three times this limit, which no step here takes.
    let limit = Duration::from_secs(1);
    let health = ProcessHealth::default();
    let mut one = member(&database, limit, Nothing, &health);
    let mut two = member(&database, limit, Nothing, &health);
    keep(&pool, 1).await;
    until_step(&mut one, RelayStep::GaveUp).await;
    until_step(&mut two, RelayStep::GaveUp).await;
    assert_eq!(one.step().await.unwrap(), RelayStep::Resting);
    assert_eq!(two.step().await.unwrap(), RelayStep::Resting);
    until_step(&mut one, RelayStep::Unconfirmed(0)).await;
    assert_eq!(backlog(&pool).await, 1);
}

/// Confirms nothing, at once.
pub(crate) struct Nothing;

impl MessagePublisher for Nothing {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        vec![PublishResult::Unconfirmed; messages.len()]
    }
}

/// The sessions of relays that do not lead, and when each sent its last query.
async fn asked(pool: &PgPool) -> Vec<(i32, String)> {
    sqlx::query_as(
        "SELECT pid, query_start::text FROM pg_stat_activity
         WHERE application_name = 'standby' AND datname = current_database()",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_relay_that_stands_by_keeps_its_connection_and_is_not_woken_by_what_is_to_be_published() {
    let (pool, database) = database().await;
    let mut leader = member(&database, PATIENCE, Nothing, &ProcessHealth::default());
    assert_eq!(leader.step().await.unwrap(), RelayStep::Idle);
    let options = db::options(&database, "standby").unwrap();
    let settings = RelaySettings { database: options, poll: PATIENCE, ..settings(&database) };
    let (health, wakers, stop) =
        (ProcessHealth::default(), WorkerWakers::default(), CancellationToken::new());
    let standby = OutboxRelay::new(settings, Nothing, wakers.clone(), health.component("relay"));
    let watch = async {
        until("it stands by", async || health.is_ready()).await;
        let first = asked(&pool).await;
        assert_eq!(first.len(), 1, "{first:?}");
        for _commit in 0..20 {
            wakers.relay.notify_one();
            assert_eq!(asked(&pool).await, first);
        }
        stop.cancel();
    };
    tokio::join!(standby.run(stop.clone()), watch).0.unwrap();
}

/// Topics whose broker refuses the timestamps of this process's clock, as for a clock that is hours
/// ahead.
async fn create_untimely(kafka: &kafka::KafkaSettings, names: &[&str]) {
    let admin: AdminClient<_> = kafka.client().create().unwrap();
    let names: Vec<String> = names.iter().map(|text| kafka.topic(text)).collect();
    let topics: Vec<_> = names
        .iter()
        .map(|text| NewTopic::new(text, 1, TopicReplication::Fixed(1)))
        .map(|topic| topic.set("message.timestamp.before.max.ms", "0"))
        .collect();
    let patient = AdminOptions::new().request_timeout(Some(PATIENCE));
    for made in admin.create_topics(&topics, &patient).await.unwrap() {
        made.unwrap();
    }
}

#[tokio::test]
async fn a_leader_whose_timestamps_are_refused_makes_room_and_buries_nothing() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_untimely(&kafka, &[NUMBERS]).await;
    // For several records in a batch, the broker does not name the timestamps as the error.
    for number in 1..=3 {
        keep(&pool, number).await;
    }
    let health = ProcessHealth::default();
    let publisher = KafkaPublisher::new(kafka, 10);
    let mut relay = member(&database, Duration::from_secs(2), publisher, &health);
    // On a slow machine the first attempt may end without an answer.
    let mut patience = TestWait::until("it gives up because of its timestamps");
    loop {
        until_step(&mut relay, RelayStep::GaveUp).await;
        let reason = health.report()["relay"].clone().unwrap_err();
        if reason.contains("InvalidTimestamp") {
            break;
        }
        patience.looked(reason);
    }
    let of =
        async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap();
    assert_eq!(of("SELECT count(*) FROM messaging.dead_letter").await, 0);
    assert_eq!(of("SELECT count(*) FROM messaging.held_topic").await, 0);
    assert_eq!(backlog(&pool).await, 3);
}

#[tokio::test]
async fn a_single_topic_that_refuses_timestamps_is_held_and_the_leader_leads() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_untimely(&kafka, &["untimely"]).await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    let mut conn = pool.acquire().await.unwrap();
    for of_key in 1..=3 {
        outbox::append(&mut conn, &[number("untimely", "a", of_key, 1)]).await.unwrap();
    }
    keep(&pool, 1).await;
    let publisher = KafkaPublisher::new(kafka, 10);
    let mut relay = member(&database, PATIENCE, publisher, &ProcessHealth::default());
    until_step(&mut relay, RelayStep::Idle).await;
    let held: Vec<String> =
        sqlx::query_scalar("SELECT code FROM messaging.held_topic").fetch_all(&pool).await.unwrap();
    assert_eq!((held, backlog(&pool).await), (vec!["InvalidTimestamp".to_owned()], 3));
}
