//! Builds and starts the parts of this service on the shared service runtime.

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

/// Starts all parts of the service. Waits without limit for their dependencies.
pub async fn run(
    settings: InventorySettings,
    life: ProcessLifecycle,
    metrics: MetricsHandle,
) -> Result<ServiceAddresses, ServiceError> {
    metrics::describe();
    let seeds = settings.seeds();
    let spec = ServiceSpec {
        name: NAME,
        source: contract::source(NAME),
        topics: &contract::TOPICS,
        common: settings.common,
        migrations: &MIGRATIONS,
        writes: wire::writes(),
        reads: wire::reads(),
        pages: &[],
    };
    let mut service = ServiceBuilder::start(spec, life, metrics).await?;
    let app = App { codec: service.codec().clone(), clock: Clock::System };

    let products = ChangeProducts { app: app.clone() };
    let batcher =
        service.start_batcher("product-changes", products, batcher::BatcherSettings::default());
    service.start_consumer(EventHandler { app })?;

    let life = service.life();
    let health = life.health().component("products");
    seed::plant(&batcher, &seeds, &health, &life.stopping()).await;
    health.ready();

    let routes = http::routes(InventoryApi { batcher, pool: service.pool().clone() });
    let routes = finish(routes, service.limits());
    service.open_server(routes).await
}
