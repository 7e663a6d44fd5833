//! order-service as a process.

use std::{io::Write as _, process::ExitCode};

use order_service::{
    MIGRATIONS, NAME,
    config::{OrderSettings, asks_for_openapi},
    http,
};
use shared::{config, lifecycle, oneshot, telemetry};

fn main() -> ExitCode {
    if asks_for_openapi() {
        let written = std::io::stdout().write_all(http::document_text().as_bytes());
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let settings: OrderSettings = match config::parse() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    if let Some(code) = oneshot::run(&settings.common, NAME, &MIGRATIONS) {
        return code;
    }
    lifecycle::process(settings.common.shutdown_grace, |life| async {
        let metrics = telemetry::init(settings.common.log_format, &settings.common.log_filter)?;
        order_service::run(settings, life, metrics).await?;
        anyhow::Ok(())
    })
}
