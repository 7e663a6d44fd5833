//! The four services of a run, each with what only it has.

use futures_util::future::{join, join_all};
use order_service::{
    commands::{CancelOrder, CancelOrders, PlaceOrder, PlaceOrders},
    domain::{draft::DraftFault, order::OrderRejection},
};
use payment_service::jobs::{ChargeJob, RefundJob, ResolveJob};
use shared::{
    admission::AdmissionGate,
    batcher::{BatchHandler, BatchWorker, BatcherParts, BatcherSettings, CommandBatcher},
    consumer::MessageHandler,
    idempotency::IdempotentAnswer,
    jobs::JobWorker,
    message::{IncomingMessage, TraceContext},
};
use uuid::Uuid;

use crate::{
    instant_job::InstantJob,
    service_core::{PATIENCE, ServiceCore, work},
};

/// A batcher with its worker, both stepped by hand.
pub struct SteppedBatcher<B: BatchHandler> {
    batcher: CommandBatcher<B>,
    worker: BatchWorker<B>,
    batch: usize,
}

impl<B: BatchHandler> SteppedBatcher<B> {
    /// A batcher of this service's commands.
    pub fn new<H: MessageHandler>(core: &ServiceCore<H>, name: &'static str, batch: B) -> Self {
        let parts = BatcherParts {
            name,
            batch,
            pool: core.pool.clone(),
            wakers: core.wakers.clone(),
            gate: AdmissionGate::default(),
        };
        let settings = BatcherSettings {
            batch_max: core.batch,
            transaction_limit: PATIENCE,
            stop_limit: PATIENCE,
            ..BatcherSettings::default()
        };
        let (batcher, worker) = CommandBatcher::new(parts, settings);
        Self { batcher, worker, batch: core.batch }
    }

    /// Submits commands, and processes them in full batches.
    pub async fn submit(&mut self, commands: Vec<B::Command>) -> anyhow::Result<Vec<B::Answer>> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut rest = commands.into_iter();
        loop {
            let batch: Vec<B::Command> = rest.by_ref().take(self.batch).collect();
            if batch.is_empty() {
                return Ok(answers);
            }
            let submitted = batch.into_iter().map(|command| self.batcher.submit(command));
            let (submitted, _step) = join(join_all(submitted), self.worker.step()).await;
            answers.extend(submitted.into_iter().collect::<Result<Vec<_>, _>>()?);
        }
    }
}

/// The handler of order-service's messages.
pub(crate) type OrderHandler = order_service::consumer::EventHandler;
/// The handler of inventory-service's messages.
pub(crate) type StockHandler = inventory_service::consumer::EventHandler;
/// The handler of payment-service's messages.
pub(crate) type PaymentHandler = payment_service::consumer::EventHandler;
/// The handler of notify-service's messages.
pub(crate) type NotifyHandler = notify_service::consumer::EventHandler;

/// order-service: it also takes commands.
pub(crate) struct OrderPart {
    pub(crate) core: ServiceCore<OrderHandler>,
    pub(crate) placing: SteppedBatcher<PlaceOrders>,
    pub(crate) cancelling: SteppedBatcher<CancelOrders>,
}

/// inventory-service: it only reads and publishes.
pub(crate) struct StockPart {
    pub(crate) core: ServiceCore<StockHandler>,
}

/// payment-service: it also calls the gateway.
pub(crate) struct PaymentPart {
    pub(crate) core: ServiceCore<PaymentHandler>,
    pub(crate) charges: JobWorker<InstantJob<ChargeJob>>,
    pub(crate) resolves: JobWorker<InstantJob<ResolveJob>>,
    pub(crate) refunds: JobWorker<InstantJob<RefundJob>>,
}

/// notify-service: it also sends mails.
pub(crate) struct NotifyPart {
    pub(crate) core: ServiceCore<NotifyHandler>,
    pub(crate) mails: JobWorker<InstantJob<notify_service::jobs::email::EmailJob>>,
}

impl OrderPart {
    /// Places orders; answers their ids.
    pub(crate) async fn place(&mut self, orders: Vec<PlaceOrder>) -> anyhow::Result<Vec<Uuid>> {
        let answers = self.placing.submit(orders).await?;
        answers.into_iter().map(order_id).collect()
    }

    /// Cancels orders, each of which can be.
    pub(crate) async fn cancel(&mut self, orders: Vec<Uuid>) -> anyhow::Result<()> {
        let trace = TraceContext::start;
        let command = |order_id| CancelOrder { order_id, trace: trace() };
        let answers = self.cancelling.submit(orders.into_iter().map(command).collect()).await?;
        answers.into_iter().collect::<Result<Vec<_>, OrderRejection>>()?;
        Ok(())
    }

    pub(crate) async fn round(&mut self, messages: &[IncomingMessage]) -> anyhow::Result<()> {
        self.core.consume(messages).await?;
        self.core.publish().await
    }
}

impl StockPart {
    pub(crate) async fn round(&mut self, messages: &[IncomingMessage]) -> anyhow::Result<()> {
        self.core.consume(messages).await?;
        self.core.publish().await
    }
}

impl PaymentPart {
    pub(crate) async fn round(&mut self, messages: &[IncomingMessage]) -> anyhow::Result<()> {
        // A batch at a time, as a worker beside the consumer would: it has slots for one batch.
        for batch in messages.chunks(self.core.batch) {
            self.core.consume(batch).await?;
            work(&mut self.charges).await?;
            work(&mut self.resolves).await?;
            work(&mut self.refunds).await?;
        }
        self.core.publish().await
    }
}

impl NotifyPart {
    pub(crate) async fn round(&mut self, messages: &[IncomingMessage]) -> anyhow::Result<()> {
        for batch in messages.chunks(self.core.batch) {
            self.core.consume(batch).await?;
            work(&mut self.mails).await?;
        }
        self.core.publish().await
    }
}

fn order_id(answer: IdempotentAnswer<Vec<DraftFault>>) -> anyhow::Result<Uuid> {
    let IdempotentAnswer::Accepted { answer, replayed: false } = answer else {
        anyhow::bail!("an order is refused or repeated: {answer:?}");
    };
    let location = answer.location.unwrap_or_default();
    Ok(Uuid::parse_str(location.trim_start_matches("/orders/"))?)
}
