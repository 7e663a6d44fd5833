//! The parts of this service, put together on the service that every service stands on.

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
    /// What every service stands on cannot be laid.
    #[error("the service cannot start")]
    Ground(#[from] service::ServiceError),
    /// A span of time cannot be.
    #[error("a span of time is too long")]
    Span(#[from] time::error::ConversionRange),
}

/// Starts all parts. Waits for what they depend on, for as long as it takes.
pub async fn run(
    settings: OrderSettings,
    life: ProcessLifecycle,
    metrics: MetricsHandle,
) -> Result<ServiceAddresses, StartError> {
    metrics::describe();
    let plan = ServiceSpec {
        name: NAME,
        common: settings.common.clone(),
        migrations: &MIGRATIONS,
        says: wire::says().into(),
        reads: wire::reads().into(),
        pages: &[],
    };
    let mut service = ServiceBuilder::lay(plan, life, metrics).await?;
    let app = App { codec: service.codec().clone(), clock: Clock::System };
    let lag = service.start_consumer(EventHandler { app: app.clone() })?;
    start_sweeper(&service, &settings, app.clone(), lag);
    service.start_census("orders", OpenOrders);
    let api = start_intakes(&service, &settings, app)?;
    let routes = http::router(api, service.limits());
    Ok(service.open(routes).await?)
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

fn start_intakes(
    service: &ServiceBuilder,
    settings: &OrderSettings,
    app: App,
) -> Result<OrderApi, StartError> {
    let queue_max = settings.intake_queue_max as usize;
    let queue = batcher::BatcherSettings { queue_max, ..batcher::BatcherSettings::default() };
    let patience = settings.order_patience.try_into()?;
    let place = PlaceOrders { app: app.clone(), patience, total_max: settings.order_total_max };
    let place = service.start_intake("placing", place, queue);
    let window = settings.cancel_window.try_into()?;
    let cancel = service.start_intake("cancelling", CancelOrders { app, window }, queue);
    Ok(OrderApi::new(service.pool().clone(), place, cancel))
}
