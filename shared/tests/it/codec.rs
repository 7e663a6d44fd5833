//! The codec against a real registry: writers that start first, readers that start later, and a
//! registry that is unavailable in between.

use devstack::{TestWait, until};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    clock::Clock,
    codec::{AvroCodec, CodecError, CodecSettings, EventMeta, Record, RecordKind, UnreadableBody},
    fault::Fault,
    health::ProcessHealth,
    message::{IncomingMessage, Message, MessageEnvelope, OutgoingMessage},
    schema_registry::{self, SchemaRegistry},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    port_switch::PortSwitch,
    records::{LoanEnded, LoanStarted},
    registry::answered,
};

async fn url() -> &'static str {
    &devstack::shared().await.urls().registry
}

pub(crate) async fn settings() -> CodecSettings {
    CodecSettings {
        source: "/test".to_owned(),
        registry_url: url().await.to_owned(),
        prefix: devstack::unique_prefix(),
    }
}

pub(crate) async fn connect(
    settings: &CodecSettings,
    writes: &[RecordKind],
    reads: &[RecordKind],
) -> Result<AvroCodec, CodecError> {
    let health = ProcessHealth::default();
    let component = health.component("registry");
    let codec =
        AvroCodec::connect(settings, writes, reads, &component, &CancellationToken::new()).await;
    assert_eq!(health.is_ready(), codec.is_ok());
    codec
}

pub(crate) fn started() -> LoanStarted {
    LoanStarted::sample()
}

pub(crate) fn meta() -> EventMeta {
    let clock = Clock::System;
    let id = clock.new_id();
    EventMeta { id, subject: "a-key".to_owned(), sequence: 1, at: clock.now(), trace: None }
}

pub(crate) fn arrived(outgoing: OutgoingMessage) -> Message {
    let envelope = MessageEnvelope::from_headers(&outgoing.headers).unwrap();
    let incoming = IncomingMessage {
        topic: outgoing.topic.into_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: outgoing.key,
        headers: outgoing.headers,
        payload: outgoing.payload,
    };
    Message { incoming, envelope }
}

/// Reads a message, however long the registry takes to answer.
pub(crate) async fn read<R: Record>(codec: &AvroCodec, message: &Message) -> Result<R, Fault> {
    let mut patience = TestWait::until("the registry answers");
    loop {
        match codec.decode(message).await {
            Err(Fault::Transient(why)) => patience.look_again(why).await,
            answer => return answer,
        }
    }
}

pub(crate) fn reason(fault: Fault) -> UnreadableBody {
    match fault {
        Fault::Poison(why) => why.downcast_ref::<UnreadableBody>().unwrap().clone(),
        transient @ Fault::Transient(_) => panic!("not poison: {transient:?}"),
    }
}

/// `LoanStarted` as a later version might have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "LoanStarted")]
struct Later {
    loan_id: Uuid,
    fee_minor: i64,
    currency: String,
    started_at: i64,
    priority: i32,
}

impl Record for Later {
    const TOPIC: &'static str = LoanStarted::TOPIC;
    const TYPE: &'static str = LoanStarted::TYPE;
    const SCHEMA: &'static str = r#"{
        "type": "record", "name": "LoanStarted", "namespace": "library.loans", "fields": [
            { "name": "loan_id", "type": { "type": "string", "logicalType": "uuid" } },
            { "name": "fee_minor", "type": "long" },
            { "name": "currency", "type": "string" },
            { "name": "started_at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
            { "name": "priority", "type": "int", "default": 5 }
        ]
    }"#;
}

/// A version of `LoanStarted` that earlier readers could not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "LoanStarted")]
struct Broken {
    loan_id: i64,
}

impl Record for Broken {
    const TOPIC: &'static str = LoanStarted::TOPIC;
    const TYPE: &'static str = LoanStarted::TYPE;
    const SCHEMA: &'static str = r#"{
        "type": "record", "name": "LoanStarted", "namespace": "library.loans", "fields": [
            { "name": "loan_id", "type": "long" }
        ]
    }"#;
}

#[tokio::test]
async fn what_one_service_says_another_reads() {
    let settings = settings().await;
    let kind = RecordKind::of::<LoanStarted>();
    // The reader starts first and knows no schema yet.
    let reader = connect(&settings, &[], &[kind]).await.unwrap();
    let writer = connect(&settings, &[kind], &[]).await.unwrap();
    let message = arrived(writer.message(meta(), &started()).unwrap());
    assert_eq!(read::<LoanStarted>(&reader, &message).await.unwrap(), started());
}

#[tokio::test]
async fn old_and_new_versions_read_each_other() {
    let settings = settings().await;
    let (ours, later) = (RecordKind::of::<LoanStarted>(), RecordKind::of::<Later>());
    let old = connect(&settings, &[ours], &[ours]).await.unwrap();
    let new = connect(&settings, &[later], &[later]).await.unwrap();

    let message = arrived(old.message(meta(), &started()).unwrap());
    let later = read::<Later>(&new, &message).await.unwrap();
    assert_eq!((later.fee_minor, later.priority), (4_499, 5));

    let message = arrived(new.message(meta(), &Later { priority: 1, ..later }).unwrap());
    assert_eq!(read::<LoanStarted>(&old, &message).await.unwrap(), started());
}

#[tokio::test]
async fn a_service_whose_schema_would_break_readers_does_not_start() {
    let settings = settings().await;
    connect(&settings, &[RecordKind::of::<LoanStarted>()], &[]).await.unwrap();
    let error = connect(&settings, &[RecordKind::of::<Broken>()], &[]).await.unwrap_err();
    let CodecError::Registry(subject, schema_registry::RegistryError::Incompatible(_)) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(subject, format!("{}loan-started-value", settings.prefix));
}

/// The registry's own default may be the same, so the subject begins with another setting.
#[tokio::test]
async fn a_producer_makes_its_subject_demand_full_compatibility() {
    let settings = settings().await;
    // Installs what the HTTP client needs.
    SchemaRegistry::new(&settings.registry_url).unwrap();
    let (url, prefix) = (&settings.registry_url, &settings.prefix);
    let config = format!("{url}/config/{prefix}loan-started-value");
    let lax = serde_json::json!({ "compatibility": "NONE" });
    let answer = reqwest::Client::new().put(&config).json(&lax).send().await.unwrap();
    assert!(answer.status().is_success());

    connect(&settings, &[RecordKind::of::<LoanStarted>()], &[]).await.unwrap();
    let answer = reqwest::get(&config).await.unwrap().text().await.unwrap();
    let config: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(config["compatibilityLevel"], "FULL_TRANSITIVE");
}

#[tokio::test]
async fn the_schema_of_another_topic_and_one_of_nobody_are_poison() {
    let settings = settings().await;
    let kinds = [RecordKind::of::<LoanStarted>(), RecordKind::of::<LoanEnded>()];
    let codec = connect(&settings, &kinds, &[]).await.unwrap();
    let mut message = arrived(codec.message(meta(), &started()).unwrap());
    let cancelled = SchemaRegistry::new(&settings.registry_url).unwrap();
    let subject = format!("{}loan-ended-value", settings.prefix);
    let latest = answered(async || cancelled.latest(&subject).await).await.unwrap();
    let others_id = latest.unwrap().id;

    let id = |message: &mut Message, id: u32| {
        let payload = message.incoming.payload.as_mut().unwrap();
        payload[1..5].copy_from_slice(&id.to_be_bytes());
    };
    id(&mut message, others_id);
    // The body itself is valid: the meaning of an id may have changed.
    let why = reason(read::<LoanStarted>(&codec, &message).await.unwrap_err());
    let said = format!("its schema {others_id} describes library.loans.LoanEnded");
    assert!(why.to_string().starts_with(&said), "{why}");
    assert!(matches!(why, UnreadableBody::Renumbered { .. }), "{why}");

    let nobodys = 2_000_000_123;
    id(&mut message, nobodys);
    for _again in 0..2 {
        let why = reason(read::<LoanStarted>(&codec, &message).await.unwrap_err());
        let said = format!("its schema id is {nobodys}, which the registry does not know; but our");
        assert!(why.to_string().starts_with(&said), "{why}");
    }
    message.incoming.payload.as_mut().unwrap().pop();
    let why = reason(read::<LoanStarted>(&codec, &message).await.unwrap_err());
    assert_eq!(why, UnreadableBody::UnknownId(nobodys), "and this body is none of ours");
}

#[tokio::test]
async fn a_service_waits_for_the_registry_and_says_so() {
    let (mut port_switch, through) = PortSwitch::before_url(url().await);
    let settings = CodecSettings { registry_url: through, ..settings().await };
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let component = health.component("registry");
    let kinds = [RecordKind::of::<LoanStarted>()];
    let connecting = AvroCodec::connect(&settings, &kinds, &kinds, &component, &stop);
    let opening = async {
        until("it says that it waits", async || reported(&health).contains("out of reach")).await;
        port_switch.open().await;
    };
    let (codec, ()) = tokio::join!(connecting, opening);
    codec.unwrap();
    assert!(health.is_ready());
}

#[tokio::test]
async fn a_service_that_waits_for_the_registry_stops_when_told_to() {
    let (_shut, through) = PortSwitch::before_url(url().await);
    let settings = CodecSettings { registry_url: through, ..settings().await };
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let component = health.component("registry");
    let reads = [RecordKind::of::<LoanStarted>()];
    let connecting = AvroCodec::connect(&settings, &[], &reads, &component, &stop);
    let stopping = async {
        until("it says that it waits", async || reported(&health).contains("out of reach")).await;
        stop.cancel();
    };
    let (codec, ()) = tokio::join!(connecting, stopping);
    assert!(matches!(codec, Err(CodecError::Stopped)));
}

#[tokio::test]
async fn a_registry_that_goes_away_stops_only_what_was_never_read_before() {
    let (mut port_switch, through) = PortSwitch::before_url(url().await);
    port_switch.open().await;
    let direct = settings().await;
    let behind_switch = CodecSettings { registry_url: through, ..direct.clone() };
    let (ours, later) = (RecordKind::of::<LoanStarted>(), RecordKind::of::<Later>());
    let writer = connect(&direct, &[ours], &[]).await.unwrap();
    let reader = connect(&behind_switch, &[], &[ours]).await.unwrap();
    let known = arrived(writer.message(meta(), &started()).unwrap());
    let newer = connect(&direct, &[later], &[]).await.unwrap();
    let record = serde_json::json!({
        "loan_id": started().loan_id, "fee_minor": 4_499, "currency": "EUR", "priority": 1,
        "started_at": Value::from(1_767_355_200_123_456_i64),
    });
    let record: Later = serde_json::from_value(record).unwrap();
    let unknown = arrived(newer.message(meta(), &record).unwrap());

    port_switch.shut().await;
    assert_eq!(reader.decode::<LoanStarted>(&known).await.unwrap(), started());
    let fault = reader.decode::<LoanStarted>(&unknown).await.unwrap_err();
    assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
    port_switch.open().await;
    assert_eq!(read::<LoanStarted>(&reader, &unknown).await.unwrap(), started());
}

fn reported(health: &ProcessHealth) -> String {
    health.report().remove("registry").unwrap().err().unwrap_or_default()
}
