//! Builds and starts the parts of this service on the shared service runtime.

use shared::{
    batcher,
    clock::Clock,
    lag::GroupLag,
    lifecycle::{ProcessLifecycle, StopStage},
    service::{self, ServiceAddresses, ServiceBuilder, ServiceSpec},
    telemetry::MetricsHandle,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    commands::{CancelOrders, PlaceOrders},
    config::OrderSettings,
    consumer::EventHandler,
    http::{self, OrderApi},
    metrics::{self, OpenOrders},
    sweeper::{self, DeadlineSweeper},
    wire,
};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The shared service runtime cannot be started.
    #[error("the service cannot start")]
    Runtime(#[from] service::ServiceError),
    /// A duration in the settings is not valid.
    #[error("a span of time is too long")]
    Span(#[from] time::error::ConversionRange),
}

/// Starts all parts of the service. Waits without limit for their dependencies.
pub async fn run(
    settings: OrderSettings,
    life: ProcessLifecycle,
    metrics: MetricsHandle,
) -> Result<ServiceAddresses, StartError> {
    metrics::describe();
    let spec = ServiceSpec {
        name: NAME,
        source: contract::source(NAME),
        topics: &contract::TOPICS,
        common: settings.common.clone(),
        migrations: &MIGRATIONS,
        writes: wire::writes(),
        reads: wire::reads(),
        pages: &[],
    };
    let mut service = ServiceBuilder::start(spec, life, metrics).await?;
    let app = App { codec: service.codec().clone(), clock: Clock::System };
    let lag = service.start_consumer(EventHandler { app: app.clone() })?;
    start_sweeper(&service, &settings, app.clone(), lag);
    service.start_sampler("orders", OpenOrders::default());
    let api = start_batchers(&service, &settings, app)?;
    let routes = http::router(api, service.limits());
    Ok(service.open_server(routes).await?)
}

fn start_sweeper(service: &ServiceBuilder, settings: &OrderSettings, app: App, lag: GroupLag) {
    let parts = sweeper::SweeperParts {
        pool: service.pool().clone(),
        app,
        wakers: service.wakers().clone(),
        lag,
        health: service.life().health().component("sweeper"),
    };
    let settings = sweeper::SweeperSettings {
        poll: settings.sweep_poll,
        behind_max: settings.sweep_behind_max,
        ..sweeper::SweeperSettings::default()
    };
    let sweeper = DeadlineSweeper::new(parts, settings);
    service.life().start(StopStage::Work, "sweeper", |stop| sweeper.run(stop));
}

fn start_batchers(
    service: &ServiceBuilder,
    settings: &OrderSettings,
    app: App,
) -> Result<OrderApi, StartError> {
    let queue_max = settings.command_queue_max as usize;
    let queue = batcher::BatcherSettings { queue_max, ..batcher::BatcherSettings::default() };
    let patience = settings.order_patience.try_into()?;
    let place = PlaceOrders { app: app.clone(), patience, total_max: settings.order_total_max };
    let place = service.start_batcher("placing", place, queue);
    let window = settings.cancel_window.try_into()?;
    let cancel = service.start_batcher("cancelling", CancelOrders { app, window }, queue);
    Ok(OrderApi::new(service.pool().clone(), place, cancel))
}
