//! Mail servers that refuse, hang, break off and come back.

use std::{net::TcpListener, sync::mpsc::Sender, time::Duration};

use contract::NotificationFailed;
use devstack::{TestWait, until};
use notify_service::jobs::email::EmailJob;
use shared::{
    codec::Record as _,
    jobs::{JobWorker, WorkerStep},
};

use crate::{
    kit::{Order, TestService},
    peer::{Manner, Peer, Turn, gate},
};

const AGAIN: WorkerStep =
    WorkerStep { claimed: 1, handed: 0, done: 0, gave_up: 0, again: 1, lost: 0 };
const DONE: WorkerStep =
    WorkerStep { claimed: 1, handed: 0, done: 1, gave_up: 0, again: 0, lost: 0 };
const GAVE_UP: WorkerStep =
    WorkerStep { claimed: 1, handed: 0, done: 0, gave_up: 1, again: 0, lost: 0 };

/// The time limit of a step in tests where the server does not answer.
const BRIEF: Duration = Duration::from_secs(1);

/// A test kit with one order whose confirmation is due.
async fn due() -> (TestService, Order) {
    let service = TestService::open().await;
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    (service, order)
}

#[tokio::test]
async fn an_address_that_is_refused_for_good_is_given_up_at_once_and_said() {
    let (service, order) = due().await;
    let peer = Peer::new([Manner::refusing("550 5.1.1 no such user <ada@example.org>")]);
    let mut worker = service.worker(&peer.smtp());
    assert_eq!(worker.step().await.unwrap(), GAVE_UP);
    let said = service.said(&order).await;
    assert_eq!(
        (said[0].topic.as_str(), said[0].kind.as_str()),
        (NotificationFailed::TOPIC, "confirmed")
    );
    // The text of the server's answer may quote the address; its code does not.
    assert!(said[0].detail.contains("550"), "{}", said[0].detail);
    assert!(!said[0].detail.contains('@'), "{}", said[0].detail);
    assert!(peer.mails().is_empty());
    // The conversation was not the address's fault: it goes on with the next mail.
    service.consumes(&order, &order.refunded()).await;
    assert_eq!(worker.step().await.unwrap(), DONE);
    assert_eq!(peer.mails().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_refused_for_now_is_tried_again() {
    let (service, order) = due().await;
    let peer = Peer::new([Manner::refusing("451 4.7.1 later")]);
    let mut worker = service.worker(&peer.smtp());
    assert_eq!(worker.step().await.unwrap(), AGAIN);
    assert_eq!(service.jobs().await, [("waiting".to_owned(), false)]);
    assert_eq!(worker.step().await.unwrap(), DONE);
    assert_eq!(peer.mails().len(), 1);
    assert_eq!(service.said(&order).await.len(), 1);
}

#[tokio::test]
async fn a_refusal_that_is_not_about_the_address_is_never_for_good() {
    let says = |answer| Some(Turn::Say(answer));
    for manner in [
        Manner { greeting: says("554 no mail service here"), ..Manner::default() },
        Manner { sender: says("530 5.7.0 authentication required"), ..Manner::default() },
        Manner { content: says("554 5.7.1 message rejected"), ..Manner::default() },
    ] {
        let (service, _) = due().await;
        let peer = Peer::new([manner]);
        let mut worker = service.worker(&peer.smtp());
        assert_eq!(worker.step().await.unwrap(), AGAIN);
        assert_eq!(service.jobs().await, [("waiting".to_owned(), false)]);
        assert_eq!(worker.step().await.unwrap(), DONE);
    }
}

/// A mail that was handed to a server that sends no answer until the test allows it.
struct Unanswered {
    service: TestService,
    order: Order,
    peer: Peer,
    /// It has given up waiting for the answer.
    worker: JobWorker<EmailJob>,
    open: Sender<()>,
}

impl Unanswered {
    /// The server's next conversation goes like this.
    async fn and_then(next: impl Fn() -> Manner) -> Self {
        let mut patience = TestWait::until("a mail is given and not answered");
        loop {
            let (open, held) = gate();
            let (service, order) = Box::pin(due()).await;
            let peer = Peer::new([Manner::after_content(Turn::Wait(held, "250 taken")), next()]);
            let mut worker = service.worker_within(&peer.smtp(), BRIEF);
            assert_eq!(Box::pin(worker.step()).await.unwrap(), AGAIN);
            // On a machine that stands still it may have given up before it had given the mail.
            if peer.mails().first().is_some_and(|text| text.ends_with("\r\n.\r\n")) {
                return Self { service, order, peer, worker, open };
            }
            patience.looked("given up too early");
        }
    }
}

/// An order's mail was given once, is in doubt and is given again.
async fn assert_given_again(service: &TestService, order: &Order, peer: &Peer) {
    assert_eq!(service.jobs().await, [("waiting".to_owned(), true)]);
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap(), DONE);
    let mails = peer.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1]);
    assert!(mails[0].contains(&format!("Message-ID: <{}>", order.message_id("confirmed"))));
}

#[tokio::test]
async fn a_mail_without_an_answer_is_in_doubt_and_sent_again_under_the_same_name() {
    let (service, order) = due().await;
    let peer = Peer::new([Manner::after_content(Turn::HangUp)]);
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap(), AGAIN);
    assert_given_again(&service, &order, &peer).await;

    let silent = Unanswered::and_then(Manner::default).await;
    assert_given_again(&silent.service, &silent.order, &silent.peer).await;
}

#[tokio::test]
async fn what_hangs_before_the_mail_is_given_was_not_sent() {
    let (_open, held) = gate();
    let (service, _) = due().await;
    let manner = Manner { greeting: Some(Turn::Wait(held, "220 peer")), ..Manner::default() };
    let peer = Peer::new([manner]);
    assert_eq!(service.worker_within(&peer.smtp(), BRIEF).step().await.unwrap(), AGAIN);
    assert_eq!(service.jobs().await, [("waiting".to_owned(), false)]);
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap(), DONE);
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_answer_to_the_next_mail() {
    let mut patience = TestWait::until("the next conversation comes to its end in time");
    loop {
        let mut late = Unanswered::and_then(|| Manner::refusing("550 no such user")).await;
        late.open.send(()).unwrap();
        // A conversation that was given up in the middle would find that answer, and call it a
        // success.
        let step = late.worker.step().await.unwrap();
        if step == GAVE_UP {
            let said = late.service.said(&late.order).await;
            assert!(said[0].detail.contains("taken all the same"), "{said:?}");
            return;
        }
        // On a machine that stood still the next one may be given up as well.
        assert_eq!(step, AGAIN);
        patience.looked("given up too early");
    }
}

#[tokio::test]
async fn a_mail_server_that_is_away_costs_nothing_but_time() {
    let (service, order) = due().await;
    let ports = devstack::PortPair::claim();
    let address = format!("127.0.0.1:{}", ports.numbers[0]);
    let mut worker = service.worker(&address);
    assert_eq!(worker.step().await.unwrap(), AGAIN);
    assert_eq!(service.jobs().await, [("waiting".to_owned(), false)]);
    let peer = Peer::at(TcpListener::bind(address).unwrap(), []);
    assert_eq!(worker.step().await.unwrap(), DONE);
    assert_eq!(peer.mails().len(), 1);
    assert_eq!(service.said(&order).await.len(), 1);
}

#[tokio::test]
async fn a_conversation_that_the_server_ended_meanwhile_is_begun_anew() {
    let (service, order) = due().await;
    let peer = Peer::new([Manner::after_content(Turn::SayAndHangUp("250 taken"))]);
    let mut worker = service.worker(&peer.smtp());
    assert_eq!(worker.step().await.unwrap(), DONE);
    service.consumes(&order, &order.cancelled()).await;
    service.consumes(&order, &order.refunded()).await;
    let step = worker.step().await.unwrap();
    assert_eq!((step.claimed, step.done), (2, 2));
    assert_eq!(peer.mails().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_sent_for_long_is_given_up_and_said() {
    let (service, order) = due().await;
    let busy = || Manner::refusing("452 4.2.2 mailbox full");
    let peer = Peer::new([busy(), busy(), busy()]);
    let mut worker = service.worker(&peer.smtp());
    assert_eq!(worker.step().await.unwrap(), AGAIN);
    assert_eq!(worker.step().await.unwrap(), AGAIN);
    assert_eq!(worker.step().await.unwrap(), GAVE_UP);
    assert_eq!(service.stages(&order).await, [("confirmed".to_owned(), "failed".to_owned())]);
    assert!(service.said(&order).await[0].detail.contains("452"));
}

#[tokio::test]
async fn a_confirmation_on_its_way_when_the_order_is_cancelled_is_recorded_and_said() {
    let (open, held) = gate();
    let (service, order) = due().await;
    let peer = Peer::new([Manner::after_content(Turn::Wait(held, "250 taken"))]);
    let mut worker = service.worker(&peer.smtp());
    let meanwhile = async {
        until("the mail is given", async || !peer.mails().is_empty()).await;
        service.consumes(&order, &order.cancelled()).await;
        assert_eq!(service.stages(&order).await[1], ("confirmed".to_owned(), "skipped".to_owned()));
        open.send(()).unwrap();
    };
    let (step, ()) = tokio::join!(worker.step(), meanwhile);
    assert_eq!(step.unwrap(), DONE);
    assert_eq!(service.stages(&order).await[1], ("confirmed".to_owned(), "sent".to_owned()));
    assert_eq!(service.said(&order).await[0].kind, "confirmed");
}

#[tokio::test]
async fn a_confirmation_that_fails_after_the_order_was_cancelled_is_not_sent_again() {
    let (open, held) = gate();
    let (service, order) = due().await;
    let peer = Peer::new([Manner::after_content(Turn::Wait(held, "451 not now"))]);
    let mut worker = service.worker(&peer.smtp());
    let meanwhile = async {
        until("the mail is given", async || !peer.mails().is_empty()).await;
        service.consumes(&order, &order.cancelled()).await;
        open.send(()).unwrap();
    };
    let (step, ()) = tokio::join!(worker.step(), meanwhile);
    assert_eq!(step.unwrap(), AGAIN);
    // Only the cancellation is left.
    assert_eq!(worker.step().await.unwrap(), DONE);
    assert!(service.jobs().await.is_empty());
    assert_eq!(peer.mails().len(), 2);
    assert!(peer.mails()[1].contains("cancelled.email@"), "{}", peer.mails()[1]);
    assert_eq!(service.stages(&order).await[1], ("confirmed".to_owned(), "skipped".to_owned()));
}

#[tokio::test]
async fn an_address_that_is_none_is_given_up_without_a_conversation() {
    let service = TestService::open().await;
    let peer = Peer::new([]);
    let order =
        Order { email: "ada@example.org\r\nRCPT TO:<bob@example.org>".to_owned(), ..Order::new() };
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap(), GAVE_UP);
    assert!(!service.said(&order).await[0].detail.contains("example.org"));
}

#[tokio::test]
async fn an_address_outside_ascii_is_not_mangled_for_a_server_that_knows_none() {
    let service = TestService::open().await;
    let peer = Peer::new([]);
    let order = Order { email: "łucja@example.org".to_owned(), ..Order::new() };
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    assert_eq!(service.worker(&peer.smtp()).step().await.unwrap(), GAVE_UP);
    assert!(service.said(&order).await[0].detail.contains("SMTPUTF8"));
}
