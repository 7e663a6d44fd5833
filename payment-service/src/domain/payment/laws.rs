//! Properties of every history, checked in a small model: messages in any order and repeated, three
//! kinds of jobs, a gateway that remembers its keys, an operator who intervenes.

use proptest::prelude::*;
use shared::decider::{self, Decider as _};

use super::{
    tests::{charge, placed, terms, wrong_charge},
    *,
};

/// The next step in the model.
#[derive(Clone, Copy, Debug)]
enum WorldAct {
    Placed,
    Reserved,
    Cancelled,
    /// An attempt at the charge is committed.
    Try,
    /// The attempt is refused and had no effect.
    TryRefused,
    /// The charge job's next answer arrives.
    ChargeAnswered(GatewayAnswer),
    ResolveAnswered(GatewayAnswer),
    /// The key is too old to be used again, and the gateway lists no charge.
    ResolveFindsNothing,
    RefundAnswered(GatewayAnswer),
    Accept,
    Refund,
    Settle,
}

#[derive(Clone, Copy, Debug)]
enum GatewayAnswer {
    Done,
    Declined,
    GaveUp,
    GaveUpInDoubt,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ChargeState {
    Untouched,
    Tried,
}

/// The gateway's memory of the charge's key.
#[derive(Clone, Debug, PartialEq)]
enum KeyMemory {
    Open,
    Paid(GatewayCharge),
    Declined,
}

/// The jobs under way.
#[derive(Clone, Copy, Debug, Default)]
struct OpenJobs {
    charge: Option<ChargeState>,
    resolve: bool,
    refund: bool,
}

#[derive(Debug)]
struct PaymentWorld {
    payment: Payment,
    history: Vec<PaymentEvent>,
    jobs: OpenJobs,
    gateway: KeyMemory,
    /// What the gateway charges for this order.
    amount: GatewayCharge,
    /// Whether the key's outcome was lost after it was settled: it stays open for us.
    returned: bool,
    cancelled: bool,
    /// How often it began to wait for a person.
    reviews: usize,
}

impl PaymentWorld {
    fn new(amount: GatewayCharge) -> Self {
        Self {
            payment: Payment::initial(),
            history: vec![],
            jobs: OpenJobs::default(),
            gateway: KeyMemory::Open,
            amount,
            returned: false,
            cancelled: false,
            reviews: 0,
        }
    }

    fn act(&mut self, act: WorldAct) {
        let Some(command) = self.command(act) else { return };
        let waited = self.payment.review_code().is_some();
        let Ok(events) = decider::step::<Payment>(&mut self.payment, &command) else {
            assert!(
                matches!(
                    command,
                    PaymentCommand::Accept | PaymentCommand::Refund | PaymentCommand::Settle
                ),
                "nothing but an operator is ever refused: {command:?} at {:?}",
                self.payment
            );
            return;
        };
        for event in &events {
            self.obey(event);
        }
        self.reviews += usize::from(!waited && self.payment.review_code().is_some());
        self.history.extend(events);
        let repeat = Payment::decide(&self.payment, &command);
        assert!(repeat.is_ok_and(|items| items.is_empty()), "{command:?} twice is once");
        self.judge();
    }

    /// The command that the act comes to, if the world can bring it about.
    fn command(&mut self, act: WorldAct) -> Option<PaymentCommand> {
        match act {
            WorldAct::Placed => Some(placed()),
            WorldAct::Reserved => Some(PaymentCommand::StockReserved),
            WorldAct::Cancelled => {
                self.cancelled = true;
                Some(PaymentCommand::OrderCancelled {
                    charge_untouched: self.jobs.charge == Some(ChargeState::Untouched),
                })
            }
            WorldAct::Try => {
                self.jobs.charge = self.jobs.charge.map(|_| ChargeState::Tried);
                None
            }
            WorldAct::TryRefused => {
                if self.gateway == KeyMemory::Open {
                    self.jobs.charge = self.jobs.charge.map(|_| ChargeState::Untouched);
                }
                None
            }
            WorldAct::ChargeAnswered(answer) => {
                self.jobs.charge.filter(|job| *job == ChargeState::Tried)?;
                let command = self.charge_answer(answer)?;
                self.jobs.charge = None;
                Some(command)
            }
            WorldAct::ResolveAnswered(answer) => {
                let command = self.jobs.resolve.then(|| self.resolve_answer(answer))?;
                self.jobs.resolve = false;
                Some(command)
            }
            WorldAct::ResolveFindsNothing => {
                // No request is under way under a key that old: what is not there never will be.
                let is_paid = matches!(self.gateway, KeyMemory::Paid(_));
                (self.jobs.resolve && !is_paid).then(|| {
                    self.jobs.resolve = false;
                    self.gateway = KeyMemory::Declined;
                    PaymentCommand::NotListed
                })
            }
            WorldAct::RefundAnswered(answer) => {
                let command = self.jobs.refund.then(|| self.refund_answer(answer))?;
                self.jobs.refund = false;
                Some(command)
            }
            WorldAct::Accept => Some(PaymentCommand::Accept),
            WorldAct::Refund => Some(PaymentCommand::Refund),
            WorldAct::Settle => Some(PaymentCommand::Settle),
        }
    }

    /// A key that is settled answers the same for ever; one that is given up without doubt was
    /// never executed.
    fn charge_answer(&mut self, answer: GatewayAnswer) -> Option<PaymentCommand> {
        match answer {
            GatewayAnswer::Done | GatewayAnswer::Declined => Some(match self.settle(answer) {
                Some(charge) => PaymentCommand::Charged { charge },
                None => PaymentCommand::Declined { code: "no".to_owned() },
            }),
            GatewayAnswer::GaveUp if self.gateway != KeyMemory::Open => None,
            GatewayAnswer::GaveUp => Some(PaymentCommand::GaveUp { in_doubt: false }),
            GatewayAnswer::GaveUpInDoubt => Some(PaymentCommand::GaveUp { in_doubt: true }),
        }
    }

    fn resolve_answer(&mut self, answer: GatewayAnswer) -> PaymentCommand {
        match self.settle(answer) {
            Some(charge) => PaymentCommand::FoundCharged { charge },
            None => PaymentCommand::FoundNotCharged,
        }
    }

    fn refund_answer(&mut self, answer: GatewayAnswer) -> PaymentCommand {
        match answer {
            GatewayAnswer::Done | GatewayAnswer::Declined => {
                self.returned = true;
                PaymentCommand::Refunded { refund_id: "re_1".to_owned() }
            }
            GatewayAnswer::GaveUp | GatewayAnswer::GaveUpInDoubt => {
                PaymentCommand::RefundGaveUp { obstacle: RefundObstacle::GaveUp }
            }
        }
    }

    fn settle(&mut self, answer: GatewayAnswer) -> Option<GatewayCharge> {
        if self.gateway == KeyMemory::Open {
            self.gateway = match answer {
                GatewayAnswer::Done => KeyMemory::Paid(self.amount.clone()),
                GatewayAnswer::Declined | GatewayAnswer::GaveUp | GatewayAnswer::GaveUpInDoubt => {
                    KeyMemory::Declined
                }
            };
        }
        match &self.gateway {
            KeyMemory::Paid(charge) => Some(charge.clone()),
            KeyMemory::Open | KeyMemory::Declined => None,
        }
    }

    fn obey(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::ChargeDue { .. } => self.jobs.charge = Some(ChargeState::Untouched),
            PaymentEvent::ChargeStopped => {
                assert_eq!(
                    self.jobs.charge,
                    Some(ChargeState::Untouched),
                    "only what has had no effect is stopped"
                );
                self.jobs.charge = None;
            }
            PaymentEvent::ResolveDue { .. } => self.jobs.resolve = true,
            PaymentEvent::RefundDue { .. } => self.jobs.refund = true,
            PaymentEvent::Settled { .. } => self.returned = true,
            PaymentEvent::Paid { .. } | PaymentEvent::Accepted { .. } => {
                assert!(!self.cancelled, "nothing is said to be paid after the cancellation");
            }
            PaymentEvent::Awaited { .. }
            | PaymentEvent::StockHeld
            | PaymentEvent::Failed { .. }
            | PaymentEvent::Mischarged { .. }
            | PaymentEvent::FoundUnpaid
            | PaymentEvent::DoubtRemains
            | PaymentEvent::Free { .. }
            | PaymentEvent::Recalled
            | PaymentEvent::Abandoned
            | PaymentEvent::Fenced
            | PaymentEvent::Refunded { .. }
            | PaymentEvent::RefundFailed { .. } => {}
        }
    }

    fn judge(&self) {
        let count = |wanted: fn(&PaymentEvent) -> bool| {
            self.history.iter().filter(|event| wanted(event)).count()
        };
        let charges = count(|event| matches!(event, PaymentEvent::ChargeDue { .. }));
        assert!(charges <= 1, "one charge job at most");
        let words = count(|event| is_paid(event) || matches!(event, PaymentEvent::Failed { .. }));
        assert!(words <= 1, "the order hears one word");
        let reviews = count(|event| event.review().is_some());
        assert_eq!(reviews, self.reviews, "each time that a person is waited for is told");
        assert_eq!(self.jobs(), self.awaited(), "a stage has its job and no other: {self:?}");
    }

    /// Jobs under way: charge, resolve, refund.
    fn jobs(&self) -> [bool; 3] {
        [self.jobs.charge.is_some(), self.jobs.resolve, self.jobs.refund]
    }

    /// The job that the stage waits for. Where there is none, it waits for a message or a person,
    /// or is an end.
    fn awaited(&self) -> [bool; 3] {
        match self.payment {
            Payment::Charging { .. } | Payment::Cancelling { .. } => [true, false, false],
            Payment::Unresolved { .. } => [false, true, false],
            Payment::Refunding { .. } => [false, false, true],
            Payment::Unheard
            | Payment::AwaitingStock { .. }
            | Payment::AwaitingOrder
            | Payment::Done { .. }
            | Payment::NeedsReview { .. }
            | Payment::InDoubt { .. }
            | Payment::Refunded { .. }
            | Payment::Failed { .. }
            | Payment::Abandoned { .. }
            | Payment::Fenced => [false, false, false],
        }
    }

    /// Lets everything that is under way come to its end.
    fn settle_down(&mut self) {
        for act in [
            WorldAct::Placed,
            WorldAct::Reserved,
            WorldAct::Try,
            WorldAct::ChargeAnswered(GatewayAnswer::Done),
            WorldAct::ResolveAnswered(GatewayAnswer::Done),
            WorldAct::RefundAnswered(GatewayAnswer::Done),
            WorldAct::Refund,
            WorldAct::ResolveAnswered(GatewayAnswer::Done),
            WorldAct::RefundAnswered(GatewayAnswer::Done),
        ] {
            self.act(act);
        }
    }

    /// What the customer has paid in the end.
    fn net(&self) -> i64 {
        match &self.gateway {
            KeyMemory::Paid(charge) if !self.returned => charge.amount.minor,
            KeyMemory::Paid(_) | KeyMemory::Open | KeyMemory::Declined => 0,
        }
    }
}

/// Whether it says `payment-done`.
fn is_paid(event: &PaymentEvent) -> bool {
    matches!(event, PaymentEvent::Paid { .. } | PaymentEvent::Accepted { .. })
}

fn answers() -> impl Strategy<Value = GatewayAnswer> {
    prop_oneof![
        Just(GatewayAnswer::Done),
        Just(GatewayAnswer::Declined),
        Just(GatewayAnswer::GaveUp),
        Just(GatewayAnswer::GaveUpInDoubt),
    ]
}

fn acts() -> impl Strategy<Value = WorldAct> {
    prop_oneof![
        2 => Just(WorldAct::Placed),
        2 => Just(WorldAct::Reserved),
        1 => Just(WorldAct::Cancelled),
        3 => Just(WorldAct::Try),
        1 => Just(WorldAct::TryRefused),
        3 => answers().prop_map(WorldAct::ChargeAnswered),
        2 => answers().prop_map(WorldAct::ResolveAnswered),
        2 => answers().prop_map(WorldAct::RefundAnswered),
        1 => Just(WorldAct::Accept),
        1 => Just(WorldAct::Refund),
        1 => Just(WorldAct::ResolveFindsNothing),
        1 => Just(WorldAct::Settle),
    ]
}

fn amounts() -> impl Strategy<Value = GatewayCharge> {
    prop_oneof![3 => Just(charge()), 1 => Just(wrong_charge())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_breaks_a_law(amount in amounts(), acts in prop::collection::vec(acts(), 0..24)) {
        let mut world = PaymentWorld::new(amount);
        for act in acts {
            world.act(act);
        }
    }

    #[test]
    fn a_cancelled_order_is_never_paid_for_in_the_end(
        amount in amounts(),
        acts in prop::collection::vec(acts(), 0..24),
    ) {
        let mut world = PaymentWorld::new(amount);
        for act in acts {
            world.act(act);
        }
        world.act(WorldAct::Cancelled);
        world.settle_down();
        prop_assert_eq!(world.net(), 0, "{:?}", world);
        prop_assert_eq!(world.jobs(), [false; 3]);
    }

    #[test]
    fn an_order_that_is_told_it_is_paid_for_is(
        amount in amounts(),
        acts in prop::collection::vec(acts(), 0..24),
    ) {
        let mut world = PaymentWorld::new(amount);
        for act in acts {
            world.act(act);
        }
        world.settle_down();
        let told = world.history.iter().any(is_paid);
        let is_done = matches!(world.payment, Payment::Done { .. });
        prop_assert_eq!(told && !world.cancelled, is_done);
        if is_done {
            prop_assert_eq!(world.payment.terms(), Some(&terms()));
            prop_assert!(world.net() > 0);
        }
    }
}
