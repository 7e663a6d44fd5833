//! The deadline: orders that have not ended when they are due are cancelled.
//!
//! Overdue orders are found by the database's clock and locked with `SKIP LOCKED`, so several
//! instances share the work; each order then gets a command through the normal command path.
//!
//! **Architecture invariant:** no order is cancelled because *this service* is late. An order is
//! overdue once all messages published up to its deadline were read, by the instance that has the
//! partition, and no answer was among them. While this service is far behind, or does not know its
//! lag, the sweeper waits and logs the cause: a partition that is not read, an open transaction of
//! another producer, a topic that does not exist.
//!
//! Orders that have ended leave dead entries in the deadline index, which stay as long as an old
//! snapshot is open. So a scan that finds nothing is remembered, and the next scan begins a minute
//! before the end of that one. Orders that appear below that point all the same (an instance whose
//! clock is late, a row that was locked for long) are found by a full scan once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shared::{
    backoff::BackoffSchedule,
    db,
    effects::{SavedEffects, WorkerWakers},
    fault::{self, Fault},
    health::HealthComponent,
    lag::{GroupLag, LagCause},
    lifecycle::{InfallibleResult, RepeatedSteps},
    telemetry::spans::{Kind, OpenSpan},
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{app::App, domain::order::OrderCommand, request::OrderRequest, store};

/// The dependencies of a sweeper.
#[derive(Clone, Debug)]
pub struct SweeperParts {
    pub pool: PgPool,
    pub app: App,
    /// The relay, which is woken after a commit.
    pub wakers: WorkerWakers,
    /// The consumer progress of this service.
    pub lag: GroupLag,
    /// The reported state of the sweeper.
    pub health: HealthComponent,
}

/// Settings of a sweeper.
#[derive(Clone, Copy, Debug)]
pub struct SweeperSettings {
    /// Orders cancelled by one transaction, at most.
    pub batch_max: i64,
    pub poll: Duration,
    /// The sweeper works only while all messages older than this have been read.
    pub behind_max: Duration,
}

impl Default for SweeperSettings {
    fn default() -> Self {
        Self { batch_max: 500, poll: Duration::from_secs(1), behind_max: Duration::from_secs(10) }
    }
}

/// The outcome of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweeperStep {
    /// The number of overdue orders that were handled; there may be more.
    Swept(usize),
    Idle,
    /// This service lags behind its topics, or does not know its lag.
    HeldBack,
}

/// A blocked sweeper logs the cause after this time, and then with pauses that double.
const TELL_FIRST: Duration = Duration::from_secs(10);

/// The longest pause between two such log lines.
const TELL_AGAIN_MAX: Duration = Duration::from_mins(10);

/// One transaction may take this long.
const SWEEP_LIMIT: Duration = Duration::from_secs(30);
/// A scan begins this long before the end of the last scan that found nothing.
const OVERLAP: Duration = Duration::from_mins(1);
/// The interval of full scans.
const FROM_THE_BEGINNING: Duration = Duration::from_mins(1);

/// The start of scans, and the time of the last full scan.
#[derive(Clone, Copy, Debug)]
struct SearchStart {
    from: OffsetDateTime,
    found: Instant,
}

#[derive(Debug)]
pub struct DeadlineSweeper {
    parts: SweeperParts,
    settings: SweeperSettings,
    beginning: Mutex<Option<SearchStart>>,
}

impl DeadlineSweeper {
    pub fn new(parts: SweeperParts, settings: SweeperSettings) -> Self {
        metrics::describe_gauge!(
            "sweeper_held_back",
            "1 while overdue orders are not cancelled, because this service is behind itself."
        );
        Self { parts, settings, beginning: Mutex::default() }
    }

    /// Steps until told to stop.
    pub async fn run(self, stop: CancellationToken) -> InfallibleResult {
        let mut held_back = HeldBack::default();
        let mut steps = RepeatedSteps::until(stop);
        while let Some(outcome) = steps.next(self.step()).await {
            if !matches!(outcome, Ok(SweeperStep::HeldBack)) {
                held_back = HeldBack::default();
            } else if let Some(lasts) = held_back.lasts(Instant::now()) {
                let waits_for = self.waits_for();
                tracing::warn!(waits_for, lasts_s = lasts.as_secs(), "no order is cancelled");
            }
            match outcome {
                Ok(SweeperStep::Swept(_)) => steps.go_on(),
                Ok(SweeperStep::Idle | SweeperStep::HeldBack) => steps.pause(self.settings.poll),
                Err(fault) => {
                    tracing::warn!(error = fault::chain(&fault), "overdue orders wait");
                    steps.back_off(BackoffSchedule::hold());
                }
            }
        }
        Ok(())
    }

    /// Cancels one batch of overdue orders.
    pub async fn step(&self) -> Result<SweeperStep, Fault> {
        let is_recent = |instant: &Instant| instant.elapsed() <= self.settings.behind_max;
        let read_up_to = self.parts.lag.read_up_to().filter(is_recent);
        metrics::gauge!("sweeper_held_back").set(f64::from(u8::from(read_up_to.is_none())));
        let Some(read_up_to) = read_up_to else {
            // Reported, but the instance stays ready: it accepts orders all the same.
            let why =
                format!("holds back, this service has not read everything: {}", self.waits_for());
            self.parts.health.ready_though(why);
            return Ok(SweeperStep::HeldBack);
        };
        self.parts.health.ready();
        let limit = db::limit(&self.parts.pool, SWEEP_LIMIT);
        let (swept, saved) = db::within(limit, self.sweep(read_up_to)).await?;
        self.parts.wakers.after_commit(saved);
        Ok(if swept == 0 { SweeperStep::Idle } else { SweeperStep::Swept(swept) })
    }

    /// The start of this scan; `None` if a full scan is due.
    fn beginning(&self) -> Option<SearchStart> {
        let known = *self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|search_start| search_start.found.elapsed() < FROM_THE_BEGINNING)
    }

    fn waits_for(&self) -> String {
        let behind = self.parts.lag.behind();
        behind.as_ref().map_or_else(|| "nothing is known yet".to_owned(), LagCause::to_string)
    }

    async fn sweep(&self, read_up_to: Instant) -> Result<(usize, SavedEffects), Fault> {
        let mut tx = db::begin(&self.parts.pool).await?;
        // `now()` is the begin of the transaction. `ago` is measured after that, so `now() - ago`
        // is never later than `read_up_to`: no order counts as overdue too early.
        let ago = read_up_to.elapsed();
        let beginning = self.beginning();
        let from = beginning.map_or(OffsetDateTime::UNIX_EPOCH, |search_start| search_start.from);
        let overdue = store::lock_overdue(&mut tx, from, ago, self.settings.batch_max).await?;
        if overdue.is_empty() {
            let from = store::now(&mut tx).await? - ago - OVERLAP;
            let found = beginning.map_or_else(Instant::now, |search_start| search_start.found);
            *self.beginning.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(SearchStart { from, found });
            tx.rollback().await?;
            return Ok((0, SavedEffects::default()));
        }
        // No request caused this: each cancellation starts its own trace.
        let begin = |_: &_| OpenSpan::begin(Kind::Internal, None, || "pass deadline".into());
        let spans: Vec<OpenSpan> = overdue.iter().map(begin).collect();
        let command = |((order_id, now), span): (_, &OpenSpan)| OrderRequest {
            order_id,
            command: OrderCommand::PassDeadline { now },
            heard: None,
            trace: Some(span.trace().into()),
        };
        let requests: Vec<OrderRequest> = overdue.into_iter().zip(&spans).map(command).collect();
        let outcome = self.parts.app.execute(&mut tx, &requests).await?;
        let saved = outcome.effects.save(&mut tx, &self.parts.wakers).await?;
        tx.commit().await?;
        spans.into_iter().for_each(OpenSpan::end);
        Ok((requests.len(), saved))
    }
}

/// How long the sweeper is blocked, and when that is logged again.
#[derive(Debug, Default)]
struct HeldBack {
    since: Option<Instant>,
    told: Duration,
}

impl HeldBack {
    /// The time that the block has lasted, if it is to be logged now.
    fn lasts(&mut self, now: Instant) -> Option<Duration> {
        let lasts = now.duration_since(*self.since.get_or_insert(now));
        let pause = self.told.clamp(TELL_FIRST, TELL_AGAIN_MAX);
        if lasts < self.told + pause {
            return None;
        }
        self.told = lasts;
        Some(lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_logged_with_a_pause_that_doubles_up_to_ten_minutes() {
        let (mut held_back, start) = (HeldBack::default(), Instant::now());
        let told =
            (0..3_000).filter(|s| held_back.lasts(start + Duration::from_secs(*s)).is_some());
        assert_eq!(told.collect::<Vec<_>>(), [10, 20, 40, 80, 160, 320, 640, 1_240, 1_840, 2_440]);
    }
}
