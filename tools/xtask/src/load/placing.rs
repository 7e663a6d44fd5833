//! The clients of a load: they place orders, repeat some requests, cancel some orders.

use std::{ops::Range, sync::Arc, time::Duration};

use indicatif::ProgressBar;
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use super::{
    LoadOptions, WaitFor,
    mix::OrderMix,
    pace::{DueRequest, RequestPace},
    tracker::OrderTracker,
};
use crate::client::{self, OrderClient, PlaceAnswer, ShownOrder};

/// Pause before a call is repeated that failed or was told to come back.
const CALL_AGAIN: Duration = Duration::from_millis(200);

/// The reaction of a client to a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It gives up: nothing was to fail.
    None,
    /// It asks again under the same key: the service may be on its way up.
    Endless,
}

/// How requests were answered, beside the orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AnswerCounts {
    /// Answers that said to come back later.
    pub busy: u64,
    /// Requests that were sent a second time and answered as before.
    pub repeats: u64,
    /// When the first request began to count, none before it.
    #[serde(skip)]
    pub first: Option<Instant>,
    /// When the last was answered.
    #[serde(skip)]
    pub last: Option<Instant>,
}

/// All that a client of a load needs. Clones share it.
#[derive(Clone, Debug)]
pub struct LoadClient {
    pub orders: OrderClient,
    pub options: Arc<LoadOptions>,
    pub mix: Arc<OrderMix>,
    pub tracker: OrderTracker,
    pub failures: FailurePolicy,
}

impl LoadClient {
    /// Places the orders of these numbers, by all clients.
    pub async fn place_all(
        &self,
        numbers: Range<u64>,
        bar: &ProgressBar,
    ) -> anyhow::Result<AnswerCounts> {
        let clients = u64::try_from(self.options.unanswered_max())?;
        let clients = clients.min(numbers.end.saturating_sub(numbers.start));
        let pace = RequestPace::start(&self.options, numbers.start, numbers.end);
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (client, pace, bar) = (self.clone(), pace.clone(), bar.clone());
            tasks.spawn(async move { client.place_some(pace, &bar).await });
        }
        let mut counts = AnswerCounts::default();
        while let Some(done) = tasks.join_next().await {
            counts.add(done??);
        }
        Ok(counts)
    }

    async fn place_some(
        &self,
        pace: RequestPace,
        bar: &ProgressBar,
    ) -> anyhow::Result<AnswerCounts> {
        let mut counts = AnswerCounts::default();
        while let Some(due) = pace.next().await {
            let id = loop {
                match self.place(due, &mut counts).await {
                    Ok(id) => break id,
                    Err(error) if self.failures == FailurePolicy::None => return Err(error),
                    Err(_error) => tokio::time::sleep(CALL_AGAIN).await,
                }
            };
            bar.inc(1);
            if self.options.wait == WaitFor::End && self.options.rate.is_none() {
                self.tracker.end_of(id).await;
            }
        }
        Ok(counts)
    }

    /// Places an order, and whatever else its customer does.
    async fn place(&self, due: DueRequest, counts: &mut AnswerCounts) -> anyhow::Result<Uuid> {
        let key = self.mix.key(due.n);
        let order = self.insist(&key, due.n, counts).await?;
        self.tracker.accepted(order.id, due.since);
        counts.answered(due.since, Instant::now());
        if self.mix.is_repeated(due.n) {
            let again = self.insist(&key, due.n, counts).await?;
            let [first, second] = [&order, &again].map(serde_json::to_value);
            anyhow::ensure!(
                first? == second?,
                "order {} was answered {order:?}, and its repeat under the same key {again:?}",
                due.n
            );
            counts.repeats += 1;
        }
        if OrderMix::is_cancelled(due.n) {
            self.orders.cancel(order.id).await?;
        }
        Ok(order.id)
    }

    /// Sends a request again and again under its key while the service is busy.
    async fn insist(
        &self,
        key: &str,
        n: u64,
        counts: &mut AnswerCounts,
    ) -> anyhow::Result<ShownOrder> {
        let wish = self.mix.wish(n);
        loop {
            let pause = match self.orders.place(key, &wish).await? {
                PlaceAnswer::Accepted(order) => return Ok(order),
                PlaceAnswer::Busy(wait) => wait,
                // Its own earlier attempt is still on its way.
                PlaceAnswer::Refused(_, problem) if client::is_busy(&problem) => CALL_AGAIN,
                PlaceAnswer::Refused(status, problem) => {
                    anyhow::bail!("order {n}: {status} {problem}")
                }
            };
            counts.busy += 1;
            tokio::time::sleep(pause).await;
        }
    }
}

impl AnswerCounts {
    fn answered(&mut self, since: Instant, at: Instant) {
        self.add(Self { first: Some(since), last: Some(at), ..Self::default() });
    }

    fn add(&mut self, other: Self) {
        self.busy += other.busy;
        self.repeats += other.repeats;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
    }
}
