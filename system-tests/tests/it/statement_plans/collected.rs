//! All plans that the services have logged, by statement and by what the tables were like.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use serde_json::Value;
use xtask::cluster::ProcessName;

use super::{limits, plan::ExecutedPlan};
use crate::stage::Stage;

/// What the tables are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TableState {
    Empty,
    Full,
    Dead,
}

/// The executions of one statement with tables of one state.
#[derive(Debug, Default)]
struct Executions {
    times: u64,
    /// Those beyond the limit the farthest, and those which did what none may.
    worst: Option<(u64, ExecutedPlan)>,
    faults: BTreeSet<String>,
}

/// The plans of all services.
#[derive(Debug, Default)]
pub(super) struct CollectedPlans {
    by_statement: BTreeMap<(String, TableState), Executions>,
    read: BTreeMap<ProcessName, u64>,
}

impl CollectedPlans {
    /// Reads what the services have logged since the last time.
    pub(super) fn collect(&mut self, stage: &Stage, tables: TableState) {
        for member in ProcessName::SERVICES {
            let begin = self.read.entry(member).or_default();
            let mut log = File::open(stage.cluster.log_file(member)).unwrap();
            log.seek(SeekFrom::Start(*begin)).unwrap();
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes).unwrap();
            // A line that is being written is read the next time.
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            *begin += u64::try_from(end).unwrap();
            let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            for line in text.lines().filter(|line| line.contains("sqlx::postgres::notice")) {
                let line: Value = serde_json::from_str(line).unwrap();
                let plan = ExecutedPlan::parse(line["message"].as_str().unwrap_or_default());
                if let Some(plan) = plan.filter(ExecutedPlan::is_ours) {
                    self.add(plan, tables);
                }
            }
        }
    }

    fn add(&mut self, plan: ExecutedPlan, state: TableState) {
        let known = self.by_statement.entry((plan.statement.clone(), state)).or_default();
        known.times += 1;
        known.faults.extend(plan.faults.iter().cloned());
        let share = plan.buffers * 1_000 / limits::buffers_max(&plan, state);
        if known.worst.as_ref().is_none_or(|(before, _)| *before < share) {
            known.worst = Some((share, plan));
        }
    }

    /// Whether a statement was executed that contains this text.
    pub(super) fn has(&self, text: &str) -> bool {
        self.by_statement.keys().any(|(statement, _)| statement.contains(text))
    }

    /// How many statements were seen in each state, and the pages of each.
    pub(super) fn summary(&self) -> String {
        let mut lines = Vec::new();
        for ((statement, state), seen) in &self.by_statement {
            let Some((share, plan)) = &seen.worst else { continue };
            let (buffers, rows, times) = (plan.buffers, plan.rows, seen.times);
            lines.push(format!(
                "{share:>7} {state:?} {buffers} pages, {rows} rows, {times} times: {statement}"
            ));
        }
        lines.sort();
        for state in [TableState::Empty, TableState::Full, TableState::Dead] {
            let n = self.by_statement.keys().filter(|(_, known)| *known == state).count();
            lines.push(format!("{n} statements with tables that are {state:?}"));
        }
        lines.join("\n")
    }

    /// What is wrong with which statement.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for ((statement, state), seen) in &self.by_statement {
            for fault in &seen.faults {
                faults.push(format!("{state:?}: {fault}: {statement}"));
            }
            let Some((_, plan)) = &seen.worst else { continue };
            let (buffers, rows, max) = (plan.buffers, plan.rows, limits::buffers_max(plan, *state));
            if buffers > max {
                faults.push(format!(
                    "{state:?}: {buffers} pages for {rows} rows, {max} allowed: {statement}"
                ));
            }
        }
        faults
    }
}
