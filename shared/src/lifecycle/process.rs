//! A whole process: its runtime, its signals, its exit.

use std::{error::Error as StdError, io::Write as _, process::ExitCode, thread, time::Duration};

use super::{ProcessLifecycle, signal::ShutdownSignal};
use crate::{
    fault,
    telemetry::{finish_log, spans},
};

/// Work that hangs (a C library, a name lookup) is abandoned this long after the grace period.
const HANGING_MAX: Duration = Duration::from_secs(2);

/// Runs a process: `set_up` starts its parts; returns the exit code.
///
/// `set_up` may wait for dependencies; a signal ends the wait. The first signal stops gracefully,
/// the second one at once; so does the end of the grace period, whatever still hangs.
pub fn process<F, Fut, E>(grace: Duration, set_up: F) -> ExitCode
where
    F: FnOnce(ProcessLifecycle) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed("the runtime cannot start", &error),
    };
    let code = runtime.block_on(async {
        let life = ProcessLifecycle::new(grace);
        match ShutdownSignal::listen() {
            Ok(signals) => live(&life, signals, set_up(life.clone())).await,
            Err(error) => failed("signals cannot be listened to", &error),
        }
    });
    spans::finish();
    // Work that hangs is not waited for.
    runtime.shutdown_background();
    finish_log();
    code
}

async fn live<E: Into<Box<dyn StdError + Send + Sync>>>(
    life: &ProcessLifecycle,
    mut signals: ShutdownSignal,
    set_up: impl Future<Output = Result<(), E>>,
) -> ExitCode {
    run_until_told(life, &mut signals, set_up).await;
    exit_after(life.grace() + HANGING_MAX);
    tokio::select! {
        code = life.stop() => code,
        () = signals.next() => {
            tracing::warn!("told to stop again: at once");
            ExitCode::FAILURE
        }
    }
}

/// Sets up and runs, until a signal or the failure of a part.
async fn run_until_told<E: Into<Box<dyn StdError + Send + Sync>>>(
    life: &ProcessLifecycle,
    signals: &mut ShutdownSignal,
    set_up: impl Future<Output = Result<(), E>>,
) {
    let stopping = life.stopping();
    let mut told = std::pin::pin!(async {
        tokio::select! {
            () = signals.next() => (),
            () = stopping.cancelled() => (),
        }
    });
    let outcome = tokio::select! {
        outcome = set_up => outcome,
        () = &mut told => return,
    };
    match outcome {
        Ok(()) => told.await,
        Err(error) => {
            failed("the process cannot start", &*error.into());
            life.fail();
        }
    }
}

/// Ends the process from a thread outside the runtime, whose threads may all hang.
fn exit_after(limit: Duration) {
    thread::spawn(move || {
        thread::sleep(limit);
        finish_log();
        std::process::exit(1);
    });
}

fn failed(what: &str, error: &(dyn StdError + 'static)) -> ExitCode {
    let error = fault::chain(error);
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error, "{what}");
    } else {
        // Logging is not set up yet, or filters this line out.
        drop(writeln!(std::io::stderr(), "error: {what}: {error}"));
    }
    ExitCode::FAILURE
}
