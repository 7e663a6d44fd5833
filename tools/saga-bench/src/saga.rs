//! Carries orders through the four services, round by round.
//!
//! In a round the services run at the same time, each on its own database, on what was published in
//! the round before. So what is in a batch depends on the number of the round and never on timing.

use std::time::{Duration, Instant};

use futures_util::future::try_join4;
use shared::message::IncomingMessage;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    memory_log::{MemoryPublisher, PublishTotals},
    order_mix::{self, CancelTime},
    saga_setup::SagaSettings,
    service_parts::{NotifyPart, OrderPart, PaymentPart, StockPart},
};

/// Rounds from a placement to the round in which its confirmation was published, and one more.
const CONFIRMED_AFTER: u64 = 4;

/// The four services, and how many orders they were given.
pub struct OneProcessSaga {
    orders: OrderPart,
    stock: StockPart,
    payments: PaymentPart,
    notify: NotifyPart,
    batch: u64,
    /// Names the keys of this run's requests.
    run: String,
    placed: u64,
    round: u64,
    /// Orders to cancel, and in which round.
    to_cancel: Vec<(u64, Uuid)>,
}

/// What a run did, counted in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    pub orders: u64,
    pub elapsed: Duration,
    /// What each service published, in the order of [`SERVICES`].
    pub published: [PublishTotals; 4],
}

/// The services, in the order of all arrays here.
pub const SERVICES: [&str; 4] =
    [order_service::NAME, inventory_service::NAME, payment_service::NAME, notify_service::NAME];

impl OneProcessSaga {
    /// Starts the services over empty databases, and has order-service know the products.
    pub async fn start(settings: &SagaSettings) -> anyhow::Result<Self> {
        settings.migrate().await?;
        let mut saga = Self {
            orders: settings.orders().await?,
            stock: settings.stock().await?,
            payments: settings.payments().await?,
            notify: settings.notify().await?,
            batch: settings.batch as u64,
            run: settings.prefix.clone(),
            placed: 0,
            round: 0,
            to_cancel: Vec::new(),
        };
        Box::pin(saga.run(0)).await?;
        Ok(saga)
    }

    /// Places this number of orders and carries them, and all that follows, to the end.
    pub async fn run(&mut self, orders: u64) -> anyhow::Result<RunTotals> {
        let (published, began) = (self.published(), Instant::now());
        let until = self.placed + orders;
        while Box::pin(self.round(until)).await? {}
        let mut totals = RunTotals { orders, elapsed: began.elapsed(), ..RunTotals::default() };
        for (place, now) in self.published().into_iter().enumerate() {
            let before = published[place];
            totals.published[place] = PublishTotals {
                batches: now.batches - before.batches,
                messages: now.messages - before.messages,
                bytes: now.bytes - before.bytes,
            };
        }
        Ok(totals)
    }

    /// The pools of the services, in the order of [`SERVICES`].
    pub fn pools(&self) -> [&PgPool; 4] {
        [
            &self.orders.core.pool,
            &self.stock.core.pool,
            &self.payments.core.pool,
            &self.notify.core.pool,
        ]
    }

    /// Closes the connections of all pools.
    pub async fn close(self) {
        for pool in self.pools() {
            pool.close().await;
        }
    }

    /// One round; whether there is more to do.
    async fn round(&mut self, until: u64) -> anyhow::Result<bool> {
        let heard = [
            self.orders.core.reader.take(),
            self.stock.core.reader.take(),
            self.payments.core.reader.take(),
            self.notify.core.reader.take(),
        ];
        let first = self.placed;
        let placed = self.batch.min(until - first);
        self.placed += placed;
        let new = (first, placed, self.round, self.run.as_str());
        let cancels = &mut self.to_cancel;
        try_join4(
            Box::pin(order_round(&mut self.orders, &heard[0], new, cancels)),
            Box::pin(self.stock.round(&heard[1])),
            Box::pin(self.payments.round(&heard[2])),
            Box::pin(self.notify.round(&heard[3])),
        )
        .await?;
        self.round += 1;
        let unread = self.distribute();
        Ok(unread || self.placed < until || !self.to_cancel.is_empty())
    }

    /// Gives what was published to those who read it; whether there was something to read.
    fn distribute(&mut self) -> bool {
        let published: Vec<IncomingMessage> = [
            &self.orders.core.publisher,
            &self.stock.core.publisher,
            &self.payments.core.publisher,
            &self.notify.core.publisher,
        ]
        .into_iter()
        .flat_map(MemoryPublisher::take)
        .collect();
        let readers = [
            &mut self.orders.core.reader,
            &mut self.stock.core.reader,
            &mut self.payments.core.reader,
            &mut self.notify.core.reader,
        ];
        let mut unread = false;
        for reader in readers {
            reader.hear(&published);
            unread |= !reader.is_empty();
        }
        unread
    }

    fn published(&self) -> [PublishTotals; 4] {
        [
            self.orders.core.publisher.totals(),
            self.stock.core.publisher.totals(),
            self.payments.core.publisher.totals(),
            self.notify.core.publisher.totals(),
        ]
    }
}

/// The round of order-service: new orders, cancellations by customers, messages.
async fn order_round(
    orders: &mut OrderPart,
    heard: &[IncomingMessage],
    (first, placed, round, run): (u64, u64, u64, &str),
    to_cancel: &mut Vec<(u64, Uuid)>,
) -> anyhow::Result<()> {
    let new = (first..first + placed).map(|n| order_mix::order(run, n));
    let ids = orders.place(new.collect::<Result<_, _>>()?).await?;
    for (n, id) in (first..).zip(ids) {
        match order_mix::cancelled(n) {
            CancelTime::Never => (),
            CancelTime::AtOnce => to_cancel.push((round, id)),
            CancelTime::OnceConfirmed => to_cancel.push((round + CONFIRMED_AFTER, id)),
        }
    }
    let (due, later) = std::mem::take(to_cancel).into_iter().partition(|(when, _)| *when <= round);
    *to_cancel = later;
    let due: Vec<(u64, Uuid)> = due;
    orders.cancel(due.into_iter().map(|(_, id)| id).collect()).await?;
    orders.round(heard).await
}
