//! Waiting for what must come true.

use std::time::Duration;

/// How long that may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the condition holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !condition() {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.unwrap();
}
