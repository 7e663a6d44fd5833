//! `xtask controls`: what the database alone and the broker alone need for the work of a saga.
//!
//! ```text
//! cargo run --release --bin xtask -- controls --orders 20000 --batch 50
//! ```
//!
//! The distance of a load run to these two is what the services, HTTP and the waiting cost.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use clap::Args;
use devstack::{ServerStack, StackPart, WantedParts};
use sagactl::screen::{ProgressBoard, say};

use crate::{process_account, source::StackSource, stack_progress::StackProgress};

pub mod broker_control;
pub mod database_control;

/// How much work, and on what.
#[derive(Clone, Debug, Args)]
pub struct ControlOptions {
    /// Number of orders that are carried.
    #[arg(long, default_value_t = 10_000)]
    pub orders: u64,
    /// Commands, messages and jobs in one transaction; messages published at once.
    #[arg(long, default_value_t = 50)]
    pub batch: usize,
    /// Source of broker, database and registry.
    #[arg(long, value_enum, default_value_t)]
    pub from: StackSource,
}

/// The size of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlSize {
    /// Number of orders that are carried.
    pub orders: u64,
    /// Commands, messages and jobs in one transaction; messages published at once.
    pub batch: usize,
}

/// The result of a control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlResult {
    /// Number of orders that are carried.
    pub orders: u64,
    /// Messages that were published.
    pub messages: u64,
    /// From the first to the last of the work.
    pub elapsed: Duration,
    /// Processor time of each server that is a local process, and of this program.
    pub cpu: BTreeMap<String, Duration>,
}

/// The name of this program among the processor times.
pub const PROGRAM: &str = "control program";

impl ControlResult {
    /// Processor time of an order, of the process of this name; none if it is not known.
    pub fn cpu_per_order(&self, name: &str) -> Option<Duration> {
        let orders = u32::try_from(self.orders).ok().filter(|orders| *orders > 0)?;
        Some(*self.cpu.get(name)? / orders)
    }

    /// This many in each second of the run.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn a_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    fn print(&self, title: &str) {
        say(format_args!(
            "\n{title}: {} orders, {} messages in {:.1} s: {:.0} orders/s, {:.0} messages/s",
            self.orders,
            self.messages,
            self.elapsed.as_secs_f64(),
            self.a_second(self.orders),
            self.a_second(self.messages)
        ));
        for name in self.cpu.keys() {
            let micros = self.cpu_per_order(name).map_or(0, |time| time.as_micros());
            say(format_args!("  {name:18} {micros:6} µs/order"));
        }
    }
}

/// Starts the servers, and runs both controls one after the other.
pub async fn run(options: ControlOptions) -> anyhow::Result<ExitCode> {
    let board = ProgressBoard::new();
    let parts = WantedParts::of(&[StackPart::Kafka, StackPart::Postgres, StackPart::Registry]);
    let stack = ServerStack::start(options.from.source(), parts, &StackProgress(&board)).await?;
    let size = ControlSize { orders: options.orders, batch: options.batch };
    Box::pin(database_control::run(&stack, size)).await?.print("The database alone");
    broker_control::run(&stack, size).await?.print("The broker alone");
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Processor time so far, of the stack's servers and of this program.
pub(crate) async fn cpu_so_far(stack: &ServerStack) -> BTreeMap<String, Duration> {
    let mut cpu: BTreeMap<String, Duration> = stack
        .process_trees()
        .await
        .into_iter()
        .map(|(part, root)| (part.to_string(), devstack::processor_time(root)))
        .collect();
    cpu.extend(
        process_account::processor_time(std::process::id()).map(|time| (PROGRAM.to_owned(), time)),
    );
    cpu
}

/// Processor time since `before`.
pub(crate) async fn cpu_since(
    stack: &ServerStack,
    before: &BTreeMap<String, Duration>,
) -> BTreeMap<String, Duration> {
    let mut cpu = cpu_so_far(stack).await;
    for (name, time) in &mut cpu {
        *time = time.saturating_sub(before.get(name).copied().unwrap_or_default());
    }
    cpu
}
