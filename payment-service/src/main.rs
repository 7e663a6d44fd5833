//! payment-service as a process.

use std::process::ExitCode;

use payment_service::{MIGRATIONS, NAME, config::PaymentSettings};
use shared::{config, lifecycle, oneshot, telemetry};

fn main() -> ExitCode {
    let settings: PaymentSettings = match config::parse() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if let Some(code) = oneshot::run(&settings.common, NAME, &MIGRATIONS) {
        return code;
    }
    lifecycle::process(settings.common.shutdown_grace, |life| async {
        let metrics = telemetry::init(settings.common.log_format, &settings.common.log_filter)?;
        payment_service::run(settings, life, metrics).await?;
        anyhow::Ok(())
    })
}
