//! The life of a process: start its parts, stop them in order, detect that a part has died.
//!
//! ```text
//! start ──> running ──signal──> stop Edges ──ended──> Work ──ended──> Last ──ended──> exit 0
//!              └── a part ends without a stop signal ──> the same stages, exit 1
//! ```
//!
//! The stages stop one after the other, so that work accepted at the edges is processed, and the
//! resulting messages are published. Each stage has its share of the grace period; when that is
//! over, the next stage gets its stop signal even if parts of this stage still run.
//!
//! Each part limits its own work after the stop signal: the HTTP server at the edges to 2.5 s,
//! batcher and jobs to 2.5 s, the consumer to 2 s for its batch and 2.5 s for its group, the relay
//! to 1.5 s. With the shares of the stages, all parts end within a grace period of 8 s, even if a
//! dependency never answers.
//!
//! **Architecture invariant:** every task of the process is started here, has a name, and is
//! awaited. A part that ends without a stop signal, fails or panics stops the process: a service
//! with a missing part is worse than a restarted one.

use std::{
    convert::Infallible,
    error::Error as StdError,
    panic::AssertUnwindSafe,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    fault,
    health::{HealthComponent, ProcessHealth},
};

pub use self::{process::process, repeated_steps::RepeatedSteps};

mod process;
mod repeated_steps;
pub mod signal;

/// The stage in which a part gets its stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopStage {
    /// First: the parts that accept new work from people (the public HTTP server).
    Edges,
    /// Then: batcher, consumer, jobs, sweepers.
    Work,
    /// At the end: the relay, and the part that reports on this process (the admin server).
    Last,
}

impl StopStage {
    const ALL: [Self; 3] = [Self::Edges, Self::Work, Self::Last];

    /// The end of the stage's share, in eighths of the grace period since the stop began.
    fn share(self) -> u32 {
        match self {
            Self::Edges => 3,
            Self::Work => 6,
            Self::Last => 8,
        }
    }
}

/// The parts of one process and the order in which they stop. Clones share the same state.
#[derive(Clone, Debug)]
pub struct ProcessLifecycle(Arc<LifecycleState>);

#[derive(Debug)]
struct LifecycleState {
    stopping: CancellationToken,
    stages: [StageParts; 3],
    failed: AtomicBool,
    grace: Duration,
    health: ProcessHealth,
    component: HealthComponent,
}

#[derive(Debug, Default)]
struct StageParts {
    stop: CancellationToken,
    parts: TaskTracker,
}

impl ProcessLifecycle {
    /// A process whose parts have the time `grace` to stop.
    pub fn new(grace: Duration) -> Self {
        let health = ProcessHealth::default();
        let component = health.component("lifecycle");
        component.ready();
        Self(Arc::new(LifecycleState {
            stopping: CancellationToken::new(),
            stages: Default::default(),
            failed: AtomicBool::new(false),
            grace,
            health,
            component,
        }))
    }

    /// The health that the parts report. Not ready once the stop has begun.
    pub fn health(&self) -> &ProcessHealth {
        &self.0.health
    }

    /// Cancelled when the stop begins, before any part gets its stop signal.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.child_token()
    }

    /// Starts a part. Its token is the stop signal; if the part ends before that, the process
    /// stops.
    pub fn start<F, Fut, E>(&self, stage: StopStage, name: &'static str, part: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let StageParts { stop, parts } = &self.0.stages[stage as usize];
        let stop = stop.clone();
        let work = AssertUnwindSafe(part(stop.child_token())).catch_unwind();
        let life = self.clone();
        let span = tracing::info_span!("part", part = name);
        parts.spawn(
            async move {
                let ended = match work.await {
                    Ok(outcome) => outcome.map_err(|error| fault::chain(&*error.into())),
                    Err(_panic) => Err("it panicked".to_owned()),
                };
                life.ended(name, &stop, ended);
            }
            .instrument(span),
        );
    }

    fn ended(&self, name: &str, stop: &CancellationToken, ended: Result<(), String>) {
        let error = match ended {
            Err(error) => error,
            Ok(()) if stop.is_cancelled() => return,
            Ok(()) => "it ended before it was told to".to_owned(),
        };
        tracing::error!(part = name, error, "a part has died");
        self.fail();
    }

    fn fail(&self) {
        self.0.failed.store(true, Ordering::Relaxed);
        self.0.stopping.cancel();
    }

    fn grace(&self) -> Duration {
        self.0.grace
    }

    /// Runs until `signal` or until a part dies; then stops the rest, stage by stage.
    pub async fn run(&self, signal: impl Future<Output = ()>) -> ExitCode {
        tokio::select! {
            () = signal => (),
            () = self.0.stopping.cancelled() => (),
        }
        self.stop().await
    }

    /// Stops now. Success if all parts ended within the grace period, and none failed or ended
    /// before its stop signal.
    pub async fn stop(&self) -> ExitCode {
        tracing::info!("stopping");
        self.0.component.not_ready("stopping");
        self.0.stopping.cancel();
        let began = Instant::now();
        for stage in StopStage::ALL {
            self.stop_stage(stage, began + self.grace() * stage.share() / 8).await;
        }
        let left = self.0.stages.iter().any(|stage_parts| !stage_parts.parts.is_empty());
        if left || self.0.failed.load(Ordering::Relaxed) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    async fn stop_stage(&self, stage: StopStage, deadline: Instant) {
        let StageParts { stop, parts } = &self.0.stages[stage as usize];
        stop.cancel();
        parts.close();
        if tokio::time::timeout_at(deadline, parts.wait()).await.is_err() {
            tracing::warn!(?stage, parts = parts.len(), "parts do not stop in time");
        }
    }
}

/// Completes `grace` after the stop signal. What the part still does then is to be given up.
pub(crate) async fn stopped_for(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// The result of a part that cannot fail.
pub type InfallibleResult = Result<(), Infallible>;

#[cfg(test)]
mod tests;
