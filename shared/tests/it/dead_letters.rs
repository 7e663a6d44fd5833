//! Dead letters: which messages become one, and the effect of an operator's decision.

use shared::{
    consumer::{BatchCounts, BatchProcessor},
    dead_letter::{
        self, Actor, LetterFilter, LetterSummary, Resolution, RetryDeadMessage as _, StoredLetter,
    },
    message::{IncomingMessage, OutgoingMessage},
    outbox,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::kit::{NUMBERS, Tally, database, incoming, number, parts, totals};

/// A message whose body is no number; all else is valid.
pub(crate) fn unreadable(key: &str, sequence: i64) -> OutgoingMessage {
    let mut message = number(NUMBERS, key, sequence, 0);
    message.payload = Some(b"not a number".to_vec());
    message
}

pub(crate) fn by() -> Actor {
    Actor::new("ada").unwrap()
}

pub(crate) fn because() -> Actor {
    by().because("it is a copy").unwrap()
}

/// The open letters, oldest first.
pub(crate) async fn open(pool: &PgPool) -> Vec<LetterSummary> {
    let mut conn = pool.acquire().await.unwrap();
    dead_letter::list(&mut conn, &LetterFilter::default(), None, 500).await.unwrap()
}

/// The only open letter.
pub(crate) async fn only(pool: &PgPool) -> LetterSummary {
    let mut letters = open(pool).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

async fn show(pool: &PgPool, id: Uuid) -> (Option<StoredLetter>, Vec<(String, String)>) {
    let mut conn = pool.acquire().await.unwrap();
    let shown = dead_letter::show(&mut conn, id).await.unwrap().unwrap();
    let decisions =
        shown.decisions.into_iter().map(|decision| (decision.action, decision.outcome)).collect();
    (shown.letter, decisions)
}

pub(crate) async fn process_batch(
    parts: &BatchProcessor<Tally>,
    batch: &[IncomingMessage],
) -> BatchCounts {
    parts.process_or_isolate(batch).await.unwrap()
}

/// The software is repaired: it can read the message now.
pub(crate) async fn repair(pool: &PgPool, readable: &str) {
    sqlx::query("UPDATE messaging.dead_letter SET payload = $1 WHERE closed_at IS NULL")
        .bind(readable.as_bytes())
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dead_letter_keeps_nothing_back() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let batch = [
        incoming(&number(NUMBERS, "a", 1, 1), 0),
        incoming(&unreadable("a", 2), 1),
        incoming(&number(NUMBERS, "b", 1, 10), 2),
        incoming(&number(NUMBERS, "a", 3, 2), 3),
    ];
    let taken = process_batch(&parts, &batch).await;
    assert_eq!(taken, BatchCounts { fresh: 3, dead: 1, repeats: 0 });
    let next = [incoming(&number(NUMBERS, "a", 4, 4), 4)];
    assert_eq!(process_batch(&parts, &next).await.fresh, 1);
    let totals = totals(&pool).await;
    assert_eq!((totals["a"], totals["b"]), (7, 10));
    let letter = only(&pool).await;
    assert_eq!((letter.reason.as_str(), letter.attempts), ("body", 1));
    assert_eq!((letter.topic.as_str(), letter.key.as_deref()), (NUMBERS, Some("a")));
}

#[tokio::test]
async fn a_message_without_an_envelope_is_dead_until_it_is_discarded() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let mut no_id = incoming(&number(NUMBERS, "a", 1, 1), 0);
    no_id.headers = shared::message::MessageHeaders::default();
    let taken = process_batch(&parts, &[no_id, incoming(&number(NUMBERS, "a", 2, 2), 1)]).await;
    assert_eq!(taken, BatchCounts { fresh: 1, dead: 1, repeats: 0 });
    let letter = only(&pool).await;
    let outcome = parts.redrive(letter.id, &by()).await.unwrap();
    let Resolution::StillDead { attempts: 2, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, "envelope");
    assert_eq!(parts.discard(letter.id, &because()).await.unwrap(), Resolution::Settled);
    assert!(open(&pool).await.is_empty());
}

#[tokio::test]
async fn of_a_batch_only_what_the_handler_refuses_or_panics_on_is_dead() {
    for bad in [-1, 13] {
        let (pool, _) = database().await;
        let parts = parts(&pool, Tally::default());
        let batch = [
            incoming(&number(NUMBERS, "a", 1, 1), 0),
            incoming(&number(NUMBERS, "a", 2, bad), 1),
            incoming(&number(NUMBERS, "a", 3, 2), 2),
            incoming(&number(NUMBERS, "b", 1, 10), 3),
        ];
        let taken = process_batch(&parts, &batch).await;
        assert_eq!(taken, BatchCounts { fresh: 3, dead: 1, repeats: 0 }, "{bad}");
        let totals = totals(&pool).await;
        assert_eq!((totals["a"], totals["b"]), (3, 10), "{bad}");
        let again = process_batch(&parts, &batch).await;
        assert_eq!(again, BatchCounts { repeats: 4, ..BatchCounts::default() }, "{bad}");
        only(&pool).await;
    }
}

#[tokio::test]
async fn a_redriven_letter_is_processed_once_however_late() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let later = (2..=250).map(|n| incoming(&number(NUMBERS, "a", n, 1_000), n));
    let mut log: Vec<_> = std::iter::once(incoming(&unreadable("a", 1), 1)).chain(later).collect();
    for batch in log.chunks(100) {
        process_batch(&parts, batch).await;
    }
    assert_eq!(totals(&pool).await["a"], 249_000);
    let letter = only(&pool).await;
    repair(&pool, "1").await;
    assert_eq!(parts.redrive(letter.id, &by()).await.unwrap(), Resolution::Settled);
    assert_eq!(totals(&pool).await["a"], 249_001);
    assert!(open(&pool).await.is_empty());
    let (letter, decisions) = show(&pool, letter.id).await;
    assert!(!letter.unwrap().open);
    assert_eq!(decisions, [("redrive".to_owned(), "processed".to_owned())]);

    log[0].payload = Some(b"1".to_vec());
    let again = process_batch(&parts, &log).await;
    assert_eq!(again, BatchCounts { repeats: 250, ..BatchCounts::default() }, "all are known");
}

#[tokio::test]
async fn a_message_that_is_read_again_after_a_deploy_that_can_read_it_is_processed_once() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let message = number(NUMBERS, "a", 1, 5);
    let unreadable = OutgoingMessage { payload: Some(b"?".to_vec()), ..message.clone() };
    process_batch(&parts, &[incoming(&unreadable, 0)]).await;
    let letter = only(&pool).await;
    repair(&pool, "5").await;
    assert_eq!(process_batch(&parts, &[incoming(&message, 0)]).await.fresh, 1);
    assert_eq!(parts.redrive(letter.id, &by()).await.unwrap(), Resolution::Settled);
    assert_eq!(totals(&pool).await["a"], 5);
}

#[tokio::test]
async fn a_letter_that_fails_again_stays_with_the_new_reason_and_one_more_attempt() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    process_batch(&parts, &[incoming(&unreadable("a", 1), 0)]).await;
    let letter = only(&pool).await;
    for (attempts, body, reason) in [
        (2, "x", "body"),
        (3, "-1", "contradiction"),
        (4, "13", "unprocessable"),
        (5, "7", "unprocessable"),
    ] {
        repair(&pool, body).await;
        let outcome = parts.redrive(letter.id, &by()).await.unwrap();
        let Resolution::StillDead { attempts: n, reason: why, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((n, &*why), (attempts, reason));
        let now = only(&pool).await;
        assert_eq!((now.attempts, now.reason.as_str()), (attempts, reason));
    }
    assert!(totals(&pool).await.is_empty(), "nothing of a failed attempt stays");
    let mut conn = pool.acquire().await.unwrap();
    let kept = outbox::head(&mut conn, 100).await.unwrap();
    let attempts: Vec<_> = kept
        .iter()
        .filter_map(|row| row.message.headers.text("dead-letter-attempts").unwrap())
        .collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5"], "each death has its copy");
}

#[tokio::test]
async fn a_discarded_letter_is_never_processed_nor_is_a_copy_of_it() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let refused = number(NUMBERS, "a", 1, -1);
    process_batch(&parts, &[incoming(&refused, 0)]).await;
    let letter = only(&pool).await;
    assert_eq!(parts.discard(letter.id, &because()).await.unwrap(), Resolution::Settled);
    let mut conn = pool.acquire().await.unwrap();
    let decided = dead_letter::decisions(&mut conn, 10).await.unwrap().remove(0);
    assert_eq!((decided.action.as_str(), decided.outcome.as_str()), ("discard", "discarded"));
    assert_eq!(
        (decided.decided_by.as_str(), decided.reason.as_deref()),
        ("ada", Some("it is a copy"))
    );
    assert_eq!((decided.topic.as_str(), decided.key.as_deref()), (NUMBERS, Some("a")));

    let copies = [incoming(&refused, 0), incoming(&refused, 7)];
    let again = process_batch(&parts, &copies).await;
    assert_eq!(again, BatchCounts { repeats: 2, ..BatchCounts::default() });
    assert_eq!(parts.discard(letter.id, &because()).await.unwrap(), Resolution::NotOpen);
    assert_eq!(parts.redrive(letter.id, &by()).await.unwrap(), Resolution::NotOpen);
}

#[tokio::test]
async fn closed_letters_are_purged_when_no_topic_can_bring_them_again() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    for (offset, key) in (0..).zip(["a", "b", "c"]) {
        process_batch(&parts, &[incoming(&unreadable(key, 1), offset)]).await;
    }
    let letters = open(&pool).await;
    parts.discard(letters[0].id, &because()).await.unwrap();
    parts.discard(letters[1].id, &because()).await.unwrap();
    sqlx::query(
        "UPDATE messaging.dead_letter SET closed_at = now() - interval '22 days'
         WHERE dead_letter_id = $1",
    )
    .bind(letters[0].id)
    .execute(&pool)
    .await
    .unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(dead_letter::purge(&mut conn, 100).await.unwrap(), 1);
    let (letter, decisions) = show(&pool, letters[0].id).await;
    assert_eq!((letter, decisions.len()), (None, 1), "the record of the decision stays");
    assert!(show(&pool, letters[1].id).await.0.is_some());
    assert_eq!(only(&pool).await.id, letters[2].id);
}

#[tokio::test]
async fn letters_are_listed_by_topic_reason_and_key_page_by_page_and_counted() {
    let (pool, _) = database().await;
    let parts = parts(&pool, Tally::default());
    let batch: Vec<_> = (0..7)
        .map(|n| {
            let key = n.to_string();
            let refused = n % 2 == 1;
            let message = if refused { number(NUMBERS, &key, 1, -1) } else { unreadable(&key, 1) };
            incoming(&message, n)
        })
        .collect();
    process_batch(&parts, &batch).await;
    let mut conn = pool.acquire().await.unwrap();
    let of = |topic: Option<&str>, reason: Option<&str>, key: Option<&str>| LetterFilter {
        topic: topic.map(str::to_owned),
        reason: reason.map(str::to_owned),
        key: key.map(str::to_owned),
    };
    for (filter, n) in [
        (LetterFilter::default(), 7),
        (of(Some(NUMBERS), None, None), 7),
        (of(Some("other"), None, None), 0),
        (of(None, Some("body"), None), 4),
        (of(None, Some("contradiction"), Some("3")), 1),
        (of(None, Some("body"), Some("3")), 0),
    ] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = dead_letter::list(&mut conn, &filter, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.failed_at, last.id));
            seen.extend(page.iter().map(|letter| letter.id));
        }
        assert_eq!(seen.len(), n, "{filter:?}");
        assert!(seen.is_sorted(), "ids sort by time, and so does the list");
        let counts = dead_letter::reasons(&mut conn, &filter).await.unwrap();
        assert_eq!(
            counts.iter().map(|reason_count| reason_count.letters).sum::<i64>(),
            i64::try_from(n).unwrap()
        );
    }
    let counts = dead_letter::reasons(&mut conn, &LetterFilter::default()).await.unwrap();
    let counts: Vec<_> =
        counts.iter().map(|count| (count.reason.as_str(), count.letters)).collect();
    assert_eq!(counts, [("body", 4), ("contradiction", 3)]);
}
