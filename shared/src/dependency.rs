//! Waits for dependencies, which may start later than this service, or restart.
//!
//! **Architecture invariant:** a service whose dependency is not available yet waits and is not
//! ready; the service does not end, and nobody has to restart it.

use std::error::Error as StdError;

use tokio_util::sync::CancellationToken;

use crate::{backoff::BackoffSchedule, fault, health::HealthComponent};

/// The result of waiting.
#[derive(Debug)]
pub enum WaitOutcome<T, E> {
    /// The dependency answered with this value.
    Up(T),
    /// The attempt failed for good: a retry cannot help.
    Refused(E),
    /// The process was told to stop first.
    Stopped,
}

/// Tries until it works, with backoff, for as long as the error is `transient`. Says through
/// `health` what is being waited for. An attempt is dropped at once when told to stop.
pub async fn wait<T, E: StdError + 'static>(
    health: &HealthComponent,
    stop: &CancellationToken,
    transient: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> WaitOutcome<T, E> {
    let backoff = BackoffSchedule::hold();
    let mut failures = 0;
    loop {
        let Some(outcome) = stop.run_until_cancelled(attempt()).await else {
            return WaitOutcome::Stopped;
        };
        let error = match outcome {
            Ok(value) => {
                health.ready();
                return WaitOutcome::Up(value);
            }
            Err(error) if !transient(&error) => return WaitOutcome::Refused(error),
            Err(error) => fault::chain(&error),
        };
        health.not_ready(&error);
        let delay = backoff.delay(failures);
        failures = failures.saturating_add(1);
        tracing::warn!(error, failures, delay_ms = delay.as_millis(), "waiting for a dependency");
        if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return WaitOutcome::Stopped;
        }
    }
}
