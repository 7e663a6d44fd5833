//! The client against a real registry.

use shared::registry::{Error, Registry};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::door::Door;

const FIRST: &str = r#"{"type":"record","name":"Thing","namespace":"a.test","fields":[
    {"name":"name","type":"string"}]}"#;
const WIDER: &str = r#"{"type":"record","name":"Thing","namespace":"a.test","fields":[
    {"name":"name","type":"string"},{"name":"note","type":["null","string"],"default":null}]}"#;
const BROKEN: &str = r#"{"type":"record","name":"Thing","namespace":"a.test","fields":[
    {"name":"name","type":"long"}]}"#;

async fn url() -> &'static str {
    &devstack::shared().await.urls().registry
}

async fn registry() -> (Registry, String) {
    let subject = format!("{}thing-value", devstack::unique_prefix());
    (Registry::new(url().await).unwrap(), subject)
}

#[tokio::test]
async fn a_schema_that_is_registered_twice_keeps_its_id() {
    let (registry, subject) = registry().await;
    registry.require_full_compatibility(&subject).await.unwrap();
    let id = registry.register(&subject, FIRST).await.unwrap();
    assert!(id > 0);
    assert_eq!(registry.register(&subject, FIRST).await.unwrap(), id);
    registry.require_full_compatibility(&subject).await.unwrap();

    let wider = registry.register(&subject, WIDER).await.unwrap();
    assert_ne!(wider, id);
    assert_eq!(registry.register(&subject, FIRST).await.unwrap(), id);
    assert_eq!(registry.latest(&subject).await.unwrap().unwrap().id, wider);
}

#[tokio::test]
async fn a_schema_is_fetched_by_its_id() {
    let (registry, subject) = registry().await;
    let id = registry.register(&subject, FIRST).await.unwrap();
    let fetched = registry.schema(id).await.unwrap();
    let json = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&fetched.text), json(FIRST));
}

#[tokio::test]
async fn a_schema_that_breaks_readers_is_refused_for_good() {
    let (registry, subject) = registry().await;
    registry.require_full_compatibility(&subject).await.unwrap();
    registry.register(&subject, FIRST).await.unwrap();
    let error = registry.register(&subject, BROKEN).await.unwrap_err();
    assert!(matches!(error, Error::Incompatible(_)), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn what_is_no_schema_is_refused_for_good() {
    let (registry, subject) = registry().await;
    let error = registry.register(&subject, r#"{"type":"nothing"}"#).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn what_is_unknown_is_said_to_be_unknown() {
    let (registry, subject) = registry().await;
    let ids = [i32::MAX.unsigned_abs(), 1_999_999_999];
    for id in ids {
        let error = registry.schema(id).await.unwrap_err();
        assert!(matches!(error, Error::UnknownSchema), "{error}");
    }
    assert_eq!(registry.latest(&subject).await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_path_is_not_taken_for_a_registry_that_knows_nothing() {
    let (root, _) = url().await.split_once("/apis").unwrap();
    let error = Registry::new(root).unwrap().schema(1).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable(_)), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_may_come_back() {
    let (mut door, through) = Door::before_url(url().await).await;
    let registry = Registry::new(&through).unwrap();
    let error = registry.latest("a-subject").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    assert!(error.is_transient());

    door.open().await;
    assert_eq!(registry.latest(&devstack::unique_prefix()).await.unwrap(), None);
    door.shut().await;
    assert!(registry.latest("a-subject").await.unwrap_err().is_transient());
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = Registry::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let endless = async {
        let (mut guest, _) = listener.accept().await.unwrap();
        assert!(guest.read(&mut [0; 1_024]).await.unwrap() > 0);
        let mut sent = guest.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while sent.is_ok() {
            sent = guest.write_all(&[b' '; 8 * 1_024]).await;
        }
    };
    let (answer, ()) = tokio::join!(registry.schema(1), endless);
    assert!(matches!(answer, Err(Error::Unreadable(why)) if why.starts_with("over 1048576 bytes")));
}
