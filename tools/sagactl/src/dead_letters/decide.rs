//! Many decisions, one after the other, at a limited rate.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context as _;
use shared::{
    dead_letter::{LetterFilter, LetterSummary, Resolution},
    visible_text::visible,
};
use tokio::time::{Interval, MissedTickBehavior};
use uuid::Uuid;

use super::api::{AdminClient, DecisionAnswer, look_up};
use crate::{
    screen::{ProgressBoard, columns, say},
    text_table::wrapped,
};

/// The decision about each letter.
#[derive(Debug)]
pub(super) struct LetterWork {
    /// Why they are discarded; none for letters that are redriven.
    pub(super) because: Option<String>,
    pub(super) by: String,
    /// Letters a second, at most.
    pub(super) rate: u32,
}

/// A letter is asked for again so often while its service is busy.
const BUSY_MAX: u32 = 10;
/// Continued lines are indented by this many spaces.
const NEXT_LINE: usize = 4;
/// Complaints of one kind that are shown, at most.
const SHOWN_MAX: usize = 10;

/// The outcome of the decisions.
#[derive(Debug, Default)]
struct WorkTally {
    outcomes: BTreeMap<&'static str, u64>,
    complaints: Vec<String>,
}

/// The open letters of these services that a filter lets through, oldest first, at most `max`.
pub(super) async fn filtered(
    services: Vec<AdminClient>,
    filter: &LetterFilter,
    max: usize,
) -> anyhow::Result<Vec<(AdminClient, LetterSummary)>> {
    let mut found = Vec::new();
    for service in services {
        let left = max - found.len();
        let letters =
            service.list(filter, left).await.with_context(|| service.name().to_owned())?;
        found.extend(letters.into_iter().map(|letter| (service.clone(), letter)));
    }
    Ok(found)
}

/// The letters of these names, wherever they are.
pub(super) async fn named(
    services: Vec<AdminClient>,
    ids: &[Uuid],
) -> anyhow::Result<Vec<(AdminClient, LetterSummary)>> {
    let mut found = Vec::new();
    for id in ids {
        let (service, shown) = look_up(&services, *id).await?;
        match shown.letter.filter(|_| shown.open) {
            Some(letter) => found.push((service.clone(), letter)),
            None => say(format_args!("  {id}  is settled already")),
        }
    }
    Ok(found)
}

impl LetterWork {
    /// Decides on each of the letters. What is not done when this is interrupted is done by the
    /// next run.
    pub(super) async fn run(
        &self,
        letters: Vec<(AdminClient, LetterSummary)>,
    ) -> anyhow::Result<ExitCode> {
        if letters.is_empty() {
            say("No open dead letter is meant.");
            return Ok(ExitCode::SUCCESS);
        }
        let board = ProgressBoard::new();
        let name = if self.because.is_none() { "redrive" } else { "discard" };
        let bar = board.count(name, letters.len() as u64);
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tally = WorkTally::default();
        for (service, letter) in &letters {
            self.decide(service, letter, &mut pace, &mut tally).await?;
            bar.inc(1);
        }
        bar.finish();
        Ok(tally.report())
    }

    /// Decides on one letter, again while its service is busy.
    async fn decide(
        &self,
        service: &AdminClient,
        letter: &LetterSummary,
        pace: &mut Interval,
        tally: &mut WorkTally,
    ) -> anyhow::Result<()> {
        let mut busy = 0;
        loop {
            pace.tick().await;
            let answer = service.decide(letter.id, &self.by, self.because.as_deref()).await;
            let answer = answer.with_context(|| format!("{}, {}", service.name(), letter.id))?;
            match answer {
                DecisionAnswer::Later(wait) if busy < BUSY_MAX => {
                    busy += 1;
                    tokio::time::sleep(wait).await;
                }
                answer @ (DecisionAnswer::Carried(_)
                | DecisionAnswer::Later(_)
                | DecisionAnswer::Refused(_)) => {
                    tally.note(letter, answer);
                    return Ok(());
                }
            }
        }
    }
}

impl WorkTally {
    fn note(&mut self, letter: &LetterSummary, answer: DecisionAnswer) {
        let outcome = match answer {
            DecisionAnswer::Carried(Resolution::NotOpen) => "settled before",
            DecisionAnswer::Carried(Resolution::PutBack) => "put back to work",
            DecisionAnswer::Carried(Resolution::StillDead { attempts, reason, detail }) => {
                self.complain(letter, &format!("{reason}, attempt {attempts}: {detail}"));
                "still dead"
            }
            DecisionAnswer::Carried(Resolution::Settled) => "settled",
            DecisionAnswer::Refused(reason) => {
                self.complain(letter, &reason);
                "refused"
            }
            DecisionAnswer::Later(_) => {
                self.complain(letter, "its service was busy all the while");
                "not reached"
            }
        };
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    fn complain(&mut self, letter: &LetterSummary, what: &str) {
        self.complaints.push(format!("{}  {}", letter.id, visible(what)));
    }

    /// Says what became of them; success if there is nothing left to do.
    fn report(&self) -> ExitCode {
        for (outcome, n) in &self.outcomes {
            say(format_args!("  {n:>7}  {outcome}"));
        }
        for complaint in self.complaints.iter().take(SHOWN_MAX) {
            say(wrapped(&format!("  {complaint}"), columns(), NEXT_LINE));
        }
        if let Some(more @ 1..) = self.complaints.len().checked_sub(SHOWN_MAX) {
            say(format_args!("  … and {more} more"));
        }
        if self.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
