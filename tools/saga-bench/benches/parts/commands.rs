//! The batcher alone: 64 callers, each of which waits for its answer before it asks again.

use std::time::Duration;

use divan::{Bencher, counter::ItemsCount};
use futures_util::future::join_all;
use shared::{
    admission::AdmissionGate,
    batcher::{BatchHandler, BatcherParts, BatcherSettings, CommandBatcher},
    effects::{DecisionEffects, WorkerWakers},
    fault::Fault,
    lifecycle::{ProcessLifecycle, StopStage},
};
use sqlx::PgConnection;

use crate::fixture::{PATIENCE, database, wait};

const CALLERS: usize = 64;
const CALLS_EACH: usize = 200;

/// Does nothing, in a transaction.
struct NoWork;

impl BatchHandler for NoWork {
    type Command = ();
    type Answer = ();

    async fn handle_batch(
        &self,
        _conn: &mut PgConnection,
        commands: &[()],
    ) -> Result<(Vec<()>, DecisionEffects), Fault> {
        Ok((commands.to_vec(), DecisionEffects::default()))
    }
}

/// Commands a second, of all callers together.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn batcher_alone(bencher: Bencher<'_, '_>) {
    let (pool, _settings) = wait(database());
    let life = ProcessLifecycle::new(PATIENCE);
    let parts = BatcherParts {
        name: "bench",
        batch: NoWork,
        pool,
        wakers: WorkerWakers::default(),
        gate: AdmissionGate::default(),
    };
    let settings =
        BatcherSettings { transaction_limit: Duration::from_mins(1), ..BatcherSettings::default() };
    let (batcher, worker) = CommandBatcher::new(parts, settings);
    wait(async { life.start(StopStage::Work, "batcher", |stop| worker.run(stop)) });
    bencher.counter(ItemsCount::new(CALLERS * CALLS_EACH)).bench_local(|| {
        let caller = || async {
            for _ in 0..CALLS_EACH {
                batcher.submit(()).await.unwrap();
            }
        };
        wait(join_all((0..CALLERS).map(|_| caller())));
    });
}
