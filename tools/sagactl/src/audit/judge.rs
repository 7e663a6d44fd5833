//! Judges one order by all facts about it. Pure: no clock, no connection.
//!
//! **Bound:** facts are read in their order, and each order is judged as they pass. In memory are
//! only the rows of that order (a few numbers), the messages that its services have published by
//! their own count, and at most [`MESSAGES_KEPT_MAX`] other messages. The second look needs the
//! messages.

use uuid::Uuid;

use super::{
    fact::{FactStatement, MessageFact, NOTICE_KINDS, OrderFact},
    invariant::AuditInvariant,
};
use crate::service_name::ServiceName;

mod rules;

/// A message whose number is not within its service's own count is kept only while fewer messages
/// than this are kept for the key.
const MESSAGES_KEPT_MAX: usize = 256;

/// Limits and times by which orders are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct JudgeRules {
    /// Nothing may be open: no order, no refund, no mail.
    pub(super) at_rest: bool,
    /// A pending order that was due before this is overdue.
    pub(super) overdue_ms: i64,
    /// Orders that were placed before this may be gone from the topics.
    pub(super) retained_ms: i64,
    /// order-service has read all topics, so what is not in a history never came.
    pub(super) all_read: bool,
    /// Mails that were sent before this may be gone from the sink, and after it not listed.
    pub(super) mails_ms: (i64, i64),
    /// Orders that were placed after this were not there when the databases were read.
    pub(super) read_ms: i64,
}

/// How one order stands with one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OrderVerdict {
    /// As it should be.
    Kept,
    /// On its way, within its limits.
    Open,
    /// Cannot be judged: the facts that would show it were not kept, or may be deleted by now.
    LeftOut,
    /// Wrong, as this says.
    Violated(String),
}

/// The row of an order.
#[derive(Clone, Copy, Debug)]
struct OrderRow {
    stage: &'static str,
    total_minor: i64,
    due_ms: i64,
    lines: i64,
}

/// Messages of one source about one order.
#[derive(Clone, Copy, Debug, Default)]
struct SourceState {
    /// How many it has published, by its own row.
    said: i64,
    /// How many different numbers are in the order's history.
    heard: i64,
    /// How many of the numbers up to `said` are on the topics.
    found: i64,
    /// The lowest number that is not on the topics.
    first_missing: i64,
    in_outbox: bool,
    has_dead_letter: bool,
}

/// All facts of one order, summarised.
#[derive(Clone, Debug, Default)]
pub(super) struct OrderView {
    pub(super) order_id: Uuid,
    order: Option<OrderRow>,
    reservation: Option<(&'static str, i64)>,
    payment: Option<(&'static str, i64)>,
    notices: [Option<(&'static str, i64)>; NOTICE_KINDS.len()],
    mails: [u64; NOTICE_KINDS.len()],
    net: i64,
    charges: u64,
    standing: u64,
    sources: [SourceState; ServiceName::ALL.len()],
    out_of_order: Option<String>,
    last: Option<MessageFact>,
    /// The last message of each topic of the source that is read now.
    topics: Vec<MessageFact>,
    messages: Vec<OrderFact>,
    pub(super) repeats: u64,
}

impl OrderView {
    pub(super) fn of(order_id: Uuid) -> Self {
        let source = SourceState { first_missing: 1, ..SourceState::default() };
        Self { order_id, sources: [source; ServiceName::ALL.len()], ..Self::default() }
    }

    /// The same from facts in any order.
    pub(super) fn from_facts(order_id: Uuid, mut facts: Vec<OrderFact>) -> Self {
        facts.sort_unstable();
        let mut view = Self::of(order_id);
        for fact in &facts {
            view.add(fact);
        }
        view
    }

    /// What the second look does not read again: messages, each once, and mails.
    pub(super) fn into_kept(self) -> Vec<OrderFact> {
        let mails = NOTICE_KINDS.into_iter().zip(self.mails).filter(|(_, mails)| *mails > 0);
        let mails =
            mails.map(|(kind, _)| OrderFact::new(self.order_id, FactStatement::Mail { kind }));
        self.messages.iter().copied().chain(mails).collect()
    }

    /// The stage of the order, if there is such an order.
    pub(super) fn stage(&self) -> Option<&'static str> {
        self.order.map(|order| order.stage)
    }

    fn source(&mut self, service: ServiceName) -> &mut SourceState {
        &mut self.sources[service as usize]
    }

    /// Takes the next fact, in their order.
    pub(super) fn add(&mut self, fact: &OrderFact) {
        use FactStatement as S;
        match fact.statement {
            S::Order { stage, total_minor, due_ms, lines, said } => {
                self.order = Some(OrderRow { stage, total_minor, due_ms, lines });
                self.source(ServiceName::Orders).said = said;
            }
            S::Reservation { stage, lines, said } => {
                self.reservation = Some((stage, lines));
                self.source(ServiceName::Inventory).said = said;
            }
            S::Payment { stage, charged_minor, said } => {
                self.payment = Some((stage, charged_minor));
                self.source(ServiceName::Payments).said = said;
            }
            S::Correspondence { said } => self.source(ServiceName::Notify).said = said,
            S::Notice { kind, stage, at_ms } => {
                if let Some(at) = place_of(kind) {
                    self.notices[at] = Some((stage, at_ms));
                }
            }
            S::Heard { source, numbers } => self.source(source).heard = numbers,
            S::InOutbox { service } => self.source(service).in_outbox = true,
            S::DeadLetter { service } => self.source(service).has_dead_letter = true,
            S::Charge { amount, refunded } => {
                self.net += amount - refunded;
                self.charges += 1;
                self.standing += u64::from(amount != refunded);
            }
            S::Mail { kind } => {
                if let Some(at) = place_of(kind) {
                    self.mails[at] += 1;
                }
            }
            S::Message(message) => self.add_message(message, fact),
        }
    }

    /// Adds a message. They are sorted by source, then by number, then by place in the topics.
    fn add_message(&mut self, message: MessageFact, fact: &OrderFact) {
        let last = self.last.replace(message);
        if last.is_none_or(|last| last.source != message.source) {
            self.topics.clear();
        } else if last.is_some_and(|last| last.sequence == message.sequence) {
            self.repeats += 1;
            return;
        }
        let source = self.source(message.source);
        let is_said = (1..=source.said).contains(&message.sequence);
        if is_said {
            source.found += 1;
            if message.sequence == source.first_missing {
                source.first_missing += 1;
            }
        }
        if is_said || self.messages.len() < MESSAGES_KEPT_MAX {
            self.messages.push(*fact);
        }
        let same_topic = |known: &&mut MessageFact| known.topic == message.topic;
        match self.topics.iter_mut().find(same_topic) {
            Some(before) => {
                if before.partition == message.partition && before.offset > message.offset {
                    if self.out_of_order.is_none() {
                        let before = OrderFact::new(self.order_id, FactStatement::Message(*before));
                        self.messages.extend([before, *fact]);
                    }
                    self.out_of_order = Some(rules::out_of_order(before, &message));
                }
                *before = message;
            }
            None => self.topics.push(message),
        }
    }

    /// The verdict of each invariant about this order. An order that is not in the database, for
    /// example because it was placed later, is judged only by what needs no row.
    pub(super) fn verdicts(&self, rules: &JudgeRules) -> Vec<(AuditInvariant, OrderVerdict)> {
        let Some(order) = self.order else { return self.without_order(rules) };
        let mut verdicts = vec![
            (AuditInvariant::OrdersEnded, rules::ended(&order, rules)),
            (AuditInvariant::StockAddsUp, self.stock(&order)),
            (AuditInvariant::PaymentsMatch, self.payment(&order, rules)),
            (AuditInvariant::ChargesMatch, self.charges(&order, rules)),
            (AuditInvariant::TopicsComplete, self.topics(rules)),
            (AuditInvariant::MessagesArrived, self.arrived(rules)),
            (AuditInvariant::CustomersNotified, self.notified(&order, rules)),
        ];
        verdicts.extend(self.mails(rules).map(|verdict| (AuditInvariant::MailsDelivered, verdict)));
        for (_, verdict) in &mut verdicts {
            if let OrderVerdict::Violated(what) = verdict {
                *what = format!("order {} ({}): {what}", self.order_id, order.stage);
            }
        }
        verdicts
    }

    /// A key of which order-service knows no order: a product, a message of another producer, an
    /// order that was placed since.
    fn without_order(&self, rules: &JudgeRules) -> Vec<(AuditInvariant, OrderVerdict)> {
        let id = self.order_id;
        let mut verdicts = Vec::new();
        if self.charges > 0 && !rules::is_placed_after(id, rules.read_ms) {
            let what = format!("a charge for {id}, which is no order");
            verdicts.push((AuditInvariant::ChargesMatch, OrderVerdict::Violated(what)));
        }
        if let Some(what) = &self.out_of_order {
            let what = format!("key {id}: {what}");
            verdicts.push((AuditInvariant::TopicsComplete, OrderVerdict::Violated(what)));
        }
        verdicts
    }
}

/// The place of a kind of notice in [`NOTICE_KINDS`].
fn place_of(kind: &str) -> Option<usize> {
    NOTICE_KINDS.iter().position(|known| *known == kind)
}

#[cfg(test)]
mod tests;
