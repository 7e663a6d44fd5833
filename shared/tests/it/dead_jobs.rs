//! Dead jobs: dead letters that an operator retries or discards.

use devstack::until;
use shared::{
    dead_letter::{DeadLetterAdmin, Resolution, ResolutionError},
    effects::DecisionEffects,
    fault::Fault,
    jobs::{
        self, AttemptFailure, ClaimedJob, JobHandler, JobKey, JobPolicy, JobResult, NewJob,
        WorkerStep, lock_untouched,
    },
};
use sqlx::{PgConnection, PgPool};

use crate::{
    dead_letters::{because, by, only, open},
    probe::{Act, Probe, append, database, ended, policy, rows, time_passes, worker},
};

fn two_attempts() -> JobPolicy {
    JobPolicy { attempts_max: Some(2), ..policy() }
}

/// Carries out decisions about these jobs.
fn admin(pool: &PgPool, probe: &Probe) -> DeadLetterAdmin {
    let mut admin = DeadLetterAdmin::new(pool.clone());
    admin.jobs.insert(Probe::KIND, worker(pool, probe, two_attempts()).parts());
    admin
}

/// A job that was refused until it was dead.
async fn given_up(last: Act) -> (PgPool, Probe) {
    let pool = database().await;
    let probe = Probe::default();
    append(&pool, &["a"]).await;
    probe.plan("a", [Act::Refused(None), last]);
    let mut worker = worker(&pool, &probe, two_attempts());
    worker.step().await.unwrap();
    time_passes(&pool).await;
    assert_eq!(worker.step().await.unwrap().gave_up, 1);
    (pool, probe)
}

#[tokio::test]
async fn a_job_that_was_given_up_is_listed_with_its_attempts_and_reason() {
    let (pool, _) = given_up(Act::Refused(None)).await;
    let letter = only(&pool).await;
    assert_eq!((letter.source.as_str(), letter.topic.as_str()), ("job", "probe"));
    assert_eq!((letter.key.as_deref(), letter.attempts), (Some("a"), 2));
    assert_eq!(letter.reason, "gave-up");
    assert!(letter.detail.contains("refused"), "{letter:?}");
    let (pool, _) = given_up(Act::Unknown).await;
    assert_eq!(only(&pool).await.reason, "in-doubt");
}

/// The copies in the outbox, each as (topic, key, body, headers).
async fn copies(pool: &PgPool) -> Vec<shared::message::OutgoingMessage> {
    let mut conn = pool.acquire().await.unwrap();
    let kept = shared::outbox::head(&mut conn, 100).await.unwrap();
    kept.into_iter()
        .map(|row| row.message)
        .filter(|message| message.topic.ends_with(".dlq"))
        .collect()
}

#[tokio::test]
async fn a_job_that_was_given_up_has_a_copy_for_the_dead_letter_topic_without_its_body() {
    for (last, reason) in [(Act::Refused(None), "gave-up"), (Act::Unknown, "in-doubt")] {
        let (pool, _) = given_up(last).await;
        let (letter, copies) = (only(&pool).await, copies(&pool).await);
        assert_eq!(copies.len(), 1, "{copies:?}");
        let copy = &copies[0];
        assert_eq!((&*copy.topic, copy.key.as_deref()), ("probe.dlq", Some(&b"a"[..])));
        assert_eq!(copy.payload, None);
        let header = |name| copy.headers.text(name).unwrap().unwrap().to_owned();
        assert_eq!(header("dead-letter-id"), letter.id.to_string());
        assert_eq!(header("dead-letter-job"), "probe");
        assert_eq!(header("dead-letter-reason"), reason);
        assert_eq!(header("dead-letter-attempts"), "2");
        assert_eq!(header("kafka_dlt-exception-message"), letter.detail);
    }
}

#[tokio::test]
async fn a_job_whose_end_cannot_be_settled_has_a_copy_too() {
    let pool = database().await;
    let probe = Probe::default();
    append(&pool, &["a"]).await;
    probe.plan("a", [Act::Final]);
    probe.trouble(crate::probe::Trouble::Poison("a"));
    worker(&pool, &probe, policy()).step().await.unwrap();
    assert_eq!(only(&pool).await.key.as_deref(), Some("a"));
    assert_eq!(copies(&pool).await.len(), 1);
}

#[tokio::test]
async fn a_job_that_goes_on_has_no_copy() {
    let pool = database().await;
    let probe = Probe::default();
    append(&pool, &["again", "done"]).await;
    probe.plan("again", [Act::Refused(None)]);
    worker(&pool, &probe, policy()).step().await.unwrap();
    assert_eq!(copies(&pool).await, []);
}

#[tokio::test]
async fn a_job_that_is_put_back_has_fresh_attempts_and_is_done() {
    let (pool, probe) = given_up(Act::Refused(None)).await;
    let letter = only(&pool).await;
    let admin = admin(&pool, &probe);
    assert_eq!(admin.redrive(letter.id, &by()).await.unwrap(), Resolution::PutBack);
    assert!(open(&pool).await.is_empty());
    assert_eq!(admin.redrive(letter.id, &by()).await.unwrap(), Resolution::NotOpen, "once");
    let row = rows(&pool).await.remove(0);
    assert_eq!((row.state.as_str(), row.attempt), ("waiting", 0));

    let mut worker = worker(&pool, &probe, two_attempts());
    assert_eq!(
        worker.step().await.unwrap(),
        WorkerStep { claimed: 1, done: 1, ..WorkerStep::default() }
    );
    assert_eq!(ended(&pool).await[0], ("a".to_owned(), "done 1".to_owned()));
    assert!(rows(&pool).await.is_empty());
}

#[tokio::test]
async fn a_job_that_is_given_up_again_is_the_same_letter() {
    let (pool, probe) = given_up(Act::Refused(None)).await;
    let letter = only(&pool).await;
    let admin = admin(&pool, &probe);
    probe.plan("a", [Act::Final]);
    admin.redrive(letter.id, &by()).await.unwrap();
    assert_eq!(worker(&pool, &probe, two_attempts()).step().await.unwrap().gave_up, 1);
    let again = only(&pool).await;
    assert_eq!((again.id, again.attempts), (letter.id, 1));
}

#[tokio::test]
async fn what_is_in_doubt_stays_in_doubt_and_never_counts_as_untouched() {
    let (pool, probe) = given_up(Act::Unknown).await;
    let letter = only(&pool).await;
    admin(&pool, &probe).redrive(letter.id, &by()).await.unwrap();
    assert!(rows(&pool).await[0].in_doubt);
    let mut conn = pool.acquire().await.unwrap();
    let untouched = lock_untouched(&mut conn, Probe::KIND, &["a".to_owned()]).await.unwrap();
    assert_eq!(untouched, Vec::<String>::new());
    drop(conn);
    worker(&pool, &probe, two_attempts()).step().await.unwrap();
    assert!(probe.attempts().last().unwrap().in_doubt, "the next attempt knows");
}

/// An attempt that outlived its lease, and its job's death, are settled in another life.
#[tokio::test]
async fn an_outcome_of_an_earlier_life_does_not_count() {
    let pool = database().await;
    let probe = Probe::default();
    append(&pool, &["a"]).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    probe.plan("a", [Act::GateThenRefused(std::sync::Arc::clone(&gate)), Act::Final]);
    let mut slow = worker(&pool, &probe, two_attempts());
    let others = async {
        until("the first attempt has begun", async || probe.attempts().len() == 1).await;
        time_passes(&pool).await;
        let mut other = worker(&pool, &probe, two_attempts());
        assert_eq!(other.step().await.unwrap().gave_up, 1);
        let letter = only(&pool).await;
        admin(&pool, &probe).redrive(letter.id, &by()).await.unwrap();
        let hang = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        probe.plan("a", [Act::Gate(std::sync::Arc::clone(&hang))]);
        let late = async {
            until("the third attempt has begun", async || probe.attempts().len() == 3).await;
            gate.add_permits(1);
            until("two attempts overlap", async || probe.overlaps() > 0).await;
            hang.add_permits(1);
        };
        let mut third = worker(&pool, &probe, two_attempts());
        let (step, ()) = tokio::join!(third.step(), late);
        assert_eq!(step.unwrap().done, 1);
    };
    let (late, ()) = tokio::join!(slow.step(), others);
    assert_eq!(late.unwrap(), WorkerStep { claimed: 1, lost: 1, ..WorkerStep::default() });
}

#[tokio::test]
async fn a_job_that_is_discarded_is_gone_and_the_decision_is_kept() {
    let (pool, probe) = given_up(Act::Refused(None)).await;
    let letter = only(&pool).await;
    let admin = admin(&pool, &probe);
    let outcome = admin.discard(letter.id, &because()).await.unwrap();
    assert_eq!(outcome, Resolution::Settled);
    assert!(rows(&pool).await.is_empty());
    assert_eq!(admin.discard(letter.id, &because()).await.unwrap(), Resolution::NotOpen);
    let mut conn = pool.acquire().await.unwrap();
    let shown = shared::dead_letter::show(&mut conn, letter.id).await.unwrap().unwrap();
    assert_eq!((shown.letter, shown.decisions.len()), (None, 1));
    let decided = &shown.decisions[0];
    assert_eq!((decided.topic.as_str(), decided.key.as_deref()), ("probe", Some("a")));
    assert_eq!((decided.decided_by.as_str(), decided.outcome.as_str()), ("ada", "discarded"));
}

/// Gives up at once, and forbids a retry.
struct Once;

impl JobHandler for Once {
    const KIND: &'static str = "once";
    type Done = ();

    async fn perform(&self, _job: &ClaimedJob) -> Result<(), AttemptFailure> {
        Err(AttemptFailure::Permanent { source: "never".into() })
    }

    async fn settle(
        &self,
        _conn: &mut PgConnection,
        _ended: &[(ClaimedJob, JobResult<()>)],
    ) -> Result<DecisionEffects, Fault> {
        Ok(DecisionEffects::default())
    }

    async fn never_again(
        &self,
        _conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        Ok(Some(format!("{key} was told")))
    }

    async fn still_needed(
        &self,
        _conn: &mut PgConnection,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        Ok(Some(format!("{key} is waited for")))
    }
}

#[tokio::test]
async fn a_job_whose_effect_says_no_is_neither_tried_again_nor_ended() {
    let pool = database().await;
    let job = NewJob {
        key: JobKey { kind: Once::KIND, key: "a".to_owned() },
        payload: serde_json::Value::Null,
        trace: None,
    };
    jobs::append(&mut pool.acquire().await.unwrap(), &[job]).await.unwrap();
    let wakers = shared::effects::WorkerWakers::default();
    let health = shared::health::ProcessHealth::default().component("jobs");
    let pool_of = pool.clone();
    let parts = jobs::WorkerParts {
        service: "probe",
        effect: Once,
        policy: policy(),
        pool: pool_of,
        wakers,
        health,
    };
    let mut worker = jobs::JobWorker::new(parts);
    assert_eq!(worker.step().await.unwrap().gave_up, 1);
    let mut admin = DeadLetterAdmin::new(pool.clone());
    let letter = only(&pool).await;
    let nobody = admin.redrive(letter.id, &by()).await.unwrap_err();
    assert_eq!(
        nobody.to_string(),
        "it may not be tried again: this service has no workers for once"
    );
    admin.jobs.insert(Once::KIND, worker.parts());
    let told = admin.redrive(letter.id, &by()).await.unwrap_err();
    assert!(matches!(told, ResolutionError::Refused(reason) if reason == "a was told"));
    let needed = admin.discard(letter.id, &because()).await.unwrap_err();
    assert!(matches!(needed, ResolutionError::Needed(reason) if reason == "a is waited for"));
    assert_eq!(only(&pool).await, letter);
}
