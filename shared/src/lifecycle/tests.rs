use std::{convert::Infallible, process::ExitCode, sync::Mutex};

use tokio::sync::oneshot;

use super::*;

/// The longest time for which a test machine may stand still.
const PATIENCE: Duration = Duration::from_mins(5);

fn life() -> ProcessLifecycle {
    ProcessLifecycle::new(PATIENCE)
}

/// A part that waits for its cancellation token.
async fn patient(stop: CancellationToken) -> InfallibleResult {
    stop.cancelled().await;
    Ok(())
}

/// Runs until a part fails, which should be soon.
async fn died(life: &ProcessLifecycle) -> ExitCode {
    let life = life.run(std::future::pending());
    tokio::time::timeout(PATIENCE, life).await.unwrap()
}

#[tokio::test]
async fn a_life_that_is_told_to_stop_ends_well() {
    let life = life();
    life.start(StopStage::Work, "patient", patient);
    assert_eq!(life.run(async {}).await, ExitCode::SUCCESS);
}

#[tokio::test]
async fn a_part_that_ends_unasked_ends_the_process() {
    let life = life();
    life.start(StopStage::Work, "patient", patient);
    life.start(StopStage::Work, "hasty", |_stop| async { Ok::<_, Infallible>(()) });
    assert_eq!(died(&life).await, ExitCode::FAILURE);
}

#[tokio::test]
async fn a_part_that_fails_ends_the_process() {
    let life = life();
    life.start(StopStage::Last, "patient", patient);
    life.start(StopStage::Edges, "broken", |_stop| async { Err(std::io::Error::other("broken")) });
    assert_eq!(died(&life).await, ExitCode::FAILURE);
}

#[tokio::test]
async fn a_part_that_panics_ends_the_process() {
    let life = life();
    life.start(StopStage::Work, "patient", patient);
    life.start(StopStage::Work, "clumsy", |stop| async move {
        assert!(stop.is_cancelled(), "it panics");
        Ok::<_, Infallible>(())
    });
    assert_eq!(died(&life).await, ExitCode::FAILURE);
}

#[tokio::test]
async fn a_part_that_fails_while_it_stops_is_a_failure() {
    let life = life();
    life.start(StopStage::Work, "sour", |stop| async move {
        stop.cancelled().await;
        Err(std::io::Error::other("could not finish"))
    });
    assert_eq!(life.run(async {}).await, ExitCode::FAILURE);
}

#[tokio::test]
async fn the_stages_stop_one_after_the_other() {
    let life = life();
    let order = Arc::new(Mutex::new(Vec::new()));
    for (stage, name) in
        [(StopStage::Last, "relay"), (StopStage::Work, "consumer"), (StopStage::Edges, "http")]
    {
        let order = Arc::clone(&order);
        life.start(stage, name, async move |stop: CancellationToken| {
            stop.cancelled().await;
            tokio::task::yield_now().await;
            order.lock().unwrap().push(name);
            Ok::<_, Infallible>(())
        });
    }
    assert_eq!(life.stop().await, ExitCode::SUCCESS);
    assert_eq!(*order.lock().unwrap(), ["http", "consumer", "relay"]);
}

#[tokio::test]
async fn a_part_that_hangs_does_not_outlive_the_grace() {
    let life = ProcessLifecycle::new(Duration::from_millis(100));
    let (told, hears) = oneshot::channel();
    life.start(StopStage::Edges, "deaf", |_stop| std::future::pending::<InfallibleResult>());
    life.start(StopStage::Last, "relay", async |stop: CancellationToken| {
        stop.cancelled().await;
        told.send(()).unwrap();
        Ok::<_, Infallible>(())
    });
    assert_eq!(life.stop().await, ExitCode::FAILURE);
    // The later stages were still told to stop.
    hears.await.unwrap();
}

#[tokio::test]
async fn a_process_that_stops_is_not_ready() {
    let life = life();
    assert!(life.health().is_ready());
    life.stop().await;
    assert!(!life.health().is_ready());
}
