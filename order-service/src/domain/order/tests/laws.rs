//! Properties of every history, with any messages, also repeated or late ones.

use proptest::prelude::*;

use super::*;

fn any_news() -> impl Strategy<Value = ServiceEvent> {
    prop_oneof![
        4 => Just(paid(500)),
        1 => Just(paid(499)),
        8 => prop::sample::select(everything_said()),
    ]
}

fn any_command() -> impl Strategy<Value = OrderCommand> {
    let at = (0i64..4_000).prop_map(|seconds| PLACED_AT + Duration::seconds(seconds));
    prop_oneof![
        1 => Just(place()),
        8 => (any_news(), at.clone()).prop_map(|(news, now)| OrderCommand::Record { news, now }),
        1 => at.clone().prop_map(|now| OrderCommand::PassDeadline { now }),
        1 => at.prop_map(|now| OrderCommand::Cancel { now, window: WINDOW }),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<OrderCommand>> {
    prop::collection::vec(any_command(), 0..24).prop_map(|mut commands| {
        commands.insert(0, place());
        commands
    })
}

/// Everything that happened, command by command, with the stage after each.
fn live(commands: &[OrderCommand]) -> Vec<(Vec<OrderEvent>, OrderStage)> {
    let mut state = None;
    commands
        .iter()
        .map(|command| {
            let events = step::<Order>(&mut state, command).unwrap_or_default();
            (events, state.expect("placed").stage)
        })
        .collect()
}

/// How far along a stage is; it never goes back.
fn rank(stage: OrderStage) -> u8 {
    match stage {
        OrderStage::Pending { .. } => 0,
        OrderStage::Confirmed { .. } => 1,
        OrderStage::Cancelled { .. } => 2,
    }
}

fn is_said(event: &OrderEvent) -> bool {
    match event {
        OrderEvent::Placed(_) | OrderEvent::Confirmed { .. } | OrderEvent::Cancelled { .. } => true,
        OrderEvent::Noted(_) => false,
    }
}

proptest! {
    #[test]
    fn a_stage_never_goes_back_and_cancelled_is_final(commands in any_history()) {
        let life = live(&commands);
        for pair in life.windows(2) {
            let (before, after) = (pair[0].1, pair[1].1);
            prop_assert!(rank(before) <= rank(after));
            // The same rank is the very same stage: reason and time are never rewritten.
            prop_assert!(rank(before) < rank(after) || before == after);
        }
    }

    #[test]
    fn each_thing_is_said_at_most_once(commands in any_history()) {
        let said: Vec<_> = live(&commands).into_iter().flat_map(|(events, _)| events).collect();
        let times = |of: fn(&OrderEvent) -> bool| said.iter().filter(|event| of(event)).count();
        prop_assert_eq!(times(|event| matches!(event, OrderEvent::Placed(_))), 1);
        let confirmed = times(|event| matches!(event, OrderEvent::Confirmed { .. }));
        let cancelled = times(|event| matches!(event, OrderEvent::Cancelled { .. }));
        prop_assert!(confirmed <= 1 && cancelled <= 1);
    }

    #[test]
    fn what_is_said_and_where_an_order_stands_agree(commands in any_history()) {
        let life = live(&commands);
        let events = life.iter().flat_map(|(events, _)| events);
        let said: Vec<_> = events.filter(|event| is_said(event)).collect();
        let agree = match life.last().expect("placed").1 {
            OrderStage::Pending { .. } => matches!(said[..], [OrderEvent::Placed(_)]),
            OrderStage::Confirmed { .. } => matches!(said[1..], [OrderEvent::Confirmed { .. }]),
            OrderStage::Cancelled { .. } => matches!(said[..], [.., OrderEvent::Cancelled { .. }]),
        };
        prop_assert!(agree);
    }

    #[test]
    fn a_command_twice_says_nothing_and_moves_nothing_the_second_time(
        commands in any_history(),
        again in any_command(),
    ) {
        let mut state = None;
        for command in commands.iter().chain([&again]) {
            step::<Order>(&mut state, command).unwrap_or_default();
        }
        let before = state;
        let events = step::<Order>(&mut state, &again).unwrap_or_default();
        prop_assert!(!events.iter().any(is_said), "{events:?}");
        prop_assert_eq!(before, state);
    }

    #[test]
    fn only_the_exact_total_confirms(commands in any_history()) {
        let pays = |command: &OrderCommand| matches!(command, OrderCommand::Record { news, .. } if *news == paid(500));
        let was_paid = commands.iter().any(pays);
        let life = live(&commands);
        let confirmed = life.iter().any(|(_, stage)| matches!(stage, OrderStage::Confirmed { .. }));
        prop_assert!(!confirmed || was_paid);
    }

    #[test]
    fn no_order_times_out_before_it_is_due(commands in any_history()) {
        for (events, _) in live(&commands) {
            for event in events {
                if let OrderEvent::Cancelled { reason: CancelReason::TimedOut, at } = event {
                    prop_assert!(at >= DUE_AT);
                }
            }
        }
    }

    #[test]
    fn history_alone_moves_nothing(commands in any_history()) {
        let life = live(&commands);
        for pair in life.windows(2) {
            prop_assert!(pair[1].0.iter().any(is_said) || pair[0].1 == pair[1].1);
        }
    }
}
