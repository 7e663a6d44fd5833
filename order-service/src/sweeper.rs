//! The deadline: orders that have not ended when they are due are cancelled.
//!
//! Overdue orders are found by the database's clock and locked with `SKIP LOCKED`, so several
//! instances share the work; each is then asked through the one road, like by any command.
//!
//! **Architecture invariant:** nobody is cancelled because *we* are late. While this process has not
//! caught up with what is said to it, the answer that an order waits for may lie unread, and the
//! sweeper holds back.

use std::{convert::Infallible, time::Duration};

use shared::{
    backoff::Backoff,
    consumer::Progress,
    db,
    effects::{Effects, Wakers},
    fault::{self, Fault},
    health::Component,
    message::TraceParent,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, Addressed, Voice},
    domain::order::Command,
    store,
};

/// What a sweeper works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The database.
    pub pool: PgPool,
    /// What is needed to speak.
    pub voice: Voice,
    /// Who is woken after a commit.
    pub wakers: Wakers,
    /// How far this process has read.
    pub progress: Progress,
    /// What it says of itself.
    pub health: Component,
}

/// How a sweeper works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Orders cancelled by one transaction, at most.
    pub batch_max: i64,
    /// Looks this often.
    pub poll: Duration,
    /// Sweeps once this process has been caught up for this long.
    pub calm: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { batch_max: 500, poll: Duration::from_secs(1), calm: Duration::from_secs(5) }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many orders were overdue; there may be more.
    Swept(usize),
    /// Nothing was overdue.
    Idle,
    /// This process has not caught up with what is said to it.
    HeldBack,
}

/// One transaction may take this long.
const SWEEP_LIMIT: Duration = Duration::from_secs(30);

/// Cancels what is overdue.
#[derive(Debug)]
pub struct Sweeper {
    parts: Parts,
    settings: Settings,
}

impl Sweeper {
    /// A sweeper.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self { parts, settings }
    }

    /// Steps until told to stop.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let backoff = Backoff::hold();
        let mut failures = 0;
        loop {
            let outcome = tokio::select! {
                outcome = self.step() => outcome,
                () = stop.cancelled() => return Ok(()),
            };
            let wait = match outcome {
                Ok(Step::Swept(_)) => {
                    failures = 0;
                    continue;
                }
                Ok(Step::Idle | Step::HeldBack) => {
                    failures = 0;
                    self.settings.poll
                }
                Err(fault) => {
                    tracing::warn!(error = fault::chain(&fault), "overdue orders wait");
                    failures += 1;
                    backoff.delay(failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => (),
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Cancels one batch of what is overdue.
    pub async fn step(&self) -> Result<Step, Fault> {
        let held_back = !self.parts.progress.is_calm(self.settings.calm);
        metrics::gauge!("sweeper_held_back").set(f64::from(u8::from(held_back)));
        if held_back {
            // Said, but no reason to send nobody here: orders are taken all the same.
            self.parts.health.ready_though("holds back: this process has not read everything");
            return Ok(Step::HeldBack);
        }
        self.parts.health.ready();
        let (swept, effects) = db::within(SWEEP_LIMIT, self.sweep()).await?;
        self.parts.wakers.wake(&effects);
        Ok(if swept == 0 { Step::Idle } else { Step::Swept(swept) })
    }

    async fn sweep(&self) -> Result<(usize, Effects), Fault> {
        let mut tx = db::begin(&self.parts.pool).await?;
        let overdue = store::lock_overdue(&mut tx, self.settings.batch_max).await?;
        if overdue.is_empty() {
            tx.rollback().await?;
            return Ok((0, Effects::default()));
        }
        let command = |(order_id, now)| Addressed {
            order_id,
            command: Command::PassDeadline { now },
            heard: None,
            trace: Some(TraceParent::start()),
        };
        let commands: Vec<Addressed> = overdue.into_iter().map(command).collect();
        let outcome = app::execute(&mut tx, &self.parts.voice, &commands).await?;
        outcome.effects.save(&mut tx).await?;
        tx.commit().await?;
        Ok((commands.len(), outcome.effects))
    }
}
