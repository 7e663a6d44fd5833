//! The parts of this service, put together.
//!
//! The admin server comes first, so that it can be asked while the rest waits for the database, the
//! broker and the registry. Each of them may come up later, and each may come back.

use std::time::Duration;

use shared::{
    clock::Clock,
    codec::{self, Codec},
    config::Invalid,
    consumer::{self, Consumer, Progress},
    contract, db,
    dependency::{self, Waited},
    effects::Wakers,
    http::{self as server, admin, bind, serve},
    intake::{self, Batch, Intake},
    lifecycle::{Lifecycle, Stage},
    relay::{self, KafkaPublisher, Relay},
    telemetry::Metrics,
    topics,
};
use sqlx::PgPool;

use crate::{
    MIGRATIONS, NAME,
    app::Voice,
    config::Settings,
    consumer::Listener,
    http::{self, Api, cancelling::Cancelling, placing::Placing},
    sweeper::{self, Sweeper},
    wire,
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
    /// A span of time cannot be.
    #[error("a span of time is too long")]
    Span(#[from] time::error::ConversionRange),
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
    let operators = server::finish(admin(life.health().clone(), metrics), &limits);
    life.start(Stage::Last, "admin", |stop| serve(listener, operators, limits, stop));

    let pool = database(&settings, &life).await?;
    let codec = talk(&settings, &life).await?;
    let voice = Voice { codec, clock: Clock::System };
    let desk = Desk { settings: &settings, life: &life, pool, wakers: Wakers::default(), voice };
    desk.start_relay()?;
    let progress = desk.start_consumer()?;
    desk.start_sweeper(progress);
    let api = desk.start_intakes()?;

    let listener = bind("http", settings.common.http_listen).await?;
    let router = http::router(api, &limits);
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

/// What the parts that do the work have in common.
struct Desk<'s> {
    settings: &'s Settings,
    life: &'s Lifecycle,
    pool: PgPool,
    wakers: Wakers,
    voice: Voice,
}

impl Desk<'_> {
    fn start_relay(&self) -> Result<(), Error> {
        let relay = relay::Settings {
            database: db::options(&self.settings.common.database()?, "order-service relay")?,
            service: NAME,
            batch_max: RELAY_BATCH_MAX,
            poll: RELAY_POLL,
        };
        let publisher = KafkaPublisher::new(self.settings.common.kafka(NAME), RELAY_BATCH_MAX);
        let health = self.life.health().component("relay");
        let relay = Relay::new(relay, publisher, self.wakers.clone(), health);
        self.life.start(Stage::Last, "relay", |stop| relay.run(stop));
        Ok(())
    }

    fn start_consumer(&self) -> Result<Progress, Error> {
        let parts = consumer::Parts {
            service: NAME,
            handler: Listener { voice: self.voice.clone() },
            pool: self.pool.clone(),
            wakers: self.wakers.clone(),
            clock: self.voice.clock.clone(),
        };
        let reading = consumer::Settings::new(self.settings.common.kafka(NAME));
        let health = self.life.health().component("consumer");
        let consumer = Consumer::new(parts, &reading, health)?;
        let progress = consumer.progress();
        self.life.start(Stage::Work, "consumer", |stop| consumer.run(stop));
        Ok(progress)
    }

    fn start_sweeper(&self, progress: Progress) {
        let parts = sweeper::Parts {
            pool: self.pool.clone(),
            voice: self.voice.clone(),
            wakers: self.wakers.clone(),
            progress,
            health: self.life.health().component("sweeper"),
        };
        let settings = sweeper::Settings {
            poll: self.settings.sweep_poll,
            calm: self.settings.sweep_calm,
            ..sweeper::Settings::default()
        };
        let sweeper = Sweeper::new(parts, settings);
        self.life.start(Stage::Work, "sweeper", |stop| sweeper.run(stop));
    }

    fn start_intakes(&self) -> Result<Api, Error> {
        let voice = self.voice.clone();
        let patience = self.settings.order_patience.try_into()?;
        let placing = self.start_intake("placing", Placing { voice, patience });
        let voice = self.voice.clone();
        let window = self.settings.cancel_window.try_into()?;
        let cancelling = self.start_intake("cancelling", Cancelling { voice, window });
        Ok(Api::new(self.pool.clone(), placing, cancelling))
    }

    fn start_intake<B: Batch>(&self, name: &'static str, batch: B) -> Intake<B> {
        let (pool, wakers) = (self.pool.clone(), self.wakers.clone());
        let queue_max = self.settings.intake_queue_max as usize;
        let settings = intake::Settings { queue_max, ..intake::Settings::default() };
        let (intake, worker) = Intake::new(intake::Parts { batch, pool, wakers }, settings);
        self.life.start(Stage::Work, name, |stop| worker.run(stop));
        intake
    }
}
