//! A whole process: its runtime, its signals, its end.

use std::{error::Error as StdError, io::Write as _, process::ExitCode, thread, time::Duration};

use super::{ProcessLifecycle, signal::ShutdownSignal};
use crate::{
    fault,
    telemetry::{finish_log, spans},
};

/// What hangs (a C library, a lookup of a name) is left behind so long after the grace.
const HANGING_MAX: Duration = Duration::from_secs(2);

/// Runs a process from `set_up` to its exit code.
///
/// `set_up` starts the parts and may wait for dependencies while it does; a signal ends the wait.
/// The first signal stops softly, the second one at once; so does the end of the grace, whatever
/// still hangs.
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
    // What hangs is not waited for.
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

/// Sets up and runs, until a signal or until something dies.
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

/// Ends the process from outside the runtime, whose threads may all hang.
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
        // Logs do not go anywhere yet, or leave this out.
        drop(writeln!(std::io::stderr(), "error: {what}: {error}"));
    }
    ExitCode::FAILURE
}
