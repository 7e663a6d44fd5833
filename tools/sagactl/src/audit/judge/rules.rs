//! The rules by which one order is judged, one function for each invariant.

use uuid::Uuid;

use super::{
    super::fact::{MessageFact, NOTICE_KINDS},
    JudgeRules, OrderRow, OrderVerdict, OrderView, place_of,
};
use crate::service_name::ServiceName;

/// Stages of a payment that go on by themselves.
const PAYMENT_MOVES: [&str; 4] = ["charging", "cancelling", "unresolved", "refunding"];

fn violated(what: impl Into<String>) -> OrderVerdict {
    OrderVerdict::Violated(what.into())
}

/// Open while the system is at work; at rest nothing may be.
fn open(rules: &JudgeRules, what: impl FnOnce() -> String) -> OrderVerdict {
    if rules.at_rest { violated(what()) } else { OrderVerdict::Open }
}

/// Whether an order's id says that it was placed after this moment.
pub(super) fn is_placed_after(order_id: Uuid, moment_ms: i64) -> bool {
    placed_ms(order_id).is_some_and(|placed| placed > moment_ms)
}

/// When an order was placed, by its id.
fn placed_ms(order_id: Uuid) -> Option<i64> {
    let (seconds, nanos) = order_id.get_timestamp()?.to_unix();
    Some(i64::try_from(seconds).ok()? * 1_000 + i64::from(nanos / 1_000_000))
}

/// That a message is behind a later one of its key.
pub(super) fn out_of_order(before: &MessageFact, message: &MessageFact) -> String {
    let topic = contract::TOPICS.get(message.topic).map_or("unknown", |topic| topic.name);
    format!(
        "{topic}/{}: number {} of {} is at offset {}, behind number {} at offset {}",
        message.partition,
        before.sequence,
        message.source,
        before.offset,
        message.sequence,
        message.offset
    )
}

pub(super) fn ended(order: &OrderRow, rules: &JudgeRules) -> OrderVerdict {
    match order.stage {
        "pending" if order.due_ms < rules.overdue_ms => violated("it was due and has not ended"),
        "pending" => open(rules, || "it has not ended".to_owned()),
        "confirmed" | "cancelled" => OrderVerdict::Kept,
        other => violated(format!("its stage is {other}")),
    }
}

impl OrderVerdict {
    /// Takes in the verdict of one more source: what is violated outweighs what is open.
    fn add(&mut self, other: Self) {
        if *self == Self::Kept || matches!(other, Self::Violated(_)) {
            *self = other;
        }
    }
}

impl OrderView {
    /// What is sold is what was confirmed; nothing is held for an order that was cancelled.
    pub(super) fn stock(&self, order: &OrderRow) -> OrderVerdict {
        let (stage, lines) = self.reservation.unwrap_or(("none", 0));
        match (order.stage, stage) {
            ("pending", _) => OrderVerdict::Open,
            ("confirmed", "sold") if lines == order.lines => OrderVerdict::Kept,
            ("confirmed", "sold") => violated("the quantities sold are not those ordered"),
            ("cancelled", "none" | "fenced" | "rejected" | "released") => OrderVerdict::Kept,
            _ => violated(format!("its reservation is {stage}")),
        }
    }

    /// payment-service's own row agrees with the order.
    pub(super) fn payment(&self, order: &OrderRow, rules: &JudgeRules) -> OrderVerdict {
        let (stage, charged) = self.payment.unwrap_or(("none", 0));
        match (order.stage, stage) {
            ("pending", _) => OrderVerdict::Open,
            ("confirmed", "done") if charged == order.total_minor => OrderVerdict::Kept,
            ("confirmed", "done") => {
                violated(format!("{charged} was charged, the total is {}", order.total_minor))
            }
            ("confirmed", "none") if order.total_minor == 0 => OrderVerdict::Kept,
            ("cancelled", moving) if PAYMENT_MOVES.contains(&moving) => {
                open(rules, || format!("its payment is {moving}"))
            }
            ("cancelled", "done" | "needs-review") | ("confirmed", _) => {
                violated(format!("its payment is {stage}"))
            }
            _ => OrderVerdict::Kept,
        }
    }

    /// Confirmed: paid once, in full. Cancelled: nothing is left with us.
    pub(super) fn charges(&self, order: &OrderRow, rules: &JudgeRules) -> OrderVerdict {
        let expected = match order.stage {
            "pending" => return OrderVerdict::Open,
            "confirmed" => order.total_minor,
            _cancelled => 0,
        };
        if (self.net, self.standing) == (expected, u64::from(expected > 0)) {
            return OrderVerdict::Kept;
        }
        let Self { net, standing, charges, .. } = self;
        let what = || {
            format!(
                "the gateway holds {net} in {standing} of {charges} charges, expected {expected}"
            )
        };
        let stage = self.payment.map_or("none", |(stage, _)| stage);
        if order.stage == "cancelled" && PAYMENT_MOVES.contains(&stage) {
            return open(rules, what);
        }
        violated(what())
    }

    /// Each number up to what a source has published is on its topics, and they rise on each topic.
    pub(super) fn topics(&self, rules: &JudgeRules) -> OrderVerdict {
        let explained = self.sources.iter().any(|source| source.has_dead_letter);
        if let (Some(what), false) = (&self.out_of_order, explained) {
            return violated(what.clone());
        }
        let mut verdict = OrderVerdict::Kept;
        for (service, source) in ServiceName::ALL.into_iter().zip(&self.sources) {
            let missing = source.said - source.found;
            if missing <= 0 || source.has_dead_letter {
                continue;
            }
            if !is_placed_after(self.order_id, rules.retained_ms) {
                return OrderVerdict::LeftOut;
            }
            let what = || {
                format!(
                    "{missing} of {} messages of {service} are not on its topics, the first is \
                     number {}",
                    source.said, source.first_missing
                )
            };
            verdict.add(if source.in_outbox { open(rules, what) } else { violated(what()) });
        }
        verdict
    }

    /// Each message that a source has published about the order is in its history.
    pub(super) fn arrived(&self, rules: &JudgeRules) -> OrderVerdict {
        let mut verdict = OrderVerdict::Kept;
        for (service, source) in ServiceName::ALL.into_iter().zip(&self.sources) {
            // Entries from before numbers were kept say nothing.
            if source.heard < 0 {
                return OrderVerdict::LeftOut;
            }
            let missing = source.said - source.heard;
            let dead_letter = self.sources[ServiceName::Orders as usize].has_dead_letter
                || source.has_dead_letter;
            if missing <= 0 || dead_letter {
                continue;
            }
            let what = || format!("{missing} of {} messages of {service} never came", source.said);
            let is_on_its_way = source.in_outbox || !rules.all_read;
            verdict.add(if is_on_its_way { open(rules, what) } else { violated(what()) });
        }
        verdict
    }

    /// The customer was told how the order ended. A mail that was given up is known to the order.
    pub(super) fn notified(&self, order: &OrderRow, rules: &JudgeRules) -> OrderVerdict {
        if order.stage == "pending" {
            return OrderVerdict::Open;
        }
        let stage = place_of(order.stage)
            .and_then(|at| self.notices[at])
            .map_or("missing", |(stage, _)| stage);
        match stage {
            "sent" => OrderVerdict::Kept,
            "failed" => OrderVerdict::LeftOut,
            "due" | "waiting-for-contact" => open(rules, || format!("its mail is {stage}")),
            _ => violated(format!("its mail is {stage}")),
        }
    }

    /// One verdict for each mail: it was sent and is there, or it is there and was not to be sent.
    pub(super) fn mails(&self, rules: &JudgeRules) -> impl Iterator<Item = OrderVerdict> {
        let (since, until) = rules.mails_ms;
        let each = NOTICE_KINDS.into_iter().zip(self.notices).zip(self.mails);
        each.filter_map(move |((kind, notice), mails)| match (notice, mails) {
            (Some(("sent", at_ms)), _) if at_ms <= since || at_ms >= until => {
                Some(OrderVerdict::LeftOut)
            }
            (Some(("sent", _)), 0) => Some(violated(format!("its mail {kind} is not in the sink"))),
            (Some(("sent", _)), _) => Some(OrderVerdict::Kept),
            (None | Some(("skipped", _)), 1..) => {
                Some(violated(format!("a mail {kind} was sent and is not to be")))
            }
            _ => None,
        })
    }
}
