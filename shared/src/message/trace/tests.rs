use super::*;

#[test]
fn a_share_of_the_traces_is_recorded_and_which_they_are_follows_from_their_ids() {
    let ids: Vec<u128> = (0..20_000).map(|_| fastrand::u128(1..)).collect();
    let recorded = |ratio: f64| ids.iter().filter(move |n| is_below(**n, below(ratio)));
    assert_eq!(recorded(0.0).count(), 0);
    assert_eq!(recorded(1.0).count(), ids.len());
    let tenth: Vec<_> = recorded(0.1).collect();
    assert!((1_500..2_500).contains(&tenth.len()), "{}", tenth.len());
    let half: Vec<_> = recorded(0.5).collect();
    assert!(tenth.iter().all(|n| half.contains(n)), "who records more records the same, too");
}

#[test]
fn a_span_of_a_message_has_the_same_id_each_time_and_another_one_for_each_message_and_deed() {
    let sent = TraceParent::start();
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(sent.derive(one, "send"), sent.derive(one, "send"));
    assert_ne!(sent.derive(one, "send"), sent.derive(other, "send"));
    assert_ne!(sent.derive(one, "send"), sent.derive(one, "outbox"));
    assert_ne!(sent.derive(one, "send"), sent.child().derive(one, "send"));
    assert_eq!(sent.derive(one, "send").trace_id(), sent.trace_id());
}
