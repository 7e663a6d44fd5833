//! What every service stands on, put together once.
//!
//! ```text
//! admin server ──> database ──> topics ──> schemas ──> relay, watcher, housekeeping ──> the service's parts ──> public server
//! ```
//!
//! The admin server comes first, so that it can be asked while the rest waits for the database, the
//! broker and the registry. Each of them may come up later, and each may come back.
//!
//! A service [lays](Ground::lay) its ground, starts its own parts on it, and [opens](Ground::open)
//! its door at the end.
//!
//! **Architecture invariant:** no work is sent here before everything stands: the process is not
//! ready from its first answer on until its door is open.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use sqlx::{PgPool, migrate::Migrator};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Gate, Watcher},
    census::{Census, Count},
    clock::Clock,
    codec::{self, Codec, Kind},
    config::{Common, Invalid},
    consumer::{self, Consumer, Handler},
    contract, db,
    dead_letter::{DeadLetterAdmin, Letters},
    dependency::{self, Waited},
    effects::Wakers,
    health::Component,
    housekeeping::{self, Housekeeping},
    http::{self, AdminRoutes, ProblemPage, bind, serve},
    intake::{self, Batch, Intake},
    jobs::{self, Effect, Jobs, Policy, Worker},
    lag::{self, Lag},
    lifecycle::{Lifecycle, Stage},
    message::TraceParent,
    relay::{self, KafkaPublisher, Relay},
    sequence::Watch,
    telemetry::{self, Metrics, Vitals, spans},
    topics,
};

/// Messages that the relay publishes at once, at most.
const RELAY_BATCH_MAX: usize = 1_000;
/// Measurements wait this long to be sorted into their buckets, if nobody asks.
const KEEP_UP: Duration = Duration::from_secs(5);
/// The outbox is looked at this often, whether the relay was woken or not.
const RELAY_POLL: Duration = Duration::from_millis(500);
/// One statement of the relay may take this long.
const RELAY_STATEMENT_LIMIT: Duration = Duration::from_secs(20);
/// What is in the outbox when the process is to stop may go out for this long.
const RELAY_STOP_GRACE: Duration = Duration::from_millis(1_500);

/// What a service says of itself before it starts.
#[derive(Debug)]
pub struct Plan {
    /// Its name: its consumer group, its source, the prefix of its dead-letter topic.
    pub name: &'static str,
    /// Its settings, as far as every service has them.
    pub common: Common,
    /// Its own tables.
    pub migrations: &'static Migrator,
    /// The records that it says.
    pub says: Vec<Kind>,
    /// The records that it reads.
    pub reads: Vec<Kind>,
    /// The pages behind the problems that only this service has.
    pub pages: &'static [ProblemPage],
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be.
    #[error("a setting cannot be")]
    Settings(#[from] Invalid),
    /// An address cannot be listened at.
    #[error("an address cannot be listened at")]
    Listen(#[from] io::Error),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    /// The topics are not as declared.
    #[error("the topics are not as declared")]
    Topics(#[from] topics::Error),
    /// Spans cannot be exported.
    #[error("traces cannot leave")]
    Spans(#[from] spans::Error),
    /// The schemas cannot be agreed upon.
    #[error("the schemas cannot be agreed upon")]
    Codec(#[from] codec::Error),
    /// The consumer cannot be made.
    #[error("the consumer cannot be made")]
    Consumer(#[from] consumer::Error),
    /// It was told to stop while it waited.
    #[error("told to stop while waiting for the database")]
    Stopped,
}

/// Where a service that runs can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// By the world.
    pub http: SocketAddr,
    /// By its operators.
    pub admin: SocketAddr,
}

/// What the parts of a service have in common, and how they are started.
#[derive(Debug)]
pub struct Ground {
    name: &'static str,
    common: Common,
    life: Lifecycle,
    pool: PgPool,
    codec: Codec,
    wakers: Wakers,
    gate: Gate,
    limits: http::Settings,
    admin: SocketAddr,
    admin_routes: AdminRoutes,
    door: Component,
    letters: DeadLetterAdmin,
    operators: Router,
    pages: &'static [ProblemPage],
}

/// What has to be there before anything can be started, each with its word in the health.
struct Waits {
    database: Component,
    topics: Component,
    schemas: Component,
}

/// Sends spans to a collector, if there is one.
fn begin_traces(plan: &Plan) -> Result<(), spans::Error> {
    TraceParent::record_share(plan.common.trace_share);
    match plan.common.otlp_endpoint.as_deref() {
        None | Some("") => Ok(()),
        Some(endpoint) => {
            spans::export(&spans::Settings { endpoint: endpoint.to_owned(), service: plan.name })
        }
    }
}

impl Ground {
    /// Starts what every service has. Waits for what it depends on, for as long as it takes.
    pub async fn lay(plan: Plan, life: Lifecycle, metrics: Metrics) -> Result<Self, Error> {
        begin_traces(&plan)?;
        // All of them before the first answer: what has not begun is not ready either.
        let waits = Waits {
            database: life.health().component("database"),
            topics: life.health().component("topics"),
            schemas: life.health().component("schemas"),
        };
        let door = life.health().component("http");
        let listener = bind("admin", plan.common.admin_listen).await?;
        let admin = listener.local_addr()?;
        telemetry::introduce(plan.name);
        let vitals = Vitals::of(life.health().clone());
        life.start(Stage::Last, "numbers", |stop| metrics.clone().keep_up(KEEP_UP, stop));
        let unlimited = http::Settings::default();
        let admin_routes = AdminRoutes::new(vitals.clone(), metrics, unlimited.clone());
        let routes = admin_routes.router();
        life.start(Stage::Last, "admin", |stop| serve(listener, routes, unlimited, stop));

        let (stop, tables) = (life.stopping(), plan.migrations);
        let pool = database(&plan.common, plan.name, tables, &waits.database, &stop).await?;
        let letters = DeadLetterAdmin::new(pool.clone());
        vitals.watch_pool(pool.clone());
        let codec = talk(&plan, &life, &waits).await?;
        life.start(Stage::Work, "schemas", |stop| codec.clone().keep_registered(stop));
        let (name, common, wakers) = (plan.name, plan.common, Wakers::default());
        let pages = plan.pages;
        let limits = common.limits.http()?;
        let health = life.health().component("admission");
        let watcher = Watcher::new(pool.clone(), common.limits.admission(), health);
        let gate = watcher.gate();
        life.start(Stage::Work, "admission", |stop| watcher.run(stop));
        let ground = Self {
            name,
            common,
            life,
            pool,
            codec,
            wakers,
            gate,
            limits,
            admin,
            admin_routes,
            door,
            letters,
            operators: Router::new(),
            pages,
        };
        ground.start_relay()?;
        let settings = housekeeping::Settings {
            published_span: ground.common.published_kept,
            ..housekeeping::Settings::default()
        };
        let housekeeping = Housekeeping::new(ground.pool.clone(), settings);
        ground.life.start(Stage::Work, "housekeeping", |stop| housekeeping.run(stop));
        ground.start_census("letters", Letters::describe());
        Ok(ground)
    }

    /// The database, with its tables up to date.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// What is needed to speak.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Who is woken after a commit.
    pub fn wakers(&self) -> &Wakers {
        &self.wakers
    }

    /// The parts, for those that only this service has.
    pub fn life(&self) -> &Lifecycle {
        &self.life
    }

    /// What the public server allows.
    pub fn limits(&self) -> &http::Settings {
        &self.limits
    }

    /// Starts the work on one kind of job.
    pub fn start_worker<E: Effect>(&mut self, name: &'static str, effect: E, policy: Policy) {
        let (pool, wakers) = (self.pool.clone(), self.wakers.clone());
        let health = self.life.health().component(name);
        let service = self.name;
        let worker = Worker::new(jobs::Parts { service, effect, policy, pool, wakers, health });
        self.letters.jobs.insert(E::KIND, worker.parts());
        self.life.start(Stage::Work, name, |stop| worker.run(stop));
        self.start_census("jobs", Jobs::of_kind(E::KIND));
    }

    /// Starts to count what only the database knows.
    pub fn start_census<C: Count>(&self, name: &'static str, count: C) {
        let census = Census::new(self.pool.clone(), count);
        self.life.start(Stage::Work, name, |stop| census.run(stop));
    }

    /// Starts what takes commands in, and answers the door to it.
    pub fn start_intake<B: Batch>(
        &self,
        name: &'static str,
        batch: B,
        settings: intake::Settings,
    ) -> Intake<B> {
        let (pool, wakers, gate) = (self.pool.clone(), self.wakers.clone(), self.gate.clone());
        let (intake, worker) =
            Intake::new(intake::Parts { name, batch, pool, wakers, gate }, settings);
        self.life.start(Stage::Work, name, |stop| worker.run(stop));
        intake
    }

    /// Starts to read what the others say; answers how far all instances together have read.
    pub fn start_consumer<H: Handler>(&mut self, handler: H) -> Result<Lag, Error> {
        let kafka = self.common.kafka(self.name)?;
        let topics = handler.topics();
        let group = lag::Settings { kafka: kafka.clone(), group: self.name, topics };
        let watcher = lag::Watcher::new(group);
        let lag = watcher.lag();
        self.life.start(Stage::Work, "lag", |stop| watcher.run(stop));
        let parts = Arc::new(consumer::Parts {
            service: self.name,
            handler,
            pool: self.pool.clone(),
            wakers: self.wakers.clone(),
            clock: Clock::System,
            watch: Watch::default(),
        });
        self.letters.messages = Some(Arc::<consumer::Parts<H>>::clone(&parts) as _);
        let parked = Arc::clone(&parts);
        self.life.start(Stage::Work, "parked", |stop| parked.redrive_parked(stop));
        let reading = consumer::Settings {
            limits: self.common.dead_letter_limits(),
            ..consumer::Settings::new(kafka)
        };
        let health = self.life.health().component("consumer");
        let consumer = Consumer::new(parts, &reading, health)?.watching(lag.clone());
        self.life.start(Stage::Work, "consumer", |stop| consumer.run(stop));
        Ok(lag)
    }

    /// Adds routes to the admin server that only this service has.
    pub fn add_operator_routes(&mut self, routes: Router) {
        self.operators = std::mem::take(&mut self.operators).merge(routes);
    }

    /// Opens the public server, once all parts were started, and completes the admin server. The
    /// routes are [finished](http::finish).
    pub async fn open(self, routes: Router) -> Result<Addresses, Error> {
        let operators = self
            .operators
            .merge(http::dead_letters(self.letters))
            .merge(http::problem_pages(self.pages));
        self.admin_routes.complete(operators);
        let listener = bind("http", self.common.http_listen).await?;
        let addresses = Addresses { http: listener.local_addr()?, admin: self.admin };
        let limits = self.limits;
        self.life.start(Stage::Edges, "http", |stop| serve(listener, routes, limits, stop));
        self.door.ready();
        Ok(addresses)
    }

    fn start_relay(&self) -> Result<(), Error> {
        let name = format!("{} relay", self.name);
        let settings = relay::Settings {
            database: db::options(&self.common.database()?, &name)?,
            service: self.name,
            batch_max: RELAY_BATCH_MAX,
            poll: RELAY_POLL,
            statement_limit: RELAY_STATEMENT_LIMIT,
            stop_grace: RELAY_STOP_GRACE,
            lead_limit: self.common.limits.relay_lead_limit,
        };
        let publisher = KafkaPublisher::new(self.common.kafka(self.name)?, RELAY_BATCH_MAX)
            .declaring(&contract::TOPICS, self.common.broker.replicas());
        let health = self.life.health().component("relay");
        let relay = Relay::new(settings, publisher, self.wakers.clone(), health)
            .keeping(self.common.keep());
        self.life.start(Stage::Last, "relay", |stop| relay.run(stop));
        Ok(())
    }
}

/// The database, with its tables up to date.
pub(crate) async fn database(
    common: &Common,
    name: &str,
    migrations: &Migrator,
    component: &Component,
    stop: &CancellationToken,
) -> Result<PgPool, Error> {
    let settings = common.database()?;
    let (pool, options) = (db::pool(&settings, name)?, db::options(&settings, name)?);
    let attempt = async || {
        db::check(&pool, &options).await?;
        db::migrate(&pool, migrations).await
    };
    match dependency::wait(component, stop, db::may_pass, attempt).await {
        Waited::Up(()) => {
            db::tell(&pool, component);
            Ok(pool)
        }
        Waited::Refused(error) => Err(error.into()),
        Waited::Stopped => Err(Error::Stopped),
    }
}

/// The topics, and what is said and read on them.
async fn talk(plan: &Plan, life: &Lifecycle, waits: &Waits) -> Result<Codec, Error> {
    let stop = life.stopping();
    let kafka = plan.common.kafka(plan.name)?;
    let replicas = plan.common.broker.replicas();
    topics::ensure(&kafka, &contract::TOPICS, replicas, &waits.topics, &stop).await?;
    let words = codec::Settings {
        source: contract::source(plan.name),
        registry_url: plan.common.schema_registry_url.clone(),
        prefix: kafka.prefix,
    };
    Ok(Codec::connect(&words, &plan.says, &plan.reads, &waits.schemas, &stop).await?)
}
