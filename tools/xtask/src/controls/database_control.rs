//! The database alone: the statements of four services in batches of a fixed size, by one program
//! that talks to Postgres and to nothing else.

use devstack::ServerStack;
use saga_bench::{saga::OneProcessSaga, saga_cost::prepare, server_counters::ServerCounter};

use super::{ControlResult, ControlSize, cpu_since, cpu_so_far};

/// Batches that are carried before anything is measured.
const BATCHES_BEFORE: u64 = 10;

/// Carries orders through new databases of the stack.
pub async fn run(stack: &ServerStack, size: ControlSize) -> anyhow::Result<ControlResult> {
    let urls = stack.urls();
    let mut counter = ServerCounter::connect(&urls.postgres).await?;
    let prefix = devstack::unique_prefix();
    let registry = (urls.registry.as_str(), prefix.as_str());
    let settings = prepare(&mut counter, &urls.postgres, registry, size.batch).await?;
    let mut saga = Box::pin(OneProcessSaga::start(&settings)).await?;
    Box::pin(saga.run(BATCHES_BEFORE * size.batch as u64)).await?;
    let before = cpu_so_far(stack).await;
    let totals = Box::pin(saga.run(size.orders)).await?;
    let cpu = cpu_since(stack, &before).await;
    saga.close().await;
    let messages = totals.published.iter().map(|published| published.messages).sum();
    Ok(ControlResult { orders: totals.orders, messages, elapsed: totals.elapsed, cpu })
}
