//! The parts of this service, put together on the ground that every service stands on.

use shared::{
    breaker::Breaker,
    clock::Clock,
    config::Invalid,
    ground::{self, Addresses, Ground, Plan},
    intake,
    lifecycle::Lifecycle,
    telemetry::Metrics,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    commands::ReviewPayments,
    config::Settings,
    consumer::EventHandler,
    gateway::Gateway,
    http,
    jobs::{ChargeJob, RefundJob, ResolveJob},
    metrics::{self, OpenPayments},
    wire,
};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What every service stands on cannot be laid.
    #[error("the service cannot start")]
    Ground(#[from] ground::Error),
    /// A setting cannot be.
    #[error("a setting cannot be")]
    Settings(#[from] Invalid),
    /// The client of the gateway cannot be made.
    #[error("the client of the gateway cannot be made")]
    Gateway(#[from] reqwest::Error),
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
        pages: http::PAGES,
    };
    let mut ground = Ground::lay(plan, life, metrics).await?;
    let app = App { codec: ground.codec().clone(), clock: Clock::System };

    let health = ground.life().health().component("gateway");
    let breaker = Breaker::new("gateway", settings.breaker(), health);
    let gateway = Gateway::new(settings.gateway()?, breaker)?;
    let charge = ChargeJob::new(app.clone(), gateway.clone());
    ground.start_worker("charges", charge, settings.policy(&settings.charge_retry));
    let resolve = ResolveJob::new(app.clone(), gateway.clone());
    ground.start_worker("resolves", resolve, settings.policy(&settings.resolve_retry));
    let refund = RefundJob::new(app.clone(), gateway);
    ground.start_worker("refunds", refund, settings.policy(&settings.refund_retry));
    ground.start_consumer(EventHandler { app: app.clone() })?;
    ground.start_census("payments", OpenPayments);
    let reviews =
        ground.start_intake("reviews", ReviewPayments { app }, intake::Settings::default());
    ground.add_operator_routes(http::operators(reviews));

    let routes = http::router(ground.pool().clone(), ground.limits());
    Ok(ground.open(routes).await?)
}
