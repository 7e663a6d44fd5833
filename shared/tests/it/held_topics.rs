//! A topic that refuses messages does not stop the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use devstack::TestWait;
use rdkafka::{
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
};
use shared::{
    dead_letter::{self, Actor, DeadLetterAdmin, LetterFilter, Resolution},
    effects::WorkerWakers,
    health::ProcessHealth,
    kafka,
    message::OutgoingMessage,
    outbox::{self, OutboxRow},
    relay::{
        KafkaPublisher, MessagePublisher, OutboxRelay, PublishRefusal, PublishResult, RefusalCause,
        RelaySettings, RelayStep,
    },
    telemetry,
    topics::{self, ReplicaCount, TopicSpec},
};
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

use crate::{
    kit::{NUMBERS, PATIENCE, broker, create_topics, database, number, read_topic, value},
    relay::{backlog, relay, settings, until_idle},
};

const NARROW: &str = "narrow";
const COPIES: &str = "test.dlq";

fn admin(kafka: &kafka::KafkaSettings) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let patient = AdminOptions::new().request_timeout(Some(PATIENCE));
    (kafka.client().create().unwrap(), patient)
}

/// A topic that accepts records of 10 kB.
async fn create_narrow(kafka: &kafka::KafkaSettings, topic: &str) {
    let (admin, patient) = admin(kafka);
    let name = kafka.topic(topic);
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    let topic = topic.set("max.message.bytes", "10000");
    for made in admin.create_topics(&[topic], &patient).await.unwrap() {
        made.unwrap();
    }
}

async fn widen(kafka: &kafka::KafkaSettings, topic: &str) {
    let (admin, patient) = admin(kafka);
    let name = kafka.topic(topic);
    let wide = AlterConfig::new(ResourceSpecifier::Topic(&name));
    let wide = wide.set("max.message.bytes", "1048588");
    for altered in admin.alter_configs(&[wide], &patient).await.unwrap() {
        altered.unwrap();
    }
}

async fn delete(kafka: &kafka::KafkaSettings, topic: &str) {
    let (admin, patient) = admin(kafka);
    for deleted in admin.delete_topics(&[&kafka.topic(topic)], &patient).await.unwrap() {
        deleted.unwrap();
    }
}

/// 50 kB of data that compression does not shrink.
fn large(topic: &'static str, key: &str) -> OutgoingMessage {
    let body = std::iter::repeat_with(fastrand::alphanumeric).take(50_000);
    OutgoingMessage {
        payload: Some(body.collect::<String>().into_bytes()),
        ..number(topic, key, 2, 2)
    }
}

async fn keep(pool: &PgPool, messages: &[OutgoingMessage]) {
    let mut conn = pool.acquire().await.unwrap();
    outbox::append(&mut conn, messages).await.unwrap();
}

async fn read(
    kafka: &kafka::KafkaSettings,
    topic: &'static str,
    n: usize,
) -> Vec<(String, String)> {
    let kafka = kafka.clone();
    tokio::task::spawn_blocking(move || read_topic(&kafka, topic, n)).await.unwrap()
}

async fn held(pool: &PgPool) -> Vec<(String, i32, String)> {
    sqlx::query_as("SELECT topic, attempts, code FROM messaging.held_topic ORDER BY topic")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Steps until no message waits and no topic is held.
async fn until_drained<P: MessagePublisher>(pool: &PgPool, relay: &mut OutboxRelay<P>) {
    let mut patience = TestWait::until("nothing waits, nothing is held");
    loop {
        let step = relay.step().await.unwrap();
        let seen = (backlog(pool).await, held(pool).await);
        if seen == (0, vec![]) {
            return;
        }
        if matches!(step, RelayStep::Published(_)) {
            patience.looked((step, seen));
        } else {
            patience.look_again((step, seen)).await;
        }
    }
}

async fn letters(pool: &PgPool) -> Vec<dead_letter::LetterSummary> {
    let mut conn = pool.acquire().await.unwrap();
    dead_letter::list(&mut conn, &LetterFilter::default(), None, 100).await.unwrap()
}

#[tokio::test]
async fn a_record_that_its_topic_never_takes_is_a_dead_letter_and_all_others_are_published() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[NUMBERS, "counted.dlq"], 1).await;
    create_narrow(&kafka, NARROW).await;
    let too_large = large(NARROW, "b");
    let small = |sequence| number(NARROW, "b", sequence, sequence);
    let other = |sequence| number(NUMBERS, "a", sequence, sequence);
    keep(&pool, &[other(1), small(1), too_large.clone(), small(3), other(2)]).await;
    let settings = RelaySettings { service: "counted", ..settings(&database) };
    let publisher = KafkaPublisher::new(kafka.clone(), 10);
    let health = ProcessHealth::default().component("relay");
    let mut relay = OutboxRelay::new(settings, publisher, WorkerWakers::default(), health);
    until_drained(&pool, &mut relay).await;

    let numbers = |key: &str, seen: Vec<(String, String)>| {
        assert!(seen.iter().all(|(its, _)| its == key), "{seen:?}");
        seen.into_iter().map(|(_, number)| number).collect::<Vec<_>>()
    };
    assert_eq!(numbers("a", read(&kafka, NUMBERS, 2).await), ["1", "2"]);
    assert_eq!(numbers("b", read(&kafka, NARROW, 2).await), ["1", "3"]);
    let letters = letters(&pool).await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((&*letter.topic, &*letter.reason), (NARROW, "unpublishable"));
    assert_eq!(letter.key.as_deref(), Some("b"));
    let bytes = too_large.bytes().to_string();
    for word in [NARROW, &bytes, "MessageSizeTooLarge"] {
        assert!(letter.detail.contains(word), "{}", letter.detail);
    }
    let counted = "relay_unpublishable_total{service=\"counted\",topic=\"narrow\"}";
    assert_eq!(value(counted).to_string(), "1");
    assert_eq!(read(&kafka, "counted.dlq", 1).await.len(), 1, "a copy like of any other");

    let admin = DeadLetterAdmin::new(pool.clone());
    widen(&kafka, NARROW).await;
    let by = Actor::new("ada").unwrap();
    assert_eq!(admin.redrive(letter.id, &by).await.unwrap(), Resolution::PutBack);
    assert_eq!(admin.redrive(letter.id, &by).await.unwrap(), Resolution::NotOpen);
    let back = outbox::head(&mut pool.acquire().await.unwrap(), 10).await.unwrap();
    assert_eq!(back.iter().map(|row| &row.message).collect::<Vec<_>>(), [&too_large]);
    until_drained(&pool, &mut relay).await;
    let last = read(&kafka, NARROW, 3).await.pop().unwrap();
    assert_eq!(last.1.as_bytes(), too_large.payload.unwrap());
}

#[tokio::test]
async fn a_record_that_is_not_to_be_published_is_discarded_with_its_reason() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_topics(&kafka, &[COPIES], 1).await;
    create_narrow(&kafka, NARROW).await;
    keep(&pool, &[large(NARROW, "b")]).await;
    until_drained(&pool, &mut relay(&database, KafkaPublisher::new(kafka, 10))).await;
    let id = letters(&pool).await[0].id;
    let admin = DeadLetterAdmin::new(pool.clone());
    let by = Actor::new("ada").unwrap().because("nobody needs it").unwrap();
    assert_eq!(admin.discard(id, &by).await.unwrap(), Resolution::Settled);
    assert_eq!((letters(&pool).await, backlog(&pool).await), (vec![], 0));
    let shown = admin.read(async |conn| dead_letter::show(conn, id).await).await.unwrap().unwrap();
    assert_eq!(shown.decisions[0].outcome, "discarded");
}

#[tokio::test]
async fn a_copy_that_does_not_fit_on_its_dead_letter_topic_goes_without_its_body() {
    let (pool, database) = database().await;
    let kafka = broker().await;
    create_narrow(&kafka, COPIES).await;
    let mut copy = large(COPIES, &"k".repeat(20_000));
    copy.headers.push("dead-letter-id", &Uuid::nil().to_string());
    keep(&pool, &[copy, number(COPIES, "c", 1, 1)]).await;
    until_drained(&pool, &mut relay(&database, KafkaPublisher::new(kafka.clone(), 10))).await;
    let seen = read(&kafka, COPIES, 2).await;
    assert_eq!(seen, [(String::new(), String::new()), ("c".to_owned(), "1".to_owned())]);
    assert_eq!(letters(&pool).await, [], "a copy is no letter of its own");
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_the_relay_publishes_is_made_anew_and_others_go_on() {
    const DECLARED: &[TopicSpec] = &[TopicSpec::events(NUMBERS), TopicSpec::events("deleted")];
    let (pool, database) = database().await;
    let kafka = broker().await;
    topics::create(&kafka, DECLARED, ReplicaCount::majority(1)).await.unwrap();
    let publisher = KafkaPublisher::new(kafka.clone(), 10);
    let mut relay = relay(&database, publisher.declaring(DECLARED, ReplicaCount::majority(1)));
    keep(&pool, &[number("deleted", "a", 1, 1), number(NUMBERS, "a", 1, 1)]).await;
    // The client has both topics in its cache from now on.
    until_drained(&pool, &mut relay).await;
    delete(&kafka, "deleted").await;
    keep(&pool, &[number("deleted", "a", 2, 2), number(NUMBERS, "a", 2, 2)]).await;
    until_drained(&pool, &mut relay).await;
    assert_eq!(read(&kafka, NUMBERS, 2).await.len(), 2);
    // The topic's earlier messages come first, as before.
    let numbers = ["1", "2"].map(|text| ("a".to_owned(), text.to_owned()));
    assert_eq!(read(&kafka, "deleted", 2).await, numbers);
    // With the partitions that are declared, or this would complain.
    topics::create(&kafka, DECLARED, ReplicaCount::majority(1)).await.unwrap();
    assert_eq!(letters(&pool).await, []);
}

/// A log's answer for each topic; a topic that is not named is confirmed.
type Rules = Arc<Mutex<HashMap<&'static str, PublishResult>>>;

/// A log with rules that stores confirmed messages, and counts the tries per topic.
#[derive(Clone, Default)]
struct Ruled {
    rules: Rules,
    confirmed: Arc<Mutex<Vec<String>>>,
    tried: Arc<Mutex<HashMap<String, u32>>>,
}

impl Ruled {
    fn rule(&self, topic: &'static str, answer: PublishResult) {
        self.rules.lock().unwrap().insert(topic, answer);
    }

    fn tried(&self, topic: &str) -> u32 {
        self.tried.lock().unwrap().get(topic).copied().unwrap_or(0)
    }
}

impl MessagePublisher for Ruled {
    async fn publish(&mut self, messages: &[OutboxRow]) -> Vec<PublishResult> {
        let (rules, mut tried) = (self.rules.lock().unwrap(), self.tried.lock().unwrap());
        let rule = |row: &OutboxRow| {
            rules.get(&*row.message.topic).cloned().unwrap_or(PublishResult::Confirmed)
        };
        let mut answers: Vec<PublishResult> = messages.iter().map(rule).collect();
        for kept in messages {
            *tried.entry(kept.message.topic.to_string()).or_default() += 1;
        }
        // Like the real log: a refused message fails the others of its batch as well.
        if answers.iter().any(|result| matches!(result, PublishResult::Refused(_))) {
            for answer in answers.iter_mut().filter(|result| result.is_confirmed()) {
                *answer = PublishResult::Unconfirmed;
            }
        }
        let confirmed = messages.iter().zip(&answers).filter(|(_, result)| result.is_confirmed());
        let topics = confirmed.map(|(kept, _)| kept.message.topic.to_string());
        self.confirmed.lock().unwrap().extend(topics);
        answers
    }
}

fn refusal(blame: RefusalCause, code: &str) -> PublishResult {
    PublishResult::Refused(PublishRefusal {
        blame,
        code: code.to_owned(),
        text: "in words".to_owned(),
    })
}

/// Steps `n` times, whatever the results.
async fn steps<P: MessagePublisher>(relay: &mut OutboxRelay<P>, n: usize) {
    for _ in 0..n {
        relay.step().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_that_refuses_us_is_held_alone_and_known_to_the_next_leader() {
    let (pool, database) = database().await;
    let log = Ruled::default();
    log.rule("closed", refusal(RefusalCause::Topic, "TopicAuthorizationFailed"));
    let messages = |n| [number("closed", "a", n, n), number("open", "a", n, n)];
    keep(&pool, &messages(1)).await;
    let mut first = relay(&database, log.clone());
    steps(&mut first, 6).await;
    assert_eq!(*log.confirmed.lock().unwrap(), ["open"]);
    let named = ("closed".to_owned(), 1, "TopicAuthorizationFailed".to_owned());
    assert_eq!(held(&pool).await, [named]);
    assert_eq!(log.tried("closed"), 2, "once in a batch, once alone; then it waits");
    assert_eq!(letters(&pool).await, []);
    drop(first);

    pool.execute("UPDATE messaging.held_topic SET retry_at = now() + interval '1 hour'")
        .await
        .unwrap();
    keep(&pool, &messages(2)).await;
    let mut second = relay(&database, log.clone());
    let mut patience = TestWait::until("the second one leads and has published");
    while second.step().await.unwrap() != RelayStep::Idle {
        patience.look_again(backlog(&pool).await).await;
    }
    assert_eq!(*log.confirmed.lock().unwrap(), ["open"; 2]);
    assert_eq!((log.tried("closed"), backlog(&pool).await), (2, 2));
    drop(second);

    log.rule("closed", PublishResult::Confirmed);
    pool.execute("UPDATE messaging.held_topic SET retry_at = now()").await.unwrap();
    let mut third = relay(&database, log.clone());
    until_drained(&pool, &mut third).await;
    assert_eq!(log.confirmed.lock().unwrap()[2..], ["closed"; 2]);
}

#[tokio::test]
async fn a_topic_that_is_not_declared_is_held_while_it_is_missing_and_published_once_somebody_makes_it()
 {
    let (pool, database) = database().await;
    let kafka = broker().await;
    keep(&pool, &[number("elsewhere", "a", 1, 1)]).await;
    create_topics(&kafka, &[NUMBERS], 1).await;
    let mut relay = relay(&database, KafkaPublisher::new(kafka.clone(), 10));
    let mut patience = TestWait::until("the missing topic was tried alone");
    loop {
        let step = relay.step().await.unwrap();
        let sql = "SELECT attempts, code FROM messaging.held_topic";
        let held: Option<(i32, String)> = sqlx::query_as(sql).fetch_optional(&pool).await.unwrap();
        if held.as_ref().is_some_and(|(attempts, _)| *attempts > 0) {
            break;
        }
        patience.look_again((step, held)).await;
    }
    create_topics(&kafka, &["elsewhere"], 1).await;
    let mut patience = TestWait::until("it is published");
    while backlog(&pool).await > 0 {
        patience.look_again(relay.step().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_silent_topic_is_held_once_others_are_confirmed_without_it() {
    let (pool, database) = database().await;
    let log = Ruled::default();
    log.rule("silent", PublishResult::Unconfirmed);
    keep(&pool, &[number("silent", "a", 1, 1)]).await;
    let mut relay = relay(&database, log.clone());
    steps(&mut relay, 4).await;
    assert_eq!(held(&pool).await, [], "that is as if the broker were away");
    keep(&pool, &[number("open", "a", 1, 1)]).await;
    steps(&mut relay, 3).await;
    assert_eq!(*log.confirmed.lock().unwrap(), ["open"]);
    assert_eq!(held(&pool).await, [("silent".to_owned(), 1, "Unconfirmed".to_owned())]);
}

#[tokio::test]
async fn a_dead_letter_topic_is_held_at_once_so_that_nobody_stops_leading_for_its_sake() {
    let (pool, database) = database().await;
    let log = Ruled::default();
    log.rule(COPIES, PublishResult::Unconfirmed);
    keep(&pool, &[number(COPIES, "a", 1, 1)]).await;
    let mut relay = relay(&database, log.clone());
    assert_eq!(relay.step().await.unwrap(), RelayStep::Held);
    assert_eq!(relay.step().await.unwrap(), RelayStep::Idle);
    assert_eq!(held(&pool).await, [(COPIES.to_owned(), 1, "Unconfirmed".to_owned())]);
}

#[tokio::test]
async fn a_broker_that_confirms_nothing_holds_no_topic() {
    let (pool, database) = database().await;
    let log = Ruled::default();
    log.rule("one", PublishResult::Unconfirmed);
    log.rule("two", PublishResult::Unconfirmed);
    keep(&pool, &[number("one", "a", 1, 1), number("two", "a", 1, 1)]).await;
    let mut relay = relay(&database, log.clone());
    steps(&mut relay, 10).await;
    assert_eq!((held(&pool).await, backlog(&pool).await), (vec![], 2));
    log.rule("one", PublishResult::Confirmed);
    log.rule("two", PublishResult::Confirmed);
    until_idle(&pool, &mut relay).await;
    assert_eq!(backlog(&pool).await, 0);
}
