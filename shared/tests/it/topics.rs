//! The declared topics on a real broker.

use std::collections::HashMap;

use devstack::{TestWait, until};
use rdkafka::{
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
};
use shared::{
    health::ProcessHealth,
    kafka::{ConnectionSecurity, KafkaSettings},
    topics::{self, ReplicaCount, TopicError, TopicSpec},
};
use tokio_util::sync::CancellationToken;

use crate::kit::PATIENCE;

const BOOK_CHANGED: &str = "book-changed";
const TOPICS: [TopicSpec; 3] = [
    TopicSpec::events("loan-started"),
    TopicSpec::latest(BOOK_CHANGED),
    TopicSpec::dead_letters("loan-service.dlq"),
];

async fn broker() -> KafkaSettings {
    KafkaSettings {
        brokers: devstack::shared().await.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "test".to_owned(),
        security: ConnectionSecurity::default().into(),
        member: None,
    }
}

/// Creates topics, however long the broker takes to answer.
async fn create(
    settings: &KafkaSettings,
    topics: &[TopicSpec],
    replicas: ReplicaCount,
) -> Result<(), TopicError> {
    let mut patience = TestWait::until("the broker answers");
    loop {
        match topics::create(settings, topics, replicas).await {
            Err(error @ (TopicError::Unreachable { .. } | TopicError::Unseen(_))) => {
                patience.look_again(error).await;
            }
            answer => return answer,
        }
    }
}

/// The settings of a topic, as the broker has them.
async fn described(settings: &KafkaSettings, topic: &str) -> HashMap<String, String> {
    let admin: AdminClient<DefaultClientContext> = settings.client().create().unwrap();
    let name = settings.topic(topic);
    let patient = AdminOptions::new().request_timeout(Some(PATIENCE));
    let wanted = [ResourceSpecifier::Topic(&name)];
    let described = admin.describe_configs(&wanted, &patient).await.unwrap();
    let entries = described.into_iter().next().unwrap().unwrap().entries;
    entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())).collect()
}

#[tokio::test]
async fn declared_topics_are_created_once_and_found_again() {
    let settings = broker().await;
    create(&settings, &TOPICS, ReplicaCount::majority(1)).await.unwrap();
    create(&settings, &TOPICS, ReplicaCount::majority(1)).await.unwrap();

    let latest = described(&settings, BOOK_CHANGED).await;
    assert_eq!(latest["cleanup.policy"], "compact");
    assert_eq!(latest["delete.retention.ms"], "604800000");
    assert_eq!(latest["min.compaction.lag.ms"], "3600000");
    let events = described(&settings, "loan-started").await;
    assert_eq!(events["cleanup.policy"], "delete");
    assert_eq!(events["retention.ms"], "604800000");
    assert_eq!(events["segment.ms"], "86400000");
    assert_eq!(described(&settings, "loan-service.dlq").await["retention.ms"], "1209600000");
}

#[tokio::test]
async fn services_that_start_at_once_do_not_hinder_each_other() {
    let settings = broker().await;
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let component = health.component("topics");
    let ensure =
        || topics::ensure(&settings, &TOPICS, ReplicaCount::majority(1), &component, &stop);
    let (one, two, three) = tokio::join!(ensure(), ensure(), ensure());
    one.and(two).and(three).unwrap();
    assert!(health.is_ready());
}

#[tokio::test]
async fn a_topic_with_fewer_partitions_than_declared_is_refused() {
    let settings = broker().await;
    let declared = TopicSpec::events("a-topic");
    create(&settings, &[TopicSpec { partitions: 2, ..declared }], ReplicaCount::majority(1))
        .await
        .unwrap();
    let error = create(&settings, &[declared], ReplicaCount::majority(1)).await.unwrap_err();
    assert!(!error.is_transient());
    let TopicError::Partitions { topic, found, declared } = error else { panic!("{error:?}") };
    assert_eq!((topic, found, declared), (settings.topic("a-topic"), 2, 6));
}

#[tokio::test]
async fn a_topic_that_takes_less_than_the_outbox_is_reported_with_what_is_needed() {
    let settings = broker().await;
    let declared = TopicSpec::events("a-topic");
    create(&settings, &[declared], ReplicaCount::majority(1)).await.unwrap();
    let admin: AdminClient<DefaultClientContext> = settings.client().create().unwrap();
    let name = settings.topic("a-topic");
    let narrow = AlterConfig::new(ResourceSpecifier::Topic(&name));
    let narrow = narrow.set("max.message.bytes", "10000");
    let patient = AdminOptions::new().request_timeout(Some(PATIENCE));
    for altered in admin.alter_configs(&[narrow], &patient).await.unwrap() {
        altered.unwrap();
    }
    let mut patience = TestWait::until("the broker says so");
    let error = loop {
        match create(&settings, &[declared], ReplicaCount::majority(1)).await {
            Ok(()) => patience.look_again("not yet").await,
            Err(error) => break error,
        }
    };
    assert!(!error.is_transient());
    let complaint = error.to_string();
    for word in [&*name, "10000", "925696", "max.message.bytes"] {
        assert!(complaint.contains(word), "{complaint}");
    }
}

#[tokio::test]
async fn a_topic_with_more_partitions_than_declared_is_lived_with() {
    let settings = broker().await;
    let declared = TopicSpec::events("a-topic");
    create(&settings, &[TopicSpec { partitions: 12, ..declared }], ReplicaCount::majority(1))
        .await
        .unwrap();
    create(&settings, &[declared], ReplicaCount::majority(1)).await.unwrap();
}

#[tokio::test]
async fn a_name_that_no_broker_takes_is_refused_for_good() {
    let settings = broker().await;
    let error = create(&settings, &[TopicSpec::events("no topic!")], ReplicaCount::majority(1))
        .await
        .unwrap_err();
    assert!(matches!(error, TopicError::NotCreated { .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn more_replicas_than_brokers_may_still_come() {
    let settings = broker().await;
    let error = create(&settings, &[TopicSpec::events("a-topic")], ReplicaCount::majority(3))
        .await
        .unwrap_err();
    assert!(matches!(error, TopicError::NotCreated { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_service_that_waits_for_the_broker_says_so_and_stops_when_told_to() {
    let settings = KafkaSettings {
        brokers: "127.0.0.1:1".to_owned(),
        prefix: String::new(),
        client_id: "test".to_owned(),
        security: ConnectionSecurity::default().into(),
        member: None,
    };
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let component = health.component("topics");
    let waiting = topics::ensure(&settings, &TOPICS, ReplicaCount::majority(1), &component, &stop);
    let stopping = async {
        until("it says that it waits", async || {
            let report = health.report();
            report["topics"].as_ref().is_err_and(|text| text.contains("broker is out of reach"))
        })
        .await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(waiting, stopping);
    assert!(matches!(ended, Err(TopicError::Stopped)));
}

#[tokio::test]
async fn a_topic_that_keeps_longer_than_an_inbox_remembers_is_refused() {
    let settings = broker().await;
    let declared = TopicSpec::events("a-topic");
    for days in [21, 10_000] {
        let kept = std::time::Duration::from_hours(24 * days);
        let topic = TopicSpec { name: if days > 21 { "for-ever" } else { "long" }, ..declared };
        // Created by another client, with other settings.
        let made =
            create(&settings, &[TopicSpec { retention: kept, ..topic }], ReplicaCount::majority(1))
                .await;
        assert!(matches!(made, Err(TopicError::Retention { .. })), "{made:?}");
        let error = create(&settings, &[topic], ReplicaCount::majority(1)).await.unwrap_err();
        assert!(
            matches!(&error, TopicError::Retention { kept: found, .. } if *found > kept),
            "{error:?}"
        );
        assert!(!error.is_transient());
    }
    // Latest values stay for ever, and need no inbox.
    create(&settings, &[TopicSpec::latest("latest")], ReplicaCount::majority(1)).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_confirms_what_fewer_brokers_have_than_declared_is_refused() {
    let settings = broker().await;
    let topics = [TopicSpec::events("a-topic"), TopicSpec::latest("latest")];
    create(&settings, &topics, ReplicaCount::majority(1)).await.unwrap();
    let declared = ReplicaCount { copies: 1, in_sync_min: 2 };
    let error = create(&settings, &topics, declared).await.unwrap_err();
    assert!(matches!(error, TopicError::InSync { found: 1, declared: 2, .. }), "{error:?}");
    assert!(!error.is_transient());
}
