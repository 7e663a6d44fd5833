//! Shared test kit: the service with its own database, and messages as order-service sends them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use contract::{
    OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced, ProductChanged, StockRejected,
    StockReleased, StockReserved,
};
use inventory_service::{
    MIGRATIONS, NAME,
    app::App,
    consumer::EventHandler,
    domain::{
        inventory::InventoryCommand,
        naming::{Quantity, Sku},
        product::{self, ProductOffer},
    },
    request::StockRequest,
};
use secrecy::SecretString;
use shared::{
    clock::Clock,
    codec::{self, AvroCodec, EventMeta, Record, RecordKind},
    consumer::BatchProcessor,
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    message::{IncomingMessage, Message, MessageEnvelope, OutgoingMessage, TraceContext},
    outbox,
    sequence::SequenceWatch,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than a test machine may stall: for limits that no test is meant to reach.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The parts of inventory-service over their own database.
pub(crate) struct TestService {
    pub(crate) pool: PgPool,
    pub(crate) app: App,
    pub(crate) database_url: String,
    /// The prefix of the topics' names.
    pub(crate) prefix: String,
    /// The codec of order-service.
    order_service: AvroCodec,
}

impl TestService {
    pub(crate) async fn new() -> Arc<Self> {
        let url = devstack::database("inventory").await;
        let settings = db::DatabaseSettings::new(SecretString::from(url.clone())).patient(PATIENCE);
        let pool = db::pool(&settings, "test").unwrap();
        db::migrate(&pool, &MIGRATIONS).await.unwrap();
        let prefix = devstack::unique_prefix();
        let reads = [
            RecordKind::of::<OrderPlaced>(),
            RecordKind::of::<OrderConfirmed>(),
            RecordKind::of::<OrderCancelled>(),
        ];
        let writes = [
            RecordKind::of::<StockReserved>(),
            RecordKind::of::<StockRejected>(),
            RecordKind::of::<StockReleased>(),
            RecordKind::of::<ProductChanged>(),
        ];
        // A codec that connects knows the schemas of those that connected before, and does
        // not depend on how long the registry takes to answer later on.
        codec("order-service", &prefix, &reads, &[]).await;
        Arc::new(Self {
            pool,
            database_url: url,
            app: App { codec: codec(NAME, &prefix, &writes, &reads).await, clock: Clock::System },
            order_service: codec("order-service", &prefix, &reads, &writes).await,
            prefix,
        })
    }

    /// A message handler; each call makes another consumer.
    pub(crate) fn consumer(&self) -> BatchProcessor<EventHandler> {
        BatchProcessor {
            service: NAME,
            handler: EventHandler { app: self.app.clone() },
            pool: self.pool.clone(),
            wakers: WorkerWakers::default(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        }
    }

    /// Creates products with the given stock.
    pub(crate) async fn stock(&self, products: &[(&str, i32)]) {
        let requests: Vec<StockRequest> = products
            .iter()
            .map(|(sku, count)| StockRequest { command: introduce(sku, *count), trace: None })
            .collect();
        self.execute(&requests).await;
    }

    /// Restocks each product by the given quantity.
    pub(crate) async fn deliver(&self, skus: &[&str], count: i32) {
        let quantity = Quantity::new(count).unwrap();
        let request = |text: &&str| {
            let command = product::ProductCommand::Restock { quantity };
            StockRequest {
                command: InventoryCommand::Product { sku: sku(text), command },
                trace: None,
            }
        };
        self.execute(&skus.iter().map(request).collect::<Vec<_>>()).await;
    }

    async fn execute(&self, requests: &[StockRequest]) {
        let mut tx = db::begin(&self.pool).await.unwrap();
        let outcome = self.app.execute(&mut tx, requests).await.unwrap();
        drop(outcome.effects.save(&mut tx, &WorkerWakers::default()).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// An order was placed.
    pub(crate) fn placed(&self, order: Uuid, lines: &[(&str, i32)]) -> IncomingMessage {
        incoming(self.say_placed(order, lines))
    }

    /// The same, as order-service would publish it.
    pub(crate) fn say_placed(&self, order: Uuid, lines: &[(&str, i32)]) -> OutgoingMessage {
        let now = Clock::System.now();
        let lines = lines.iter().map(|(sku, quantity)| OrderLine {
            sku: (*sku).to_owned(),
            quantity: *quantity,
            unit_price_minor: 100,
        });
        let record = OrderPlaced {
            order_id: order,
            lines: lines.collect(),
            total_minor: 100,
            currency: "EUR".to_owned(),
            payment_method: "tok_ok".to_owned(),
            email: "ada@example.com".to_owned(),
            customer_name: None,
            placed_at: now,
            due_at: now,
        };
        self.order_service.message(meta(order, 1), &record).unwrap()
    }

    /// An order was confirmed.
    pub(crate) fn confirmed(&self, order: Uuid) -> IncomingMessage {
        incoming(self.say_confirmed(order))
    }

    /// The same, as order-service would publish it.
    pub(crate) fn say_confirmed(&self, order: Uuid) -> OutgoingMessage {
        let record = OrderConfirmed {
            order_id: order,
            total_minor: 100,
            currency: "EUR".to_owned(),
            confirmed_at: Clock::System.now(),
        };
        self.order_service.message(meta(order, 2), &record).unwrap()
    }

    /// An order was cancelled.
    pub(crate) fn cancelled(&self, order: Uuid) -> IncomingMessage {
        incoming(self.say_cancelled(order))
    }

    /// The same, as order-service would publish it.
    pub(crate) fn say_cancelled(&self, order: Uuid) -> OutgoingMessage {
        let record = OrderCancelled {
            order_id: order,
            reason: "requested".to_owned(),
            cancelled_by: "customer".to_owned(),
            cancelled_at: Clock::System.now(),
        };
        self.order_service.message(meta(order, 3), &record).unwrap()
    }

    /// All messages in the outbox that are not published yet, oldest first.
    pub(crate) async fn said(&self) -> Vec<OutgoingMessage> {
        let mut conn = self.pool.acquire().await.unwrap();
        let kept = outbox::head(&mut conn, 10_000).await.unwrap();
        kept.into_iter().map(|row| row.message).collect()
    }

    /// A message of this service, decoded as order-service decodes it.
    pub(crate) async fn read<R: Record>(&self, outgoing: &OutgoingMessage) -> R {
        let envelope = envelope(outgoing);
        let message = Message { incoming: incoming(outgoing.clone()), envelope };
        self.order_service.decode(&message).await.unwrap()
    }

    /// (available, reserved, sold) of a product.
    pub(crate) async fn counts(&self, sku: &str) -> (i64, i64, i64) {
        sqlx::query_as("SELECT available, reserved, sold FROM products WHERE sku = $1")
            .bind(sku)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The stage of each reservation.
    pub(crate) async fn stages(&self) -> BTreeMap<Uuid, String> {
        let rows: Vec<(Uuid, String)> = sqlx::query_as("SELECT order_id, stage FROM reservations")
            .fetch_all(&self.pool)
            .await
            .unwrap();
        rows.into_iter().collect()
    }

    /// The reasons in the dead letters, in the order in which they came.
    pub(crate) async fn dead(&self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT reason, detail FROM messaging.dead_letter ORDER BY \"offset\"")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Checks, in the database alone, that stock adds up and that what products say is held is what
    /// reservations hold.
    pub(crate) async fn assert_adds_up(&self) {
        let wrong: Vec<String> = sqlx::query_scalar(
            "WITH held AS (
                 SELECT key AS sku,
                        coalesce(sum(value::bigint) FILTER (WHERE stage = 'reserved'), 0) AS reserved,
                        coalesce(sum(value::bigint) FILTER (WHERE stage = 'sold'), 0) AS sold
                 FROM reservations, jsonb_each_text(lines) GROUP BY key
             )
             SELECT sku FROM products LEFT JOIN held USING (sku)
             WHERE products.available + products.reserved + products.sold <> products.stocked
                OR least(products.available, products.reserved, products.sold) < 0
                OR products.reserved <> coalesce(held.reserved, 0)
                OR products.sold <> coalesce(held.sold, 0)",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        assert_eq!(wrong, Vec::<String>::new(), "stock does not add up");
    }
}

/// The metadata of a message about an order.
fn meta(order: Uuid, sequence: i64) -> EventMeta {
    EventMeta {
        id: Clock::System.new_id(),
        subject: order.to_string(),
        sequence,
        at: Clock::System.now(),
        trace: Some(TraceContext::start()),
    }
}

async fn codec(
    service: &'static str,
    prefix: &str,
    writes: &[RecordKind],
    reads: &[RecordKind],
) -> AvroCodec {
    let settings = codec::CodecSettings {
        source: contract::source(service),
        registry_url: devstack::shared().await.urls().registry.clone(),
        prefix: prefix.to_owned(),
    };
    let health = ProcessHealth::default().component("registry");
    let stop = CancellationToken::new();
    AvroCodec::connect(&settings, writes, reads, &health, &stop).await.unwrap()
}

/// A message as consumed, each with an offset of its own.
fn incoming(outgoing: OutgoingMessage) -> IncomingMessage {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    IncomingMessage {
        topic: outgoing.topic.into_owned(),
        partition: 0,
        offset: OFFSET.fetch_add(1, Ordering::Relaxed),
        timestamp_ms: None,
        key: outgoing.key,
        headers: outgoing.headers,
        payload: outgoing.payload,
    }
}

pub(crate) fn envelope(outgoing: &OutgoingMessage) -> MessageEnvelope {
    MessageEnvelope::from_headers(&outgoing.headers).unwrap()
}

/// (topic, key, `ce_sequence`) of a message.
pub(crate) fn outside(outgoing: &OutgoingMessage) -> (String, String, i64) {
    let envelope = envelope(outgoing);
    (outgoing.topic.to_string(), envelope.subject, envelope.sequence)
}

pub(crate) fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

pub(crate) fn introduce(text: &str, count: i32) -> InventoryCommand {
    let offer = ProductOffer::new(text.to_owned(), 100, "EUR".to_owned(), true).unwrap();
    let command = product::ProductCommand::Introduce { offer, quantity: Quantity::new(count) };
    InventoryCommand::Product { sku: sku(text), command }
}

/// An order of its own.
pub(crate) fn new_order() -> Uuid {
    Clock::System.new_id()
}
