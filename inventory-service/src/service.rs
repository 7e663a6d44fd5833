//! The parts of this service, put together on the service that every service stands on.

use shared::{
    batcher,
    clock::Clock,
    http::finish,
    lifecycle::ProcessLifecycle,
    service::{ServiceAddresses, ServiceBuilder, ServiceError, ServiceSpec},
    telemetry::MetricsHandle,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    commands::ChangeProducts,
    config::InventorySettings,
    consumer::EventHandler,
    http::{self, InventoryApi},
    metrics, seed, wire,
};

/// Starts all parts. Waits for what they depend on, for as long as it takes.
pub async fn run(
    settings: InventorySettings,
    life: ProcessLifecycle,
    metrics: MetricsHandle,
) -> Result<ServiceAddresses, ServiceError> {
    metrics::describe();
    let seeds = settings.seeds();
    let plan = ServiceSpec {
        name: NAME,
        common: settings.common,
        migrations: &MIGRATIONS,
        says: wire::says().into(),
        reads: wire::reads().into(),
        pages: &[],
    };
    let mut service = ServiceBuilder::lay(plan, life, metrics).await?;
    let app = App { codec: service.codec().clone(), clock: Clock::System };

    let products = ChangeProducts { app: app.clone() };
    let batcher = service.start_intake("intake", products, batcher::BatcherSettings::default());
    service.start_consumer(EventHandler { app })?;

    let life = service.life();
    let health = life.health().component("products");
    seed::plant(&batcher, &seeds, &health, &life.stopping()).await;
    health.ready();

    let routes = http::routes(InventoryApi { batcher, pool: service.pool().clone() });
    let routes = finish(routes, service.limits());
    service.open(routes).await
}
