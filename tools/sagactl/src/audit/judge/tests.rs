use super::*;
use FactStatement as S;

const RULES: JudgeRules = JudgeRules {
    at_rest: false,
    overdue_ms: 1_000,
    retained_ms: 0,
    all_read: true,
    mails_ms: (i64::MIN, i64::MAX),
    read_ms: i64::MAX,
};

/// An order that was placed at 2 s.
fn order_id() -> Uuid {
    Uuid::from_u128(0x0000_0000_07d0_7000_8000_0000_0000_0001)
}

fn message(source: ServiceName, sequence: i64, topic: usize, offset: i64) -> S {
    S::Message(MessageFact { source, sequence, topic, partition: 0, offset })
}

/// A confirmed order as it should be.
fn confirmed() -> Vec<S> {
    use ServiceName::{Inventory, Notify, Orders, Payments};
    let mut statements = vec![
        S::Order { stage: "confirmed", total_minor: 500, due_ms: 0, lines: 7, said: 2 },
        S::Reservation { stage: "sold", lines: 7, said: 1 },
        S::Payment { stage: "done", charged_minor: 500, said: 1 },
        S::Correspondence { said: 1 },
        S::Notice { kind: "confirmed", stage: "sent", at_ms: 5 },
        S::Charge { amount: 500, refunded: 0 },
        S::Mail { kind: "confirmed" },
        S::Heard { source: Orders, numbers: 2 },
        message(Orders, 1, 0, 10),
        message(Orders, 2, 1, 10),
    ];
    for (topic, service) in [(3, Inventory), (7, Payments), (10, Notify)] {
        statements.push(S::Heard { source: service, numbers: 1 });
        statements.push(message(service, 1, topic, 5));
    }
    statements
}

/// A cancelled order as it should be, whose charge was refunded.
fn cancelled() -> Vec<S> {
    vec![
        S::Order { stage: "cancelled", total_minor: 500, due_ms: 0, lines: 7, said: 0 },
        S::Reservation { stage: "released", lines: 0, said: 0 },
        S::Payment { stage: "refunded", charged_minor: 500, said: 0 },
        S::Notice { kind: "cancelled", stage: "sent", at_ms: 5 },
        S::Charge { amount: 500, refunded: 500 },
        S::Mail { kind: "cancelled" },
    ]
}

fn view(statements: &[S]) -> OrderView {
    let id = order_id();
    let facts = statements.iter().map(|statement| OrderFact::new(id, *statement)).collect();
    OrderView::from_facts(id, facts)
}

fn verdicts(statements: &[S], rules: JudgeRules) -> Vec<(AuditInvariant, OrderVerdict)> {
    view(statements).verdicts(&rules)
}

/// The invariants that are violated when one statement is replaced, or taken away.
fn violated(statements: &[S], old: S, new: Option<S>) -> Vec<AuditInvariant> {
    assert!(statements.contains(&old), "{old:?}");
    let changed: Vec<S> = statements
        .iter()
        .filter_map(|statement| if *statement == old { new } else { Some(*statement) })
        .collect();
    let wrong = |(_, verdict): &(AuditInvariant, OrderVerdict)| {
        matches!(verdict, OrderVerdict::Violated(_))
    };
    let wrong = verdicts(&changed, RULES).into_iter().filter(wrong);
    wrong.map(|(invariant, _)| invariant).collect()
}

#[test]
fn an_order_as_it_should_be_keeps_every_invariant() {
    for statements in [confirmed(), cancelled()] {
        for (invariant, verdict) in verdicts(&statements, JudgeRules { at_rest: true, ..RULES }) {
            assert_eq!(verdict, OrderVerdict::Kept, "{invariant:?}");
        }
    }
}

#[test]
fn what_is_wrong_of_a_confirmed_order_violates_its_own_invariant() {
    use AuditInvariant::{
        ChargesMatch, CustomersNotified, MailsDelivered, MessagesArrived, PaymentsMatch,
        StockAddsUp, TopicsComplete,
    };
    let good = confirmed();
    let sold = S::Reservation { stage: "sold", lines: 7, said: 1 };
    let done = S::Payment { stage: "done", charged_minor: 500, said: 1 };
    let charge = S::Charge { amount: 500, refunded: 0 };
    let sent = S::Notice { kind: "confirmed", stage: "sent", at_ms: 5 };
    let heard = S::Heard { source: ServiceName::Payments, numbers: 1 };
    for (old, new, expected) in [
        (sold, Some(S::Reservation { stage: "reserved", lines: 7, said: 1 }), vec![StockAddsUp]),
        (sold, Some(S::Reservation { stage: "sold", lines: 8, said: 1 }), vec![StockAddsUp]),
        (done, Some(S::Payment { stage: "done", charged_minor: 1, said: 1 }), vec![PaymentsMatch]),
        (charge, None, vec![ChargesMatch]),
        (charge, Some(S::Charge { amount: 500, refunded: 500 }), vec![ChargesMatch]),
        (sent, None, vec![CustomersNotified, MailsDelivered]),
        (S::Mail { kind: "confirmed" }, None, vec![MailsDelivered]),
        (
            heard,
            Some(S::Heard { source: ServiceName::Payments, numbers: 0 }),
            vec![MessagesArrived],
        ),
        (heard, None, vec![MessagesArrived]),
        (message(ServiceName::Payments, 1, 7, 5), None, vec![TopicsComplete]),
        (message(ServiceName::Orders, 2, 1, 10), None, vec![TopicsComplete]),
        (message(ServiceName::Orders, 1, 0, 10), None, vec![TopicsComplete]),
    ] {
        assert_eq!(violated(&good, old, new), expected, "{old:?} is {new:?}");
    }
    let twice = [good, vec![S::Charge { amount: 500, refunded: 0 }]].concat();
    let found = violated(&twice, sent, Some(sent));
    assert_eq!(found, [ChargesMatch]);
}

#[test]
fn a_cancelled_order_keeps_neither_stock_nor_money_and_no_refund_is_forgotten() {
    use AuditInvariant::{ChargesMatch, PaymentsMatch, StockAddsUp};
    let good = cancelled();
    let refunded = S::Payment { stage: "refunded", charged_minor: 500, said: 0 };
    let charge = S::Charge { amount: 500, refunded: 500 };
    let released = S::Reservation { stage: "released", lines: 0, said: 0 };
    let sold = S::Reservation { stage: "sold", lines: 7, said: 0 };
    assert_eq!(violated(&good, released, Some(sold)), [StockAddsUp]);
    let kept = S::Charge { amount: 500, refunded: 0 };
    assert_eq!(violated(&good, charge, Some(kept)), [ChargesMatch]);
    let done = S::Payment { stage: "done", charged_minor: 500, said: 0 };
    assert_eq!(violated(&good, refunded, Some(done)), [PaymentsMatch]);
    // A refund that is on its way is open, and at rest there is none.
    let mut moving = good;
    moving[2] = S::Payment { stage: "refunding", charged_minor: 500, said: 0 };
    moving[4] = kept;
    for (at_rest, is_open) in [(false, true), (true, false)] {
        let verdicts = verdicts(&moving, JudgeRules { at_rest, ..RULES });
        let open = |wanted| verdicts.contains(&(wanted, OrderVerdict::Open));
        assert_eq!((open(PaymentsMatch), open(ChargesMatch)), (is_open, is_open));
    }
}

#[test]
fn a_pending_order_is_open_until_it_is_overdue() {
    let pending =
        |due_ms| vec![S::Order { stage: "pending", total_minor: 5, due_ms, lines: 7, said: 0 }];
    let ended = |statements: &[S], rules| verdicts(statements, rules)[0].1.clone();
    assert_eq!(ended(&pending(1_000), RULES), OrderVerdict::Open);
    assert!(matches!(ended(&pending(999), RULES), OrderVerdict::Violated(_)));
    let at_rest = JudgeRules { at_rest: true, ..RULES };
    assert!(matches!(ended(&pending(1_000), at_rest), OrderVerdict::Violated(_)));
    assert!(
        !verdicts(&pending(1_000), RULES)
            .iter()
            .any(|(_, verdict)| matches!(verdict, OrderVerdict::Violated(_)))
    );
}

#[test]
fn a_message_that_is_missing_may_wait_be_dead_or_be_too_old() {
    let gone = message(ServiceName::Payments, 1, 7, 5);
    let without = |more: Option<S>| {
        let rest = confirmed().into_iter().filter(|statement| *statement != gone);
        rest.chain(more).collect::<Vec<_>>()
    };
    let topics = |statements: &[S], rules| {
        let verdicts = verdicts(statements, rules);
        verdicts
            .into_iter()
            .find(|(audit_invariant, _)| *audit_invariant == AuditInvariant::TopicsComplete)
            .unwrap()
            .1
    };
    let service = ServiceName::Payments;
    assert_eq!(topics(&without(Some(S::InOutbox { service })), RULES), OrderVerdict::Open);
    assert_eq!(topics(&without(Some(S::DeadLetter { service })), RULES), OrderVerdict::Kept);
    let later = JudgeRules { retained_ms: 3_000, ..RULES };
    assert_eq!(topics(&without(None), later), OrderVerdict::LeftOut);
    let text = format!(
        "order {} (confirmed): 1 of 1 messages of payment-service are not on its topics, the first \
         is number 1",
        order_id()
    );
    assert_eq!(topics(&without(None), RULES), OrderVerdict::Violated(text));
}

#[test]
fn a_message_that_did_not_arrive_may_be_unread() {
    let mut statements = confirmed();
    statements.retain(|fact_statement| {
        *fact_statement != S::Heard { source: ServiceName::Notify, numbers: 1 }
    });
    let arrived = |rules| {
        let verdicts = verdicts(&statements, rules);
        verdicts
            .into_iter()
            .find(|(audit_invariant, _)| *audit_invariant == AuditInvariant::MessagesArrived)
            .unwrap()
            .1
    };
    assert_eq!(arrived(JudgeRules { all_read: false, ..RULES }), OrderVerdict::Open);
    assert!(matches!(arrived(RULES), OrderVerdict::Violated(_)));
}

#[test]
fn first_occurrences_rise_on_each_topic_and_repeats_may_be_anywhere() {
    let orders = |offsets: &[(i64, i64)]| {
        let messages =
            offsets.iter().map(|(n, offset)| message(ServiceName::Orders, *n, 0, *offset));
        view(&messages.collect::<Vec<_>>())
    };
    assert_eq!(orders(&[(1, 5), (2, 6), (1, 7), (2, 8), (3, 9)]).repeats, 2);
    assert_eq!(orders(&[(1, 5), (2, 6), (1, 7), (2, 8), (3, 9)]).out_of_order, None);
    let found = orders(&[(1, 6), (2, 5)]).out_of_order;
    let expected = "order-placed/0: number 1 of order-service is at offset 6, behind number 2 at \
                    offset 5";
    assert_eq!(found.as_deref(), Some(expected));
}

#[test]
fn an_order_that_is_not_known_is_wrong_only_if_it_was_charged_before_the_databases_were_read() {
    let charge = [S::Charge { amount: 5, refunded: 0 }];
    let early = JudgeRules { read_ms: 1_000, ..RULES };
    assert_eq!(verdicts(&charge, early), []);
    assert_eq!(verdicts(&charge, RULES).len(), 1);
    assert_eq!(verdicts(&[S::Mail { kind: "confirmed" }], RULES), []);
}

#[test]
fn what_is_remembered_of_an_order_is_bounded_however_much_is_published_about_it() {
    let mut messages: Vec<S> = (1..10_000).map(|n| message(ServiceName::Orders, n, 0, n)).collect();
    messages.push(S::Order { stage: "pending", total_minor: 0, due_ms: 0, lines: 0, said: 3 });
    let view = view(&messages);
    assert_eq!(view.sources[0].found, 3);
    assert_eq!(view.into_kept().len(), MESSAGES_KEPT_MAX);
}

#[test]
fn the_second_look_finds_what_was_out_of_order_behind_many_messages() {
    let mut messages: Vec<S> =
        (1..1_000).map(|n| message(ServiceName::Inventory, n, 6, n)).collect();
    messages.push(message(ServiceName::Inventory, 1_000, 6, 0));
    let first = view(&messages);
    assert!(first.out_of_order.is_some());
    let second = OrderView::from_facts(order_id(), first.into_kept());
    assert!(second.out_of_order.is_some());
}
