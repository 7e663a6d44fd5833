//! The executor with a journal that fails: nothing is answered, nothing is seen, the gateway stops.

use std::sync::mpsc as std_mpsc;

use super::*;
use crate::api::{ChargeMetadata, ChargeRequest};

fn attempt() -> ParsedCall {
    let request = ApiRequest::Charge(ChargeRequest {
        amount: 1_000,
        currency: "EUR".to_owned(),
        source: CardToken::Visa,
        metadata: ChargeMetadata { order_id: "order-1".to_owned() },
    });
    let (key, wish) = (Some("k".to_owned()), CallTarget::Do(request, ExecutionTime::Now));
    ParsedCall { operation: MoneyOperation::Charge, key, wish, ending: CallEnding::Answer }
}

#[test]
fn what_could_not_be_written_is_neither_answered_nor_seen() {
    let (journal, ledger) = (OpenJournal::broken(), ChargeLedger::default());
    let mut clerk = ExecutorTask { journal, ledger, lines: Vec::new() };
    let (reply, mut served) = oneshot::channel();
    let (looked, seen) = std_mpsc::channel();
    let look = Box::new(move |_: &ChargeLedger| looked.send(()).unwrap());
    // The look stands first: even so it must wait for the write.
    let mut batch = vec![ExecutorCommand::Look(look), ExecutorCommand::Attempt(attempt(), reply)];
    assert!(clerk.serve_batch(&mut batch).is_err());
    assert!(served.try_recv().is_err());
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_the_gateway() {
    let stop = CancellationToken::new();
    let (executor, ended) =
        open(OpenJournal::broken(), ChargeLedger::default(), stop.clone()).unwrap();
    assert!(executor.attempt(attempt()).await.is_err());
    stop.cancelled().await;
    assert!(matches!(ended.await, Ok(Err(journal::JournalError::Io(_)))));
    assert!(executor.look(|_| ()).await.is_err());
}
