//! The parts of this service, put together on the ground that every service stands on.

use shared::{
    clock::Clock,
    ground::{self, Addresses, Ground, Plan},
    intake,
    lag::Lag,
    lifecycle::{Lifecycle, Stage},
    telemetry::Metrics,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    commands::{CancelOrders, PlaceOrders},
    config::Settings,
    consumer::EventHandler,
    http::{self, Api},
    metrics::{self, OpenOrders},
    sweeper::{self, Sweeper},
    wire,
};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What every service stands on cannot be laid.
    #[error("the service cannot start")]
    Ground(#[from] ground::Error),
    /// A span of time cannot be.
    #[error("a span of time is too long")]
    Span(#[from] time::error::ConversionRange),
}

/// Starts all parts. Waits for what they depend on, for as long as it takes.
pub async fn run(
    settings: Settings,
    life: Lifecycle,
    metrics: Metrics,
) -> Result<Addresses, Error> {
    metrics::describe();
    let plan = Plan {
        name: NAME,
        common: settings.common.clone(),
        migrations: &MIGRATIONS,
        says: wire::says().into(),
        reads: wire::reads().into(),
        pages: &[],
    };
    let mut ground = Ground::lay(plan, life, metrics).await?;
    let app = App { codec: ground.codec().clone(), clock: Clock::System };
    let lag = ground.start_consumer(EventHandler { app: app.clone() })?;
    start_sweeper(&ground, &settings, app.clone(), lag);
    ground.start_census("orders", OpenOrders);
    let api = start_intakes(&ground, &settings, app)?;
    let routes = http::router(api, ground.limits());
    Ok(ground.open(routes).await?)
}

fn start_sweeper(ground: &Ground, settings: &Settings, app: App, lag: Lag) {
    let parts = sweeper::Parts {
        pool: ground.pool().clone(),
        app,
        wakers: ground.wakers().clone(),
        lag,
        health: ground.life().health().component("sweeper"),
    };
    let settings = sweeper::Settings {
        poll: settings.sweep_poll,
        behind_max: settings.sweep_behind_max,
        ..sweeper::Settings::default()
    };
    let sweeper = Sweeper::new(parts, settings);
    ground.life().start(Stage::Work, "sweeper", |stop| sweeper.run(stop));
}

fn start_intakes(ground: &Ground, settings: &Settings, app: App) -> Result<Api, Error> {
    let queue_max = settings.intake_queue_max as usize;
    let queue = intake::Settings { queue_max, ..intake::Settings::default() };
    let patience = settings.order_patience.try_into()?;
    let place = PlaceOrders { app: app.clone(), patience, total_max: settings.order_total_max };
    let place = ground.start_intake("placing", place, queue);
    let window = settings.cancel_window.try_into()?;
    let cancel = ground.start_intake("cancelling", CancelOrders { app, window }, queue);
    Ok(Api::new(ground.pool().clone(), place, cancel))
}
