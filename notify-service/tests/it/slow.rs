//! Slow servers and lost answers: the number of copies that a customer gets.

use std::{sync::mpsc::Sender, time::Duration};

use contract::NotificationFailed;
use devstack::until;
use notify_service::jobs::email::StepLimits;
use shared::{
    codec::Record as _,
    jobs::{LeaseTimes, StopGrace, WorkerStep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    kit::{Order, PATIENCE, Setup, TestService, each},
    peer::{Manner, Peer, Turn, gate},
};

/// The time limit of a step in tests where the server does not answer.
const BRIEF: Duration = Duration::from_secs(1);

async fn due(service: &TestService, n: usize) -> Vec<Order> {
    let orders: Vec<Order> = (0..n).map(|_| Order::new()).collect();
    let said = |order: &Order| {
        [service.incoming(order, &order.placed()), service.incoming(order, &order.confirmed())]
    };
    service.consumes_batch(&orders.iter().flat_map(said).collect::<Vec<_>>()).await;
    orders
}

/// The server does not answer the final dot until the test allows it.
fn thinks() -> (Sender<()>, Manner) {
    let (open, held) = gate();
    (open, Manner::after_content(Turn::Wait(held, "250 taken")))
}

#[tokio::test]
async fn a_server_that_thinks_longer_than_a_lease_before_its_answer_takes_one_mail() {
    let service = TestService::open().await;
    due(&service, 1).await;
    let (open, manner) = thinks();
    let peer = Peer::new([manner]);
    let always = LeaseTimes { renewed: Duration::ZERO, ..LeaseTimes::default() };
    let stop = CancellationToken::new();
    let worker = service.worker(&peer.smtp()).with_leases(always);
    let meanwhile = async {
        until("the mail is given", async || !peer.mails().is_empty()).await;
        for _lease in 0..3 {
            let end = service.leases_end().await;
            until("its lease is renewed", async || service.leases_end().await > end).await;
            let other = service.worker(&peer.smtp()).step().await.unwrap();
            assert_eq!(other, WorkerStep::default(), "another instance has nothing to send");
        }
        open.send(()).unwrap();
        until("it is taken", async || service.jobs().await.is_empty()).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(Box::pin(worker.run(stop.clone())), Box::pin(meanwhile));
    ran.unwrap();
    assert_eq!(peer.mails().len(), 1);
}

#[tokio::test]
async fn each_step_has_a_limit_of_its_own() {
    let service = TestService::open().await;
    due(&service, 2).await;
    let (open, thinking) = thinks();
    let (_open, held) = gate();
    let silent = Manner { greeting: Some(Turn::Wait(held, "220 peer")), ..Manner::default() };
    let peer = Peer::new([thinking, silent]);
    let limits = StepLimits { end: PATIENCE, ..each(BRIEF) };
    let stop = CancellationToken::new();
    let worker = service.worker_of(Setup { limits, ..Setup::to(&peer.smtp()) });
    let meanwhile = async {
        // The one that is not greeted was given up and sent in another conversation; so much time
        // has passed.
        until("the other one is sent", async || service.jobs().await.len() == 1).await;
        assert_eq!(peer.mails().len(), 2);
        open.send(()).unwrap();
        until("both are sent", async || service.jobs().await.is_empty()).await;
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(Box::pin(worker.run(stop.clone())), Box::pin(meanwhile));
    ran.unwrap();
    assert_eq!(peer.mails().len(), 2, "the one whose answer was late was not sent again");
}

#[tokio::test]
async fn a_slow_answer_holds_up_one_conversation_and_no_other_mail() {
    let service = TestService::open().await;
    due(&service, 40).await;
    let (gates, manners): (Vec<_>, Vec<_>) = (0..15).map(|_| thinks()).unzip();
    let peer = Peer::new(manners);
    let stop = CancellationToken::new();
    let meanwhile = async {
        until("all others are sent", async || service.jobs().await.len() == 15).await;
        assert_eq!(peer.mails().len(), 40);
        for gate in &gates {
            gate.send(()).unwrap();
        }
        until("all are sent", async || service.jobs().await.is_empty()).await;
        stop.cancel();
    };
    let worker = service.worker(&peer.smtp());
    let (ran, ()) = tokio::join!(Box::pin(worker.run(stop.clone())), Box::pin(meanwhile));
    ran.unwrap();
    assert_eq!(peer.mails().len(), 40);
}

#[tokio::test]
async fn a_mail_whose_answer_is_lost_each_time_is_given_three_times_and_waits_for_a_person() {
    let service = TestService::open().await;
    let order = due(&service, 1).await.remove(0);
    let peer = Peer::new((0..10).map(|_| Manner::after_content(Turn::HangUp)));
    let mut worker = service.worker_of(Setup { attempts_max: 50, ..Setup::to(&peer.smtp()) });
    for _copy in 0..2 {
        assert_eq!(worker.step().await.unwrap().again, 1);
    }
    assert_eq!(worker.step().await.unwrap().gave_up, 1);
    assert_eq!(worker.step().await.unwrap(), WorkerStep::default());
    let mails = peer.mails();
    assert_eq!(mails.len(), 3);
    assert!(mails.iter().all(|text| *text == mails[0]), "to the byte");
    assert_eq!(service.jobs().await, [("dead".to_owned(), true)]);
    let said = service.said(&order).await;
    assert_eq!(said[0].topic, NotificationFailed::TOPIC);
    assert!(said[0].detail.contains("taken all the same"), "{said:?}");
}

/// A process that stops while the server does not answer at the step of this manner; what it leaves
/// behind.
async fn stops(manner: Manner, reached: impl AsyncFn(&Peer) -> bool) -> (TestService, Peer) {
    let service = TestService::open().await;
    due(&service, 1).await;
    let peer = Peer::new([manner]);
    let (stop, stopping) = (CancellationToken::new(), CancellationToken::new());
    let attempts = Duration::from_millis(100);
    let worker = service
        .worker_of(Setup { stopping: stopping.clone(), ..Setup::to(&peer.smtp()) })
        .stopping_within(StopGrace { attempts, in_all: PATIENCE });
    let meanwhile = async {
        until("the step is reached", async || reached(&peer).await).await;
        stopping.cancel();
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(Box::pin(worker.run(stop.clone())), Box::pin(meanwhile));
    ran.unwrap();
    (service, peer)
}

#[tokio::test]
async fn a_process_that_stops_before_the_mail_is_given_leaves_no_doubt() {
    let (_open, held) = gate();
    let manner = Manner { recipient: Some(Turn::Wait(held, "250 ok")), ..Manner::default() };
    let (service, peer) = stops(manner, async |peer| peer.conversations() == 1).await;
    assert_eq!(service.jobs().await, [("waiting".to_owned(), false)]);
    assert!(service.failures().await[0].contains("this process stops"));
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap().done, 1);
    assert_eq!(peer.mails().len(), 1);
}

#[tokio::test]
async fn a_process_that_stops_while_the_answer_is_awaited_leaves_one_copy() {
    let (_open, manner) = thinks();
    let (service, peer) = stops(manner, async |peer| !peer.mails().is_empty()).await;
    assert_eq!(service.jobs().await, [("waiting".to_owned(), true)]);
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap().done, 1);
    let mails = peer.mails();
    assert_eq!((mails.len(), mails[0] == mails[1]), (2, true));
}
