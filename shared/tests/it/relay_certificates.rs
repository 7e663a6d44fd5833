//! A leading relay whose certificate the broker refuses.

use std::{fs, path::Path, time::Duration};

use devstack::{
    SecuredServers, ServerSource, ServerStack, SilentProgress, StackPart, TestWait, WantedParts,
};
use shared::{
    health::ProcessHealth,
    kafka::{self, ClientCertificate, ConnectionSecurity, SaslLogin, SaslMechanism, TlsSettings},
    relay::{KafkaPublisher, RelayStep},
};

use crate::{
    kit::{NUMBERS, PATIENCE, create_topics, database},
    relay::backlog,
    relay_leaders::{keep, member, until_step},
};

/// The settings of a client with this certificate for the broker of the stack.
fn shows(stack: &ServerStack, certificate: &Path) -> kafka::KafkaSettings {
    let secured = stack.secured().unwrap();
    let own = ClientCertificate {
        certificate_file: certificate.to_owned(),
        key_file: secured.key_file.clone(),
    };
    let tls = TlsSettings { ca_file: Some(secured.ca_file.clone()), own: Some(own) };
    let login = SaslLogin {
        mechanism: SaslMechanism::ScramSha512,
        user: secured.user.clone(),
        password: secured.password.clone().into(),
    };
    kafka::KafkaSettings {
        brokers: stack.urls().brokers.clone(),
        prefix: devstack::unique_prefix(),
        client_id: "test".to_owned(),
        security: ConnectionSecurity { tls: Some(tls), login: Some(login) }.into(),
        member: None,
    }
}

#[tokio::test]
async fn a_leader_whose_certificate_has_expired_makes_room_and_leads_again_once_it_is_renewed() {
    let (pool, database) = database().await;
    let parts = WantedParts::of(&[StackPart::Kafka]).forgetful().secured();
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    let SecuredServers { certificate_file: valid, expired_file, .. } = stack.secured().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("client.pem");
    fs::copy(expired_file, &certificate).unwrap();
    let settings = shows(&stack, valid);
    create_topics(&settings, &[NUMBERS], 1).await;
    let expired =
        kafka::KafkaSettings { prefix: settings.prefix.clone(), ..shows(&stack, &certificate) };

    keep(&pool, 1).await;
    let (limit, health) = (Duration::from_secs(2), ProcessHealth::default());
    let mut leader = member(&database, limit, KafkaPublisher::new(expired, 10), &health);
    let publisher = KafkaPublisher::new(settings, 10);
    let mut standby = member(&database, PATIENCE, publisher, &ProcessHealth::default());
    leader.step().await.unwrap();
    assert_eq!(standby.step().await.unwrap(), RelayStep::Standby);
    // On a slow machine the first attempt may end without an answer.
    let mut patience = TestWait::until("it gives up because of its certificate");
    loop {
        until_step(&mut leader, RelayStep::GaveUp).await;
        let reason = health.report()["relay"].clone().unwrap_err();
        let gave_up = "has given up leading the relay: published nothing for";
        assert!(reason.contains(gave_up), "{reason}");
        if reason.contains("alert certificate unknown") {
            break;
        }
        patience.looked(reason);
    }
    until_step(&mut standby, RelayStep::Idle).await;
    assert_eq!(backlog(&pool).await, 0);
    for _ in 0..3 {
        assert_eq!(
            leader.step().await.unwrap(),
            RelayStep::Resting,
            "it does not stand again at once"
        );
    }

    // Each new client reads the file again: no restart of the process is needed.
    fs::copy(valid, &certificate).unwrap();
    drop(standby);
    keep(&pool, 2).await;
    until_step(&mut leader, RelayStep::Idle).await;
    assert_eq!(backlog(&pool).await, 0);
    stack.stop().await;
}
