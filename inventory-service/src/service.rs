//! The parts of this service, put together on the ground that every service stands on.

use shared::{
    clock::Clock,
    ground::{Addresses, Error, Ground, Plan},
    http::finish,
    intake,
    lifecycle::Lifecycle,
    telemetry::Metrics,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    commands::ChangeProducts,
    config::Settings,
    consumer::EventHandler,
    http::{self, Api},
    metrics, seed, wire,
};

/// Starts all parts. Waits for what they depend on, for as long as it takes.
pub async fn run(
    settings: Settings,
    life: Lifecycle,
    metrics: Metrics,
) -> Result<Addresses, Error> {
    metrics::describe();
    let seeds = settings.seeds();
    let plan = Plan {
        name: NAME,
        common: settings.common,
        migrations: &MIGRATIONS,
        says: wire::says().into(),
        reads: wire::reads().into(),
        pages: &[],
    };
    let mut ground = Ground::lay(plan, life, metrics).await?;
    let app = App { codec: ground.codec().clone(), clock: Clock::System };

    let products = ChangeProducts { app: app.clone() };
    let intake = ground.start_intake("intake", products, intake::Settings::default());
    ground.start_consumer(EventHandler { app })?;

    let life = ground.life();
    let health = life.health().component("products");
    seed::plant(&intake, &seeds, &health, &life.stopping()).await;
    health.ready();

    let routes = http::routes(Api { intake, pool: ground.pool().clone() });
    let routes = finish(routes, ground.limits());
    ground.open(routes).await
}
