//! Errands: what a service's program does instead of serving, and then ends.
//!
//! Each is asked for by a flag among the [settings](crate::config::Common), so that it is done under
//! the same settings as the serving, in the same image.

use std::{process::ExitCode, time::Duration};

use sqlx::migrate::Migrator;
use tokio::{runtime, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{config::ServiceSettings, fault, health::ProcessHealth, http, service, telemetry};

/// A database that is not there after so long is not waited for any longer: whoever sent us on the
/// errand sends us again.
const DATABASE_LIMIT: Duration = Duration::from_mins(2);

/// Does what the settings ask for; none if that is to serve.
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
    // The pool goes while there is a runtime.
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
