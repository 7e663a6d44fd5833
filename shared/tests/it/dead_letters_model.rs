//! Dead letters against a model of them, on a real Postgres: messages are delivered, delivered
//! again, redriven and discarded in any order, by software that can read them or cannot.
//!
//! The model is a set of processed messages and a list of letters. It has no batches, no
//! transactions and no inbox, so it states the result that all of those must produce.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use proptest::{prelude::*, test_runner::Config};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shared::{
    clock::Clock,
    consumer::{BatchProcessor, HandlerOutcome, MessageHandler, NewMessage},
    dead_letter::RetryDeadMessage as _,
    effects::WorkerWakers,
    fault::Fault,
    message::{IncomingMessage, Message},
    sequence::SequenceWatch,
};
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{
    dead_letters::{because, by},
    kit::{NUMBERS, database, incoming, number},
};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// How the software fails on a message, until it is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Unreadable,
    Refused,
    Panics,
}

#[derive(Clone, Debug, Default)]
struct Model {
    mended: bool,
    /// The number of messages; each is identified by its number.
    n: i64,
    processed: BTreeSet<i64>,
    /// The open letters: the kind of each, and its number of failures.
    letters: BTreeMap<i64, (Kind, i32)>,
    decisions: i64,
}

#[derive(Clone, Debug)]
enum Transition {
    /// A batch, by the keys and kinds of its messages.
    Deliver(Vec<(usize, Kind)>),
    /// The last messages are delivered again, up to this many.
    Again(usize),
    /// The software is repaired, or broken again.
    Deploy(bool),
    /// The index of an open letter; decided by one operator, or by two at the same time.
    Redrive(usize, bool),
    Discard(usize),
}

impl Model {
    fn letter(&self, nth: usize) -> Option<i64> {
        let numbers: Vec<i64> = self.letters.keys().copied().collect();
        (!numbers.is_empty()).then(|| numbers[nth % numbers.len()])
    }

    fn deliver(&mut self, kind: Kind) {
        self.n += 1;
        if kind == Kind::Good || self.mended {
            self.processed.insert(self.n);
        } else {
            self.letters.insert(self.n, (kind, 1));
        }
    }

    fn redrive(&mut self, n: i64, times: i32) {
        let (kind, attempts) = self.letters[&n];
        // The inbox is checked after the body was decoded, and before it is handled.
        let is_known = self.processed.contains(&n) && kind != Kind::Unreadable;
        if self.mended || is_known {
            self.processed.insert(n);
            self.letters.remove(&n);
            self.decisions += 1;
        } else {
            self.letters.insert(n, (kind, attempts + times));
            self.decisions += i64::from(times);
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        let kind = prop_oneof![
            6 => Just(Kind::Good),
            2 => Just(Kind::Unreadable),
            1 => Just(Kind::Refused),
            1 => Just(Kind::Panics),
        ];
        let batch = prop::collection::vec((0..KEYS.len(), kind), 1..6);
        prop_oneof![
            5 => batch.prop_map(Transition::Deliver),
            2 => (1..12_usize).prop_map(Transition::Again),
            1 => any::<bool>().prop_map(Transition::Deploy),
            3 => (0..9_usize, any::<bool>()).prop_map(|(nth, two)| Transition::Redrive(nth, two)),
            2 => (0..9_usize).prop_map(Transition::Discard),
        ]
        .boxed()
    }

    fn apply(mut model: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Deliver(batch) => batch.iter().for_each(|(_, kind)| model.deliver(*kind)),
            Transition::Again(many) => {
                // A message with a letter that can be processed now is; its letter stays open.
                let from = model.n - i64::try_from(*many).unwrap();
                if model.mended {
                    let again = model.letters.keys().copied().filter(|n| *n > from);
                    model.processed.extend(again);
                }
            }
            Transition::Deploy(mended) => model.mended = *mended,
            Transition::Redrive(nth, two) => {
                if let Some(n) = model.letter(*nth) {
                    model.redrive(n, 1 + i32::from(*two));
                }
            }
            Transition::Discard(nth) => {
                if let Some(n) = model.letter(*nth) {
                    model.letters.remove(&n);
                    model.decisions += 1;
                }
            }
        }
        model
    }
}

/// Records processed messages; fails as each message says, until it is repaired.
#[derive(Clone, Debug, Default)]
struct Keeper(Arc<AtomicBool>);

impl Keeper {
    fn mended(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl MessageHandler for Keeper {
    type Input = (Kind, i64);

    fn topics(&self) -> Vec<&'static str> {
        vec![NUMBERS]
    }

    async fn decode(&self, message: &Message) -> Result<Self::Input, Fault> {
        let body = message.incoming.payload.clone().unwrap_or_default();
        let body = String::from_utf8(body).map_err(Fault::poison)?;
        let (kind, n) = body.split_once(' ').unwrap();
        let kind = match kind {
            "unreadable" if !self.mended() => return Err(Fault::poison("not readable yet")),
            "refused" => Kind::Refused,
            "panics" => Kind::Panics,
            _good => Kind::Good,
        };
        Ok((kind, n.parse().map_err(Fault::poison)?))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, Self::Input>],
    ) -> Result<HandlerOutcome, Fault> {
        let mut handled = HandlerOutcome::default();
        for (place, taken) in batch.iter().enumerate() {
            let (kind, n) = *taken.input;
            match kind {
                Kind::Refused if !self.mended() => {
                    handled.refused.push((place, "not allowed yet".to_owned()));
                }
                Kind::Panics if !self.mended() => panic!("not handled yet"),
                Kind::Good | Kind::Unreadable | Kind::Refused | Kind::Panics => {
                    sqlx::query("INSERT INTO taken (key, n) VALUES ($1, $2)")
                        .bind(&taken.message.envelope.subject)
                        .bind(n)
                        .execute(&mut *conn)
                        .await?;
                }
            }
        }
        Ok(handled)
    }
}

/// One database for all histories; each begins with empty tables.
struct Fixture {
    runtime: Runtime,
    pool: PgPool,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let pool = runtime.block_on(async {
        let (pool, _) = database().await;
        let taken = "CREATE TABLE taken
                     (key text NOT NULL, n bigint PRIMARY KEY)";
        pool.execute(taken).await.unwrap();
        pool
    });
    Fixture { runtime, pool }
});

struct Service {
    pool: PgPool,
    parts: BatchProcessor<Keeper>,
    /// All messages of the log.
    log: Vec<IncomingMessage>,
}

impl Service {
    async fn start() -> Self {
        let pool = FIXTURE.pool.clone();
        let tables = "TRUNCATE taken, messaging.inbox, messaging.outbox, messaging.dead_letter,
                               messaging.dead_letter_decision";
        pool.execute(tables).await.unwrap();
        let parts = BatchProcessor {
            service: "keeper",
            handler: Keeper::default(),
            pool: pool.clone(),
            wakers: WorkerWakers::default(),
            clock: Clock::System,
            watch: SequenceWatch::default(),
        };
        Self { pool, parts, log: vec![] }
    }

    fn say(&mut self, key: usize, kind: Kind) -> IncomingMessage {
        let n = i64::try_from(self.log.len()).unwrap() + 1;
        let mut message = number(NUMBERS, KEYS[key], n, 0);
        message.payload = Some(format!("{kind:?} {n}").to_lowercase().into_bytes());
        let message = incoming(&message, n);
        self.log.push(message.clone());
        message
    }

    /// The open letters, by the numbers of their messages.
    async fn letters(&self) -> BTreeMap<i64, (Uuid, i32)> {
        let rows: Vec<(i64, Uuid, i32)> = sqlx::query_as(
            "SELECT \"offset\", dead_letter_id, attempts FROM messaging.dead_letter
             WHERE closed_at IS NULL",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(n, id, attempts)| (n, (id, attempts))).collect()
    }

    async fn letter(&self, nth: usize) -> Option<Uuid> {
        let letters: Vec<_> = self.letters().await.into_values().collect();
        (!letters.is_empty()).then(|| letters[nth % letters.len()].0)
    }

    async fn apply(&mut self, transition: Transition) {
        match transition {
            Transition::Deliver(batch) => {
                let batch: Vec<_> =
                    batch.into_iter().map(|(key, kind)| self.say(key, kind)).collect();
                self.parts.process_or_isolate(&batch).await.unwrap();
            }
            Transition::Again(many) => {
                let from = self.log.len().saturating_sub(many);
                self.parts.process_or_isolate(&self.log[from..]).await.unwrap();
            }
            Transition::Deploy(mended) => self.parts.handler.0.store(mended, Ordering::SeqCst),
            Transition::Redrive(nth, two) => {
                let Some(letter) = self.letter(nth).await else { return };
                let by = by();
                let once = self.parts.redrive(letter, &by);
                if two {
                    let (first, second) = tokio::join!(once, self.parts.redrive(letter, &by));
                    first.and(second).unwrap();
                } else {
                    once.await.unwrap();
                }
            }
            Transition::Discard(nth) => {
                let Some(letter) = self.letter(nth).await else { return };
                self.parts.discard(letter, &because()).await.unwrap();
            }
        }
    }

    async fn check(&self, model: &Model) {
        let processed: Vec<i64> = sqlx::query_scalar("SELECT n FROM taken ORDER BY n")
            .fetch_all(&self.pool)
            .await
            .unwrap();
        assert_eq!(processed, model.processed.iter().copied().collect::<Vec<_>>());
        let letters = self.letters().await.into_iter().map(|(n, (_, attempts))| (n, attempts));
        let expected = model.letters.iter().map(|(n, (_, attempts))| (*n, *attempts));
        assert_eq!(letters.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        let decisions: i64 =
            sqlx::query_scalar("SELECT count(*) FROM messaging.dead_letter_decision")
                .fetch_one(&self.pool)
                .await
                .unwrap();
        assert_eq!(decisions, model.decisions);
    }
}

impl StateMachineTest for Service {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        FIXTURE.runtime.block_on(Self::start())
    }

    fn apply(mut service: Self, _: &Model, transition: Transition) -> Self {
        FIXTURE.runtime.block_on(service.apply(transition));
        service
    }

    fn check_invariants(service: &Self, model: &Model) {
        FIXTURE.runtime.block_on(service.check(model));
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 40, failure_persistence: None, ..Config::default() })]

    #[test]
    fn letters_are_as_the_model_says_whatever_happens(sequential 1..25 => Service);
}
