//! The parts of this service, put together.
//!
//! The admin server comes first, so that it can be asked while the rest waits for the database, the
//! broker and the registry. Each of them may come up later, and each may come back.

use std::time::Duration;

use shared::{
    clock::Clock,
    codec::{self, Codec},
    config::Invalid,
    consumer::{self, Consumer},
    contract, db,
    dependency::{self, Waited},
    effects::Wakers,
    http::{self as server, admin, bind, serve},
    intake::{self, Intake},
    jobs::{self as work, Effect, Policy, Worker},
    lifecycle::{Lifecycle, Stage},
    relay::{self, KafkaPublisher, Relay},
    telemetry::Metrics,
    topics,
};
use sqlx::PgPool;

use crate::{
    MIGRATIONS, NAME,
    app::App,
    config::Settings,
    consumer::Inbound,
    gateway::Gateway,
    http::{self, ReviewDoor},
    jobs::{ChargeJob, RefundJob, ResolveJob},
    numbers, wire,
};

/// Messages that the relay publishes at once, at most.
const RELAY_BATCH_MAX: usize = 1_000;
/// The outbox is looked at this often, whether the relay was woken or not.
const RELAY_POLL: Duration = Duration::from_millis(500);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be.
    #[error("a setting cannot be")]
    Settings(#[from] Invalid),
    /// An address cannot be listened at.
    #[error("an address cannot be listened at")]
    Listen(#[from] std::io::Error),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    /// The topics are not as declared.
    #[error("the topics are not as declared")]
    Topics(#[from] topics::Error),
    /// The schemas cannot be agreed upon.
    #[error("the schemas cannot be agreed upon")]
    Codec(#[from] codec::Error),
    /// The client of the gateway cannot be made.
    #[error("the client of the gateway cannot be made")]
    Gateway(#[from] reqwest::Error),
    /// The consumer cannot be made.
    #[error("the consumer cannot be made")]
    Consumer(#[from] consumer::Error),
    /// It was told to stop while it waited.
    #[error("told to stop while waiting for the database")]
    Stopped,
}

/// Starts all parts. Waits for what they depend on, for as long as it takes.
pub async fn run(settings: Settings, life: Lifecycle, metrics: Metrics) -> Result<(), Error> {
    let limits = server::Settings::default();
    let listener = bind("admin", settings.common.admin_listen).await?;
    numbers::describe();
    let door = ReviewDoor::default();
    let operators = admin(life.health().clone(), metrics).merge(http::operators(door.clone()));
    let operators = server::finish(operators, &limits);
    life.start(Stage::Last, "admin", |stop| serve(listener, operators, limits, stop));

    let pool = database(&settings, &life).await?;
    let codec = talk(&settings, &life).await?;
    let wakers = Wakers::default();
    let app = App::new(codec.clone(), Clock::System);

    start_relay(&settings, &life, &wakers)?;
    let desk = Desk { life: &life, pool: &pool, wakers: &wakers };
    let gateway = Gateway::new(settings.gateway()?)?;
    let charge = ChargeJob { app: app.clone(), gateway: gateway.clone() };
    desk.start_worker("charges", charge, settings.policy(&settings.charge_retry));
    let resolve = ResolveJob { app: app.clone(), gateway: gateway.clone() };
    desk.start_worker("resolves", resolve, settings.policy(&settings.resolve_retry));
    let refund = RefundJob { app: app.clone(), gateway };
    desk.start_worker("refunds", refund, settings.policy(&settings.refund_retry));
    desk.start_consumer(Inbound { codec, app: app.clone() }, &settings)?;
    door.open(desk.start_reviews(app));

    let listener = bind("http", settings.common.http_listen).await?;
    let router = http::router(pool, &limits);
    life.start(Stage::Edges, "http", |stop| serve(listener, router, limits, stop));
    Ok(())
}

/// The database, with its tables up to date.
async fn database(settings: &Settings, life: &Lifecycle) -> Result<PgPool, Error> {
    let pool = db::pool(&settings.common.database()?, NAME)?;
    let health = life.health().component("database");
    // What a migration complains of does not go away by waiting.
    let passes = |error: &sqlx::Error| !matches!(error, sqlx::Error::Migrate(_));
    let attempt = async || db::migrate(&pool, &MIGRATIONS).await;
    match dependency::wait(&health, &life.stopping(), passes, attempt).await {
        Waited::Up(()) => Ok(pool),
        Waited::Refused(error) => Err(error.into()),
        Waited::Stopped => Err(Error::Stopped),
    }
}

/// The topics, and what is said and read on them.
async fn talk(settings: &Settings, life: &Lifecycle) -> Result<Codec, Error> {
    let stop = life.stopping();
    let kafka = settings.common.kafka(NAME);
    let health = life.health().component("topics");
    let replication = settings.common.kafka_replication;
    topics::ensure(&kafka, &contract::TOPICS, replication, &health, &stop).await?;
    let words = codec::Settings {
        source: contract::source(NAME),
        registry_url: settings.common.schema_registry_url.clone(),
        prefix: kafka.prefix,
    };
    let health = life.health().component("schemas");
    Ok(Codec::connect(&words, &wire::says(), &wire::reads(), &health, &stop).await?)
}

fn start_relay(settings: &Settings, life: &Lifecycle, wakers: &Wakers) -> Result<(), Error> {
    let relay = relay::Settings {
        database: db::options(&settings.common.database()?, "payment-service relay")?,
        service: NAME,
        batch_max: RELAY_BATCH_MAX,
        poll: RELAY_POLL,
    };
    let publisher = KafkaPublisher::new(settings.common.kafka(NAME), RELAY_BATCH_MAX);
    let health = life.health().component("relay");
    let relay = Relay::new(relay, publisher, wakers.clone(), health);
    life.start(Stage::Last, "relay", |stop| relay.run(stop));
    Ok(())
}

/// What the parts that do the work have in common.
struct Desk<'l> {
    life: &'l Lifecycle,
    pool: &'l PgPool,
    wakers: &'l Wakers,
}

impl Desk<'_> {
    fn start_worker<E: Effect>(&self, name: &'static str, effect: E, policy: Policy) {
        let worker = Worker::new(work::Parts {
            effect,
            policy,
            pool: self.pool.clone(),
            wakers: self.wakers.clone(),
            health: self.life.health().component(name),
        });
        self.life.start(Stage::Work, name, |stop| worker.run(stop));
    }

    fn start_reviews(&self, batch: App) -> Intake<App> {
        let (pool, wakers) = (self.pool.clone(), self.wakers.clone());
        let parts = intake::Parts { batch, pool, wakers };
        let (intake, worker) = Intake::new(parts, intake::Settings::default());
        self.life.start(Stage::Work, "reviews", |stop| worker.run(stop));
        intake
    }

    fn start_consumer(&self, handler: Inbound, settings: &Settings) -> Result<(), Error> {
        let parts = consumer::Parts {
            service: NAME,
            handler,
            pool: self.pool.clone(),
            wakers: self.wakers.clone(),
            clock: Clock::System,
        };
        let reading = consumer::Settings::new(settings.common.kafka(NAME));
        let health = self.life.health().component("consumer");
        let consumer = Consumer::new(parts, &reading, health)?;
        self.life.start(Stage::Work, "consumer", |stop| consumer.run(stop));
        Ok(())
    }
}
