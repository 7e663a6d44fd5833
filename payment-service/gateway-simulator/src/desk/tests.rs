//! The desk with a journal that fails: nothing is answered, nothing is seen, the gateway stops.

use std::sync::mpsc as std_mpsc;

use super::*;
use crate::api::{ChargeRequest, Metadata};

fn attempt() -> Attempt {
    let request = Request::Charge(ChargeRequest {
        amount: 1_000,
        currency: "EUR".to_owned(),
        source: Card::Visa,
        metadata: Metadata { order_id: "order-1".to_owned() },
    });
    let (key, wish) = (Some("k".to_owned()), Wish::Do(request, When::Now));
    Attempt { operation: Operation::Charge, key, wish, ending: Ending::Answer }
}

#[test]
fn what_could_not_be_written_is_neither_answered_nor_seen() {
    let (journal, ledger) = (Journal::broken(), Ledger::default());
    let mut clerk = Clerk { journal, ledger, lines: Vec::new() };
    let (reply, mut served) = oneshot::channel();
    let (looked, seen) = std_mpsc::channel();
    let look = Box::new(move |_: &Ledger| looked.send(()).unwrap());
    // The look stands first: even so it must wait for the write.
    let mut batch = vec![Command::Look(look), Command::Attempt(attempt(), reply)];
    assert!(clerk.serve_batch(&mut batch).is_err());
    assert!(served.try_recv().is_err());
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_the_gateway() {
    let stop = CancellationToken::new();
    let (desk, ended) = open(Journal::broken(), Ledger::default(), stop.clone()).unwrap();
    assert!(desk.attempt(attempt()).await.is_err());
    stop.cancelled().await;
    assert!(matches!(ended.await, Ok(Err(journal::Error::Io(_)))));
    assert!(desk.look(|_| ()).await.is_err());
}
