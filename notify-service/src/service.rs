//! Builds and starts the parts of this service on the shared service runtime.
//!
//! The start does not wait for the mail server: mails stay queued until the server is available.

use shared::{
    clock::Clock,
    lifecycle::ProcessLifecycle,
    service::{ServiceAddresses, ServiceBuilder, ServiceError, ServiceSpec},
    telemetry::MetricsHandle,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    config::NotifySettings,
    consumer::EventHandler,
    http,
    jobs::email::{EmailJob, SmtpClient},
    metrics, wire,
};

/// Starts all parts of the service. Waits without limit for their dependencies.
pub async fn run(
    settings: NotifySettings,
    life: ProcessLifecycle,
    metrics: MetricsHandle,
) -> Result<ServiceAddresses, ServiceError> {
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
    let stopping = life.stopping();
    let mut service = ServiceBuilder::start(spec, life, metrics).await?;
    let app = App {
        codec: service.codec().clone(),
        clock: Clock::System,
        mail_domain: settings.mail_domain.clone(),
    };

    let smtp = SmtpClient::new(settings.smtp()?, stopping);
    let doubts = settings.doubts();
    let email = EmailJob { app: app.clone(), from: settings.mail_from.clone(), smtp, doubts };
    service.start_worker("mail", email, settings.policy());
    service.start_consumer(EventHandler { app })?;

    let routes = http::router(service.pool().clone(), service.limits());
    service.open_server(routes).await
}
