//! The invariants, what each needs to be checked, and what a check found.
//!
//! **Bound:** an invariant keeps counts and at most [`EXAMPLES_MAX`] examples of violations.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use shared::visible_text::visible;

use crate::service_name::ServiceName;

/// Examples that are kept of each invariant.
pub(super) const EXAMPLES_MAX: usize = 20;

/// A source that an audit reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditSource {
    /// The database of a service.
    Database(ServiceName),
    Broker,
    Gateway,
    /// The API of the mail sink.
    Mails,
    /// The admin port of a service.
    Admin(ServiceName),
}

impl fmt::Display for AuditSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(service) => write!(f, "the database of {service}"),
            Self::Broker => f.write_str("the broker"),
            Self::Gateway => f.write_str("the gateway"),
            Self::Mails => f.write_str("the mail sink"),
            Self::Admin(service) => write!(f, "the admin port of {service}"),
        }
    }
}

/// An invariant of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditInvariant {
    /// No order is pending beyond its due time.
    OrdersEnded,
    /// Stock is available, reserved or sold, and agrees with reservations and orders.
    StockAddsUp,
    /// Payments agree with orders.
    PaymentsMatch,
    /// Charges at the gateway agree with orders.
    ChargesMatch,
    /// Each message that a service has published is on its topics, in order.
    TopicsComplete,
    /// Each message about an order has reached its history.
    MessagesArrived,
    /// Each consumer group has read its topics.
    TopicsRead,
    /// No message waits in an outbox.
    OutboxesEmpty,
    JobsDone,
    /// No dead letter is open.
    DeadLettersDecided,
    /// Each customer was told how the order ended.
    CustomersNotified,
    /// The mail sink has each mail that was sent, and no other.
    MailsDelivered,
    /// Counters of what must not happen are 0.
    CountersZero,
}

impl AuditInvariant {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 13] = [
        Self::OrdersEnded,
        Self::StockAddsUp,
        Self::PaymentsMatch,
        Self::ChargesMatch,
        Self::TopicsComplete,
        Self::MessagesArrived,
        Self::TopicsRead,
        Self::OutboxesEmpty,
        Self::JobsDone,
        Self::DeadLettersDecided,
        Self::CustomersNotified,
        Self::MailsDelivered,
        Self::CountersZero,
    ];

    /// Its name in the report, and what is counted of it.
    fn name_and_unit(self) -> (&'static str, &'static str) {
        match self {
            Self::OrdersEnded => ("orders ended", "orders"),
            Self::StockAddsUp => ("stock adds up", "products and orders"),
            Self::PaymentsMatch => ("payments match orders", "orders"),
            Self::ChargesMatch => ("gateway charges match orders", "orders"),
            Self::TopicsComplete => ("topics are complete and in order", "orders"),
            Self::MessagesArrived => ("messages reached the order history", "orders"),
            Self::TopicsRead => ("topics are read", "consumer groups"),
            Self::OutboxesEmpty => ("outboxes are empty", "services"),
            Self::JobsDone => ("jobs are done", "services"),
            Self::DeadLettersDecided => ("dead letters are decided", "services"),
            Self::CustomersNotified => ("customers are notified", "orders"),
            Self::MailsDelivered => ("mails are delivered", "mails"),
            Self::CountersZero => ("counters are zero", "counters"),
        }
    }

    /// The sources that its check reads.
    pub(super) fn needs(self) -> Vec<AuditSource> {
        use AuditSource::{Admin, Broker, Database, Gateway, Mails};
        use ServiceName::{Inventory, Notify, Orders, Payments};
        let databases = || ServiceName::ALL.map(Database).to_vec();
        match self {
            Self::OrdersEnded => vec![Database(Orders)],
            Self::StockAddsUp => vec![Database(Orders), Database(Inventory)],
            Self::PaymentsMatch => vec![Database(Orders), Database(Payments)],
            Self::ChargesMatch => vec![Database(Orders), Database(Payments), Gateway],
            Self::TopicsComplete => [databases(), vec![Broker]].concat(),
            Self::TopicsRead => vec![Broker],
            Self::MessagesArrived
            | Self::OutboxesEmpty
            | Self::JobsDone
            | Self::DeadLettersDecided => databases(),
            Self::CustomersNotified => vec![Database(Orders), Database(Notify)],
            Self::MailsDelivered => vec![Database(Orders), Database(Notify), Mails],
            Self::CountersZero => ServiceName::ALL.map(Admin).to_vec(),
        }
    }
}

/// How an invariant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// Everything that was checked is right.
    Kept,
    Violated,
    /// It could not be checked.
    NotChecked,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct InvariantResult {
    pub name: &'static str,
    pub outcome: AuditOutcome,
    /// Counts of the checked items.
    pub checked: u64,
    pub unit: &'static str,
    /// Count of items that have not ended and are within their limits.
    pub open: u64,
    /// What is too old, or too new, to be held against a source that forgets or was read before.
    pub left_out: u64,
    pub violations: u64,
    /// Some of what is wrong.
    pub examples: Vec<String>,
    /// Why it was not checked.
    pub reason: Option<String>,
    /// It was not checked because nobody said where a source is.
    #[serde(skip)]
    pub is_source_missing: bool,
}

/// Counts and examples of one invariant while it is checked.
#[derive(Clone, Debug, Default)]
pub(super) struct InvariantTally {
    pub(super) checked: u64,
    pub(super) open: u64,
    pub(super) left_out: u64,
    pub(super) violations: u64,
    /// Looked wrong, and was not looked at again.
    pub(super) unconfirmed: u64,
    examples: Vec<String>,
}

impl InvariantTally {
    pub(super) fn violation(&mut self, example: impl Into<String>) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(visible(&example.into()).into_owned());
        }
    }
}

/// The counts of all invariants, and the sources that could not be read.
#[derive(Clone, Debug, Default)]
pub(super) struct AuditFindings {
    tallies: BTreeMap<AuditInvariant, InvariantTally>,
    missing: BTreeMap<AuditSource, (String, bool)>,
}

impl AuditFindings {
    pub(super) fn of(&mut self, invariant: AuditInvariant) -> &mut InvariantTally {
        self.tallies.entry(invariant).or_default()
    }

    /// Nobody said where this is.
    pub(super) fn not_given(&mut self, source: AuditSource) {
        self.missing.insert(source, (format!("{source} is not given"), true));
    }

    /// This could not be read.
    pub(super) fn unreadable(&mut self, source: AuditSource, error: &anyhow::Error) {
        let reason = format!("{source} cannot be read: {error:#}");
        self.missing.entry(source).or_insert_with(|| (visible(&reason).into_owned(), false));
    }

    /// Whether everything that the invariant needs could be read.
    pub(super) fn can_check(&self, invariant: AuditInvariant) -> bool {
        !invariant.needs().iter().any(|source| self.missing.contains_key(source))
    }

    pub(super) fn results(&self) -> Vec<InvariantResult> {
        AuditInvariant::ALL.into_iter().map(|invariant| self.result(invariant)).collect()
    }

    fn result(&self, invariant: AuditInvariant) -> InvariantResult {
        let tally = self.tallies.get(&invariant).cloned().unwrap_or_default();
        let needs = invariant.needs();
        // A source that was given and cannot be read is the graver reason.
        let missing = needs.iter().filter_map(|source| self.missing.get(source));
        let missing = missing.min_by_key(|(_, is_source_missing)| *is_source_missing).cloned();
        let unconfirmed = (tally.unconfirmed > 0).then(|| {
            let n = tally.unconfirmed;
            (format!("{n} more looked wrong, too many to be looked at again"), false)
        });
        let (reason, is_source_missing) = missing.or(unconfirmed).unzip();
        let outcome = match (&reason, tally.violations) {
            (_, 1..) if self.can_check(invariant) => AuditOutcome::Violated,
            (Some(_), _) => AuditOutcome::NotChecked,
            (None, _) => AuditOutcome::Kept,
        };
        let is_checked = self.can_check(invariant);
        let tally = if is_checked { tally } else { InvariantTally::default() };
        let (name, unit) = invariant.name_and_unit();
        InvariantResult {
            name,
            outcome,
            checked: tally.checked,
            unit,
            open: tally.open,
            left_out: tally.left_out,
            violations: tally.violations,
            examples: tally.examples,
            reason,
            is_source_missing: is_source_missing.unwrap_or_default(),
        }
    }
}

impl fmt::Display for InvariantResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.outcome {
            AuditOutcome::Kept => "✔",
            AuditOutcome::Violated => "✘",
            AuditOutcome::NotChecked => "?",
        };
        write!(f, "{sign} {:<36}", self.name)?;
        if self.outcome != AuditOutcome::NotChecked {
            write!(f, " {} {}", self.checked, self.unit)?;
            for (n, what) in
                [(self.open, "open"), (self.left_out, "left out"), (self.violations, "wrong")]
            {
                if n > 0 {
                    write!(f, ", {n} {what}")?;
                }
            }
        }
        match (&self.reason, self.outcome) {
            (Some(reason), AuditOutcome::NotChecked) => write!(f, " not checked: {reason}"),
            (Some(reason), _) => write!(f, "; {reason}"),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(findings: &AuditFindings, invariant: AuditInvariant) -> InvariantResult {
        findings
            .results()
            .into_iter()
            .find(|result| result.name == invariant.name_and_unit().0)
            .unwrap()
    }

    #[test]
    fn examples_are_bounded_and_violations_are_all_counted() {
        let mut findings = AuditFindings::default();
        for n in 0..1_000 {
            findings.of(AuditInvariant::JobsDone).violation(format!("job {n}"));
        }
        let result = result(&findings, AuditInvariant::JobsDone);
        assert_eq!((result.violations, result.examples.len()), (1_000, EXAMPLES_MAX));
        assert_eq!(result.outcome, AuditOutcome::Violated);
    }

    #[test]
    fn an_invariant_whose_source_is_missing_is_not_checked_whatever_was_counted() {
        let mut findings = AuditFindings::default();
        findings.of(AuditInvariant::ChargesMatch).violation("half of it");
        findings.not_given(AuditSource::Gateway);
        let result = result(&findings, AuditInvariant::ChargesMatch);
        assert_eq!(result.outcome, AuditOutcome::NotChecked);
        assert!(result.is_source_missing && result.violations == 0 && result.examples.is_empty());
        let line = "? gateway charges match orders         not checked: the gateway is not given";
        assert_eq!(result.to_string(), line);
    }

    #[test]
    fn a_source_that_cannot_be_read_counts_more_than_one_that_is_not_given() {
        let mut findings = AuditFindings::default();
        findings.not_given(AuditSource::Gateway);
        let source = AuditSource::Database(ServiceName::Payments);
        findings.unreadable(source, &anyhow::anyhow!("refused"));
        let result = result(&findings, AuditInvariant::ChargesMatch);
        let reason = "the database of payment-service cannot be read: refused";
        assert_eq!(result.reason.as_deref(), Some(reason));
        assert!(!result.is_source_missing);
    }

    #[test]
    fn what_was_not_looked_at_again_is_neither_kept_nor_a_violation() {
        let mut findings = AuditFindings::default();
        findings.of(AuditInvariant::PaymentsMatch).unconfirmed = 3;
        assert_eq!(
            result(&findings, AuditInvariant::PaymentsMatch).outcome,
            AuditOutcome::NotChecked
        );
    }
}
