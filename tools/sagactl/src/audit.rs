//! The audit: checks the invariants of the whole system from outside.
//!
//! The audit reads the databases of the four services, the topics, the gateway's account, the mail
//! sink and the services' counters, and changes nothing. No service is asked how it is doing.
//!
//! ```text
//! orders, page by page, with their rows in the other databases ┐
//! topics, from their beginning                                 ├─> facts ──> sorted by order ──> each order is judged
//! charges, mails                                               ┘                                      │ suspect
//! outboxes, jobs, dead letters, stock, groups, counters: a statement or a question each               v
//!                                                                              the second look: read again, judged again
//! ```
//!
//! **Bound:** nothing that grows with the number of orders is held in memory, but for 8 kB for
//! every 131,072 facts ([`spill`]); facts are sorted in a temporary file of about 2 kB for
//! each order. In memory are one page of rows, one run of facts, one order, at most 10,000 suspects
//! ([`mod@second_look`]) and 20 examples of each invariant.
//!
//! **A running system** is read at different moments, so an order that looks wrong is a *suspect*:
//! it is read again until it is right, or nothing about the suspects has changed for
//! [`AuditOptions::still_max`]. Databases are read before topics, gateway and mails, so what a row
//! states had happened when the others are read. An order that has not ended is *open*, not wrong,
//! as long as it is within its limits.
//!
//! **Invariant:** the audit does not know how the system was started: it gets addresses only.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;
use shared::{clock::Clock, kafka};

pub use crate::service_name::{ServiceName, readers};

pub use self::{
    invariant::{AuditInvariant, AuditOutcome, AuditSource, InvariantResult},
    topics::TopicTotals,
};
use self::{reading::AuditRun, second_look::second_look};
use crate::screen::ProgressBoard;

pub mod command;
pub mod counters;
mod counts;
mod databases;
mod fact;
mod gateway;
mod groups;
mod invariant;
mod judge;
mod mails;
mod reading;
mod second_look;
mod spill;
mod stillness;
pub mod topics;

/// Addresses of the sources. An invariant whose sources are not all given is not checked.
#[derive(Clone, Debug, Default)]
pub struct AuditTargets {
    pub broker: Option<kafka::KafkaSettings>,
    pub databases: BTreeMap<ServiceName, SecretString>,
    pub gateway: Option<Url>,
    /// The API of the mail sink.
    pub mails: Option<Url>,
    /// The services' admin ports.
    pub admin: BTreeMap<ServiceName, Url>,
}

/// Limits and expectations of an audit.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Nothing may be on its way: no open order, no message in an outbox, no job.
    pub at_rest: bool,
    /// Dead letters that there have to be, decided ones included; if not said, none may be open.
    pub dead_letters: Option<u64>,
    /// Gives up waiting for something when nothing has changed for so long.
    pub still_max: Duration,
    /// A message in an outbox, a job that is due or an order that was due may wait for so long.
    pub wait_max: Duration,
    /// Counters that have to be 0.
    pub zero: Vec<&'static str>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            at_rest: false,
            dead_letters: None,
            still_max: Duration::from_secs(10),
            wait_max: Duration::from_mins(1),
            zero: counters::MUST_BE_ZERO.to_vec(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// How the whole stands.
    pub outcome: AuditOutcome,
    /// One line for each invariant.
    pub invariants: Vec<InvariantResult>,
    /// Orders by their stage.
    pub orders: BTreeMap<&'static str, i64>,
    /// Counts of the messages on the topics.
    pub topics: TopicTotals,
    /// Messages that services have read again since they were started, which is harmless.
    pub repeats: u64,
}

impl AuditReport {
    /// Violations and failed checks, each with its invariant.
    pub fn faults(&self) -> Vec<String> {
        let of = |result: &InvariantResult| {
            let name = result.name;
            let wrong = result.examples.iter().map(|example| format!("{name}: {example}"));
            let unchecked = result.outcome == AuditOutcome::NotChecked;
            let reason = result.reason.iter().filter(|_| unchecked);
            wrong.chain(reason.map(|reason| format!("{name}: {reason}"))).collect::<Vec<_>>()
        };
        self.invariants.iter().flat_map(of).collect()
    }

    /// The same report without the invariants that were not checked only for lack of an address.
    #[must_use]
    pub fn without_missing_sources(mut self) -> Self {
        self.outcome = outcome(&self.invariants, true);
        self
    }
}

fn outcome(results: &[InvariantResult], may_lack_sources: bool) -> AuditOutcome {
    let has = |outcome| {
        let counts = |result: &&InvariantResult| !(may_lack_sources && result.is_source_missing);
        results.iter().filter(counts).any(|result| result.outcome == outcome)
    };
    if has(AuditOutcome::Violated) {
        AuditOutcome::Violated
    } else if has(AuditOutcome::NotChecked) {
        AuditOutcome::NotChecked
    } else {
        AuditOutcome::Kept
    }
}

/// Checks every invariant whose sources are given.
///
/// # Errors
/// If this machine cannot do it: no temporary file, no HTTP client. A source that cannot be read is
/// no error: what needs it is reported as not checked.
pub async fn audit(
    targets: &AuditTargets,
    options: &AuditOptions,
    board: &ProgressBoard,
) -> anyhow::Result<AuditReport> {
    let mut run = AuditRun::new(targets, options, Clock::System.now())?;
    run.read_databases(board).await?;
    run.read_topics(board).await?;
    run.read_groups().await?;
    run.read_gateway(board).await;
    run.read_mails(board, Clock::System.now()).await;
    run.read_counters().await;
    let suspects = run.judge(board)?;
    second_look(&mut run, suspects).await?;
    let invariants = run.findings.results();
    Ok(AuditReport {
        outcome: outcome(&invariants, false),
        invariants,
        orders: run.orders,
        topics: run.topics.as_ref().map(|topics| topics.totals().clone()).unwrap_or_default(),
        repeats: run.counted.get(counters::REPEATS).copied().unwrap_or_default(),
    })
}
