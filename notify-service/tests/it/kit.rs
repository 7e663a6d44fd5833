//! Shared test kit: a database, messages of the other services, the mail worker.

use std::time::Duration;

use contract::{
    NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderPlaced,
    PaymentRefunded,
};
use devstack::until;
use notify_service::{
    MIGRATIONS, NAME,
    app::App,
    consumer::EventHandler,
    jobs::email::{EmailJob, SmtpClient, SmtpServer, SmtpSettings, StepLimits},
    request::NotificationRequest,
};
use secrecy::SecretString;
use shared::{
    backoff::BackoffSchedule,
    clock::Clock,
    codec::{self, AvroCodec, EventMeta, Record, RecordKind},
    consumer::{BatchCounts, BatchProcessor, MessageHandler as _},
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    jobs::{self, DoubtLimit, JobPolicy, JobWorker},
    message::{
        IncomingMessage, Message, MessageEnvelope, MessageHeaders, OutgoingMessage, TraceContext,
    },
    sequence::SequenceWatch,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longer than a test machine may stall: for limits that no test is meant to reach.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The service without Kafka: its database, its incoming and its outgoing messages.
pub(crate) struct TestService {
    pub(crate) pool: PgPool,
    pub(crate) app: App,
    shop: AvroCodec,
    parts: BatchProcessor<EventHandler>,
}

/// How a worker is set up.
pub(crate) struct Setup {
    pub(crate) server: SmtpServer,
    pub(crate) limits: StepLimits,
    pub(crate) attempts_max: u32,
    pub(crate) stopping: CancellationToken,
}

impl Setup {
    /// With the limits of a service, for this server.
    pub(crate) fn to(smtp: &str) -> Self {
        Self {
            server: SmtpServer::parse(&format!("smtp://{smtp}")).unwrap(),
            limits: StepLimits::RFC_5321,
            attempts_max: 3,
            stopping: CancellationToken::new(),
        }
    }
}

/// One limit for each step.
pub(crate) fn each(limit: Duration) -> StepLimits {
    StepLimits {
        connect: limit,
        greeting: limit,
        hello: limit,
        sender: limit,
        recipient: limit,
        data: limit,
        block: limit,
        end: limit,
        reset: limit,
    }
}

/// A customer's order, and the other services' messages about it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) email: String,
}

impl Order {
    /// An order of Ada's.
    pub(crate) fn new() -> Self {
        Self::of("Ada")
    }

    /// An order of somebody who calls themselves so.
    pub(crate) fn of(name: &str) -> Self {
        let id = Clock::System.new_id();
        let email = format!("{}@example.org", id.simple());
        Self { id, name: Some(name.to_owned()), email }
    }

    pub(crate) fn placed(&self) -> OrderPlaced {
        let now = Clock::System.now();
        OrderPlaced {
            order_id: self.id,
            lines: vec![],
            total_minor: 1_250,
            currency: "EUR".to_owned(),
            payment_method: "tok_visa".to_owned(),
            email: self.email.clone(),
            customer_name: self.name.clone(),
            placed_at: now,
            due_at: now + Duration::from_mins(5),
        }
    }

    pub(crate) fn confirmed(&self) -> OrderConfirmed {
        OrderConfirmed {
            order_id: self.id,
            total_minor: 1_250,
            currency: "EUR".to_owned(),
            confirmed_at: Clock::System.now(),
        }
    }

    pub(crate) fn cancelled(&self) -> OrderCancelled {
        OrderCancelled {
            order_id: self.id,
            reason: "out-of-stock".to_owned(),
            cancelled_by: "system".to_owned(),
            cancelled_at: Clock::System.now(),
        }
    }

    pub(crate) fn refunded(&self) -> PaymentRefunded {
        PaymentRefunded {
            order_id: self.id,
            refund_id: "re_1".to_owned(),
            amount_minor: 1_250,
            currency: "EUR".to_owned(),
            refunded_at: Clock::System.now(),
        }
    }

    /// The name of its mail of that kind.
    pub(crate) fn message_id(&self, kind: &str) -> String {
        format!("{}.{kind}.email@shop.example", self.id)
    }
}

/// A codec that says and reads everything that is said around here.
pub(crate) async fn codec(service: &str, prefix: &str) -> AvroCodec {
    let settings = codec::CodecSettings {
        source: contract::source(service),
        registry_url: devstack::shared().await.urls().registry.clone(),
        prefix: prefix.to_owned(),
    };
    let all = [
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<OrderConfirmed>(),
        RecordKind::of::<OrderCancelled>(),
        RecordKind::of::<PaymentRefunded>(),
        RecordKind::of::<NotificationSent>(),
        RecordKind::of::<NotificationFailed>(),
    ];
    let health = ProcessHealth::default().component("schemas");
    AvroCodec::connect(&settings, &all, &all, &health, &CancellationToken::new()).await.unwrap()
}

/// A message about an order, as the other services say it.
pub(crate) fn say<R: Record>(shop: &AvroCodec, order: &Order, record: &R) -> OutgoingMessage {
    let meta = EventMeta {
        id: Clock::System.new_id(),
        subject: order.id.to_string(),
        sequence: 1,
        at: Clock::System.now(),
        trace: Some(TraceContext::start()),
    };
    shop.message(meta, record).unwrap()
}

impl TestService {
    /// A test kit of its own: an empty database, registry subjects that no other test uses.
    pub(crate) async fn open() -> Self {
        let url = SecretString::from(devstack::database("notify").await);
        let pool = db::pool(&db::DatabaseSettings::new(url).patient(PATIENCE), "test").unwrap();
        db::migrate(&pool, &MIGRATIONS).await.unwrap();
        let prefix = devstack::unique_prefix();
        let mail_domain = "shop.example".to_owned();
        let app = App { codec: codec(NAME, &prefix).await, clock: Clock::System, mail_domain };
        let parts = BatchProcessor {
            service: NAME,
            handler: EventHandler { app: app.clone() },
            pool: pool.clone(),
            wakers: WorkerWakers::default(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        };
        Self { pool, app, shop: codec("shop", &prefix).await, parts }
    }

    /// A message of the other services, as consumed.
    pub(crate) fn incoming<R: Record>(&self, order: &Order, record: &R) -> IncomingMessage {
        let said = say(&self.shop, order, record);
        let offset = i64::from(number_of(said.id));
        IncomingMessage {
            topic: said.topic.into_owned(),
            partition: 0,
            offset,
            timestamp_ms: None,
            key: said.key,
            headers: said.headers,
            payload: said.payload,
        }
    }

    /// The request of a message.
    pub(crate) async fn addressed<R: Record>(
        &self,
        order: &Order,
        record: &R,
    ) -> NotificationRequest {
        let incoming = self.incoming(order, record);
        let envelope = MessageEnvelope::from_headers(&incoming.headers).unwrap();
        let (handler, trace) = (&self.parts.handler, envelope.trace.clone());
        let input = handler.decode(&Message { incoming, envelope }).await.unwrap();
        input.request(handler.app.clock.now(), trace)
    }

    /// Waits until a transaction of this database waits for another one's lock.
    pub(crate) async fn somebody_waits(&self) {
        until("somebody waits for a lock", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&self.pool)
            .await
            .unwrap();
            waiting > 0
        })
        .await;
    }

    pub(crate) async fn consumes<R: Record>(&self, order: &Order, record: &R) {
        self.consumes_batch(&[self.incoming(order, record)]).await;
    }

    /// Consumes a message that becomes a dead letter.
    pub(crate) async fn refuses<R: Record>(&self, order: &Order, record: &R) {
        let taken = self.parts.process_batch(&[self.incoming(order, record)]).await.unwrap();
        assert_eq!(taken, BatchCounts { dead: 1, ..BatchCounts::default() });
    }

    /// Consumes several messages in one batch.
    pub(crate) async fn consumes_batch(&self, batch: &[IncomingMessage]) {
        let taken = self.parts.process_batch(batch).await.unwrap();
        assert_eq!(taken, BatchCounts { fresh: batch.len(), ..BatchCounts::default() });
    }

    /// A worker whose mails go to `smtp`, each attempt due at once.
    pub(crate) fn worker(&self, smtp: &str) -> JobWorker<EmailJob> {
        self.worker_of(Setup::to(smtp))
    }

    /// The same, for a server that may take so long for each step.
    pub(crate) fn worker_within(&self, smtp: &str, step_limit: Duration) -> JobWorker<EmailJob> {
        self.worker_of(Setup { limits: each(step_limit), ..Setup::to(smtp) })
    }

    /// A worker that is set up like this.
    pub(crate) fn worker_of(&self, setup: Setup) -> JobWorker<EmailJob> {
        let Setup { server, limits, attempts_max, stopping } = setup;
        let hello_name = "shop.example".to_owned();
        let settings = SmtpSettings { server, hello_name, limits, parked_max: 4 };
        let smtp = SmtpClient::new(settings, stopping);
        let from = "Shop <orders@shop.example>".parse().unwrap();
        let backoff = BackoffSchedule { first: Duration::ZERO, factor: 1.0, cap: Duration::ZERO };
        let doubts = DoubtLimit { max: 3, pause: Duration::ZERO };
        JobWorker::new(jobs::WorkerParts {
            service: "notify-service",
            effect: EmailJob { app: self.app.clone(), from, smtp, doubts },
            policy: JobPolicy {
                backoff,
                attempts_max: Some(attempts_max),
                attempt_limit: limits.attempt(),
                concurrency_max: 16,
                poll: Duration::from_millis(20),
            },
            pool: self.pool.clone(),
            wakers: WorkerWakers::default(),
            health: ProcessHealth::default().component("mail"),
        })
    }

    /// A worker whose mails go to the real mail server.
    pub(crate) async fn mailer(&self) -> JobWorker<EmailJob> {
        self.worker(&devstack::shared().await.urls().smtp)
    }

    /// The kind and stage of each of the order's notices.
    pub(crate) async fn stages(&self, order: &Order) -> Vec<(String, String)> {
        sqlx::query_as("SELECT kind, stage FROM notices WHERE order_id = $1 ORDER BY kind")
            .bind(order.id)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The order's messages so far, decoded as receivers do: topic, sequence and record.
    pub(crate) async fn said(&self, order: &Order) -> Vec<Said> {
        let kept: Vec<(String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT topic, headers, payload FROM messaging.outbox WHERE key = $1
             ORDER BY outbox_id",
        )
        .bind(order.id.to_string().into_bytes())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut all = Vec::new();
        for (topic, headers, payload) in kept {
            let headers = MessageHeaders::from_bytes(&headers).unwrap();
            let envelope = MessageEnvelope::from_headers(&headers).unwrap();
            let sequence = envelope.sequence;
            let (key, payload) = (None, Some(payload));
            let (partition, offset, timestamp_ms) = (0, 0, None);
            let incoming = IncomingMessage {
                topic: topic.clone(),
                partition,
                offset,
                timestamp_ms,
                key,
                headers,
                payload,
            };
            let message = Message { incoming, envelope };
            let word = if topic == NotificationSent::TOPIC {
                let record: NotificationSent = self.shop.decode(&message).await.unwrap();
                (record.kind, record.message_id)
            } else {
                let record: NotificationFailed = self.shop.decode(&message).await.unwrap();
                (record.kind, record.reason)
            };
            all.push(Said { topic, sequence, kind: word.0, detail: word.1 });
        }
        all
    }

    /// Why the last attempts of the jobs that are left failed.
    pub(crate) async fn failures(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT coalesce(last_error, '') FROM messaging.job ORDER BY key")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Jobs that are left.
    pub(crate) async fn jobs(&self) -> Vec<(String, bool)> {
        sqlx::query_as("SELECT state, in_doubt FROM messaging.job ORDER BY key")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// When the leases of what is performed end.
    pub(crate) async fn leases_end(&self) -> Option<time::OffsetDateTime> {
        let end = "SELECT max(due_at) FROM messaging.job WHERE state = 'performing'";
        sqlx::query_scalar(end).fetch_one(&self.pool).await.unwrap()
    }

    /// The lease of every job that is performed ends now, as if time had passed.
    pub(crate) async fn end_leases(&self) {
        sqlx::query("UPDATE messaging.job SET due_at = now()").execute(&self.pool).await.unwrap();
    }
}

/// A message that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) topic: String,
    pub(crate) sequence: i64,
    pub(crate) kind: String,
    /// The `Message-ID`, or why it failed.
    pub(crate) detail: String,
}

/// A number that no other message of a test has, from its id.
fn number_of(id: Uuid) -> u32 {
    u32::try_from(id.as_u128() & u128::from(u32::MAX)).unwrap()
}
