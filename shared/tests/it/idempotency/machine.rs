//! The stored answers against a reference model, in random histories.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::{collection::vec, prelude::*};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shared::{
    db,
    fault::Fault,
    idempotency::{self, IdempotentAnswer, IdempotentBatch, RequestFingerprint, RequestKey},
};
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::runtime::Runtime;

use super::{a_day_passes, scoped};
use crate::kit;

/// A request: its client, its key, its content.
#[derive(Clone, Copy, Debug)]
struct Request {
    client: u8,
    key: u8,
    body: u8,
}

/// Few of each, so that repeats are frequent.
fn request() -> impl Strategy<Value = Request> {
    (0..2_u8, 0..3_u8, prop_oneof![3 => Just(0), 1 => Just(1_u8)])
        .prop_map(|(client, key, body)| Request { client, key, body })
}

#[derive(Clone, Debug)]
enum Step {
    /// One transaction with these requests in it, which may be rolled back.
    Ask {
        requests: Vec<Request>,
        commit: bool,
    },
    /// The same key in two transactions, each of which looks before the other has answered.
    AskTogether(Request, u8),
    ADayPasses,
    /// Housekeeping, with this many rows at a time.
    Purge(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// Accepted, with an answer of this number.
    New(u32),
    /// The stored answer of this number again.
    Again(u32),
    Refused,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    Nothing,
    Replies(Vec<Reply>),
    /// The replies to both transactions, and whether these collided.
    Together([Reply; 2], bool),
    Purged(u64),
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    body: u8,
    number: u32,
    has_expired: bool,
}

/// The stored answers, and the expected answer of the last step.
#[derive(Clone, Debug, Default)]
struct Reference {
    kept: BTreeMap<(u8, u8), Kept>,
    answered: u32,
    answer: Answer,
}

impl Reference {
    fn ask(&mut self, request: Request) -> Reply {
        let name = (request.client, request.key);
        match self.kept.get(&name).filter(|kept| !kept.has_expired) {
            Some(kept) if kept.body == request.body => Reply::Again(kept.number),
            Some(_) => Reply::Refused,
            None => {
                let number = self.answered;
                self.answered += 1;
                self.kept.insert(name, Kept { body: request.body, number, has_expired: false });
                Reply::New(number)
            }
        }
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            5 => (vec(request(), 1..6), any::<bool>())
                .prop_map(|(requests, commit)| Step::Ask { requests, commit }),
            2 => (request(), 0..2_u8).prop_map(|(one, body)| Step::AskTogether(one, body)),
            1 => Just(Step::ADayPasses),
            1 => (1..4_u8).prop_map(Step::Purge),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.answer = match step {
            Step::Ask { requests, commit } => {
                let before = state.kept.clone();
                let replies = requests.iter().map(|request| state.ask(*request)).collect();
                if !commit {
                    state.kept = before;
                }
                Answer::Replies(replies)
            }
            Step::AskTogether(one, body) => {
                let first = state.ask(*one);
                let collide = matches!(first, Reply::New(_));
                // The second one has made an answer, too, before it learnt of the first.
                state.answered += u32::from(collide);
                Answer::Together([first, state.ask(Request { body: *body, ..*one })], collide)
            }
            Step::ADayPasses => {
                state.kept.values_mut().for_each(|kept| kept.has_expired = true);
                Answer::Nothing
            }
            Step::Purge(_) => {
                let before = state.kept.len();
                state.kept.retain(|_, kept| !kept.has_expired);
                Answer::Purged((before - state.kept.len()) as u64)
            }
        };
        state
    }
}

/// One database for all histories; each begins with no stored answers.
struct Fixture {
    runtime: Runtime,
    pool: PgPool,
    answered: AtomicU32,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pool, _) = runtime.block_on(kit::database());
    Fixture { runtime, pool, answered: AtomicU32::new(0) }
});

impl Fixture {
    /// Answers new requests with numbers, and all requests as expected.
    async fn answer(
        &self,
        conn: &mut PgConnection,
        batch: IdempotentBatch<'_>,
    ) -> Result<Vec<Reply>, Fault> {
        let number = |_place| {
            let number = self.answered.fetch_add(1, Ordering::Relaxed);
            Ok(idempotency::HttpAnswer { status: 202, location: None, body: number.to_string() })
        };
        let numbers = batch.unanswered().into_iter().map(number).collect();
        let answers: Vec<IdempotentAnswer<Infallible>> = batch.answer(conn, numbers).await?;
        let reply = |answered| match answered {
            IdempotentAnswer::Accepted { answer, replayed: false } => {
                Reply::New(answer.body.parse().unwrap())
            }
            IdempotentAnswer::Accepted { answer, replayed: true } => {
                Reply::Again(answer.body.parse().unwrap())
            }
            IdempotentAnswer::KeyReused => Reply::Refused,
            IdempotentAnswer::Refused(never) => match never {},
        };
        Ok(answers.into_iter().map(reply).collect())
    }

    async fn ask(&self, requests: &[Request], commit: bool) -> Vec<Reply> {
        let keys: Vec<RequestKey> = requests.iter().copied().map(named).collect();
        let mut tx = db::begin(&self.pool).await.unwrap();
        let batch = IdempotentBatch::look_up(&mut tx, keys.iter().map(Some)).await.unwrap();
        let replies = self.answer(&mut tx, batch).await.unwrap();
        if commit {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        replies
    }

    async fn ask_together(&self, one: Request, other: Request) -> ([Reply; 2], bool) {
        let keys = [named(one), named(other)];
        let mut first = db::begin(&self.pool).await.unwrap();
        let mut second = db::begin(&self.pool).await.unwrap();
        let of_first = IdempotentBatch::look_up(&mut first, [Some(&keys[0])]).await.unwrap();
        let of_second = IdempotentBatch::look_up(&mut second, [Some(&keys[1])]).await.unwrap();
        let of_first = self.answer(&mut first, of_first).await.unwrap()[0];
        first.commit().await.unwrap();
        let of_second = self.answer(&mut second, of_second).await;
        let collided = of_second.as_ref().is_err_and(Fault::is_collision);
        if collided {
            second.rollback().await.unwrap();
            let again = self.ask(&[other], true).await;
            return ([of_first, again[0]], true);
        }
        second.commit().await.unwrap();
        ([of_first, of_second.unwrap()[0]], false)
    }

    async fn purge(&self, n_max: u8) -> u64 {
        let conn = &mut *self.pool.acquire().await.unwrap();
        let mut all = 0;
        loop {
            let purged = idempotency::purge(conn, n_max.into()).await.unwrap();
            assert!(purged <= n_max.into(), "no more than asked for");
            all += purged;
            if purged < n_max.into() {
                return all;
            }
        }
    }
}

fn named(request: Request) -> RequestKey {
    let key = scoped(&request.client.to_string(), &request.key.to_string());
    let fingerprint = RequestFingerprint::of("POST", "/things", &request.body.into());
    RequestKey { key, fingerprint }
}

struct Answers;

impl StateMachineTest for Answers {
    type SystemUnderTest = ();
    type Reference = Reference;

    fn init_test(_: &Reference) {
        FIXTURE.answered.store(0, Ordering::Relaxed);
        FIXTURE.runtime.block_on(async {
            FIXTURE.pool.execute("TRUNCATE messaging.idempotency").await.unwrap();
        });
    }

    fn apply((): (), reference: &Reference, step: Step) {
        let answer = FIXTURE.runtime.block_on(async {
            match step {
                Step::Ask { requests, commit } => {
                    Answer::Replies(FIXTURE.ask(&requests, commit).await)
                }
                Step::AskTogether(one, body) => {
                    let (replies, collided) =
                        FIXTURE.ask_together(one, Request { body, ..one }).await;
                    Answer::Together(replies, collided)
                }
                Step::ADayPasses => {
                    a_day_passes(&FIXTURE.pool).await;
                    Answer::Nothing
                }
                Step::Purge(n_max) => Answer::Purged(FIXTURE.purge(n_max).await),
            }
        });
        assert_eq!(answer, reference.answer);
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn kept_answers_are_their_reference_in_every_history(sequential 1..16 => Answers);
}
