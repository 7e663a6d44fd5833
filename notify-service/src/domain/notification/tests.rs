use proptest::prelude::*;
use shared::decider::{self, GivenState, given};
use time::{OffsetDateTime, macros::datetime};

use super::{
    CancelReason, CustomerContact, Money, NotificationCause, NotificationCommand,
    NotificationEvent, NotificationKind, NotificationRejection, NotificationStage,
    OrderNotifications,
};

mod table;

const AT: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn euros(minor: i64) -> Money {
    Money { minor, currency: "EUR".to_owned() }
}

fn ada() -> CustomerContact {
    CustomerContact {
        email: "ada@example.org".to_owned(),
        name: Some("Ada".to_owned()),
        total: euros(1_250),
    }
}

fn occasion(kind: NotificationKind) -> NotificationCause {
    match kind {
        NotificationKind::Confirmed => NotificationCause::Confirmed { total: euros(1_250) },
        NotificationKind::Cancelled => {
            NotificationCause::Cancelled { reason: CancelReason::OutOfStock }
        }
        NotificationKind::Refunded => NotificationCause::Refunded { amount: euros(1_250) },
    }
}

fn contact() -> NotificationCommand {
    NotificationCommand::RecordContact { addressee: ada(), at: AT }
}

fn tell(kind: NotificationKind) -> NotificationCommand {
    NotificationCommand::Tell { occasion: occasion(kind), at: AT }
}

fn record_sent(kind: NotificationKind) -> NotificationCommand {
    NotificationCommand::RecordSent { kind, message_id: "<a.mail@shop>".to_owned(), at: AT }
}

fn record_given_up(kind: NotificationKind) -> NotificationCommand {
    NotificationCommand::RecordGivenUp { kind, reason: "refused".to_owned(), at: AT }
}

fn known() -> NotificationEvent {
    NotificationEvent::ContactKnown { addressee: ada() }
}

fn deferred(kind: NotificationKind) -> NotificationEvent {
    NotificationEvent::Deferred { occasion: occasion(kind) }
}

fn due(kind: NotificationKind) -> NotificationEvent {
    NotificationEvent::FellDue { occasion: occasion(kind), addressee: ada(), at: AT }
}

fn skipped(was_due: bool) -> NotificationEvent {
    NotificationEvent::Skipped { occasion: occasion(NotificationKind::Confirmed), was_due }
}

fn sent(kind: NotificationKind) -> NotificationEvent {
    NotificationEvent::Sent { kind, message_id: "<a.mail@shop>".to_owned(), at: AT }
}

fn failed(kind: NotificationKind) -> NotificationEvent {
    NotificationEvent::Failed { kind, reason: "refused".to_owned(), at: AT }
}

fn after(history: impl Into<Vec<NotificationEvent>>) -> GivenState<OrderNotifications> {
    given(history)
}

// The contact.

#[test]
fn a_contact_with_nothing_to_tell_is_only_kept() {
    after([]).when(&contact()).then([known()]);
}

#[test]
fn what_waited_for_the_contact_falls_due_with_it() {
    for kind in NotificationKind::ALL {
        after([deferred(kind)]).when(&contact()).then([known(), due(kind)]);
    }
    after([deferred(NotificationKind::Cancelled), deferred(NotificationKind::Refunded)])
        .when(&contact())
        .then([known(), due(NotificationKind::Cancelled), due(NotificationKind::Refunded)]);
}

#[test]
fn what_was_skipped_does_not_fall_due_with_the_contact() {
    after([
        deferred(NotificationKind::Confirmed),
        skipped(false),
        deferred(NotificationKind::Cancelled),
    ])
    .when(&contact())
    .then([known(), due(NotificationKind::Cancelled)]);
}

#[test]
fn the_first_contact_stays() {
    let another = CustomerContact { email: "bob@example.org".to_owned(), ..ada() };
    after([known()])
        .when(&NotificationCommand::RecordContact { addressee: another, at: AT })
        .then_nothing();
}

// Occasions.

#[test]
fn an_occasion_before_the_contact_waits_for_it() {
    for kind in NotificationKind::ALL {
        after([]).when(&tell(kind)).then([deferred(kind)]);
    }
}

#[test]
fn an_occasion_after_the_contact_is_due() {
    for kind in NotificationKind::ALL {
        after([known()]).when(&tell(kind)).then([due(kind)]);
    }
}

#[test]
fn an_occasion_is_told_once_whatever_has_become_of_it() {
    for kind in NotificationKind::ALL {
        after([deferred(kind)]).when(&tell(kind)).then_nothing();
        after([known(), due(kind)]).when(&tell(kind)).then_nothing();
        after([known(), due(kind), sent(kind)]).when(&tell(kind)).then_nothing();
        after([known(), due(kind), failed(kind)]).when(&tell(kind)).then_nothing();
    }
    after([known(), due(NotificationKind::Confirmed), skipped(true)])
        .when(&tell(NotificationKind::Confirmed))
        .then_nothing();
}

// The cancellation beats the confirmation.

#[test]
fn a_confirmation_read_after_the_cancellation_is_skipped() {
    for end in [NotificationKind::Cancelled, NotificationKind::Refunded] {
        after([known(), due(end)]).when(&tell(NotificationKind::Confirmed)).then([skipped(false)]);
        after([deferred(end)]).when(&tell(NotificationKind::Confirmed)).then([skipped(false)]);
    }
}

#[test]
fn a_confirmation_that_waits_for_the_contact_is_skipped_by_the_cancellation() {
    for end in [NotificationKind::Cancelled, NotificationKind::Refunded] {
        after([deferred(NotificationKind::Confirmed)])
            .when(&tell(end))
            .then([skipped(false), deferred(end)]);
    }
}

#[test]
fn a_confirmation_that_is_due_is_skipped_by_the_cancellation() {
    for end in [NotificationKind::Cancelled, NotificationKind::Refunded] {
        after([known(), due(NotificationKind::Confirmed)])
            .when(&tell(end))
            .then([skipped(true), due(end)]);
    }
}

#[test]
fn a_confirmation_that_failed_is_skipped_by_the_cancellation_so_that_nobody_redrives_it() {
    after([known(), due(NotificationKind::Confirmed), failed(NotificationKind::Confirmed)])
        .when(&tell(NotificationKind::Cancelled))
        .then([skipped(true), due(NotificationKind::Cancelled)]);
}

#[test]
fn a_confirmation_that_was_sent_stays_sent_after_the_cancellation() {
    after([known(), due(NotificationKind::Confirmed), sent(NotificationKind::Confirmed)])
        .when(&tell(NotificationKind::Cancelled))
        .then([due(NotificationKind::Cancelled)]);
}

#[test]
fn a_confirmation_is_skipped_once() {
    after([
        known(),
        due(NotificationKind::Confirmed),
        skipped(true),
        due(NotificationKind::Refunded),
    ])
    .when(&tell(NotificationKind::Cancelled))
    .then([due(NotificationKind::Cancelled)]);
}

// Results.

#[test]
fn a_mail_that_a_server_took_is_sent() {
    for kind in NotificationKind::ALL {
        after([known(), due(kind)]).when(&record_sent(kind)).then([sent(kind)]);
    }
}

#[test]
fn a_mail_that_was_on_its_way_when_it_was_skipped_is_sent_all_the_same() {
    after([
        known(),
        due(NotificationKind::Confirmed),
        skipped(true),
        due(NotificationKind::Cancelled),
    ])
    .when(&record_sent(NotificationKind::Confirmed))
    .then([sent(NotificationKind::Confirmed)]);
}

#[test]
fn a_mail_that_was_redriven_after_it_failed_is_sent() {
    after([known(), due(NotificationKind::Refunded), failed(NotificationKind::Refunded)])
        .when(&record_sent(NotificationKind::Refunded))
        .then([sent(NotificationKind::Refunded)]);
}

#[test]
fn a_copy_of_a_mail_changes_nothing() {
    let history = [known(), due(NotificationKind::Confirmed), sent(NotificationKind::Confirmed)];
    after(history.clone()).when(&record_sent(NotificationKind::Confirmed)).then_nothing();
    after(history).when(&record_given_up(NotificationKind::Confirmed)).then_nothing();
}

#[test]
fn a_mail_that_was_given_up_has_failed() {
    for kind in NotificationKind::ALL {
        after([known(), due(kind)]).when(&record_given_up(kind)).then([failed(kind)]);
    }
}

#[test]
fn giving_up_what_was_not_to_be_sent_any_more_is_no_failure() {
    after([known(), due(NotificationKind::Confirmed), skipped(true)])
        .when(&record_given_up(NotificationKind::Confirmed))
        .then_nothing();
    after([known(), due(NotificationKind::Confirmed), failed(NotificationKind::Confirmed)])
        .when(&record_given_up(NotificationKind::Confirmed))
        .then_nothing();
}

#[test]
fn a_result_of_what_was_never_due_is_rejected() {
    for result in
        [record_sent(NotificationKind::Confirmed), record_given_up(NotificationKind::Confirmed)]
    {
        after([known()]).when(&result).then_rejected(NotificationRejection::NeverDue);
        after([deferred(NotificationKind::Confirmed)])
            .when(&result)
            .then_rejected(NotificationRejection::NeverDue);
    }
}

// Laws, over any history.

fn any_kind() -> impl Strategy<Value = NotificationKind> {
    prop::sample::select(NotificationKind::ALL.to_vec())
}

fn any_command() -> impl Strategy<Value = NotificationCommand> {
    prop_oneof![
        Just(contact()),
        any_kind().prop_map(tell),
        any_kind().prop_map(record_sent),
        any_kind().prop_map(record_given_up),
    ]
}

fn any_commands() -> impl Strategy<Value = Vec<NotificationCommand>> {
    prop::collection::vec(any_command(), 0..20)
}

/// The events of each step.
fn run(commands: &[NotificationCommand]) -> (OrderNotifications, Vec<Vec<NotificationEvent>>) {
    let mut state = OrderNotifications::default();
    let happened = commands
        .iter()
        .map(|command| decider::step::<OrderNotifications>(&mut state, command).unwrap_or_default())
        .collect();
    (state, happened)
}

fn fell_due(events: &[NotificationEvent], kind: NotificationKind) -> usize {
    let is_it = |event: &&NotificationEvent| matches!(event, NotificationEvent::FellDue { occasion, .. } if occasion.kind() == kind);
    events.iter().filter(is_it).count()
}

proptest! {
    #[test]
    fn a_command_taken_twice_has_nothing_left_to_do(commands in any_commands(), last in any_command()) {
        let (mut state, _) = run(&commands);
        if decider::step::<OrderNotifications>(&mut state, &last).is_ok() {
            prop_assert_eq!(decider::step::<OrderNotifications>(&mut state, &last), Ok(vec![]));
        }
    }

    #[test]
    fn each_kind_falls_due_once_at_most_and_never_without_a_contact(commands in any_commands()) {
        let (state, happened) = run(&commands);
        let events = happened.concat();
        for kind in NotificationKind::ALL {
            prop_assert!(fell_due(&events, kind) <= 1);
        }
        prop_assert!(state.addressee.is_some() || NotificationKind::ALL.iter().all(|kind| fell_due(&events, *kind) == 0));
    }

    #[test]
    fn once_the_cancellation_was_seen_no_confirmation_is_due(commands in any_commands()) {
        let mut state = OrderNotifications::default();
        for command in &commands {
            let _answer = decider::step::<OrderNotifications>(&mut state, command);
            let open = matches!(
                state.stage(NotificationKind::Confirmed),
                Some(NotificationStage::WaitingForContact | NotificationStage::Due { .. } | NotificationStage::Failed { .. })
            );
            prop_assert!(!(state.is_cancelled() && open));
        }
    }

    #[test]
    fn what_was_sent_stays_sent(commands in any_commands(), last in any_command()) {
        let (state, _) = run(&commands);
        let mut later = state.clone();
        let _answer = decider::step::<OrderNotifications>(&mut later, &last);
        for kind in NotificationKind::ALL {
            if let Some(sent @ NotificationStage::Sent { .. }) = state.stage(kind) {
                prop_assert_eq!(later.stage(kind), Some(sent));
            }
        }
    }

    #[test]
    fn nothing_waits_once_the_contact_is_known(commands in any_commands()) {
        let (state, _) = run(&commands);
        let waits = NotificationKind::ALL.iter().any(|kind| state.stage(*kind) == Some(&NotificationStage::WaitingForContact));
        prop_assert!(!(state.addressee.is_some() && waits));
    }

    #[test]
    fn the_order_in_which_messages_are_read_changes_nothing_in_the_end(
        inputs in Just(vec![
            contact(), tell(NotificationKind::Confirmed), tell(NotificationKind::Cancelled), tell(NotificationKind::Refunded),
        ]).prop_shuffle()
    ) {
        let (state, _) = run(&inputs);
        prop_assert_eq!(state.stage(NotificationKind::Confirmed), Some(&NotificationStage::Skipped));
        prop_assert_eq!(state.stage(NotificationKind::Cancelled), Some(&NotificationStage::Due { since: AT }));
        prop_assert_eq!(state.stage(NotificationKind::Refunded), Some(&NotificationStage::Due { since: AT }));
    }
}
