//! Builds and starts the parts of this service on the shared service runtime.

use shared::{
    batcher,
    breaker::CircuitBreaker,
    clock::Clock,
    config::InvalidSetting,
    lifecycle::ProcessLifecycle,
    service::{self, ServiceAddresses, ServiceBuilder, ServiceSpec},
    telemetry::MetricsHandle,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    commands::ReviewPayments,
    config::PaymentSettings,
    consumer::EventHandler,
    gateway::GatewayClient,
    http,
    jobs::{ChargeJob, RefundJob, ResolveJob},
    metrics::{self, OpenPayments},
    wire,
};

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The shared service runtime cannot be started.
    #[error("the service cannot start")]
    Runtime(#[from] service::ServiceError),
    /// A setting is not valid.
    #[error("a setting cannot be")]
    Settings(#[from] InvalidSetting),
    /// The client of the gateway cannot be created.
    #[error("the client of the gateway cannot be made")]
    Gateway(#[from] reqwest::Error),
}

/// Starts all parts of the service. Waits without limit for their dependencies.
pub async fn run(
    settings: PaymentSettings,
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
        pages: http::PAGES,
    };
    let mut service = ServiceBuilder::start(spec, life, metrics).await?;
    let app = App { codec: service.codec().clone(), clock: Clock::System };

    let health = service.life().health().component("gateway");
    let breaker = CircuitBreaker::new("gateway", settings.breaker(), health);
    let gateway = GatewayClient::new(settings.gateway()?, breaker)?;
    let charge = ChargeJob::new(app.clone(), gateway.clone());
    service.start_worker("charges", charge, settings.policy(&settings.charge_retry));
    let resolve = ResolveJob::new(app.clone(), gateway.clone());
    service.start_worker("resolves", resolve, settings.policy(&settings.resolve_retry));
    let refund = RefundJob::new(app.clone(), gateway);
    service.start_worker("refunds", refund, settings.policy(&settings.refund_retry));
    service.start_consumer(EventHandler { app: app.clone() })?;
    service.start_sampler("payments", OpenPayments::default());
    let reviews = service.start_batcher(
        "reviews",
        ReviewPayments { app },
        batcher::BatcherSettings::default(),
    );
    service.add_operator_routes(http::operators(reviews));

    let routes = http::router(service.pool().clone(), service.limits());
    Ok(service.open_server(routes).await?)
}
