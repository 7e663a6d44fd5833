use proptest::prelude::*;
use shared::decider::{self, Given, given};
use time::{OffsetDateTime, macros::datetime};

use super::{
    Addressee, CancelReason, Command, Correspondence, Event, Kind, Money, Occasion, Rejection,
    Stage,
};

mod table;

const AT: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn euros(minor: i64) -> Money {
    Money { minor, currency: "EUR".to_owned() }
}

fn ada() -> Addressee {
    Addressee {
        email: "ada@example.org".to_owned(),
        name: Some("Ada".to_owned()),
        total: euros(1_250),
    }
}

fn occasion(kind: Kind) -> Occasion {
    match kind {
        Kind::Confirmed => Occasion::Confirmed { total: euros(1_250) },
        Kind::Cancelled => Occasion::Cancelled { reason: CancelReason::OutOfStock },
        Kind::Refunded => Occasion::Refunded { amount: euros(1_250) },
    }
}

fn contact() -> Command {
    Command::RecordContact { addressee: ada(), at: AT }
}

fn tell(kind: Kind) -> Command {
    Command::Tell { occasion: occasion(kind), at: AT }
}

fn record_sent(kind: Kind) -> Command {
    Command::RecordSent { kind, message_id: "<a.mail@shop>".to_owned(), at: AT }
}

fn record_given_up(kind: Kind) -> Command {
    Command::RecordGivenUp { kind, reason: "refused".to_owned(), at: AT }
}

fn known() -> Event {
    Event::ContactKnown { addressee: ada() }
}

fn deferred(kind: Kind) -> Event {
    Event::Deferred { occasion: occasion(kind) }
}

fn due(kind: Kind) -> Event {
    Event::FellDue { occasion: occasion(kind), addressee: ada(), at: AT }
}

fn skipped(was_due: bool) -> Event {
    Event::Skipped { occasion: occasion(Kind::Confirmed), was_due }
}

fn sent(kind: Kind) -> Event {
    Event::Sent { kind, message_id: "<a.mail@shop>".to_owned(), at: AT }
}

fn failed(kind: Kind) -> Event {
    Event::Failed { kind, reason: "refused".to_owned(), at: AT }
}

fn after(history: impl Into<Vec<Event>>) -> Given<Correspondence> {
    given(history)
}

// The contact.

#[test]
fn a_contact_with_nothing_to_tell_is_only_kept() {
    after([]).when(&contact()).then([known()]);
}

#[test]
fn what_waited_for_the_contact_falls_due_with_it() {
    for kind in Kind::ALL {
        after([deferred(kind)]).when(&contact()).then([known(), due(kind)]);
    }
    after([deferred(Kind::Cancelled), deferred(Kind::Refunded)]).when(&contact()).then([
        known(),
        due(Kind::Cancelled),
        due(Kind::Refunded),
    ]);
}

#[test]
fn what_was_skipped_does_not_fall_due_with_the_contact() {
    after([deferred(Kind::Confirmed), skipped(false), deferred(Kind::Cancelled)])
        .when(&contact())
        .then([known(), due(Kind::Cancelled)]);
}

#[test]
fn the_first_contact_stays() {
    let another = Addressee { email: "bob@example.org".to_owned(), ..ada() };
    after([known()]).when(&Command::RecordContact { addressee: another, at: AT }).then_nothing();
}

// Occasions.

#[test]
fn an_occasion_before_the_contact_waits_for_it() {
    for kind in Kind::ALL {
        after([]).when(&tell(kind)).then([deferred(kind)]);
    }
}

#[test]
fn an_occasion_after_the_contact_is_due() {
    for kind in Kind::ALL {
        after([known()]).when(&tell(kind)).then([due(kind)]);
    }
}

#[test]
fn an_occasion_is_told_once_whatever_has_become_of_it() {
    for kind in Kind::ALL {
        after([deferred(kind)]).when(&tell(kind)).then_nothing();
        after([known(), due(kind)]).when(&tell(kind)).then_nothing();
        after([known(), due(kind), sent(kind)]).when(&tell(kind)).then_nothing();
        after([known(), due(kind), failed(kind)]).when(&tell(kind)).then_nothing();
    }
    after([known(), due(Kind::Confirmed), skipped(true)])
        .when(&tell(Kind::Confirmed))
        .then_nothing();
}

// The cancellation beats the confirmation.

#[test]
fn a_confirmation_read_after_the_cancellation_is_skipped() {
    for end in [Kind::Cancelled, Kind::Refunded] {
        after([known(), due(end)]).when(&tell(Kind::Confirmed)).then([skipped(false)]);
        after([deferred(end)]).when(&tell(Kind::Confirmed)).then([skipped(false)]);
    }
}

#[test]
fn a_confirmation_that_waits_for_the_contact_is_skipped_by_the_cancellation() {
    for end in [Kind::Cancelled, Kind::Refunded] {
        after([deferred(Kind::Confirmed)]).when(&tell(end)).then([skipped(false), deferred(end)]);
    }
}

#[test]
fn a_confirmation_that_is_due_is_skipped_by_the_cancellation() {
    for end in [Kind::Cancelled, Kind::Refunded] {
        after([known(), due(Kind::Confirmed)]).when(&tell(end)).then([skipped(true), due(end)]);
    }
}

#[test]
fn a_confirmation_that_failed_is_skipped_by_the_cancellation_so_that_nobody_redrives_it() {
    after([known(), due(Kind::Confirmed), failed(Kind::Confirmed)])
        .when(&tell(Kind::Cancelled))
        .then([skipped(true), due(Kind::Cancelled)]);
}

#[test]
fn a_confirmation_that_was_sent_stays_sent_after_the_cancellation() {
    after([known(), due(Kind::Confirmed), sent(Kind::Confirmed)])
        .when(&tell(Kind::Cancelled))
        .then([due(Kind::Cancelled)]);
}

#[test]
fn a_confirmation_is_skipped_once() {
    after([known(), due(Kind::Confirmed), skipped(true), due(Kind::Refunded)])
        .when(&tell(Kind::Cancelled))
        .then([due(Kind::Cancelled)]);
}

// Results.

#[test]
fn a_mail_that_a_server_took_is_sent() {
    for kind in Kind::ALL {
        after([known(), due(kind)]).when(&record_sent(kind)).then([sent(kind)]);
    }
}

#[test]
fn a_mail_that_was_on_its_way_when_it_was_skipped_is_sent_all_the_same() {
    after([known(), due(Kind::Confirmed), skipped(true), due(Kind::Cancelled)])
        .when(&record_sent(Kind::Confirmed))
        .then([sent(Kind::Confirmed)]);
}

#[test]
fn a_mail_that_was_redriven_after_it_failed_is_sent() {
    after([known(), due(Kind::Refunded), failed(Kind::Refunded)])
        .when(&record_sent(Kind::Refunded))
        .then([sent(Kind::Refunded)]);
}

#[test]
fn a_copy_of_a_mail_changes_nothing() {
    let history = [known(), due(Kind::Confirmed), sent(Kind::Confirmed)];
    after(history.clone()).when(&record_sent(Kind::Confirmed)).then_nothing();
    after(history).when(&record_given_up(Kind::Confirmed)).then_nothing();
}

#[test]
fn a_mail_that_was_given_up_has_failed() {
    for kind in Kind::ALL {
        after([known(), due(kind)]).when(&record_given_up(kind)).then([failed(kind)]);
    }
}

#[test]
fn giving_up_what_was_not_to_be_sent_any_more_is_no_failure() {
    after([known(), due(Kind::Confirmed), skipped(true)])
        .when(&record_given_up(Kind::Confirmed))
        .then_nothing();
    after([known(), due(Kind::Confirmed), failed(Kind::Confirmed)])
        .when(&record_given_up(Kind::Confirmed))
        .then_nothing();
}

#[test]
fn a_result_of_what_was_never_due_is_rejected() {
    for result in [record_sent(Kind::Confirmed), record_given_up(Kind::Confirmed)] {
        after([known()]).when(&result).then_rejected(Rejection::NeverDue);
        after([deferred(Kind::Confirmed)]).when(&result).then_rejected(Rejection::NeverDue);
    }
}

// Laws, over any history.

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(contact()),
        any_kind().prop_map(tell),
        any_kind().prop_map(record_sent),
        any_kind().prop_map(record_given_up),
    ]
}

fn any_commands() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(any_command(), 0..20)
}

/// What happened in each step.
fn run(commands: &[Command]) -> (Correspondence, Vec<Vec<Event>>) {
    let mut state = Correspondence::default();
    let happened = commands
        .iter()
        .map(|it| decider::step::<Correspondence>(&mut state, it).unwrap_or_default())
        .collect();
    (state, happened)
}

fn fell_due(events: &[Event], kind: Kind) -> usize {
    let is_it =
        |it: &&Event| matches!(it, Event::FellDue { occasion, .. } if occasion.kind() == kind);
    events.iter().filter(is_it).count()
}

proptest! {
    #[test]
    fn a_command_taken_twice_has_nothing_left_to_do(commands in any_commands(), last in any_command()) {
        let (mut state, _) = run(&commands);
        if decider::step::<Correspondence>(&mut state, &last).is_ok() {
            prop_assert_eq!(decider::step::<Correspondence>(&mut state, &last), Ok(vec![]));
        }
    }

    #[test]
    fn each_kind_falls_due_once_at_most_and_never_without_a_contact(commands in any_commands()) {
        let (state, happened) = run(&commands);
        let events = happened.concat();
        for kind in Kind::ALL {
            prop_assert!(fell_due(&events, kind) <= 1);
        }
        prop_assert!(state.addressee.is_some() || Kind::ALL.iter().all(|it| fell_due(&events, *it) == 0));
    }

    #[test]
    fn once_the_cancellation_was_seen_no_confirmation_is_due(commands in any_commands()) {
        let mut state = Correspondence::default();
        for command in &commands {
            let _answer = decider::step::<Correspondence>(&mut state, command);
            let open = matches!(
                state.stage(Kind::Confirmed),
                Some(Stage::WaitingForContact | Stage::Due { .. } | Stage::Failed { .. })
            );
            prop_assert!(!(state.is_cancelled() && open));
        }
    }

    #[test]
    fn what_was_sent_stays_sent(commands in any_commands(), last in any_command()) {
        let (state, _) = run(&commands);
        let mut later = state.clone();
        let _answer = decider::step::<Correspondence>(&mut later, &last);
        for kind in Kind::ALL {
            if let Some(sent @ Stage::Sent { .. }) = state.stage(kind) {
                prop_assert_eq!(later.stage(kind), Some(sent));
            }
        }
    }

    #[test]
    fn nothing_waits_once_the_contact_is_known(commands in any_commands()) {
        let (state, _) = run(&commands);
        let waits = Kind::ALL.iter().any(|it| state.stage(*it) == Some(&Stage::WaitingForContact));
        prop_assert!(!(state.addressee.is_some() && waits));
    }

    #[test]
    fn the_order_in_which_messages_are_read_changes_nothing_in_the_end(
        inputs in Just(vec![
            contact(), tell(Kind::Confirmed), tell(Kind::Cancelled), tell(Kind::Refunded),
        ]).prop_shuffle()
    ) {
        let (state, _) = run(&inputs);
        prop_assert_eq!(state.stage(Kind::Confirmed), Some(&Stage::Skipped));
        prop_assert_eq!(state.stage(Kind::Cancelled), Some(&Stage::Due { since: AT }));
        prop_assert_eq!(state.stage(Kind::Refunded), Some(&Stage::Due { since: AT }));
    }
}
