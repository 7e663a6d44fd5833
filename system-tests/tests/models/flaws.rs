//! Mutants: each takes one guard away, to show that some property finds the flaw.
//!
//! A mutant changes the answer of a real decider, or leaves out one step of the modelled messaging
//! runtime. The services contain no code for this.

use inventory_service::domain::{
    inventory::{self, Inventory},
    reservation,
};
use notify_service::domain::notification::OrderNotifications;
use order_service::domain::order::{self, Order, OrderStage, ServiceEvent};
use payment_service::domain::payment::{self, Payment};
use shared::decider::{Decider, Decision};

use crate::{
    deciders::{self, Deciders, NOW},
    unrolled::Bend,
};

/// The flaw of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// A cancellation before the reservation leaves no trace.
    NoTombstoneInInventory,
    /// A cancellation before the charge leaves no trace.
    NoTombstoneInPayment,
    /// A payment confirms an order that was cancelled.
    NoTerminalGuard,
    /// A message is processed each time it is read.
    NoInbox,
    /// A message is redriven though a copy of it was processed.
    RedriveWithoutInbox,
    /// Each attempt to charge has a key of its own.
    FreshKeyPerRetry,
    /// A charge in doubt is sent again under a key that the gateway has forgotten.
    OldKeysAreCalled,
    /// A charge that succeeds after the cancellation is kept.
    LateSuccessIsKept,
    /// A charge that was done before the cancellation is kept.
    PaymentIsKept,
    /// An unknown outcome counts as a failure.
    UnknownIsFailed,
    /// A charge in doubt is looked up, not settled.
    ResolveOnlyAsks,
    /// The order is told the amount that was charged, though an operator took it for right.
    AcceptedAmountIsSaid,
    /// An operator may have a charge tried again that was given up and told as failed.
    ChargesAreRedriven,
    /// Stock that is held before the order was read is forgotten.
    StockBeforeOrderIsForgotten,
    /// An attempt is counted when its outcome is recorded.
    AttemptsCountedAfterwards,
    /// Nobody is told that a payment waits for a person.
    ReviewIsSilent,
    /// An order whose payment waits for a person is given up at once.
    ReviewCancels,
    /// A review that is read after the order was confirmed is refused.
    LateReviewIsRefused,
    /// A crash after the commit loses the messages of the transaction.
    NoOutbox,
    /// A crash after the offset's commit loses the message.
    OffsetsBeforeTheCommit,
}

impl Flaw {
    /// The real deciders, bent if this flaw is one of theirs.
    pub(crate) fn deciders(self) -> Deciders {
        let bent: [(Self, Bend<Order>); 3] = [
            (Self::NoTerminalGuard, confirm_the_cancelled),
            (Self::ReviewCancels, cancel_at_a_review),
            (Self::LateReviewIsRefused, refuse_a_late_review),
        ];
        let order = bent.into_iter().find(|(flaw, _)| *flaw == self);
        let forgets = self == Self::NoTombstoneInInventory;
        let inventory: Bend<Inventory> =
            if forgets { forget_the_release } else { straight::<Inventory> };
        let bent: [(Self, Bend<Payment>); 5] = [
            (Self::NoTombstoneInPayment, forget_the_cancellation),
            (Self::LateSuccessIsKept, keep_late_success),
            (Self::PaymentIsKept, keep_what_was_paid),
            (Self::AcceptedAmountIsSaid, say_what_was_charged),
            (Self::StockBeforeOrderIsForgotten, forget_the_stock),
        ];
        let payment = bent.into_iter().find(|(flaw, _)| *flaw == self);
        Deciders {
            order: deciders::order::unroll(order.map_or(straight::<Order>, |(_, bend)| bend)),
            inventory: deciders::inventory::unroll(inventory),
            payment: deciders::payment::unroll(
                payment.map_or(straight::<Payment>, |(_, bend)| bend),
                if self == Self::ReviewIsSilent {
                    deciders::payment::deeds_without_reviews
                } else {
                    deciders::payment::deeds
                },
            ),
            notify: deciders::notify::unroll(straight::<OrderNotifications>),
        }
    }
}

fn straight<D: Decider>(_: &D::State, _: &D::Command, decision: Decision<D>) -> Decision<D> {
    decision
}

#[expect(clippy::ref_option, reason = "a decider's state, whatever it is, comes by reference")]
fn confirm_the_cancelled(
    order: &Option<Order>,
    command: &order::OrderCommand,
    decision: Decision<Order>,
) -> Decision<Order> {
    let paid = matches!(
        command,
        order::OrderCommand::Record { news: ServiceEvent::PaymentDone { .. }, .. }
    );
    if let Some(Order { stage: OrderStage::Cancelled { .. }, total, .. }) = order
        && paid
    {
        return Ok(vec![order::OrderEvent::Confirmed { total: *total, at: NOW }]);
    }
    decision
}

fn is_review(command: &order::OrderCommand) -> bool {
    matches!(
        command,
        order::OrderCommand::Record { news: ServiceEvent::PaymentUnderReview { .. }, .. }
    )
}

#[expect(clippy::ref_option, reason = "a decider's state, whatever it is, comes by reference")]
fn cancel_at_a_review(
    order: &Option<Order>,
    command: &order::OrderCommand,
    decision: Decision<Order>,
) -> Decision<Order> {
    let is_pending = order.is_some_and(|order| matches!(order.stage, OrderStage::Pending { .. }));
    if is_pending && is_review(command) {
        let reason = order::CancelReason::PaymentUnavailable;
        return Ok(vec![order::OrderEvent::Cancelled { reason, at: NOW }]);
    }
    decision
}

#[expect(clippy::ref_option, reason = "a decider's state, whatever it is, comes by reference")]
fn refuse_a_late_review(
    order: &Option<Order>,
    command: &order::OrderCommand,
    decision: Decision<Order>,
) -> Decision<Order> {
    let is_confirmed =
        order.is_some_and(|order| matches!(order.stage, OrderStage::Confirmed { .. }));
    if is_confirmed && is_review(command) {
        return Err(order::OrderRejection::Contradiction);
    }
    decision
}

fn forget_the_release(
    _: &Inventory,
    _: &inventory::InventoryCommand,
    decision: Decision<Inventory>,
) -> Decision<Inventory> {
    use inventory::InventoryEvent::Reservation;
    decision.map(|mut events| {
        events.retain(|event| {
            !matches!(event, Reservation { event: reservation::ReservationEvent::Fenced, .. })
        });
        events
    })
}

fn forget_the_cancellation(
    _: &Payment,
    _: &payment::PaymentCommand,
    decision: Decision<Payment>,
) -> Decision<Payment> {
    decision.map(|mut events| {
        events.retain(|event| *event != payment::PaymentEvent::Fenced);
        events
    })
}

fn keep_late_success(
    payment: &Payment,
    _: &payment::PaymentCommand,
    decision: Decision<Payment>,
) -> Decision<Payment> {
    use payment::PaymentEvent::{Abandoned, FoundUnpaid, RefundDue};
    let kept = if matches!(payment, Payment::Cancelling { .. }) { Abandoned } else { FoundUnpaid };
    let is_late = matches!(payment, Payment::Cancelling { .. } | Payment::Unresolved { .. });
    let keep =
        |event| if is_late && matches!(event, RefundDue { .. }) { kept.clone() } else { event };
    decision.map(|events| events.into_iter().map(keep).collect())
}

fn keep_what_was_paid(
    payment: &Payment,
    command: &payment::PaymentCommand,
    decision: Decision<Payment>,
) -> Decision<Payment> {
    let is_kept = matches!(payment, Payment::Done { .. })
        && matches!(command, payment::PaymentCommand::OrderCancelled { .. });
    if is_kept { Ok(vec![]) } else { decision }
}

fn say_what_was_charged(
    _: &Payment,
    _: &payment::PaymentCommand,
    decision: Decision<Payment>,
) -> Decision<Payment> {
    decision.map(|mut events| {
        for event in &mut events {
            if let payment::PaymentEvent::Accepted { charge, amount } = event {
                amount.clone_from(&charge.amount);
            }
        }
        events
    })
}

fn forget_the_stock(
    payment: &Payment,
    command: &payment::PaymentCommand,
    decision: Decision<Payment>,
) -> Decision<Payment> {
    let is_forgotten =
        *payment == Payment::Unheard && *command == payment::PaymentCommand::StockReserved;
    if is_forgotten { Ok(vec![]) } else { decision }
}
