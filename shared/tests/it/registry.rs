//! The client against a real registry.

use std::convert::Infallible;

use devstack::TestWait;
use shared::schema_registry::{RegistryError, SchemaRegistry};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::port_switch::PortSwitch;

const FIRST: &str = r#"{"type":"record","name":"Thing","namespace":"a.test","fields":[
    {"name":"name","type":"string"}]}"#;
const WIDER: &str = r#"{"type":"record","name":"Thing","namespace":"a.test","fields":[
    {"name":"name","type":"string"},{"name":"note","type":["null","string"],"default":null}]}"#;
const BROKEN: &str = r#"{"type":"record","name":"Thing","namespace":"a.test","fields":[
    {"name":"name","type":"long"}]}"#;

async fn url() -> &'static str {
    &devstack::shared().await.urls().registry
}

/// Repeats the request until there is an answer: the registry may take longer than a service waits.
pub(crate) async fn answered<T>(
    mut ask: impl AsyncFnMut() -> Result<T, RegistryError>,
) -> Result<T, RegistryError> {
    let mut patience = TestWait::until("the registry answers");
    loop {
        match ask().await {
            Err(error @ (RegistryError::Unreachable(_) | RegistryError::Unavailable(_))) => {
                patience.look_again(error).await;
            }
            answer => return answer,
        }
    }
}

/// Registers a schema, however long that takes; returns its id.
async fn register(registry: &SchemaRegistry, subject: &str, schema: &str) -> u32 {
    answered(async || registry.register(subject, schema).await).await.unwrap()
}

async fn demand_compatibility(registry: &SchemaRegistry, subject: &str) {
    answered(async || registry.require(subject, "FULL_TRANSITIVE").await).await.unwrap();
}

async fn registry() -> (SchemaRegistry, String) {
    let subject = format!("{}thing-value", devstack::unique_prefix());
    (SchemaRegistry::new(url().await).unwrap(), subject)
}

#[tokio::test]
async fn a_schema_that_is_registered_twice_keeps_its_id() {
    let (registry, subject) = registry().await;
    demand_compatibility(&registry, &subject).await;
    let id = register(&registry, &subject, FIRST).await;
    assert!(id > 0);
    assert_eq!(register(&registry, &subject, FIRST).await, id);
    demand_compatibility(&registry, &subject).await;

    let wider = register(&registry, &subject, WIDER).await;
    assert_ne!(wider, id);
    assert_eq!(register(&registry, &subject, FIRST).await, id);
    let latest = answered(async || registry.latest(&subject).await).await.unwrap();
    assert_eq!(latest.unwrap().id, wider);
}

#[tokio::test]
async fn a_schema_is_fetched_by_its_id() {
    let (registry, subject) = registry().await;
    let id = register(&registry, &subject, FIRST).await;
    let fetched = answered(async || registry.schema(id).await).await.unwrap();
    let json = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&fetched.text), json(FIRST));
}

#[tokio::test]
async fn a_schema_that_breaks_readers_is_refused_for_good() {
    let (registry, subject) = registry().await;
    demand_compatibility(&registry, &subject).await;
    register(&registry, &subject, FIRST).await;
    let error = answered(async || registry.register(&subject, BROKEN).await).await.unwrap_err();
    assert!(matches!(error, RegistryError::Incompatible(_)), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn what_is_no_schema_is_refused_for_good() {
    let (registry, subject) = registry().await;
    let nothing = r#"{"type":"nothing"}"#;
    let error = answered(async || registry.register(&subject, nothing).await).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid(_)), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn what_is_unknown_is_said_to_be_unknown() {
    let (registry, subject) = registry().await;
    let ids = [i32::MAX.unsigned_abs(), 1_999_999_999];
    for id in ids {
        let error = answered(async || registry.schema(id).await).await.unwrap_err();
        assert!(matches!(error, RegistryError::UnknownSchema), "{error}");
    }
    assert_eq!(answered(async || registry.latest(&subject).await).await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_path_is_not_taken_for_a_registry_that_knows_nothing() {
    let (root, _) = url().await.split_once("/apis").unwrap();
    let lost = SchemaRegistry::new(root).unwrap();
    let error = answered(async || lost.schema(1).await).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreadable(_)), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_may_come_back() {
    let (mut port_switch, through) = PortSwitch::before_url(url().await);
    let registry = SchemaRegistry::new(&through).unwrap();
    let error = registry.latest("a-subject").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable(_)), "{error}");
    assert!(error.is_transient());

    port_switch.open().await;
    let subject = devstack::unique_prefix();
    assert_eq!(answered(async || registry.latest(&subject).await).await.unwrap(), None);
    port_switch.shut().await;
    assert!(registry.latest("a-subject").await.unwrap_err().is_transient());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry =
        SchemaRegistry::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let endless = async || -> Infallible {
        loop {
            let (mut guest, _) = listener.accept().await.unwrap();
            // The caller may have reached its time limit: then it asks again.
            let mut sent = guest.read(&mut [0; 1_024]).await.map(|_bytes| ());
            if sent.is_ok() {
                sent = guest.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
            while sent.is_ok() {
                sent = guest.write_all(&[b' '; 8 * 1_024]).await;
            }
        }
    };
    let answer = tokio::select! {
        answer = answered(async || registry.schema(1).await) => answer,
        never = endless() => match never {},
    };
    assert!(
        matches!(answer, Err(RegistryError::Unreadable(why)) if why.starts_with("over 1048576 bytes"))
    );
}
