//! The parts of this service, put together on the ground that every service stands on.
//!
//! The mail server is not waited for: mails wait for it.

use shared::{
    clock::Clock,
    ground::{Addresses, Error, Ground, Plan},
    lifecycle::Lifecycle,
    telemetry::Metrics,
};

use crate::{
    MIGRATIONS, NAME,
    app::App,
    config::Settings,
    consumer::EventHandler,
    http,
    jobs::email::{Email, Smtp},
    metrics, wire,
};

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
    let stopping = life.stopping();
    let mut ground = Ground::lay(plan, life, metrics).await?;
    let app = App {
        codec: ground.codec().clone(),
        clock: Clock::System,
        mail_domain: settings.mail_domain.clone(),
    };

    let smtp = Smtp::new(settings.smtp()?, stopping);
    let doubts = settings.doubts();
    let email = Email { app: app.clone(), from: settings.mail_from.clone(), smtp, doubts };
    ground.start_worker("mail", email, settings.policy());
    ground.start_consumer(EventHandler { app })?;

    let routes = http::router(ground.pool().clone(), ground.limits());
    ground.open(routes).await
}
