//! `xtask poison`: puts a message on a topic of a running stack that no service can process, so that its
//! way to the dead letters and back can be tried by hand.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use contract::record_kinds;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use sagactl::{screen::say, system_addresses::SystemAddresses, which_system};
use shared::{
    clock::Clock,
    codec::RecordKind,
    kafka::{ConnectionSecurity, KafkaSettings},
    message::{MessageEnvelope, MessageHeaders, OutgoingMessage},
};
use tokio::{net::TcpStream, time::timeout};

/// How long the broker may take.
const ANSWER: Duration = Duration::from_secs(10);

/// An id that no registry has given in any demo.
const UNKNOWN_SCHEMA: u32 = 1_999_999_999;

/// Which message, and where.
#[derive(Debug, Args)]
pub struct PoisonOptions {
    /// Topic of events on which it is put.
    #[arg(long, default_value = contract::PAYMENT_DONE)]
    topic: String,
    /// Its key: the id of the order that it claims to be about. A new id, if nothing is said.
    #[arg(long, value_name = "ORDER")]
    key: Option<String>,
    /// What is wrong with it.
    #[arg(long, value_enum, default_value_t)]
    kind: BadMessage,
    /// Where the broker is: `host:port`; its topics have no prefix (default: the running demo's, or
    /// else the compose stack's at 127.0.0.1:9092).
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: Option<String>,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BadMessage {
    /// Its headers are right, its body is no Avro record.
    #[default]
    NotAvro,
    /// Its body names a schema that the registry does not know.
    UnknownSchema,
    /// It has no headers: no id, no type, no subject.
    MissingHeaders,
    /// Its headers are about another subject than its key.
    WrongSubject,
}

/// Puts one message on the topic, and says what to do next.
pub async fn run(options: PoisonOptions) -> anyhow::Result<ExitCode> {
    let new_key = || Clock::System.new_id().to_string();
    let key = options.key.unwrap_or_else(new_key);
    let message = poisoned(&options.topic, &key, options.kind)?;
    let broker = match options.brokers {
        Some(brokers) => broker_at(brokers, String::new()),
        None => broker_of(&which_system::found().addresses),
    };
    say(format_args!("Sending to {}", broker.brokers));
    let (partition, offset) = send(&broker, &message).await?;
    let kind = options.kind.to_possible_value().map(|kind| kind.get_name().to_owned());
    let topic = broker.topic(&options.topic);
    say(format_args!("  topic      {topic} (partition {partition}, offset {offset})"));
    say(format_args!("  key        {key}"));
    say(format_args!("  wrong      {}", kind.unwrap_or_default()));
    say("Each service that reads this topic keeps it as a dead letter and goes on. Next:");
    say("  cargo sagactl dead-letters list");
    Ok(ExitCode::SUCCESS)
}

/// A message under this key that no reader of the topic can process.
pub fn poisoned(topic: &str, key: &str, kind: BadMessage) -> anyhow::Result<OutgoingMessage> {
    let kinds = record_kinds();
    let record = kinds.iter().find(|record| record.topic() == topic).with_context(|| {
        let known: Vec<_> = kinds.iter().map(RecordKind::topic).collect();
        format!("no topic of events is called {topic}: there are {}", known.join(", "))
    })?;
    let subject = match kind {
        BadMessage::WrongSubject => Clock::System.new_id().to_string(),
        BadMessage::NotAvro | BadMessage::UnknownSchema | BadMessage::MissingHeaders => {
            key.to_owned()
        }
    };
    let id = Clock::System.new_id();
    let envelope = MessageEnvelope {
        id,
        event_type: record.event_type().into(),
        source: contract::source("xtask-poison").into(),
        subject,
        sequence: 1,
        time: Clock::System.now(),
        trace: None,
    };
    let headers = match kind {
        BadMessage::MissingHeaders => MessageHeaders::default(),
        BadMessage::NotAvro | BadMessage::UnknownSchema | BadMessage::WrongSubject => {
            envelope.to_headers()
        }
    };
    let body = match kind {
        BadMessage::UnknownSchema => [&[0][..], &UNKNOWN_SCHEMA.to_be_bytes(), b"x"].concat(),
        BadMessage::NotAvro | BadMessage::MissingHeaders | BadMessage::WrongSubject => {
            b"no record".to_vec()
        }
    };
    Ok(OutgoingMessage {
        id,
        topic: record.topic().into(),
        key: Some(key.as_bytes().to_vec()),
        headers,
        payload: Some(body),
    })
}

/// Puts it on its topic; answers partition and offset.
pub async fn send(broker: &KafkaSettings, message: &OutgoingMessage) -> anyhow::Result<(i32, i64)> {
    // The client would try for as long as a message may take, and say less about it.
    anyhow::ensure!(
        answers(&broker.brokers).await,
        "no broker answers at {}: start `cargo demo` or `docker compose up --wait`, or say with \
         --brokers where the broker is",
        broker.brokers
    );
    let mut config = broker.client();
    config.set("message.timeout.ms", ANSWER.as_millis().to_string());
    // The same partition as the messages of the service that writes there.
    config.set("partitioner", "murmur2_random");
    let producer: FutureProducer = config.create()?;
    let mut headers = OwnedHeaders::new();
    for (key, value) in message.headers.iter() {
        headers = headers.insert(Header { key, value });
    }
    let topic = broker.topic(&message.topic);
    let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers);
    record.key = message.key.as_deref();
    record.payload = message.payload.as_deref();
    let sent = producer.send(record, ANSWER).await;
    let delivery = sent.map_err(|(error, _)| {
        anyhow::anyhow!("the broker at {} took no message: {error}", broker.brokers)
    })?;
    Ok((delivery.partition, delivery.offset))
}

/// The broker of a system, with the prefix of that system's topics.
fn broker_of(addresses: &SystemAddresses) -> KafkaSettings {
    broker_at(addresses.kafka_brokers.clone(), addresses.kafka_topic_prefix.clone())
}

fn broker_at(brokers: String, prefix: String) -> KafkaSettings {
    KafkaSettings {
        brokers,
        prefix,
        client_id: "xtask-poison".to_owned(),
        security: Arc::new(ConnectionSecurity::default()),
        member: None,
    }
}

/// Whether something listens at one of these addresses.
async fn answers(brokers: &str) -> bool {
    for address in brokers.split(',') {
        let reached = timeout(ANSWER, TcpStream::connect(address.trim())).await;
        if reached.is_ok_and(|stream| stream.is_ok()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use shared::message::EnvelopeError;

    use super::*;

    #[test]
    fn only_what_the_kind_says_is_wrong_with_the_message() {
        let message = |kind| poisoned(contract::PAYMENT_DONE, "an-order", kind).unwrap();
        let envelope = |kind| MessageEnvelope::from_headers(&message(kind).headers);
        let right = envelope(BadMessage::NotAvro).unwrap();
        assert_eq!(
            (right.subject.as_str(), &*right.event_type),
            ("an-order", "shop.payments.payment-done.v1")
        );
        assert_eq!(envelope(BadMessage::UnknownSchema).unwrap().subject, "an-order");
        assert_ne!(envelope(BadMessage::WrongSubject).unwrap().subject, "an-order");
        let missing = envelope(BadMessage::MissingHeaders).unwrap_err();
        assert_eq!(missing, EnvelopeError::Missing("ce_id"));
        let body = message(BadMessage::UnknownSchema).payload.unwrap();
        assert_eq!(body[..5], [&[0][..], &UNKNOWN_SCHEMA.to_be_bytes()].concat());
    }

    #[test]
    fn an_unknown_topic_is_refused_with_those_that_there_are() {
        let refused = poisoned("payment", "an-order", BadMessage::NotAvro).unwrap_err();
        assert!(refused.to_string().contains("payment-done, payment-failed"), "{refused}");
    }

    #[test]
    fn the_topic_is_that_of_the_system_which_was_found() {
        let mut addresses = SystemAddresses::compose();
        addresses.kafka_brokers = "127.0.0.1:31999".to_owned();
        addresses.kafka_topic_prefix = "third-".to_owned();
        let broker = broker_of(&addresses);
        assert_eq!(broker.brokers, "127.0.0.1:31999");
        assert_eq!(broker.topic("payment-done"), "third-payment-done");
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_an_error_that_says_what_to_start() {
        let broker = broker_at("127.0.0.1:1".to_owned(), String::new());
        let message = poisoned(contract::PAYMENT_DONE, "an-order", BadMessage::NotAvro).unwrap();
        let refused = send(&broker, &message).await.unwrap_err().to_string();
        assert!(refused.contains("cargo demo") && refused.contains("--brokers"), "{refused}");
    }
}
