//! notify-service as a process.

use std::process::ExitCode;

use notify_service::{MIGRATIONS, NAME, config::NotifySettings};
use shared::{config, lifecycle, oneshot, telemetry};

fn main() -> ExitCode {
    let settings: NotifySettings = match config::parse() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if let Some(code) = oneshot::run(&settings.common, NAME, &MIGRATIONS) {
        return code;
    }
    lifecycle::process(settings.common.shutdown_grace, |life| async {
        let metrics = telemetry::init(settings.common.log_format, &settings.common.log_filter)?;
        notify_service::run(settings, life, metrics).await?;
        anyhow::Ok(())
    })
}
