//! Every kind of bad message on every topic: each reader keeps the message unchanged as a dead
//! letter, with a reason that says what is wrong, and goes on.

use std::collections::BTreeMap;

use contract::{NotificationFailed, NotificationSent};
use sagactl::http_client::http_client;
use serde_json::{Value, json};
use shared::{
    codec::{self, AvroCodec, EventMeta, Record as _, RecordKind},
    health::ProcessHealth,
    message::MessageHeaders,
};
use sqlx::{Connection as _, PgConnection};
use time::macros::datetime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xtask::cluster::ProcessName;

use self::table::{Base, CASES, Case};
use crate::{
    raw::{self, Raw},
    read::{self, reads, topics},
    stage::{self, Stage, answered},
};

mod table;

const PLACED: &str = contract::ORDER_PLACED;

/// A letter as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Letter {
    topic: String,
    key: Option<Vec<u8>>,
    headers: Vec<u8>,
    payload: Option<Vec<u8>>,
    reason: String,
    detail: String,
}

async fn letters(stage: &Stage, member: ProcessName) -> Vec<Letter> {
    let mut conn = PgConnection::connect(stage.cluster.database(member).unwrap()).await.unwrap();
    let sql = "SELECT topic, key, headers, payload, reason, detail FROM messaging.dead_letter";
    let letters = sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    letters
}

/// Puts orders on each way, so that there is a good message on every topic but one.
async fn good_messages(stage: &Stage) -> BTreeMap<&'static str, Raw> {
    let confirmed = stage.place("load-0001", "tok_visa").await;
    stage.history(confirmed.id, &["order-confirmed", "notification-sent"]).await;
    stage.cancel(confirmed.id).await;
    stage.history(confirmed.id, &["stock-released", "payment-refunded"]).await;
    let short = stage.place("unobtainium", "tok_visa").await;
    let declined = stage.place("load-0001", "tok_chargeDeclined").await;
    stage.history(short.id, &["stock-rejected", "notification-sent"]).await;
    stage.history(declined.id, &["payment-failed", "stock-released", "notification-sent"]).await;
    let reviewed = stage.place("load-0001", "tok_wrongAmount").await;
    stage.history(reviewed.id, &["payment-under-review"]).await;
    stage.cancel(reviewed.id).await;
    stage.history(reviewed.id, &["payment-refunded", "notification-sent"]).await;
    stage.all_end().await;
    let mut good = BTreeMap::new();
    for topic in topics() {
        let whole = format!("{}{topic}", stage.cluster.prefix());
        let said = raw::read(&stage.cluster.stack().brokers, &whole).await;
        good.insert(
            topic,
            match said.into_iter().next() {
                Some(raw) => raw,
                None => never_said(stage, topic).await,
            },
        );
    }
    good
}

/// Every mail arrives here, so nobody says that one failed.
async fn never_said(stage: &Stage, topic: &str) -> Raw {
    assert_eq!(topic, NotificationFailed::TOPIC);
    let settings = codec::CodecSettings {
        source: contract::source("a-stranger"),
        registry_url: stage.cluster.stack().registry.clone(),
        prefix: stage.cluster.prefix().to_owned(),
    };
    let health = ProcessHealth::default().component("codec");
    let writes = [RecordKind::of::<NotificationFailed>()];
    let stop = CancellationToken::new();
    let codec = AvroCodec::connect(&settings, &writes, &[], &health, &stop).await.unwrap();
    let at = datetime!(2026-01-02 03:04:05 UTC);
    let record = NotificationFailed {
        order_id: Uuid::max(),
        channel: "email".to_owned(),
        kind: "confirmed".to_owned(),
        reason: "nobody is there".to_owned(),
        failed_at: at,
    };
    let id = shared::clock::Clock::System.new_id();
    let meta = EventMeta { id, subject: record.order_id.to_string(), sequence: 1, at, trace: None };
    let said = codec.message(meta, &record).unwrap();
    let headers =
        said.headers.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
    Raw {
        topic: format!("{}{topic}", stage.cluster.prefix()),
        key: said.key,
        headers: headers.collect(),
        payload: said.payload,
    }
}

/// The registry, as any client sees it.
struct Schemas<'s>(&'s Stage);

impl Schemas<'_> {
    /// The schema that a message was written with.
    async fn of(&self, raw: &Raw) -> Value {
        let id = schema_id(raw);
        let url = format!("{}/schemas/ids/{id}", self.0.cluster.stack().registry);
        let http = http_client().unwrap();
        let answer: Value = answered(http.get(url)).await.json().await.unwrap();
        serde_json::from_str(answer["schema"].as_str().unwrap()).unwrap()
    }

    /// Registers a schema under a subject of this cluster; answers its id.
    async fn register(&self, subject: &str, schema: &Value) -> u32 {
        let registry = &self.0.cluster.stack().registry;
        let url = format!("{registry}/subjects/{}{subject}/versions", self.0.cluster.prefix());
        let body = json!({ "schema": schema.to_string() });
        let http = http_client().unwrap();
        let answer = answered(http.post(url).json(&body)).await;
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        u32::try_from(answer["id"].as_u64().unwrap()).unwrap()
    }

    /// Registers the message's schema with one more field at its end.
    async fn with_field(&self, raw: &Raw, subject: &str, field: Value) -> u32 {
        let mut schema = self.of(raw).await;
        schema["fields"].as_array_mut().unwrap().push(field);
        self.register(subject, &schema).await
    }
}

fn schema_id(raw: &Raw) -> u32 {
    u32::from_be_bytes(raw.payload.as_ref().unwrap()[1..5].try_into().unwrap())
}

/// The same body, by a writer whose schema has one more field.
fn by_another_writer(raw: &Raw, id: u32) -> Raw {
    let datum = &raw.payload.as_ref().unwrap()[5..];
    let payload = [&[0][..], &id.to_be_bytes(), datum, b"\x0e"].concat();
    Raw { payload: Some(payload), ..raw.clone() }
}

fn added() -> Value {
    json!({ "name": "priority", "type": "int", "default": 5, "doc": "How urgent it is." })
}

/// What a bad message is, and what becomes of it.
struct Bad {
    name: String,
    topic: &'static str,
    raw: Raw,
    reason: &'static str,
    words: &'static str,
}

async fn bad_messages(stage: &Stage, good: &BTreeMap<&'static str, Raw>) -> Vec<Bad> {
    let schemas = Schemas(stage);
    let stranger = json!({ "type": "record", "name": "Stranger", "fields": [] });
    let foreign = schemas.register("strangers", &stranger).await;
    let nothings = json!({ "type": "array", "items": "null" });
    let mut bad = Vec::new();
    for (topic, good_one) in good {
        let field = json!({ "name": "nothings", "type": nothings, "default": [] });
        let hollow = schemas.with_field(good_one, &format!("hollow-{topic}"), field).await;
        let other = if *topic == PLACED { NotificationSent::TOPIC } else { PLACED };
        let other = schema_id(&good[other]);
        let base = Base { good: good_one.clone(), foreign, hollow, other };
        for Case(name, make, reason, words) in CASES {
            // On a topic of latest values no value is how a product ends, and the broker itself
            // refuses what has no key.
            if topic == &contract::PRODUCT_CHANGED && ["null value", "null key"].contains(name) {
                continue;
            }
            let name = format!("{name} on {topic}");
            bad.push(Bad { name, topic, raw: make(&base), reason, words });
        }
        if *topic != NotificationFailed::TOPIC {
            let id = schemas.with_field(good_one, &format!("{topic}-value"), added()).await;
            let (name, raw) =
                (format!("ce_id used before on {topic}"), by_another_writer(good_one, id));
            bad.push(Bad {
                name,
                topic,
                raw,
                reason: "reused-id",
                words: "its ce_id was used before",
            });
        }
    }
    bad
}

fn is_of(letter: &Letter, bad: &Bad) -> bool {
    let mut headers = MessageHeaders::default();
    for (name, value) in &bad.raw.headers {
        headers.push_raw(name, value.as_deref());
    }
    letter.topic == bad.topic
        && letter.key == bad.raw.key
        && letter.headers == headers.to_bytes()
        && letter.payload == bad.raw.payload
}

#[tokio::test]
async fn every_kind_of_bad_message_is_kept_as_it_came_with_its_reason_and_the_partition_goes_on() {
    let mut stage = stage::open().await;
    let good = good_messages(&stage).await;
    let bad = bad_messages(&stage, &good).await;
    // 48 kinds on each topic; two of them are none on that of latest values, and one topic has no
    // message whose id could be used again.
    assert_eq!(bad.len(), topics().count() * 48 - 3);
    raw::say(&stage.cluster.stack().brokers, bad.iter().map(|bad| bad.raw.clone()).collect()).await;

    for member in ProcessName::SERVICES {
        let mine: Vec<&Bad> = bad.iter().filter(|bad| reads(member, bad.topic)).collect();
        read::to_the_end(&stage.cluster, member).await;
        let letters = letters(&stage, member).await;
        for bad in &mine {
            let kept: Vec<&Letter> = letters.iter().filter(|letter| is_of(letter, bad)).collect();
            let [letter] = *kept else { panic!("{}: {member} keeps {}", bad.name, kept.len()) };
            let Letter { reason, detail, .. } = letter;
            let told = reason == bad.reason && detail.contains(bad.words) && !detail.is_empty();
            assert!(told, "{}: {member} says {reason}: {detail:.200}", bad.name);
        }
        assert_eq!(letters.len(), mine.len(), "{member} keeps what was not bad");
        stage.cluster.ready(member).await.unwrap();
    }
    let order = stage.place("load-0001", "tok_visa").await;
    let order = stage.history(order.id, &["notification-sent"]).await;
    assert_eq!(order.status, "confirmed");
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_writer_whose_schema_has_one_more_field_is_read_by_everybody() {
    let stage = stage::open().await;
    let good = good_messages(&stage).await;
    let schemas = Schemas(&stage);
    let mut said = Vec::new();
    for (topic, raw) in &good {
        let id = schemas.with_field(raw, &format!("{topic}-value"), added()).await;
        for at in ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
            // Nobody speaks of no order.
            if *topic != NotificationFailed::TOPIC {
                let ce_id = shared::clock::Clock::System.new_id().to_string();
                said.push(by_another_writer(raw, id).with("ce_id", &ce_id).with("ce_time", at));
            }
        }
    }
    raw::say(&stage.cluster.stack().brokers, said).await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
    for member in ProcessName::SERVICES {
        read::to_the_end(&stage.cluster, member).await;
        assert_eq!(letters(&stage, member).await, [], "{member}");
    }
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}
