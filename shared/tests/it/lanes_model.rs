//! Dead letters against a model of them, on a real Postgres: whatever is delivered, again and again,
//! redriven, discarded, by software that can read it or cannot.
//!
//! The model is a list per key: what was taken in, the letter, what waits. It has no batches, no
//! transactions and no inbox, so it says what all of those must add up to.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

use proptest::{prelude::*, test_runner::Config};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shared::{
    clock::Clock,
    consumer::{Handled, Handler, Parts, Taken},
    dead_letter::{Road as _, Summary},
    effects::Wakers,
    fault::Fault,
    message::{Incoming, Message},
    sequence::Watch,
};
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::runtime::Runtime;

use crate::{
    dead_letters::{because, by, open},
    kit::{NUMBERS, database, incoming, number},
};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What the software makes of a message, until it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Unreadable,
    Refused,
    Panics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    kind: Kind,
    n: i64,
}

/// A lane as the model has it.
#[derive(Clone, Debug, Default)]
struct Lane {
    taken: Vec<i64>,
    letter: Option<(Said, i32)>,
    waiting: Vec<Said>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    lanes: [Lane; KEYS.len()],
    mended: bool,
    n: i64,
    decisions: i64,
}

#[derive(Clone, Debug)]
enum Transition {
    /// A batch: of which keys, of what kinds.
    Deliver(Vec<(usize, Kind)>),
    /// The last so many messages are read again.
    Again(usize),
    /// The software is mended, or broken again.
    Deploy(bool),
    /// By one, or by two at the same time.
    Redrive(usize, bool),
    Discard(usize),
}

impl Lane {
    fn deliver(&mut self, said: Said, mended: bool) {
        if self.letter.is_some() {
            self.waiting.push(said);
        } else if said.kind == Kind::Good || mended {
            self.taken.push(said.n);
        } else {
            self.letter = Some((said, 1));
        }
    }

    /// The letter is settled; what waits goes on until one of them is dead itself.
    fn go_on(&mut self, mended: bool) {
        self.letter = None;
        for said in std::mem::take(&mut self.waiting) {
            self.deliver(said, mended);
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
            3 => (0..KEYS.len(), any::<bool>()).prop_map(|(key, two)| Transition::Redrive(key, two)),
            2 => (0..KEYS.len()).prop_map(Transition::Discard),
        ]
        .boxed()
    }

    fn apply(mut model: Self, transition: &Transition) -> Self {
        let mended = model.mended;
        match transition {
            Transition::Deliver(batch) => {
                for (key, kind) in batch {
                    model.n += 1;
                    model.lanes[*key].deliver(Said { kind: *kind, n: model.n }, mended);
                }
            }
            Transition::Again(_) => (),
            Transition::Deploy(mended) => model.mended = *mended,
            Transition::Redrive(key, two) => {
                let lane = &mut model.lanes[*key];
                if let Some((said, attempts)) = lane.letter {
                    if mended || said.kind == Kind::Good {
                        lane.taken.push(said.n);
                        lane.go_on(mended);
                        model.decisions += 1;
                    } else {
                        let times = 1 + i32::from(*two);
                        lane.letter = Some((said, attempts + times));
                        model.decisions += i64::from(times);
                    }
                }
            }
            Transition::Discard(key) => {
                let lane = &mut model.lanes[*key];
                if lane.letter.is_some() {
                    lane.go_on(mended);
                    model.decisions += 1;
                }
            }
        }
        model
    }
}

/// Keeps what it took in, in order; fails as each message says, until it is mended.
#[derive(Clone, Debug, Default)]
struct Keeper(Arc<AtomicBool>);

impl Keeper {
    fn mended(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Handler for Keeper {
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
        batch: &[Taken<'_, Self::Input>],
    ) -> Result<Handled, Fault> {
        let mut handled = Handled::default();
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
struct Ground {
    runtime: Runtime,
    pool: PgPool,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let pool = runtime.block_on(async {
        let (pool, _) = database().await;
        let taken = "CREATE TABLE taken
                     (place bigserial PRIMARY KEY, key text NOT NULL, n bigint NOT NULL UNIQUE)";
        pool.execute(taken).await.unwrap();
        pool
    });
    Ground { runtime, pool }
});

struct Service {
    pool: PgPool,
    parts: Parts<Keeper>,
    /// All that stands in the log.
    log: Vec<Incoming>,
}

impl Service {
    async fn start() -> Self {
        let pool = GROUND.pool.clone();
        let tables = "TRUNCATE taken, messaging.inbox, messaging.outbox, messaging.dead_letter,
                               messaging.dead_letter_decision, messaging.parked";
        pool.execute(tables).await.unwrap();
        let parts = Parts {
            service: "keeper",
            handler: Keeper::default(),
            pool: pool.clone(),
            wakers: Wakers::default(),
            clock: Clock::System,
            watch: Watch::default(),
        };
        Self { pool, parts, log: vec![] }
    }

    fn say(&mut self, key: usize, kind: Kind) -> Incoming {
        let n = i64::try_from(self.log.len()).unwrap() + 1;
        let mut message = number(NUMBERS, KEYS[key], n, 0);
        message.payload = Some(format!("{kind:?} {n}").to_lowercase().into_bytes());
        let message = incoming(&message, n);
        self.log.push(message.clone());
        message
    }

    async fn letter(&self, key: usize) -> Option<Summary> {
        open(&self.pool).await.into_iter().find(|it| it.key.as_deref() == Some(KEYS[key]))
    }

    async fn apply(&mut self, transition: Transition) {
        match transition {
            Transition::Deliver(batch) => {
                let batch: Vec<_> =
                    batch.into_iter().map(|(key, kind)| self.say(key, kind)).collect();
                self.parts.take_in_or_isolate(&batch).await.unwrap();
            }
            Transition::Again(n) => {
                let from = self.log.len().saturating_sub(n);
                self.parts.take_in_or_isolate(&self.log[from..]).await.unwrap();
            }
            Transition::Deploy(mended) => self.parts.handler.0.store(mended, Ordering::SeqCst),
            Transition::Redrive(key, two) => {
                let Some(letter) = self.letter(key).await else { return };
                let by = by();
                let once = self.parts.redrive(letter.id, &by);
                if two {
                    let (first, second) = tokio::join!(once, self.parts.redrive(letter.id, &by));
                    first.and(second).unwrap();
                } else {
                    once.await.unwrap();
                }
            }
            Transition::Discard(key) => {
                let Some(letter) = self.letter(key).await else { return };
                self.parts.discard(letter.id, &because()).await.unwrap();
            }
        }
    }

    async fn check(&self, model: &Model) {
        let count = async |table: &'static str| -> i64 {
            let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM messaging.{table}"));
            sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
        };
        for (key, lane) in model.lanes.iter().enumerate() {
            let taken: Vec<i64> =
                sqlx::query_scalar("SELECT n FROM taken WHERE key = $1 ORDER BY place")
                    .bind(KEYS[key])
                    .fetch_all(&self.pool)
                    .await
                    .unwrap();
            assert_eq!(taken, lane.taken, "what {} took in, in order", KEYS[key]);
            let letter = self.letter(key).await.map(|it| (it.attempts, it.waiting));
            let waiting = i64::try_from(lane.waiting.len()).unwrap();
            assert_eq!(letter, lane.letter.map(|(_, attempts)| (attempts, waiting)));
        }
        let waiting: usize = model.lanes.iter().map(|it| it.waiting.len()).sum();
        assert_eq!(count("parked").await, i64::try_from(waiting).unwrap());
        assert_eq!(count("dead_letter_decision").await, model.decisions);
    }
}

impl StateMachineTest for Service {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        GROUND.runtime.block_on(Self::start())
    }

    fn apply(mut service: Self, _: &Model, transition: Transition) -> Self {
        GROUND.runtime.block_on(service.apply(transition));
        service
    }

    fn check_invariants(service: &Self, model: &Model) {
        GROUND.runtime.block_on(service.check(model));
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 40, failure_persistence: None, ..Config::default() })]

    #[test]
    fn letters_are_as_the_model_says_whatever_happens(sequential 1..25 => Service);
}
