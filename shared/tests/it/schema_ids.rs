//! Schema ids: a flood of unknown ones, a read-only registry, a registry whose ids were reset, and
//! schemas that mean something else by the same bytes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::{
    clock::Clock,
    codec::{AvroCodec, CodecError, CodecSettings, Record as _, RecordKind, UnreadableBody},
    consumer::{BatchCounts, BatchProcessor, HandlerOutcome, MessageHandler, NewMessage},
    dead_letter::{self, Actor, Resolution, RetryDeadMessage as _},
    effects::WorkerWakers,
    fault::Fault,
    health::ProcessHealth,
    message::{IncomingMessage, Message, MessageEnvelope},
    schema_registry::SchemaRegistry,
    sequence::SequenceWatch,
    telemetry,
};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::{
    codec::{arrived, connect, meta, read, reason, settings, started},
    kit::{self, database, dead},
    records::LoanStarted,
    registry::answered,
    registry_proxy::Proxy,
};

/// Reads confirmations as every service reads its messages; ignores them.
struct Confirmations(AvroCodec);

impl MessageHandler for Confirmations {
    type Input = LoanStarted;

    fn topics(&self) -> Vec<&'static str> {
        vec![LoanStarted::TOPIC]
    }

    async fn decode(&self, message: &Message) -> Result<LoanStarted, Fault> {
        self.0.decode(message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.0.prepare(messages).await
    }

    async fn decode_again(
        &self,
        message: &Message,
    ) -> Result<(LoanStarted, Option<String>), Fault> {
        let codec = self.0.for_redrive();
        Ok((codec.decode(message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        _conn: &mut PgConnection,
        _batch: &[NewMessage<'_, LoanStarted>],
    ) -> Result<HandlerOutcome, Fault> {
        Ok(HandlerOutcome::default())
    }
}

fn parts(pool: &PgPool, codec: &AvroCodec) -> BatchProcessor<Confirmations> {
    BatchProcessor {
        service: "tally",
        handler: Confirmations(codec.clone()),
        pool: pool.clone(),
        wakers: WorkerWakers::default(),
        clock: Clock::System,
        watch: SequenceWatch::default(),
    }
}

const KIND: fn() -> RecordKind = RecordKind::of::<LoanStarted>;

/// A message at this offset with its own key.
fn at(codec: &AvroCodec, offset: i64) -> IncomingMessage {
    let meta = shared::codec::EventMeta { subject: format!("key-{offset}"), ..meta() };
    let incoming = arrived(codec.message(meta, &started()).unwrap()).incoming;
    IncomingMessage { offset, ..incoming }
}

fn with_id(mut incoming: IncomingMessage, id: u32, datum: Option<&[u8]>) -> IncomingMessage {
    let payload = incoming.payload.as_mut().unwrap();
    payload[1..5].copy_from_slice(&id.to_be_bytes());
    if let Some(datum) = datum {
        payload.truncate(5);
        payload.extend_from_slice(datum);
    }
    incoming
}

fn message(incoming: IncomingMessage) -> Message {
    let envelope = MessageEnvelope::from_headers(&incoming.headers).unwrap();
    Message { incoming, envelope }
}

const STRANGE: u32 = 100;

/// Before, each id was requested three times with half a second between, one id after another.
#[tokio::test]
async fn a_flood_of_strange_ids_is_asked_for_together_and_waited_for_once() {
    let (pool, _) = database().await;
    let direct = settings().await;
    let proxy = Proxy::before(&direct.registry_url).await;
    let settings = CodecSettings { registry_url: proxy.url.clone(), ..direct };
    let codec = connect(&settings, &[KIND()], &[KIND()]).await.unwrap();
    proxy.ids_asked();

    let strange = |n: u32| with_id(at(&codec, n.into()), 1_500_000_000 + n, Some(b"x"));
    let mut batch: Vec<IncomingMessage> = (0..STRANGE).map(strange).collect();
    batch.push(at(&codec, STRANGE.into()));
    let parts = parts(&pool, &codec);
    let taken = parts.process_batch(&batch).await.unwrap();
    assert_eq!(taken, BatchCounts { fresh: 1, dead: 100, ..BatchCounts::default() });

    let asked = proxy.ids_asked();
    // A slow registry is not asked again once the time limit for a batch is reached.
    assert!((100..=3 * 100).contains(&asked.len()), "{}", asked.len());
    // Of the first round only: a request that fails on a slow machine is repeated.
    let distinct: BTreeSet<&u32> = asked[..100].iter().collect();
    assert_eq!(distinct.len(), 100, "none is asked for again before all were");
    assert!((2..=16).contains(&proxy.open_most()), "{} at the same time", proxy.open_most());
    let (reason, detail) = &dead(&pool).await[0];
    assert_eq!(
        (reason.as_str(), detail.as_str()),
        ("body", "its schema id is 1500000000, which the registry does not know")
    );
}

#[tokio::test]
async fn a_registry_in_which_nobody_may_write_is_enough_if_everything_is_registered() {
    let direct = settings().await;
    connect(&direct, &[KIND()], &[KIND()]).await.unwrap();
    for (status, code) in [(422, 42_205), (403, 40_301)] {
        let proxy = Proxy::before(&direct.registry_url).await;
        proxy.refuse_writes(status, code);
        let settings = CodecSettings { registry_url: proxy.url.clone(), ..direct.clone() };
        let codec = connect(&settings, &[KIND()], &[KIND()]).await.unwrap();
        let message = arrived(codec.message(meta(), &started()).unwrap());
        assert_eq!(read::<LoanStarted>(&codec, &message).await.unwrap(), started());
        assert_eq!(codec.renew().await.unwrap(), 0);
        assert_eq!(proxy.writes(), 0);
    }
}

#[tokio::test]
async fn a_level_that_is_set_for_the_whole_registry_is_not_written_for_a_subject() {
    let direct = settings().await;
    let subject = format!("{}loan-started-value", direct.prefix);
    let registry = SchemaRegistry::new(&direct.registry_url).unwrap();
    answered(async || registry.register(&subject, LoanStarted::SCHEMA).await).await.unwrap();
    let proxy = Proxy::before(&direct.registry_url).await;
    proxy.refuse_writes(403, 40_301);
    proxy.set_level_of_all("FULL_TRANSITIVE");
    let settings = CodecSettings { registry_url: proxy.url.clone(), ..direct };
    connect(&settings, &[KIND()], &[]).await.unwrap();
    assert_eq!(proxy.writes(), 0);
}

#[tokio::test]
async fn what_has_to_be_written_and_may_not_be_is_named_with_its_subject() {
    let direct = settings().await;
    let subject = format!("{}loan-started-value", direct.prefix);
    let registry = SchemaRegistry::new(&direct.registry_url).unwrap();
    answered(async || registry.require(&subject, "BACKWARD").await).await.unwrap();
    let proxy = Proxy::before(&direct.registry_url).await;
    proxy.refuse_writes(403, 40_301);
    let settings = CodecSettings { registry_url: proxy.url.clone(), ..direct.clone() };

    let error = connect(&settings, &[KIND()], &[]).await.unwrap_err();
    assert!(matches!(error, CodecError::MayNotConfigure { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&subject) && said.contains("FULL_TRANSITIVE is needed"), "{said}");
    assert!(said.contains("compatibility BACKWARD"), "{said}");

    answered(async || registry.require(&subject, "FULL_TRANSITIVE").await).await.unwrap();
    let error = connect(&settings, &[KIND()], &[]).await.unwrap_err();
    assert!(matches!(error, CodecError::MayNotRegister(..)), "{error:?}");
    assert!(error.to_string().contains(&format!("the schema of {subject} is not registered")));
}

#[tokio::test]
async fn a_registry_that_came_back_with_other_ids_is_noticed_and_its_old_messages_are_redriven() {
    telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let (pool, _) = database().await;
    let direct = settings().await;
    let proxy = Proxy::before(&direct.registry_url).await;
    let settings = CodecSettings { registry_url: proxy.url.clone(), ..direct };
    let writer = connect(&settings, &[KIND()], &[]).await.unwrap();
    let (old, strange) = (at(&writer, 0), with_id(at(&writer, 1), 12, Some(b"x")));
    proxy.count_anew();

    // A new process knows none of the ids in the log.
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let component = health.component("schemas");
    let reader = AvroCodec::connect(&settings, &[], &[KIND()], &component, &stop).await.unwrap();
    let unknown = || kit::value("schema_ids_unknown_total{topic=\"loan-started\"}");
    let before = unknown();
    let parts = parts(&pool, &reader);
    let taken = parts.process_batch(&[strange]).await.unwrap();
    assert_eq!(taken.dead, 1);
    assert!((unknown() - before).abs() < 0.5, "it is none of ours");
    assert_eq!(health.report()["schemas"].as_deref().unwrap(), "ready");

    let taken = parts.process_batch(&[old]).await.unwrap();
    assert_eq!(taken.dead, 1, "nobody has looked yet");
    assert!(unknown() - before > 0.5);
    let report = health.report();
    let remark = report["schemas"].as_deref().unwrap();
    assert!(remark.contains("docs/runbooks/SchemaIdsUnknown.md"), "{remark}");
    let (_, detail) = &dead(&pool).await[0];
    assert!(detail.contains("a redrive reads it so"), "{detail}");

    let by = Actor::new("ada").unwrap();
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT dead_letter_id FROM messaging.dead_letter ORDER BY \"offset\"")
            .fetch_all(&pool)
            .await
            .unwrap();
    let carried = parts.redrive(ids[0], &by).await.unwrap();
    assert_eq!(carried, Resolution::Settled);
    let carried = parts.redrive(ids[1], &by).await.unwrap();
    assert!(
        matches!(carried, Resolution::StillDead { .. }),
        "bytes that do not fit stay: {carried:?}"
    );
    let mut conn = pool.acquire().await.unwrap();
    let decided = dead_letter::decisions(&mut conn, 10).await.unwrap();
    let why = format!("{decided:?}");
    assert!(why.contains("read with our own schema of library.loans.loan-started.v1"), "{why}");

    // Running services publish with the current ids.
    assert_eq!(writer.renew().await.unwrap(), 1);
    let renewed = message(at(&writer, 2));
    assert_eq!(read::<LoanStarted>(&reader, &renewed).await.unwrap(), started());
    assert_eq!(writer.renew().await.unwrap(), 0);
}

/// `LoanStarted`'s schema with its time in milliseconds, and perhaps one more optional field.
fn in_milliseconds(more: bool) -> String {
    let mut schema: Value = serde_json::from_str(LoanStarted::SCHEMA).unwrap();
    let Value::Array(fields) = &mut schema["fields"] else { panic!("no fields") };
    let moment = fields.iter_mut().find(|value| value["name"] == "started_at").unwrap();
    moment["type"]["logicalType"] = "timestamp-millis".into();
    if more {
        fields.push(json!({ "name": "note", "type": ["null", "string"], "default": null }));
    }
    schema.to_string()
}

/// Before, the first of the two was read as a moment in January 1970.
#[tokio::test]
async fn a_moment_in_milliseconds_is_never_read_as_one_in_microseconds() {
    let settings = settings().await;
    let codec = connect(&settings, &[KIND()], &[KIND()]).await.unwrap();
    let registry = SchemaRegistry::new(&settings.registry_url).unwrap();
    let subject = format!("{}loan-started-value", settings.prefix);
    for more in [false, true] {
        let schema = in_milliseconds(more);
        let id = answered(async || registry.register(&subject, &schema).await).await.unwrap();
        let mut incoming = with_id(at(&codec, 0), id, None);
        if more {
            incoming.payload.as_mut().unwrap().push(0);
        }
        let why = reason(read::<LoanStarted>(&codec, &message(incoming)).await.unwrap_err());
        let UnreadableBody::Schema { reason, .. } = &why else { panic!("{why}") };
        assert_eq!(
            reason,
            "its started_at is timestamp-millis, ours is timestamp-micros, and neither is \
             converted"
        );
    }
}
