//! Encrypted connections: a broker with TLS and SASL-SCRAM, a database that refuses plain text. A
//! service with wrong credentials, or that is shown an untrusted certificate, waits.

use std::fs;

use devstack::{SecuredServers, WantedParts};
use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::stage::{self, Stage, until};

/// Must never be shown.
const WRONG: &str = "hunter2";

/// Starts every service with one thing wrong: each waits, is not ready, says why, shows no secret,
/// and stops well.
async fn wait_with(
    stage: &mut Stage,
    wrong: impl Fn(&Stage, ProcessName) -> [String; 2],
    said: &str,
) {
    let mut name = String::new();
    for member in ProcessName::SERVICES {
        let [setting, value] = wrong(stage, member);
        stage.cluster.set(&setting, &value);
        stage.cluster.launch(member).unwrap();
        name = setting;
    }
    for member in ProcessName::SERVICES {
        let (mut report, mut log) = (String::new(), String::new());
        // The health endpoint reports the reason a moment before the log does.
        until(&format!("{member} says and logs {said}"), async || {
            let Some((ready, told)) = stage.cluster.health(member).await.unwrap() else {
                return false;
            };
            assert!(!ready, "{member}: {told}");
            report = told;
            log = fs::read_to_string(stage.cluster.log_file(member)).unwrap();
            [&report, &log].iter().all(|text| text.contains(said))
        })
        .await;
        let database = stage.cluster.database(member).unwrap();
        let password = database.split([':', '@']).nth(2).unwrap();
        let security = stage.cluster.broker().security;
        let login = security.login.as_ref().unwrap().password.expose_secret();
        for secret in [WRONG, password, login] {
            assert!(!log.contains(secret) && !report.contains(secret), "{member}: {log}");
        }
        assert_eq!(stage.cluster.end(member, Signal::SIGTERM).await.unwrap(), Some(0), "{member}");
    }
    stage.cluster.unset(&name);
}

/// A URL of the member's database under which a stranger vouches for it.
fn misled(stage: &Stage, member: ProcessName, secured: &SecuredServers) -> String {
    let url = stage.cluster.database(member).unwrap();
    let [right, wrong] =
        [&secured.ca_file, &secured.stranger_file].map(|path| path.to_str().unwrap());
    assert!(url.contains(right), "the URL names who vouches for the database");
    url.replace(right, wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_their_way_encrypted_and_who_is_not_trusted_or_does_not_trust_waits() {
    let parts = WantedParts::all().forgetful().secured();
    let (stack, mut stage) = stage::open_with(parts, &[]).await;
    let secured = stack.secured().unwrap();
    let before = stage.place("load-0001", "tok_visa").await;
    stage.history(before.id, &["order-confirmed", "notification-sent"]).await;
    for member in ProcessName::SERVICES {
        assert_eq!(stage.cluster.end(member, Signal::SIGTERM).await.unwrap(), Some(0));
    }

    let password = |_: &Stage, _| ["KAFKA_SASL_PASSWORD".to_owned(), WRONG.to_owned()];
    wait_with(&mut stage, password, "SASL authentication error").await;
    let stranger = secured.stranger_file.to_str().unwrap();
    let authority = |_: &Stage, _| ["KAFKA_TLS_CA_FILE".to_owned(), stranger.to_owned()];
    wait_with(&mut stage, authority, "certificate verify failed").await;
    // The same place by a name that is not in the certificate.
    let brokers = stack.urls().brokers.replace("localhost", "127.0.0.1");
    let name = |_: &Stage, _| ["KAFKA_BROKERS".to_owned(), brokers.clone()];
    wait_with(&mut stage, name, "certificate verify failed").await;
    let database =
        |stage: &Stage, member| ["DATABASE_URL".to_owned(), misled(stage, member, secured)];
    wait_with(&mut stage, database, "invalid peer certificate: UnknownIssuer").await;

    for member in ProcessName::SERVICES {
        stage.cluster.restart(member).await.unwrap();
    }
    let after = stage.place("load-0001", "tok_visa").await;
    stage.history(after.id, &["order-confirmed", "notification-sent"]).await;
    let report = stage.close(AuditExpectation::default()).await;
    assert_eq!(report.orders["confirmed"], 2);
    stack.stop().await;
}
