//! What holds in every history, shown in a small world: messages that come in any order and
//! again, three kinds of jobs, a gateway that remembers its keys, an operator who meddles.

use proptest::prelude::*;
use shared::decider::{self, Decider as _};

use super::{
    tests::{charge, placed, terms, wrong_charge},
    *,
};

/// What may happen next in the world.
#[derive(Clone, Copy, Debug)]
enum Act {
    Placed,
    Reserved,
    Cancelled,
    /// An attempt at the charge is committed.
    Try,
    /// It is refused for sure: nothing came of it.
    TryRefused,
    /// The charge job's next answer comes home.
    ChargeAnswered(Answer),
    ResolveAnswered(Answer),
    /// The key is too old to be used again, and the gateway lists no charge.
    ResolveFindsNothing,
    RefundAnswered(Answer),
    Accept,
    Refund,
    Settle,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Done,
    Declined,
    GaveUp,
    GaveUpInDoubt,
}

/// A charge job.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Job {
    Untouched,
    Tried,
}

/// The gateway's memory of the charge's key.
#[derive(Clone, Debug, PartialEq)]
enum Settled {
    Open,
    Paid(Charge),
    Declined,
}

/// The jobs under way.
#[derive(Clone, Copy, Debug, Default)]
struct Jobs {
    charge: Option<Job>,
    resolve: bool,
    refund: bool,
}

#[derive(Debug)]
struct World {
    payment: Payment,
    history: Vec<Event>,
    jobs: Jobs,
    gateway: Settled,
    /// What the gateway charges for this order.
    amount: Charge,
    /// Whether the key's outcome was lost after it was settled: it stays open for us.
    returned: bool,
    cancelled: bool,
}

impl World {
    fn new(amount: Charge) -> Self {
        Self {
            payment: Payment::initial(),
            history: vec![],
            jobs: Jobs::default(),
            gateway: Settled::Open,
            amount,
            returned: false,
            cancelled: false,
        }
    }

    fn act(&mut self, act: Act) {
        let Some(command) = self.command(act) else { return };
        let Ok(events) = decider::step::<Payment>(&mut self.payment, &command) else {
            assert!(
                matches!(command, Command::Accept | Command::Refund | Command::Settle),
                "nothing but an operator is ever refused: {command:?} at {:?}",
                self.payment
            );
            return;
        };
        for event in &events {
            self.obey(event);
        }
        self.history.extend(events);
        let repeat = Payment::decide(&self.payment, &command);
        assert!(repeat.is_ok_and(|it| it.is_empty()), "{command:?} twice is once");
        self.judge();
    }

    /// The command that the act comes to, if the world can bring it about.
    fn command(&mut self, act: Act) -> Option<Command> {
        match act {
            Act::Placed => Some(placed()),
            Act::Reserved => Some(Command::StockReserved),
            Act::Cancelled => {
                self.cancelled = true;
                Some(Command::OrderCancelled {
                    charge_untouched: self.jobs.charge == Some(Job::Untouched),
                })
            }
            Act::Try => {
                self.jobs.charge = self.jobs.charge.map(|_| Job::Tried);
                None
            }
            Act::TryRefused => {
                if self.gateway == Settled::Open {
                    self.jobs.charge = self.jobs.charge.map(|_| Job::Untouched);
                }
                None
            }
            Act::ChargeAnswered(answer) => {
                self.jobs.charge.filter(|job| *job == Job::Tried)?;
                let command = self.charge_answer(answer)?;
                self.jobs.charge = None;
                Some(command)
            }
            Act::ResolveAnswered(answer) => {
                let command = self.jobs.resolve.then(|| self.resolve_answer(answer))?;
                self.jobs.resolve = false;
                Some(command)
            }
            Act::ResolveFindsNothing => {
                // No request is under way under a key that old: what is not there never will be.
                let is_paid = matches!(self.gateway, Settled::Paid(_));
                (self.jobs.resolve && !is_paid).then(|| {
                    self.jobs.resolve = false;
                    self.gateway = Settled::Declined;
                    Command::NotListed
                })
            }
            Act::RefundAnswered(answer) => {
                let command = self.jobs.refund.then(|| self.refund_answer(answer))?;
                self.jobs.refund = false;
                Some(command)
            }
            Act::Accept => Some(Command::Accept),
            Act::Refund => Some(Command::Refund),
            Act::Settle => Some(Command::Settle),
        }
    }

    /// A key that is settled answers the same for ever; one that is given up without doubt was
    /// never executed.
    fn charge_answer(&mut self, answer: Answer) -> Option<Command> {
        match answer {
            Answer::Done | Answer::Declined => Some(match self.settle(answer) {
                Some(charge) => Command::Charged { charge },
                None => Command::Declined { code: "no".to_owned() },
            }),
            Answer::GaveUp if self.gateway != Settled::Open => None,
            Answer::GaveUp => Some(Command::GaveUp { in_doubt: false }),
            Answer::GaveUpInDoubt => Some(Command::GaveUp { in_doubt: true }),
        }
    }

    fn resolve_answer(&mut self, answer: Answer) -> Command {
        match self.settle(answer) {
            Some(charge) => Command::FoundCharged { charge },
            None => Command::FoundNotCharged,
        }
    }

    fn refund_answer(&mut self, answer: Answer) -> Command {
        match answer {
            Answer::Done | Answer::Declined => {
                self.returned = true;
                Command::Refunded { refund_id: "re_1".to_owned() }
            }
            Answer::GaveUp | Answer::GaveUpInDoubt => {
                Command::RefundGaveUp { obstacle: Obstacle::GaveUp }
            }
        }
    }

    fn settle(&mut self, answer: Answer) -> Option<Charge> {
        if self.gateway == Settled::Open {
            self.gateway = match answer {
                Answer::Done => Settled::Paid(self.amount.clone()),
                Answer::Declined | Answer::GaveUp | Answer::GaveUpInDoubt => Settled::Declined,
            };
        }
        match &self.gateway {
            Settled::Paid(charge) => Some(charge.clone()),
            Settled::Open | Settled::Declined => None,
        }
    }

    fn obey(&mut self, event: &Event) {
        match event {
            Event::ChargeDue { .. } => self.jobs.charge = Some(Job::Untouched),
            Event::ChargeStopped => {
                assert_eq!(
                    self.jobs.charge,
                    Some(Job::Untouched),
                    "only what has had no effect is stopped"
                );
                self.jobs.charge = None;
            }
            Event::ResolveDue { .. } => self.jobs.resolve = true,
            Event::RefundDue { .. } => self.jobs.refund = true,
            Event::Settled { .. } => self.returned = true,
            Event::Paid { .. } | Event::Accepted { .. } => {
                assert!(!self.cancelled, "nothing is said to be paid after the cancellation");
            }
            Event::Awaited { .. }
            | Event::StockHeld
            | Event::Failed { .. }
            | Event::Mischarged { .. }
            | Event::FoundUnpaid
            | Event::DoubtRemains
            | Event::Free { .. }
            | Event::Recalled
            | Event::Abandoned
            | Event::Fenced
            | Event::Refunded { .. }
            | Event::RefundFailed { .. } => {}
        }
    }

    fn judge(&self) {
        let count =
            |wanted: fn(&Event) -> bool| self.history.iter().filter(|it| wanted(it)).count();
        let charges = count(|it| matches!(it, Event::ChargeDue { .. }));
        assert!(charges <= 1, "one charge job at most");
        let words = count(|it| is_paid(it) || matches!(it, Event::Failed { .. }));
        assert!(words <= 1, "the order hears one word");
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
            Act::Placed,
            Act::Reserved,
            Act::Try,
            Act::ChargeAnswered(Answer::Done),
            Act::ResolveAnswered(Answer::Done),
            Act::RefundAnswered(Answer::Done),
            Act::Refund,
            Act::ResolveAnswered(Answer::Done),
            Act::RefundAnswered(Answer::Done),
        ] {
            self.act(act);
        }
    }

    /// What the customer has paid in the end.
    fn net(&self) -> i64 {
        match &self.gateway {
            Settled::Paid(charge) if !self.returned => charge.amount.minor,
            Settled::Paid(_) | Settled::Open | Settled::Declined => 0,
        }
    }
}

/// Whether it says `payment-done`.
fn is_paid(event: &Event) -> bool {
    matches!(event, Event::Paid { .. } | Event::Accepted { .. })
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Done),
        Just(Answer::Declined),
        Just(Answer::GaveUp),
        Just(Answer::GaveUpInDoubt),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Placed),
        2 => Just(Act::Reserved),
        1 => Just(Act::Cancelled),
        3 => Just(Act::Try),
        1 => Just(Act::TryRefused),
        3 => answers().prop_map(Act::ChargeAnswered),
        2 => answers().prop_map(Act::ResolveAnswered),
        2 => answers().prop_map(Act::RefundAnswered),
        1 => Just(Act::Accept),
        1 => Just(Act::Refund),
        1 => Just(Act::ResolveFindsNothing),
        1 => Just(Act::Settle),
    ]
}

fn amounts() -> impl Strategy<Value = Charge> {
    prop_oneof![3 => Just(charge()), 1 => Just(wrong_charge())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_breaks_a_law(amount in amounts(), acts in prop::collection::vec(acts(), 0..24)) {
        let mut world = World::new(amount);
        for act in acts {
            world.act(act);
        }
    }

    #[test]
    fn a_cancelled_order_is_never_paid_for_in_the_end(
        amount in amounts(),
        acts in prop::collection::vec(acts(), 0..24),
    ) {
        let mut world = World::new(amount);
        for act in acts {
            world.act(act);
        }
        world.act(Act::Cancelled);
        world.settle_down();
        prop_assert_eq!(world.net(), 0, "{:?}", world);
        prop_assert_eq!(world.jobs(), [false; 3]);
    }

    #[test]
    fn an_order_that_is_told_it_is_paid_for_is(
        amount in amounts(),
        acts in prop::collection::vec(acts(), 0..24),
    ) {
        let mut world = World::new(amount);
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
