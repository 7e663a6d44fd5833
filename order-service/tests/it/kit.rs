//! Shared test kit: a database, the app, and messages of the other services.

use std::sync::atomic::{AtomicI64, Ordering};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use order_service::{
    MIGRATIONS, NAME,
    app::App,
    commands::{CancelOrders, PlaceOrders},
    consumer::EventHandler,
    domain::{
        catalogue::{ProductDetails, ProductOffer, ProductSnapshot, Sku},
        money::{Currency, Money},
    },
    http::{self, OrderApi},
    store::{catalogue, view},
    wire,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    admission::AdmissionGate,
    batcher::{self, BatchHandler, CommandBatcher},
    clock::Clock,
    codec::{AvroCodec, EventMeta, Record, RecordKind},
    consumer::BatchProcessor,
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    http::HttpSettings,
    lifecycle::{ProcessLifecycle, StopStage},
    message::{IncomingMessage, OutgoingMessage},
    sequence::SequenceWatch,
};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
pub(crate) const PATIENCE: Duration = Duration::minutes(5);
/// How long the machine on which the tests run may be busy with something else.
pub(crate) const STANDSTILL: std::time::Duration = std::time::Duration::from_mins(5);
pub(crate) const WINDOW: Duration = Duration::minutes(30);

pub(crate) struct Shop {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) app: App,
    pub(crate) consumer: BatchProcessor<EventHandler>,
    pub(crate) api: Router,
    life: ProcessLifecycle,
    /// The codec of the other services.
    others: AvroCodec,
    pub(crate) prefix: String,
    offset: AtomicI64,
}

impl Shop {
    /// A shop that sells tea for 250 and cups for 1000 cents, whose clock stands still.
    pub(crate) async fn open() -> Self {
        let clock = Clock::fixed(NOW);
        let pool = pool().await;
        let prefix = devstack::unique_prefix();
        // The others register first: then this service knows their schemas from the start, and does
        // not depend on how long the registry takes to answer later on.
        let others = codec(&prefix, "others", &wire::reads(), &[]).await;
        let app = App {
            codec: codec(&prefix, NAME, &wire::writes(), &wire::reads()).await,
            clock: clock.clone(),
        };
        let consumer = BatchProcessor {
            service: NAME,
            handler: EventHandler { app: app.clone() },
            pool: pool.clone(),
            wakers: WorkerWakers::default(),
            clock: clock.clone(),
            watch: SequenceWatch::default(),
        };
        let life = ProcessLifecycle::new(STANDSTILL);
        let api = api(&life, &pool, &app, patient());
        let offset = AtomicI64::new(0);
        let shop = Self { pool, clock, app, consumer, api, life, others, prefix, offset };
        shop.offer("tea", 250, "EUR", true).await;
        shop.offer("cup", 1_000, "EUR", true).await;
        shop
    }

    /// A reader of this service's messages.
    pub(crate) async fn reader(&self) -> AvroCodec {
        codec(&self.prefix, "reader", &[], &wire::writes()).await
    }

    /// The same shop in another process: the same database, its own API.
    pub(crate) fn branch(&self) -> Router {
        api(&self.life, &self.pool, &self.app, patient())
    }

    /// A branch that waits for a lock no longer than the service itself does.
    pub(crate) fn hasty_branch(&self) -> Router {
        let lock_limit = batcher::BatcherSettings::default().lock_limit;
        api(&self.life, &self.pool, &self.app, batcher::BatcherSettings { lock_limit, ..patient() })
    }

    /// Asks for a new order under a key.
    pub(crate) async fn post(&self, key: &str, body: &Value) -> Reply {
        ask(&self.api, order_request(key, body)).await
    }

    /// Asks without a body.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Reply {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        ask(&self.api, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path).await
    }

    pub(crate) async fn cancel(&self, order_id: Uuid) -> Reply {
        self.ask(Method::POST, &format!("/orders/{order_id}/cancel")).await
    }

    /// Whether a transaction waits for another one's lock.
    pub(crate) async fn somebody_waits(&self) -> bool {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// How many orders there are.
    pub(crate) async fn count(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&self.pool).await.unwrap()
    }

    /// Puts a product on offer.
    pub(crate) async fn offer(&self, sku: &str, minor: i64, currency: &str, active: bool) {
        let price = Money::new(minor, Currency::parse(currency).unwrap()).unwrap();
        let product = ProductDetails {
            name: sku.to_owned(),
            offer: ProductOffer { price, active },
            changed_at: NOW,
        };
        let word =
            ProductSnapshot { sku: Sku::parse(sku).unwrap(), sequence: 1, product: Some(product) };
        let mut conn = self.pool.acquire().await.unwrap();
        catalogue::learn(&mut conn, &[&word]).await.unwrap();
    }

    /// A message of another service about an order.
    pub(crate) fn said_of<R: Record>(&self, order_id: Uuid, record: &R) -> OutgoingMessage {
        self.others.message(self.meta(&order_id.to_string(), 1), record).unwrap()
    }

    /// The same message, decoded.
    pub(crate) fn say<R: Record>(&self, order_id: Uuid, record: &R) -> IncomingMessage {
        self.read(&self.said_of(order_id, record))
    }

    /// A message of another service under that subject, decoded.
    pub(crate) fn message<R: Record>(&self, subject: &str, n: i64, record: &R) -> IncomingMessage {
        self.read(&self.others.message(self.meta(subject, n), record).unwrap())
    }

    /// A message of another service about a removed product.
    pub(crate) fn tombstone(&self, sku: &str, n: i64) -> IncomingMessage {
        self.read(&self.others.tombstone::<contract::ProductChanged>(self.meta(sku, n)))
    }

    fn meta(&self, subject: &str, sequence: i64) -> EventMeta {
        EventMeta {
            id: self.clock.new_id(),
            subject: subject.to_owned(),
            sequence,
            at: self.clock.now(),
            trace: None,
        }
    }

    /// A message as it is read from its topic.
    pub(crate) fn read(&self, outgoing: &OutgoingMessage) -> IncomingMessage {
        IncomingMessage {
            topic: outgoing.topic.to_string(),
            partition: 0,
            offset: self.offset.fetch_add(1, Ordering::Relaxed),
            timestamp_ms: None,
            key: outgoing.key.clone(),
            headers: outgoing.headers.clone(),
            payload: outgoing.payload.clone(),
        }
    }

    /// The stage of an order, and its reason.
    pub(crate) async fn stands(&self, order_id: Uuid) -> String {
        let mut conn = self.pool.acquire().await.unwrap();
        let (stage, reason): (String, Option<String>) =
            sqlx::query_as("SELECT stage, reason FROM orders WHERE order_id = $1")
                .bind(order_id)
                .fetch_one(&mut *conn)
                .await
                .unwrap();
        reason.map_or_else(|| stage.clone(), |reason| format!("{stage}: {reason}"))
    }

    /// The history of an order, oldest entry first.
    pub(crate) async fn history(&self, order_id: Uuid) -> Vec<String> {
        let mut conn = self.pool.acquire().await.unwrap();
        let entries = view::history(&mut conn, order_id).await.unwrap();
        entries
            .into_iter()
            .map(|entry| {
                let facts = serde_json::to_string(&entry.facts).unwrap();
                if facts == "{}" { entry.what } else { format!("{}: {facts}", entry.what) }
            })
            .collect()
    }

    /// The outbox entries of that key: topic and number.
    pub(crate) async fn said(&self, order_id: Uuid) -> Vec<(String, i64)> {
        let mut conn = self.pool.acquire().await.unwrap();
        let kept = shared::outbox::head(&mut conn, 10_000).await.unwrap();
        let key = order_id.to_string().into_bytes();
        kept.into_iter()
            .filter(|row| row.message.key.as_ref() == Some(&key))
            .map(|row| {
                let sequence = row.message.headers.text("ce_sequence").unwrap().unwrap();
                (row.message.topic.to_string(), sequence.parse().unwrap())
            })
            .collect()
    }

    /// The dead letters: reason and detail.
    pub(crate) async fn dead(&self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT reason, detail FROM messaging.dead_letter ORDER BY \"offset\"")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Reply {
    /// The body, if it is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// A header as text; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> Uuid {
        self.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// The kind of problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A body that is accepted: two teas for 500 cents.
pub(crate) fn two_teas() -> Value {
    json!({
        "lines": [{ "sku": "tea", "quantity": 2 }],
        "currency": "EUR",
        "payment_method": "tok_visa",
        "customer": { "email": "ada@example.org", "name": "Ada" },
    })
}

/// A request for a new order.
pub(crate) fn order_request(key: &str, body: &Value) -> Request<Body> {
    Request::post("/orders")
        .header("idempotency-key", key)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// Sends a request and reads the whole answer.
pub(crate) async fn ask(api: &Router, request: Request<Body>) -> Reply {
    let response = api.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, bytes }
}

/// A batcher whose limits are not reached when the machine is busy.
fn patient() -> batcher::BatcherSettings {
    let (transaction_limit, lock_limit) = (STANDSTILL, STANDSTILL);
    batcher::BatcherSettings {
        transaction_limit,
        lock_limit,
        ..batcher::BatcherSettings::default()
    }
}

/// The largest total of an order here.
pub(crate) const TOTAL_MAX: i64 = 99_999_999;

/// The API of one process.
fn api(
    life: &ProcessLifecycle,
    pool: &PgPool,
    app: &App,
    settings: batcher::BatcherSettings,
) -> Router {
    let placing = PlaceOrders { app: app.clone(), patience: PATIENCE, total_max: TOTAL_MAX };
    let placing = batcher(life, pool, placing, settings);
    let cancelling = CancelOrders { app: app.clone(), window: WINDOW };
    let cancelling = batcher(life, pool, cancelling, settings);
    let limits = HttpSettings { request_limit: 2 * STANDSTILL, ..HttpSettings::default() };
    http::router(OrderApi::new(pool.clone(), placing, cancelling), &limits)
}

fn batcher<B: BatchHandler>(
    life: &ProcessLifecycle,
    pool: &PgPool,
    batch: B,
    settings: batcher::BatcherSettings,
) -> CommandBatcher<B> {
    let (pool, wakers, gate) = (pool.clone(), WorkerWakers::default(), AdmissionGate::default());
    let parts = batcher::BatcherParts { name: "test", batch, pool, wakers, gate };
    let (batcher, worker) = CommandBatcher::new(parts, settings);
    life.start(StopStage::Work, "batcher", |stop| worker.run(stop));
    batcher
}

async fn pool() -> PgPool {
    let url = devstack::database("orders").await;
    let settings = db::DatabaseSettings::new(SecretString::from(url)).patient(STANDSTILL);
    let pool = db::pool(&settings, "test").unwrap();
    db::migrate(&pool, &MIGRATIONS).await.unwrap();
    pool
}

async fn codec(
    prefix: &str,
    service: &str,
    writes: &[RecordKind],
    reads: &[RecordKind],
) -> AvroCodec {
    let settings = shared::codec::CodecSettings {
        source: contract::source(service),
        registry_url: devstack::shared().await.urls().registry.clone(),
        prefix: prefix.to_owned(),
    };
    let health = ProcessHealth::default().component("codec");
    AvroCodec::connect(&settings, writes, reads, &health, &CancellationToken::new()).await.unwrap()
}
