//! Refusals, at each step, by code: refusals of a mailbox are final; after refusals of this
//! service, mails wait until someone fixes the cause.

use notify_service::jobs::email::{SmtpSecurity, SmtpServer};
use shared::jobs::WorkerStep;

use crate::{
    kit::{Order, Setup, TestService},
    peer::{Manner, Peer, Turn},
};

const AGAIN: WorkerStep =
    WorkerStep { claimed: 1, handed: 0, done: 0, gave_up: 0, again: 1, lost: 0 };
const DONE: WorkerStep =
    WorkerStep { claimed: 1, handed: 0, done: 1, gave_up: 0, again: 0, lost: 0 };
const GAVE_UP: WorkerStep =
    WorkerStep { claimed: 1, handed: 0, done: 0, gave_up: 1, again: 0, lost: 0 };

/// A server that refuses once, at this step.
fn refuses(step: &str, answer: &'static str) -> Manner {
    let (says, usual) = (Some(Turn::Say(answer)), Manner::default());
    match step {
        "connecting" => Manner { greeting: says, ..usual },
        "EHLO" => Manner { hello: says, ..usual },
        "MAIL FROM" => Manner { sender: says, ..usual },
        "RCPT TO" => Manner { recipient: says, ..usual },
        "DATA" => Manner { data: says, ..usual },
        "the mail itself" => Manner { content: says, ..usual },
        _ => panic!("no step is called {step}"),
    }
}

async fn due(service: &TestService) -> Order {
    let order = Order::new();
    service.consumes(&order, &order.placed()).await;
    service.consumes(&order, &order.confirmed()).await;
    order
}

#[tokio::test]
async fn a_refusal_that_is_about_us_is_tried_again_and_says_its_step_and_codes() {
    let service = TestService::open().await;
    for (step, answer, said) in [
        (
            "connecting",
            "554 5.7.1 blocked",
            "refuses us at connecting: the server answered 554 5.7.1",
        ),
        ("EHLO", "550 5.7.1 your name", "refuses us at connecting: the server answered 550 5.7.1"),
        ("MAIL FROM", "530 5.7.0 log in", "refuses us at MAIL FROM: the server answered 530 5.7.0"),
        ("MAIL FROM", "550 5.1.8 sender", "refuses us at MAIL FROM: the server answered 550 5.1.8"),
        (
            "RCPT TO",
            "554 5.7.1 Relay access denied",
            "refuses us at RCPT TO: the server answered 554 5.7.1",
        ),
        (
            "RCPT TO",
            "550 5.4.5 daily quota",
            "refuses us at RCPT TO: the server answered 550 5.4.5",
        ),
        (
            "RCPT TO",
            "550 5.7.1 <ada@example.org>",
            "refuses us at RCPT TO: the server answered 550 5.7.1",
        ),
        ("RCPT TO", "530 5.7.0 log in", "refuses us at RCPT TO: the server answered 530 5.7.0"),
        ("RCPT TO", "552 5.2.2 full", "not taken at RCPT TO: the server answered 552 5.2.2"),
        ("RCPT TO", "552 5.5.3 too many", "not taken at RCPT TO: the server answered 552 5.5.3"),
        ("RCPT TO", "554 no", "refuses us at RCPT TO: the server answered 554"),
        ("RCPT TO", "550 5.1.0 sender", "refuses us at RCPT TO: the server answered 550 5.1.0"),
        ("RCPT TO", "450 4.1.1 not now", "not taken at RCPT TO: the server answered 450 4.1.1"),
        ("DATA", "554 5.5.1 no", "refuses us at DATA: the server answered 554 5.5.1"),
        (
            "DATA",
            "250 what?",
            "not taken at DATA: the server's answer was cut short or is not SMTP",
        ),
        (
            "the mail itself",
            "554 5.7.1 spam",
            "refuses us at the mail itself: the server answered 554 5.7.1",
        ),
        ("the mail itself", "550 no", "refuses us at the mail itself: the server answered 550"),
        (
            "the mail itself",
            "451 4.3.0 later",
            "not taken at the mail itself: the server answered 451 4.3.0",
        ),
    ] {
        let order = due(&service).await;
        let peer = Peer::new([refuses(step, answer)]);
        let mut worker = service.worker(&peer.smtp());
        assert_eq!(worker.step().await.unwrap(), AGAIN, "{answer} at {step}");
        assert_eq!(service.jobs().await, [("waiting".to_owned(), false)], "{answer} at {step}");
        let failure = service.failures().await.remove(0);
        assert!(failure.contains(said) && !failure.contains('@'), "{answer} at {step}: {failure}");
        assert_eq!(worker.step().await.unwrap(), DONE, "{answer} at {step}");
        assert_eq!(service.said(&order).await.len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_that_is_about_the_mailbox_is_for_good() {
    let service = TestService::open().await;
    let mut dead = 0;
    for (step, answer) in [
        ("RCPT TO", "550 5.1.1 no such user"),
        ("RCPT TO", "550-5.1.1 no such\r\n550 5.1.1 user"),
        ("RCPT TO", "550 5.1.2 no such domain"),
        ("RCPT TO", "501 5.1.3 bad address"),
        ("RCPT TO", "551 5.1.6 moved"),
        ("RCPT TO", "556 5.1.10 null MX"),
        ("RCPT TO", "550 5.2.1 disabled"),
        ("RCPT TO", "550 no such user"),
        ("RCPT TO", "551 not here"),
        ("RCPT TO", "553 not allowed"),
        ("DATA", "550 5.1.1 no such user"),
        ("the mail itself", "550 5.1.1 no such user"),
    ] {
        let order = due(&service).await;
        let peer = Peer::new([refuses(step, answer)]);
        assert_eq!(
            service.worker(&peer.smtp()).step().await.unwrap(),
            GAVE_UP,
            "{answer} at {step}"
        );
        dead += 1;
        assert_eq!(service.jobs().await, vec![("dead".to_owned(), false); dead]);
        assert!(service.said(&order).await[0].detail.contains(&answer[..3]), "{answer} at {step}");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_is_about_us() {
    let service = TestService::open().await;
    due(&service).await;
    let login = || Some(Turn::Say("535 5.7.8 bad credentials"));
    let peer = Peer::new([
        Manner { login: login(), ..Manner::default() },
        Manner { login: Some(Turn::Say("235 2.7.0 welcome")), ..Manner::default() },
    ]);
    // A password in the clear cannot be set; the peer has no certificate.
    let parsed = SmtpServer::parse(&format!("smtps://shop:secret@{}", peer.smtp())).unwrap();
    let server = SmtpServer { security: SmtpSecurity::None, ..parsed };
    let mut worker = service.worker_of(Setup { server, ..Setup::to(&peer.smtp()) });
    assert_eq!(worker.step().await.unwrap(), AGAIN);
    let failure = service.failures().await.remove(0);
    assert!(
        failure.contains("refuses us at connecting: the server answered 535 5.7.8"),
        "{failure}"
    );
    assert_eq!(worker.step().await.unwrap(), DONE);
}
