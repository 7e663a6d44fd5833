//! The inbox: new messages, repeats, and messages with a reused id.

use shared::{
    db,
    inbox::{
        self,
        Admission::{self, New, Repeat, ReusedId},
    },
    message::{Message, MessageEnvelope, OutgoingMessage},
};

use crate::kit::{NUMBERS, database, incoming, number};

mod machine;

fn message(outgoing: &OutgoingMessage) -> Message {
    let incoming = incoming(outgoing, 0);
    let envelope = MessageEnvelope::from_headers(&incoming.headers).unwrap();
    Message { incoming, envelope }
}

fn count_new(admissions: &[Admission]) -> usize {
    admissions.iter().filter(|admission| **admission == New).count()
}

#[tokio::test]
async fn a_message_is_new_once() {
    let (pool, _) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let (a, b) = (message(&number(NUMBERS, "a", 1, 1)), message(&number(NUMBERS, "b", 1, 2)));
    let first = inbox::admit(&mut conn, &[&a, &a, &b]).await.unwrap();
    assert_eq!(first, [New, Repeat, New]);
    let second = inbox::admit(&mut conn, &[&b, &a]).await.unwrap();
    assert_eq!(second, [Repeat, Repeat]);
}

#[tokio::test]
async fn what_is_rolled_back_is_new_again() {
    let (pool, _) = database().await;
    let a = message(&number(NUMBERS, "a", 1, 1));
    let mut tx = db::begin(&pool).await.unwrap();
    assert_eq!(inbox::admit(&mut tx, &[&a]).await.unwrap(), [New]);
    tx.rollback().await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(inbox::admit(&mut conn, &[&a]).await.unwrap(), [New]);
}

#[tokio::test]
async fn an_id_of_an_earlier_message_with_other_content_is_a_reused_id() {
    let (pool, _) = database().await;
    let mut conn = pool.acquire().await.unwrap();
    let a = message(&number(NUMBERS, "a", 1, 1));
    let mut other = a.clone();
    other.incoming.payload = Some(b"2".to_vec());
    let together = inbox::admit(&mut conn, &[&a, &other]).await.unwrap();
    assert_eq!(together, [New, ReusedId]);
    let later = inbox::admit(&mut conn, &[&other, &a]).await.unwrap();
    assert_eq!(later, [ReusedId, Repeat]);
}

#[tokio::test]
async fn two_consumers_with_the_same_batch_do_not_deadlock_and_one_of_them_gets_each_message() {
    let (pool, _) = database().await;
    let admit = async |batch: Vec<&Message>| {
        let mut tx = db::begin(&pool).await.unwrap();
        let admissions = inbox::admit(&mut tx, &batch).await.unwrap();
        tx.commit().await.unwrap();
        count_new(&admissions)
    };
    // Both insert at the same moment, in as many rounds as unsorted ids need to meet crosswise.
    for round in 0..20 {
        let message = |n| message(&number(NUMBERS, &format!("{round}-{n}"), 1, n));
        let messages: Vec<Message> = (0..300).map(message).collect();
        let (one, other) =
            tokio::join!(admit(messages.iter().collect()), admit(messages.iter().rev().collect()));
        assert_eq!(one + other, 300);
    }
}
