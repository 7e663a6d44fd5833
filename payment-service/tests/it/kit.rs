//! Shared test kit: a database of its own, messages of the other services, workers that are
//! stepped by hand.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use contract::{
    OrderCancelled, OrderPlaced, PaymentDone, PaymentFailed, PaymentRefunded, PaymentUnderReview,
    StockReserved,
};
use payment_service::{
    MIGRATIONS,
    app::App,
    consumer::EventHandler,
    gateway::{self, GatewayClient},
    jobs::{ChargeJob, RefundJob, ResolveJob},
};
use reqwest::Url;
use secrecy::SecretString;
use shared::{
    backoff::BackoffSchedule,
    breaker::{self, CircuitBreaker},
    clock::Clock,
    codec::{self, AvroCodec, EventMeta, Record, RecordKind},
    consumer::{BatchCounts, BatchProcessor},
    db,
    effects::WorkerWakers,
    fault::Fault,
    health::ProcessHealth,
    jobs::{self, JobHandler, JobPolicy, JobWorker},
    message::{IncomingMessage, Message, MessageEnvelope, OutgoingMessage, TraceContext},
    outbox,
    sequence::SequenceWatch,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than a test machine may stall: for limits that no test is meant to reach, and as a guard
/// around operations that must end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The gateway is trusted to remember keys for this long.
pub(crate) const KEYS_KEPT: Duration = Duration::from_hours(23);

/// The total of an order here.
pub(crate) const TOTAL_MINOR: i64 = 4_200;

/// The service's inside, without its processes.
pub(crate) struct Payments {
    pub(crate) pool: PgPool,
    pub(crate) app: App,
    pub(crate) codec: AvroCodec,
    pub(crate) others: Others,
    offset: AtomicI64,
}

/// The messages of the other services.
pub(crate) struct Others(AvroCodec);

async fn codec(
    prefix: &str,
    service: &str,
    writes: &[RecordKind],
    reads: &[RecordKind],
) -> AvroCodec {
    let settings = codec::CodecSettings {
        source: contract::source(service),
        registry_url: devstack::shared().await.urls().registry.clone(),
        prefix: prefix.to_owned(),
    };
    let health = ProcessHealth::default().component("schemas");
    AvroCodec::connect(&settings, writes, reads, &health, &CancellationToken::new()).await.unwrap()
}

impl Others {
    /// As they speak under a prefix.
    pub(crate) async fn under(prefix: &str) -> Self {
        Self(codec(prefix, "others", &Self::writes(), &[]).await)
    }

    fn writes() -> [RecordKind; 3] {
        [
            RecordKind::of::<OrderPlaced>(),
            RecordKind::of::<StockReserved>(),
            RecordKind::of::<OrderCancelled>(),
        ]
    }

    pub(crate) fn say<R: Record>(&self, order_id: Uuid, record: &R) -> OutgoingMessage {
        let meta = EventMeta {
            id: Clock::System.new_id(),
            subject: order_id.to_string(),
            sequence: 1,
            at: Clock::System.now(),
            trace: Some(TraceContext::start()),
        };
        self.0.message(meta, record).unwrap()
    }

    /// An order is placed, to be paid by `method`.
    pub(crate) fn placed(&self, order_id: Uuid, method: &str) -> OutgoingMessage {
        self.placed_for(order_id, method, TOTAL_MINOR)
    }

    /// An order with this total is placed.
    pub(crate) fn placed_for(
        &self,
        order_id: Uuid,
        method: &str,
        total_minor: i64,
    ) -> OutgoingMessage {
        let now = Clock::System.now();
        let record = OrderPlaced {
            order_id,
            lines: vec![],
            total_minor,
            currency: "EUR".to_owned(),
            payment_method: method.to_owned(),
            email: "a@example.org".to_owned(),
            customer_name: None,
            placed_at: now,
            due_at: now,
        };
        self.say(order_id, &record)
    }

    pub(crate) fn reserved(&self, order_id: Uuid) -> OutgoingMessage {
        let record = StockReserved { order_id, lines: vec![], reserved_at: Clock::System.now() };
        self.say(order_id, &record)
    }

    pub(crate) fn cancelled(&self, order_id: Uuid) -> OutgoingMessage {
        let record = OrderCancelled {
            order_id,
            reason: "requested".to_owned(),
            cancelled_by: "customer".to_owned(),
            cancelled_at: Clock::System.now(),
        };
        self.say(order_id, &record)
    }
}

impl Payments {
    pub(crate) async fn start() -> Self {
        Self::start_by(Clock::System).await
    }

    /// One that lives by this clock.
    pub(crate) async fn start_by(clock: Clock) -> Self {
        let url = devstack::database("payments").await;
        let settings = db::DatabaseSettings::new(SecretString::from(url)).patient(PATIENCE);
        let pool = db::pool(&settings, "test").unwrap();
        db::migrate(&pool, &MIGRATIONS).await.unwrap();
        let prefix = devstack::unique_prefix();
        let others = Others::under(&prefix).await;
        let writes = [
            RecordKind::of::<PaymentDone>(),
            RecordKind::of::<PaymentFailed>(),
            RecordKind::of::<PaymentRefunded>(),
            RecordKind::of::<PaymentUnderReview>(),
        ];
        // What the others say is known from the start, and does not depend on how long the registry
        // takes to answer later on.
        let reads = Others::writes();
        let codec = codec(&prefix, payment_service::NAME, &writes, &reads).await;
        let app = App { codec: codec.clone(), clock };
        Self { pool, app, codec, others, offset: AtomicI64::new(0) }
    }

    /// An order whose payment stands at `charging`.
    pub(crate) async fn charging(&self, method: &str) -> Uuid {
        let order_id = Clock::System.new_id();
        self.process_batch(&[self.others.placed(order_id, method), self.others.reserved(order_id)])
            .await;
        assert_eq!(self.stage(order_id).await, "charging");
        order_id
    }

    pub(crate) fn incoming(&self, outgoing: &OutgoingMessage) -> IncomingMessage {
        IncomingMessage {
            topic: outgoing.topic.to_string(),
            partition: 0,
            offset: self.offset.fetch_add(1, Ordering::SeqCst),
            timestamp_ms: None,
            key: outgoing.key.clone(),
            headers: outgoing.headers.clone(),
            payload: outgoing.payload.clone(),
        }
    }

    pub(crate) async fn try_process_batch(
        &self,
        said: &[OutgoingMessage],
    ) -> Result<BatchCounts, Fault> {
        let parts = BatchProcessor {
            service: payment_service::NAME,
            handler: EventHandler { app: self.app.clone() },
            pool: self.pool.clone(),
            wakers: WorkerWakers::default(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        };
        let batch: Vec<_> = said.iter().map(|message| self.incoming(message)).collect();
        parts.process_batch(&batch).await
    }

    /// Takes a batch in, of which nothing is dead.
    pub(crate) async fn process_batch(&self, said: &[OutgoingMessage]) -> BatchCounts {
        let taken = self.try_process_batch(said).await.unwrap();
        assert_eq!(taken.dead, 0, "{:?}", self.dead().await);
        taken
    }

    pub(crate) async fn stage(&self, order_id: Uuid) -> String {
        sqlx::query_scalar("SELECT stage FROM payments WHERE order_id = $1")
            .bind(order_id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Kind, state and attempts of all jobs.
    pub(crate) async fn jobs(&self) -> Vec<(String, String, i32)> {
        sqlx::query_as("SELECT kind, state, attempt FROM messaging.job ORDER BY kind, key")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Lets all waits and leases be over.
    pub(crate) async fn make_due(&self) {
        sqlx::query("UPDATE messaging.job SET due_at = now() WHERE state <> 'dead'")
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Topic and `ce_sequence` of what was said of an order, in order.
    pub(crate) async fn said(&self, order_id: Uuid) -> Vec<(String, i64)> {
        self.messages(order_id)
            .await
            .into_iter()
            .map(|message| (message.incoming.topic, message.envelope.sequence))
            .collect()
    }

    /// The messages about an order, decoded as their readers decode them.
    pub(crate) async fn messages(&self, order_id: Uuid) -> Vec<Message> {
        let mut conn = self.pool.acquire().await.unwrap();
        let kept = outbox::head(&mut conn, 10_000).await.unwrap();
        kept.iter()
            .filter(|row| !row.message.topic.ends_with(".dlq"))
            .filter(|row| row.message.key == Some(order_id.to_string().into_bytes()))
            .map(|row| Message {
                envelope: MessageEnvelope::from_headers(&row.message.headers).unwrap(),
                incoming: self.incoming(&row.message),
            })
            .collect()
    }

    /// Reasons and details of the dead letters.
    pub(crate) async fn dead(&self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT reason, detail FROM messaging.dead_letter ORDER BY \"offset\"")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    fn worker<E: JobHandler>(&self, effect: E, attempts_max: Option<u32>) -> JobWorker<E> {
        let moment = Duration::from_millis(1);
        let policy = JobPolicy {
            backoff: BackoffSchedule { first: moment, factor: 1.0, cap: Duration::from_mins(1) },
            attempts_max,
            attempt_limit: PATIENCE,
            concurrency_max: 64,
            poll: moment,
        };
        self.worker_by(effect, policy)
    }

    /// A worker that works like this.
    pub(crate) fn worker_by<E: JobHandler>(&self, effect: E, policy: JobPolicy) -> JobWorker<E> {
        JobWorker::new(jobs::WorkerParts {
            service: "payment-service",
            effect,
            policy,
            pool: self.pool.clone(),
            wakers: WorkerWakers::default(),
            health: ProcessHealth::default().component("jobs"),
        })
    }

    /// A worker that charges, with three attempts.
    pub(crate) fn charges(&self, gateway_url: &str) -> JobWorker<ChargeJob> {
        self.worker(self.charge_job(gateway_url), Some(3))
    }

    pub(crate) fn charge_job(&self, gateway_url: &str) -> ChargeJob {
        ChargeJob::new(self.app.clone(), gateway(gateway_url))
    }

    /// A worker of any effect, with three attempts.
    pub(crate) fn worker_of<E: JobHandler>(&self, effect: E) -> JobWorker<E> {
        self.worker(effect, Some(3))
    }

    /// A worker that resolves, without limit.
    pub(crate) fn resolves(&self, gateway_url: &str) -> JobWorker<ResolveJob> {
        self.worker(self.resolve_job(gateway_url), None)
    }

    pub(crate) fn resolve_job(&self, gateway_url: &str) -> ResolveJob {
        ResolveJob::new(self.app.clone(), gateway(gateway_url))
    }

    /// A worker that refunds, with three attempts.
    pub(crate) fn refunds(&self, gateway_url: &str) -> JobWorker<RefundJob> {
        let effect = RefundJob::new(self.app.clone(), gateway(gateway_url));
        self.worker(effect, Some(3))
    }
}

/// A gateway's client, whose breaker never opens.
pub(crate) fn gateway(url: &str) -> GatewayClient {
    let never =
        breaker::BreakerSettings { failures: usize::MAX, ..breaker::BreakerSettings::default() };
    gateway_with(url, never)
}

/// A gateway's client with a breaker of its own.
pub(crate) fn gateway_with(url: &str, settings: breaker::BreakerSettings) -> GatewayClient {
    let breaker =
        CircuitBreaker::new("gateway", settings, ProcessHealth::default().component("gateway"));
    let settings = gateway::GatewaySettings {
        url: Url::parse(url).unwrap(),
        api_key: None,
        call_limit: PATIENCE / 2,
        keys_kept: KEYS_KEPT,
    };
    GatewayClient::new(settings, breaker).unwrap()
}
