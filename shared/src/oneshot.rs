//! One-shot commands: a service's program runs one instead of serving, and then ends.
//!
//! A flag among the [settings](crate::config::ServiceSettings) selects the command, so that it runs
//! with the same settings and in the same image as the service.

use std::{process::ExitCode, time::Duration};

use sqlx::migrate::Migrator;
use tokio::{runtime, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{config::ServiceSettings, fault, health::ProcessHealth, http, service, telemetry};

/// How long a one-shot command waits for the database. After that the command fails, and its
/// caller starts it again.
const DATABASE_LIMIT: Duration = Duration::from_mins(2);

/// Runs the one-shot command that the settings select; none if the process is to serve.
pub fn run(common: &ServiceSettings, service: &str, migrations: &Migrator) -> Option<ExitCode> {
    if common.health {
        return Some(http::ask_readiness(common.admin_listen));
    }
    common.migrate.then(|| {
        let code = match migrate(common, service, migrations) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error, "the tables are not up to date");
                ExitCode::FAILURE
            }
        };
        telemetry::finish_log();
        code
    })
}

/// Brings the tables up to date.
fn migrate(common: &ServiceSettings, service: &str, migrations: &Migrator) -> Result<(), String> {
    let telemetry = telemetry::init(common.log_format, &common.log_filter);
    telemetry.map_err(|error| fault::chain(&error))?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| fault::chain(&error))?;
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let component = health.component("database");
    let up_to_date = service::database(common, service, migrations, &component, &stop);
    // The pool is closed while there is a runtime.
    let outcome = async { timeout(DATABASE_LIMIT, up_to_date).await.map(|pool| pool.map(drop)) };
    match runtime.block_on(outcome) {
        Ok(Ok(())) => {
            tracing::info!(service, "the tables are up to date");
            Ok(())
        }
        Ok(Err(error)) => Err(fault::chain(&error)),
        Err(_late) => Err(format!("{:?}", health.report())),
    }
}
