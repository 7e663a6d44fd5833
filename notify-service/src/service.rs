//! The parts of this service, put together.
//!
//! The admin server comes first, so that it can be asked while the rest waits for the database, the
//! broker and the registry. Each of them may come up later, and each may come back. The mail server
//! is not waited for: mails wait for it.

use std::{net::SocketAddr, time::Duration};

use shared::{
    clock::Clock,
    codec::{self, Codec},
    config::Invalid,
    consumer::{self, Consumer},
    contract, db,
    dependency::{self, Waited},
    effects::Wakers,
    http::{self as server, admin, bind, serve},
    jobs::{self as work, Worker},
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
    consumer::Listener,
    http,
    jobs::email::{Email, Smtp},
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

/// Where a service that runs can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// By the world.
    pub http: SocketAddr,
    /// By its operators.
    pub admin: SocketAddr,
}

/// Starts all parts. Waits for what they depend on, for as long as it takes.
pub async fn run(
    settings: Settings,
    life: Lifecycle,
    metrics: Metrics,
) -> Result<Addresses, Error> {
    metrics::describe_counter!("notify_mails_total", "Mails handed to the server, by outcome.");
    let limits = server::Settings::default();
    let listener = bind("admin", settings.common.admin_listen).await?;
    let admin_address = listener.local_addr()?;
    let operators = server::finish(admin(life.health().clone(), metrics), &limits);
    life.start(Stage::Last, "admin", |stop| serve(listener, operators, limits, stop));

    let pool = database(&settings, &life).await?;
    let codec = talk(&settings, &life).await?;
    let wakers = Wakers::default();
    let app = App { codec, clock: Clock::System, mail_domain: settings.mail_domain.clone() };

    start_relay(&settings, &life, &wakers)?;
    start_mail(&settings, &life, &pool, &wakers, &app)?;
    start_consumer(&settings, &life, &pool, &wakers, app)?;

    let listener = bind("http", settings.common.http_listen).await?;
    let http_address = listener.local_addr()?;
    let router = http::router(pool, &limits);
    life.start(Stage::Edges, "http", |stop| serve(listener, router, limits, stop));
    Ok(Addresses { http: http_address, admin: admin_address })
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
        database: db::options(&settings.common.database()?, "notify-service relay")?,
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

fn start_mail(
    settings: &Settings,
    life: &Lifecycle,
    pool: &PgPool,
    wakers: &Wakers,
    app: &App,
) -> Result<(), Error> {
    let smtp = Smtp::new(settings.smtp()?);
    let effect = Email { app: app.clone(), from: settings.mail_from.clone(), smtp };
    let worker = Worker::new(work::Parts {
        effect,
        policy: settings.policy(),
        pool: pool.clone(),
        wakers: wakers.clone(),
        health: life.health().component("mail"),
    });
    life.start(Stage::Work, "mail", |stop| worker.run(stop));
    Ok(())
}

fn start_consumer(
    settings: &Settings,
    life: &Lifecycle,
    pool: &PgPool,
    wakers: &Wakers,
    app: App,
) -> Result<(), Error> {
    let parts = consumer::Parts {
        service: NAME,
        handler: Listener { app },
        pool: pool.clone(),
        wakers: wakers.clone(),
        clock: Clock::System,
    };
    let reading = consumer::Settings::new(settings.common.kafka(NAME));
    let consumer = Consumer::new(parts, &reading, life.health().component("consumer"))?;
    life.start(Stage::Work, "consumer", |stop| consumer.run(stop));
    Ok(())
}
