//! The common start of every service.
//!
//! ```text
//! admin server ──> database ──> topics ──> schemas ──> relay, watcher, housekeeping ──> the service's parts ──> public server
//! ```
//!
//! The admin server starts first, so that it answers while the rest waits for the database, the
//! broker and the registry. Each of these three may start later, and each may restart.
//!
//! A service [starts](ServiceBuilder::start) these parts, adds its own, and
//! [opens](ServiceBuilder::open_server) its public server at the end.
//!
//! **Architecture invariant:** no work is sent here before all parts have started: the process is
//! not ready from its first answer on until its public server listens.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use sqlx::{PgPool, migrate::Migrator};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{AdmissionGate, BacklogWatcher},
    batcher::{self, BatchHandler, CommandBatcher},
    clock::Clock,
    codec::{self, AvroCodec, RecordKind},
    config::{InvalidSetting, ServiceSettings},
    consumer::{self, GroupConsumer, MessageHandler},
    db,
    dead_letter::{DeadLetterAdmin, LetterSampler},
    dependency::{self, WaitOutcome},
    effects::WorkerWakers,
    health::HealthComponent,
    housekeeping::{self, HousekeepingTask},
    http::{self, AdminRoutes, ProblemPage, bind, serve},
    jobs::{self, JobHandler, JobPolicy, JobSampler, JobWorker},
    lag::{self, GroupLag},
    lifecycle::{ProcessLifecycle, StopStage},
    message::TraceParent,
    relay::{self, KafkaPublisher, OutboxRelay},
    sampled_metrics::{MetricSampler, SamplerLoop},
    sequence::SequenceWatch,
    telemetry::{self, MetricsHandle, ProcessMetrics, spans},
    topics::{self, TopicSpec},
};

/// Messages that the relay publishes at once, at most.
const RELAY_BATCH_MAX: usize = 1_000;
/// Measurements wait this long to be sorted into their buckets, if nobody asks.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
/// The outbox is looked at this often, whether the relay was woken or not.
const RELAY_POLL: Duration = Duration::from_millis(500);
/// One statement of the relay may take this long.
const RELAY_STATEMENT_LIMIT: Duration = Duration::from_secs(20);
/// What is in the outbox when the process is to stop may go out for this long.
const RELAY_STOP_GRACE: Duration = Duration::from_millis(1_500);

/// The definition of a service, given before it starts.
#[derive(Debug)]
pub struct ServiceSpec {
    /// Its name: its consumer group, its source, the prefix of its dead-letter topic.
    pub name: &'static str,
    /// Its settings, as far as every service has them.
    pub common: ServiceSettings,
    /// The migrations of the service's own tables.
    pub migrations: &'static Migrator,
    /// The `ce_source` of its messages.
    pub source: String,
    /// The topics of the whole system: each service creates those that are missing.
    pub topics: &'static [TopicSpec],
    /// The records that the service sends.
    pub writes: Vec<RecordKind>,
    /// The records that the service reads.
    pub reads: Vec<RecordKind>,
    /// The pages behind the problems that only this service has.
    pub pages: &'static [ProblemPage],
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A setting cannot be.
    #[error("a setting cannot be")]
    Settings(#[from] InvalidSetting),
    /// An address cannot be listened at.
    #[error("an address cannot be listened at")]
    Listen(#[from] io::Error),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    /// The topics are not as declared.
    #[error("the topics are not as declared")]
    Topics(#[from] topics::TopicError),
    /// Spans cannot be exported.
    #[error("traces cannot leave")]
    Spans(#[from] spans::SpanError),
    /// The schemas cannot be registered or read.
    #[error("the schemas cannot be agreed upon")]
    Codec(#[from] codec::CodecError),
    /// The consumer cannot be made.
    #[error("the consumer cannot be made")]
    Consumer(#[from] consumer::ConsumerError),
    /// It was told to stop while it waited.
    #[error("told to stop while waiting for the database")]
    Stopped,
}

/// Where a service that runs can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAddresses {
    /// The bound address of the public API.
    pub http: SocketAddr,
    /// The bound address of the admin server.
    pub admin: SocketAddr,
}

/// What the parts of a service have in common, and how they are started.
#[derive(Debug)]
pub struct ServiceBuilder {
    spec: ServiceSpec,
    life: ProcessLifecycle,
    pool: PgPool,
    codec: AvroCodec,
    wakers: WorkerWakers,
    gate: AdmissionGate,
    limits: http::HttpSettings,
    admin: SocketAddr,
    admin_routes: AdminRoutes,
    http_component: HealthComponent,
    letters: DeadLetterAdmin,
    operators: http::OperatorRoutes,
}

/// What has to be there before anything can be started, each with its word in the health.
struct StartupComponents {
    database: HealthComponent,
    topics: HealthComponent,
    schemas: HealthComponent,
}

/// Sends spans to a collector, if there is one.
fn start_tracing(spec: &ServiceSpec) -> Result<(), spans::SpanError> {
    TraceParent::record_share(spec.common.trace_share);
    match spec.common.otlp_endpoint.as_deref() {
        None | Some("") => Ok(()),
        Some(endpoint) => spans::export(&spans::SpanSettings {
            endpoint: endpoint.to_owned(),
            service: spec.name,
        }),
    }
}

impl ServiceBuilder {
    /// Starts what every service has. Waits for what it depends on, for as long as it takes.
    pub async fn start(
        spec: ServiceSpec,
        life: ProcessLifecycle,
        metrics: MetricsHandle,
    ) -> Result<Self, ServiceError> {
        start_tracing(&spec)?;
        // All of them before the first answer: what has not begun is not ready either.
        let waits = StartupComponents {
            database: life.health().component("database"),
            topics: life.health().component("topics"),
            schemas: life.health().component("schemas"),
        };
        let http_component = life.health().component("http");
        let listener = bind("admin", spec.common.admin_listen).await?;
        let admin = listener.local_addr()?;
        telemetry::describe_service(spec.name);
        let process_metrics = ProcessMetrics::of(life.health().clone());
        life.start(StopStage::Last, "metrics", |stop| {
            metrics.clone().run_upkeep(UPKEEP_PERIOD, stop)
        });
        let unlimited = http::HttpSettings::default();
        let admin_routes =
            AdminRoutes::new(spec.name, process_metrics.clone(), metrics, unlimited.clone());
        let routes = admin_routes.router();
        life.start(StopStage::Last, "admin", |stop| serve(listener, routes, unlimited, stop));

        let (stop, tables) = (life.stopping(), spec.migrations);
        let pool = database(&spec.common, spec.name, tables, &waits.database, &stop).await?;
        let letters = DeadLetterAdmin::new(pool.clone());
        process_metrics.watch_pool(pool.clone());
        let codec = connect_codec(&spec, &life, &waits).await?;
        life.start(StopStage::Work, "schemas", |stop| codec.clone().keep_registered(stop));
        let limits = spec.common.limits.http()?;
        let health = life.health().component("admission");
        let watcher = BacklogWatcher::new(pool.clone(), spec.common.limits.admission(), health);
        let gate = watcher.gate();
        life.start(StopStage::Work, "admission", |stop| watcher.run(stop));
        let builder = Self {
            spec,
            life,
            pool,
            codec,
            wakers: WorkerWakers::default(),
            gate,
            limits,
            admin,
            admin_routes,
            http_component,
            letters,
            operators: http::OperatorRoutes::default(),
        };
        builder.start_relay()?;
        let settings = housekeeping::HousekeepingSettings {
            published_span: builder.spec.common.published_kept,
            ..housekeeping::HousekeepingSettings::default()
        };
        let housekeeping = HousekeepingTask::new(builder.pool.clone(), settings);
        builder.life.start(StopStage::Work, "housekeeping", |stop| housekeeping.run(stop));
        builder.start_sampler("letters", LetterSampler::describe());
        Ok(builder)
    }

    /// The database, with its tables up to date.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The codec that encodes and decodes messages.
    pub fn codec(&self) -> &AvroCodec {
        &self.codec
    }

    /// The workers that are woken after a commit.
    pub fn wakers(&self) -> &WorkerWakers {
        &self.wakers
    }

    /// The parts, for those that only this service has.
    pub fn life(&self) -> &ProcessLifecycle {
        &self.life
    }

    /// What the public server allows.
    pub fn limits(&self) -> &http::HttpSettings {
        &self.limits
    }

    /// Starts the work on one kind of job.
    pub fn start_worker<E: JobHandler>(
        &mut self,
        name: &'static str,
        effect: E,
        mut policy: JobPolicy,
    ) {
        policy.concurrency_max = self.spec.common.batch_limit(policy.concurrency_max);
        let (pool, wakers) = (self.pool.clone(), self.wakers.clone());
        let health = self.life.health().component(name);
        let service = self.spec.name;
        let worker =
            JobWorker::new(jobs::WorkerParts { service, effect, policy, pool, wakers, health });
        self.letters.jobs.insert(E::KIND, worker.parts());
        self.life.start(StopStage::Work, name, |stop| worker.run(stop));
        self.start_sampler("jobs", JobSampler::of_kind(E::KIND));
    }

    /// Starts a sampler of metrics that are counted in the database.
    pub fn start_sampler<C: MetricSampler>(&self, name: &'static str, sampler: C) {
        let sampler_loop = SamplerLoop::new(self.pool.clone(), sampler);
        self.life.start(StopStage::Work, name, |stop| sampler_loop.run(stop));
    }

    /// Starts a batcher of commands, and returns the handle to it.
    pub fn start_batcher<B: BatchHandler>(
        &self,
        name: &'static str,
        batch: B,
        mut settings: batcher::BatcherSettings,
    ) -> CommandBatcher<B> {
        settings.batch_max = self.spec.common.batch_limit(settings.batch_max);
        let (pool, wakers, gate) = (self.pool.clone(), self.wakers.clone(), self.gate.clone());
        let (batcher, worker) = CommandBatcher::new(
            batcher::BatcherParts { name, batch, pool, wakers, gate },
            settings,
        );
        self.life.start(StopStage::Work, name, |stop| worker.run(stop));
        batcher
    }

    /// Starts the consumer; returns the lag of its group, over all instances.
    pub fn start_consumer<H: MessageHandler>(
        &mut self,
        handler: H,
    ) -> Result<GroupLag, ServiceError> {
        let kafka = self.spec.common.kafka(self.spec.name)?;
        let topics = handler.topics();
        let group = lag::LagSettings { kafka: kafka.clone(), group: self.spec.name, topics };
        let watcher = lag::LagWatcher::new(group);
        let lag = watcher.lag();
        self.life.start(StopStage::Work, "lag", |stop| watcher.run(stop));
        let parts = Arc::new(consumer::BatchProcessor {
            service: self.spec.name,
            handler,
            pool: self.pool.clone(),
            wakers: self.wakers.clone(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        });
        self.letters.messages = Some(Arc::<consumer::BatchProcessor<H>>::clone(&parts) as _);
        let parked = Arc::clone(&parts);
        self.life.start(StopStage::Work, "parked", |stop| parked.redrive_parked(stop));
        let usual = consumer::ConsumerSettings::new(kafka);
        let reading = consumer::ConsumerSettings {
            batch_messages_max: self.spec.common.batch_limit(usual.batch_messages_max),
            limits: self.spec.common.dead_letter_limits(),
            ..usual
        };
        let health = self.life.health().component("consumer");
        let consumer = GroupConsumer::new(parts, &reading, health)?.watching(lag.clone());
        self.life.start(StopStage::Work, "consumer", |stop| consumer.run(stop));
        Ok(lag)
    }

    /// Adds routes to the admin server that only this service has.
    pub fn add_operator_routes(&mut self, routes: http::OperatorRoutes) {
        self.operators = std::mem::take(&mut self.operators).and(routes);
    }

    /// Opens the public server, once all parts were started, and completes the admin server. The
    /// routes are [finished](http::finish).
    pub async fn open_server(self, routes: Router) -> Result<ServiceAddresses, ServiceError> {
        let operators = self.operators.and(http::dead_letters(self.letters));
        self.admin_routes.complete(operators, self.spec.pages);
        let listener = bind("http", self.spec.common.http_listen).await?;
        let addresses = ServiceAddresses { http: listener.local_addr()?, admin: self.admin };
        let limits = self.limits;
        self.life.start(StopStage::Edges, "http", |stop| serve(listener, routes, limits, stop));
        self.http_component.ready();
        Ok(addresses)
    }

    fn start_relay(&self) -> Result<(), ServiceError> {
        let batch_max = self.spec.common.batch_limit(RELAY_BATCH_MAX);
        let name = format!("{} relay", self.spec.name);
        let settings = relay::RelaySettings {
            database: db::options(&self.spec.common.database()?, &name)?,
            service: self.spec.name,
            batch_max,
            poll: RELAY_POLL,
            statement_limit: RELAY_STATEMENT_LIMIT,
            stop_grace: RELAY_STOP_GRACE,
            lead_limit: self.spec.common.limits.relay_lead_limit,
        };
        let publisher = KafkaPublisher::new(self.spec.common.kafka(self.spec.name)?, batch_max)
            .declaring(self.spec.topics, self.spec.common.broker.replicas());
        let health = self.life.health().component("relay");
        let relay = OutboxRelay::new(settings, publisher, self.wakers.clone(), health)
            .keeping(self.spec.common.published_retention(self.spec.topics));
        self.life.start(StopStage::Last, "relay", |stop| relay.run(stop));
        Ok(())
    }
}

/// The database, with its tables up to date.
pub(crate) async fn database(
    common: &ServiceSettings,
    name: &str,
    migrations: &Migrator,
    component: &HealthComponent,
    stop: &CancellationToken,
) -> Result<PgPool, ServiceError> {
    let settings = common.database()?;
    let (pool, options) = (db::pool(&settings, name)?, db::options(&settings, name)?);
    let attempt = async || {
        db::check(&pool, &options).await?;
        db::migrate(&pool, migrations).await
    };
    match dependency::wait(component, stop, db::may_pass, attempt).await {
        WaitOutcome::Up(()) => {
            db::tell(&pool, component);
            Ok(pool)
        }
        WaitOutcome::Refused(error) => Err(error.into()),
        WaitOutcome::Stopped => Err(ServiceError::Stopped),
    }
}

/// The topics, and the records sent and read on them.
async fn connect_codec(
    spec: &ServiceSpec,
    life: &ProcessLifecycle,
    waits: &StartupComponents,
) -> Result<AvroCodec, ServiceError> {
    let stop = life.stopping();
    let kafka = spec.common.kafka(spec.name)?;
    let replicas = spec.common.broker.replicas();
    topics::ensure(&kafka, spec.topics, replicas, &waits.topics, &stop).await?;
    let settings = codec::CodecSettings {
        source: spec.source.clone(),
        registry_url: spec.common.schema_registry_url.clone(),
        prefix: kafka.prefix,
    };
    Ok(AvroCodec::connect(&settings, &spec.writes, &spec.reads, &waits.schemas, &stop).await?)
}
