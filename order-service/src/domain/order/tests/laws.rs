//! What holds for every history, whatever is said, repeated or late.

use proptest::prelude::*;

use super::*;

fn any_news() -> impl Strategy<Value = News> {
    prop_oneof![
        4 => Just(paid(500)),
        1 => Just(paid(499)),
        8 => prop::sample::select(everything_said()),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let at = (0i64..4_000).prop_map(|it| PLACED_AT + Duration::seconds(it));
    prop_oneof![
        1 => Just(place()),
        8 => (any_news(), at.clone()).prop_map(|(news, now)| Command::Record { news, now }),
        1 => at.clone().prop_map(|now| Command::PassDeadline { now }),
        1 => at.prop_map(|now| Command::Cancel { now, window: WINDOW }),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(any_command(), 0..24).prop_map(|mut commands| {
        commands.insert(0, place());
        commands
    })
}

/// Everything that happened, command by command, with the stage after each.
fn live(commands: &[Command]) -> Vec<(Vec<Event>, Stage)> {
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
fn rank(stage: Stage) -> u8 {
    match stage {
        Stage::Pending { .. } => 0,
        Stage::Confirmed { .. } => 1,
        Stage::Cancelled { .. } => 2,
    }
}

fn is_said(event: &Event) -> bool {
    match event {
        Event::Placed(_) | Event::Confirmed { .. } | Event::Cancelled { .. } => true,
        Event::Noted(_) => false,
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
        let times = |of: fn(&Event) -> bool| said.iter().filter(|it| of(it)).count();
        prop_assert_eq!(times(|it| matches!(it, Event::Placed(_))), 1);
        let confirmed = times(|it| matches!(it, Event::Confirmed { .. }));
        let cancelled = times(|it| matches!(it, Event::Cancelled { .. }));
        prop_assert!(confirmed <= 1 && cancelled <= 1);
    }

    #[test]
    fn what_is_said_and_where_an_order_stands_agree(commands in any_history()) {
        let life = live(&commands);
        let events = life.iter().flat_map(|(events, _)| events);
        let said: Vec<_> = events.filter(|it| is_said(it)).collect();
        let agree = match life.last().expect("placed").1 {
            Stage::Pending { .. } => matches!(said[..], [Event::Placed(_)]),
            Stage::Confirmed { .. } => matches!(said[1..], [Event::Confirmed { .. }]),
            Stage::Cancelled { .. } => matches!(said[..], [.., Event::Cancelled { .. }]),
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
        let pays = |it: &Command| matches!(it, Command::Record { news, .. } if *news == paid(500));
        let was_paid = commands.iter().any(pays);
        let life = live(&commands);
        let confirmed = life.iter().any(|(_, it)| matches!(it, Stage::Confirmed { .. }));
        prop_assert!(!confirmed || was_paid);
    }

    #[test]
    fn no_order_times_out_before_it_is_due(commands in any_history()) {
        for (events, _) in live(&commands) {
            for event in events {
                if let Event::Cancelled { reason: CancelReason::TimedOut, at } = event {
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
