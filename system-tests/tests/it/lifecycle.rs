//! Starting and stopping while something that everybody depends on is away.

use devstack::{Halt, Part, Parts, Silent, Source, Stack};
use nix::sys::signal::Signal;
use sagactl::{audit::Expected, fleet::Member};

use crate::stage::{self, Stage, until};

/// What a service waits for when this part is away.
fn waits_for(part: Part) -> &'static str {
    match part {
        Part::Kafka => "topics",
        Part::Postgres => "database",
        Part::Registry => "schemas",
        Part::Mail | Part::Ui | Part::Prometheus => unreachable!("nobody waits for {part}"),
    }
}

/// Tells every service to stop at once, and expects each to end well. A service that does not end
/// within its grace, which is less than ten seconds, ends badly by itself.
async fn stop_all(stage: &mut Stage, case: &str) {
    for member in Member::SERVICES {
        let code = stage.fleet.end(member, Signal::SIGTERM).await.unwrap();
        assert_eq!(code, Some(0), "{case}: {member}\n{}", stage.fleet.log(member));
    }
}

/// Starts every service while a part is away: each waits, says for what, and is not ready.
async fn start_all_in_vain(stage: &mut Stage, part: Part) {
    for member in Member::SERVICES {
        stage.fleet.launch(member).unwrap();
    }
    for member in Member::SERVICES {
        let fleet = &mut stage.fleet;
        let mut said = String::new();
        until("it says what it waits for", async || {
            let Some((ready, report)) = fleet.health(member).await.unwrap() else { return false };
            assert!(!ready, "{part} is away, and {member} is ready: {report}");
            said = report;
            // What it has not tried yet is only starting.
            let waiting = format!("\"{}\":", waits_for(part));
            said.split_once(&waiting).is_some_and(|(_, it)| !it.starts_with("\"starting"))
        })
        .await;
    }
}

async fn survives_without(stage: &mut Stage, stack: &Stack, part: Part) {
    // On its way when the part goes away.
    for _ in 0..20 {
        stage.place("load-0001", "tok_visa").await;
    }
    stack.stop_part(part, Halt::Kill).await.unwrap();
    stop_all(stage, &format!("{part} is away")).await;
    start_all_in_vain(stage, part).await;
    stop_all(stage, &format!("{part} was never there")).await;
    start_all_in_vain(stage, part).await;
    stack.start_part(part).await.unwrap();
    for member in Member::SERVICES {
        stage.fleet.ready(member).await.unwrap();
    }
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["order-confirmed", "notification-sent"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_away_services_stop_well_start_waiting_and_recover_by_themselves() {
    let stack = Stack::start(Source::Native, Parts::all(), &Silent).await.unwrap();
    let mut stage = stage::open_on(&stack, &[]).await;
    for part in [Part::Kafka, Part::Postgres, Part::Registry] {
        survives_without(&mut stage, &stack, part).await;
    }
    // All there, and all at once in the middle of work.
    for _ in 0..20 {
        stage.place("load-0002", "tok_visa").await;
    }
    stop_all(&mut stage, "all there").await;
    for member in Member::SERVICES {
        stage.fleet.restart(member).await.unwrap();
    }
    let report = stage.close(Expected::default()).await;
    assert_eq!(report.orders["confirmed"], 3 * 21 + 20);
    stack.stop().await;
}
