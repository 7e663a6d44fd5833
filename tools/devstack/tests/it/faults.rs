//! A part that is stopped comes back with what it had, at the same address.

use devstack::{
    ServerSource, ServerStack, SilentProgress, StackError, StackPart, StopMode, WantedParts,
};
use sqlx::{Connection as _, PgConnection};

use crate::kafka::Topic;

async fn only(part: StackPart) -> ServerStack {
    ServerStack::start(ServerSource::Native, WantedParts::of(&[part]).forgetful(), &SilentProgress)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_stopped_broker_comes_back_with_its_messages() {
    let stack = only(StackPart::Kafka).await;
    let topic = Topic::new(&stack.urls().brokers).await;
    topic.say(&["before"]).await;
    stack.stop_kafka(StopMode::Kill).await.unwrap();
    stack.start_kafka().await.unwrap();
    topic.say(&["between"]).await;
    stack.stop_kafka(StopMode::Ask).await.unwrap();
    stack.start_kafka().await.unwrap();
    topic.say(&["after"]).await;
    assert_eq!(topic.hear(3).await, ["before", "between", "after"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_stopped_database_comes_back_with_its_rows() {
    let stack = only(StackPart::Postgres).await;
    let url = &stack.urls().postgres;
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query("CREATE TABLE halts (way text)").execute(&mut connection).await.unwrap();
    for (way, how) in [("killed", StopMode::Kill), ("asked", StopMode::Ask)] {
        let insert = sqlx::query("INSERT INTO halts VALUES ($1)").bind(way);
        insert.execute(&mut connection).await.unwrap();
        stack.stop_part(StackPart::Postgres, how).await.unwrap();
        assert!(PgConnection::connect(url).await.is_err());
        stack.start_part(StackPart::Postgres).await.unwrap();
        connection = PgConnection::connect(url).await.unwrap();
    }
    let query = sqlx::query_scalar("SELECT way FROM halts");
    let ways: Vec<String> = query.fetch_all(&mut connection).await.unwrap();
    assert_eq!(ways, ["killed", "asked"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_part_that_was_never_started_cannot_be_stopped() {
    let stack = only(StackPart::Mail).await;
    let refused = stack.stop_kafka(StopMode::Kill).await.unwrap_err();
    assert!(matches!(refused, StackError::NotOurs(StackPart::Kafka)));
    stack.stop().await;
}
