use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{super::RefusalCause, *};
use crate::message::{MessageHeaders, OutgoingMessage};

fn expecting(n: usize) -> DeliveryReports {
    let confirmations = DeliveryReports::default();
    confirmations.expect(n);
    confirmations
}

#[tokio::test]
async fn a_message_with_an_offset_is_confirmed_and_counted_once() {
    let confirmations = expecting(2);
    confirmations.note(1, Ok(7));
    confirmations.note(1, Ok(7));
    assert_eq!(confirmations.state.lock().unwrap().missing, 1);
    confirmations.note(0, Ok(0));
    confirmations.wait(PATIENCE).await.unwrap();
    assert_eq!(confirmations.take(), [PublishResult::Confirmed, PublishResult::Confirmed]);
}

#[tokio::test]
async fn a_confirmation_without_an_offset_is_none_and_fails_the_batch() {
    let confirmations = expecting(2);
    confirmations.note(0, Ok(3));
    confirmations.note(1, Ok(-1));
    confirmations.wait(PATIENCE).await.unwrap_err();
    assert_eq!(confirmations.take(), [PublishResult::Confirmed, PublishResult::Unconfirmed]);
}

#[tokio::test]
async fn a_message_that_failed_is_not_confirmed_and_those_before_it_are() {
    let confirmations = expecting(3);
    confirmations.note(0, Ok(3));
    let too_late = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
    confirmations.note(1, Err(too_late.clone()));
    assert_eq!(confirmations.wait(PATIENCE).await.unwrap_err(), too_late);
    let [confirmed, unknown] = [PublishResult::Confirmed, PublishResult::Unconfirmed];
    assert_eq!(confirmations.take(), [confirmed, unknown.clone(), unknown]);
}

fn kept(outbox_id: i64, topic: &'static str, bytes: usize) -> OutboxRow {
    OutboxRow {
        outbox_id,
        created_at: OffsetDateTime::UNIX_EPOCH,
        message: OutgoingMessage {
            id: Uuid::nil(),
            topic: topic.into(),
            key: None,
            headers: MessageHeaders::default(),
            // Compressed, any other content would be small.
            payload: Some(std::iter::repeat_with(|| fastrand::u8(..)).take(bytes).collect()),
        },
    }
}

#[tokio::test]
async fn after_a_message_that_the_broker_refuses_the_publisher_can_be_used_again() {
    let settings = kafka::KafkaSettings {
        brokers: devstack::shared().await.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "a-test".to_owned(),
        security: kafka::ConnectionSecurity::default().into(),
        member: None,
    };
    let admin: AdminClient<_> = settings.client().create().unwrap();
    let (narrow, wide) = (settings.topic("narrow"), settings.topic("wide"));
    let one = || TopicReplication::Fixed(1);
    let topics = [
        NewTopic::new(&narrow, 1, one()).set("max.message.bytes", "1000"),
        NewTopic::new(&wide, 1, one()),
    ];
    let patient = AdminOptions::new().request_timeout(Some(Duration::from_mins(5)));
    for made in admin.create_topics(&topics, &patient).await.unwrap() {
        made.unwrap();
    }
    let mut publisher = KafkaPublisher::new(settings, 10);
    let too_large = [kept(1, "narrow", 100_000)];
    let mut patience = devstack::TestWait::until("the broker knows the topic that was just made");
    let refusal = loop {
        let answers = publisher.publish(&too_large).await;
        match &answers[..] {
            [PublishResult::Refused(refusal)] if refusal.blame != RefusalCause::Missing => {
                break refusal.clone();
            }
            _ => patience.look_again(answers).await,
        }
    };
    assert_eq!((refusal.blame, &*refusal.code), (RefusalCause::Record, "MessageSizeTooLarge"));
    assert!(publisher.trouble().contains("MessageSizeTooLarge"), "{}", publisher.trouble());
    // The client itself cannot continue after that: it leaves no gap.
    assert_eq!(publisher.publish(&[kept(2, "wide", 200)]).await, [PublishResult::Confirmed]);
}
