//! What each of the four services has in this process: a consumer and a relay.

use secrecy::SecretString;
use shared::{
    clock::Clock,
    consumer::{BatchProcessor, MessageHandler},
    db,
    effects::WorkerWakers,
    health::ProcessHealth,
    jobs::{JobHandler, JobPolicy, JobWorker, WorkerParts},
    message::IncomingMessage,
    published::PublishedRetention,
    relay::{OutboxRelay, RelaySettings, RelayStep},
    sequence::SequenceWatch,
};
use sqlx::PgPool;
use tokio::time::Duration;

use crate::memory_log::{MemoryPublisher, TopicReader};

/// No limit of time is reached: a busy machine changes no count.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// A consumer, a relay, and the database of both.
#[derive(Debug)]
pub struct ServiceCore<H: MessageHandler> {
    pub pool: PgPool,
    pub wakers: WorkerWakers,
    pub publisher: MemoryPublisher,
    pub reader: TopicReader,
    /// Messages, jobs and rows of the outbox in one transaction, at most.
    pub batch: usize,
    processor: BatchProcessor<H>,
    relay: OutboxRelay<MemoryPublisher>,
}

/// How a database of this process is used.
pub fn database(url: &str) -> db::DatabaseSettings {
    let settings = db::DatabaseSettings::new(SecretString::from(url.to_owned())).patient(PATIENCE);
    // A service's work is done one after the other here. A second connection would come and go with
    // the time that the pool takes to get the first one back.
    db::DatabaseSettings { connections_max: 1, ..settings }
}

impl<H: MessageHandler> ServiceCore<H> {
    /// The parts of this service, over a database with its tables.
    pub fn new(
        service: &'static str,
        (url, batch): (&str, usize),
        handler: H,
    ) -> Result<Self, sqlx::Error> {
        let settings = database(url);
        let pool = db::pool(&settings, service)?;
        let (wakers, publisher) = (WorkerWakers::default(), MemoryPublisher::default());
        let reader = TopicReader::of(handler.topics());
        let processor = BatchProcessor {
            service,
            handler,
            pool: pool.clone(),
            wakers: wakers.clone(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        };
        let relay = RelaySettings {
            database: db::options(&settings, service)?,
            service,
            batch_max: batch,
            poll: PATIENCE,
            statement_limit: PATIENCE,
            stop_grace: PATIENCE,
            lead_limit: PATIENCE,
        };
        let health = ProcessHealth::default().component("relay");
        let relay = OutboxRelay::new(relay, publisher.clone(), wakers.clone(), health).keeping(
            PublishedRetention {
                latest: vec![contract::PRODUCT_CHANGED],
                ..PublishedRetention::default()
            },
        );
        Ok(Self { pool, wakers, publisher, reader, batch, processor, relay })
    }

    /// A worker of this service's jobs.
    pub fn worker<J: JobHandler>(&self, effect: J, policy: &JobPolicy) -> JobWorker<J> {
        JobWorker::new(WorkerParts {
            service: self.processor.service,
            effect,
            policy: JobPolicy { concurrency_max: self.batch, ..policy.clone() },
            pool: self.pool.clone(),
            wakers: self.wakers.clone(),
            health: ProcessHealth::default().component("jobs"),
        })
    }

    /// Processes these messages, a batch at a time.
    pub async fn consume(&mut self, messages: &[IncomingMessage]) -> anyhow::Result<()> {
        for batch in messages.chunks(self.batch) {
            let counts = self.processor.process_batch(batch).await?;
            anyhow::ensure!(counts.fresh == batch.len(), "a message had no effect: {counts:?}");
        }
        Ok(())
    }

    /// Publishes all that waits in the outbox.
    pub async fn publish(&mut self) -> anyhow::Result<()> {
        loop {
            match self.relay.step().await? {
                RelayStep::Published(_) => (),
                RelayStep::Idle => return Ok(()),
                step @ (RelayStep::Held
                | RelayStep::Unconfirmed(_)
                | RelayStep::Standby
                | RelayStep::Deposed
                | RelayStep::GaveUp
                | RelayStep::Resting) => anyhow::bail!("the relay cannot publish: {step:?}"),
            }
        }
    }
}

/// Works on the jobs that were handed to this worker, and on those that follow from them.
///
/// A worker is handed jobs once it has looked at the table: the first time, and never again here,
/// since each job is born claimed.
pub(crate) async fn work<J: JobHandler>(worker: &mut JobWorker<J>) -> anyhow::Result<()> {
    loop {
        let step = worker.step_handed().await?;
        anyhow::ensure!(step.done == step.handed, "a job was not done: {step:?}");
        if step.handed == 0 {
            return Ok(());
        }
    }
}
