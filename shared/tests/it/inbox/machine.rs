//! The inbox against a reference model, in random histories.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use proptest::{collection::vec, prelude::*};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shared::{
    clock::{self, Clock},
    db,
    inbox::{self, Admission, RETENTION},
    message::Message,
};
use sqlx::{Executor as _, PgPool};
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{count_new, message};
use crate::kit::{NUMBERS, database, number};

/// A message, by its id and its content.
type Letter = (u8, u8);

/// Few ids, so that repeats are frequent. The even ones are older than any topic keeps messages.
fn letter() -> impl Strategy<Value = Letter> {
    (0..8_u8, prop_oneof![4 => Just(0), 1 => Just(1_u8)])
}

fn is_old(id: u8) -> bool {
    id.is_multiple_of(2)
}

#[derive(Clone, Debug)]
enum Step {
    /// A consumer's transaction, which may be rolled back.
    Admit { batch: Vec<Letter>, commit: bool },
    /// Two consumers at once.
    AdmitTogether(Vec<Letter>, Vec<Letter>),
    /// Housekeeping, with this many rows at a time.
    Purge(u8),
}

/// The recorded messages, and the expected answer of the last step.
#[derive(Clone, Debug, Default)]
struct Reference {
    known: BTreeMap<u8, u8>,
    answer: Answer,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    Nothing,
    Admitted(Vec<Admission>),
    /// This many were new to one or the other consumer.
    New(usize),
    Purged(u64),
}

impl Reference {
    /// The first message of an id sets its content; other content under that id is a reused id.
    fn admit(&mut self, batch: &[Letter]) -> Vec<Admission> {
        let admission = |(id, content): &Letter| match self.known.insert(*id, *content) {
            None => Admission::New,
            Some(known) if known == *content => Admission::Repeat,
            Some(known) => {
                self.known.insert(*id, known);
                Admission::ReusedId
            }
        };
        batch.iter().map(admission).collect()
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let batch = || vec(letter(), 1..8);
        // Two concurrent messages of an id have the same content: their order is not determined.
        let honest = || vec((0..8_u8).prop_map(|id| (id, 0)), 1..8);
        prop_oneof![
            4 => (batch(), any::<bool>()).prop_map(|(batch, commit)| Step::Admit { batch, commit }),
            1 => (honest(), honest()).prop_map(|(one, other)| Step::AdmitTogether(one, other)),
            1 => (1..4_u8).prop_map(Step::Purge),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        let before = state.known.clone();
        state.answer = match step {
            Step::Admit { batch, commit } => {
                let admitted = state.admit(batch);
                if !commit {
                    state.known = before;
                }
                Answer::Admitted(admitted)
            }
            Step::AdmitTogether(one, other) => {
                let both: Vec<Letter> = one.iter().chain(other).copied().collect();
                Answer::New(count_new(&state.admit(&both)))
            }
            Step::Purge(_) => {
                let old: BTreeSet<u8> = before.into_keys().filter(|n| is_old(*n)).collect();
                state.known.retain(|id, _| !old.contains(id));
                Answer::Purged(old.len() as u64)
            }
        };
        state
    }
}

/// One database for all histories; each begins with an empty inbox.
struct Fixture {
    runtime: Runtime,
    pool: PgPool,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pool, _) = runtime.block_on(database());
    Fixture { runtime, pool }
});

/// The start time of all histories: a message has the same id each time, though the clock moves on.
static BEGIN: LazyLock<OffsetDateTime> = LazyLock::new(|| Clock::System.now());

fn written((id, content): Letter) -> Message {
    let mut message = message(&number(NUMBERS, "a", 1, content.into()));
    let day = time::Duration::DAY;
    let moment = if is_old(id) { *BEGIN - RETENTION - day } else { *BEGIN + day };
    let first = clock::first_id_at(moment);
    message.envelope.id = Uuid::from_u128(first.as_u128() | u128::from(id));
    message
}

impl Fixture {
    async fn admit(&self, batch: &[Letter], commit: bool) -> Vec<Admission> {
        let messages: Vec<Message> = batch.iter().copied().map(written).collect();
        let mut tx = db::begin(&self.pool).await.unwrap();
        let admitted = inbox::admit(&mut tx, &messages.iter().collect::<Vec<_>>()).await.unwrap();
        if commit {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        admitted
    }

    async fn purge(&self, n_max: u8) -> u64 {
        let conn = &mut *self.pool.acquire().await.unwrap();
        let mut all = 0;
        loop {
            let purged = inbox::purge(conn, n_max.into()).await.unwrap();
            assert!(purged <= n_max.into(), "no more than asked for");
            all += purged;
            if purged < n_max.into() {
                return all;
            }
        }
    }
}

struct Inbox;

impl StateMachineTest for Inbox {
    type SystemUnderTest = ();
    type Reference = Reference;

    fn init_test(_: &Reference) {
        FIXTURE.runtime.block_on(async {
            FIXTURE.pool.execute("TRUNCATE messaging.inbox").await.unwrap();
        });
    }

    fn apply((): (), reference: &Reference, step: Step) {
        let answer = FIXTURE.runtime.block_on(async {
            match step {
                Step::Admit { batch, commit } => {
                    Answer::Admitted(FIXTURE.admit(&batch, commit).await)
                }
                Step::AdmitTogether(one, other) => {
                    let (one, other) =
                        tokio::join!(FIXTURE.admit(&one, true), FIXTURE.admit(&other, true));
                    Answer::New(count_new(&one) + count_new(&other))
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
    fn the_inbox_is_its_reference_in_every_history(sequential 1..16 => Inbox);
}
