//! The door for commands: many callers, one transaction.
//!
//! A request with an `Idempotency-Key` has its effect once; whoever asks again is answered from what
//! was kept. What was refused is not kept: the same key may be tried again once the reason is gone.

use std::collections::HashMap;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::{
    effects::Effects,
    fault::Fault,
    http::{Problem, REPLAYED, problem},
    idempotency::{self, Fingerprint, ScopedKey, Stored, Verdict},
    intake::Batch,
    message::TraceParent,
};
use sqlx::PgConnection;

use super::{problems, view};
use crate::{
    app::{Answer, App, Request},
    domain::{
        inventory::{Command, Event},
        naming::Sku,
        product::{self, Product},
    },
};

/// Takes commands of many callers in.
#[derive(Clone, Debug)]
pub struct Door {
    /// The road.
    pub app: App,
}

/// What a caller wants of a product.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which.
    pub sku: Sku,
    /// What.
    pub command: product::Command,
    /// The caller's name for this request, and what it is bound to.
    pub key: Option<(ScopedKey, Fingerprint)>,
    /// On whose behalf.
    pub trace: Option<TraceParent>,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    status: u16,
    location: Option<String>,
    body: String,
    replayed: bool,
}

impl Batch for Door {
    type Command = Wish;
    type Answer = Result<Reply, Problem>;

    fn trace(wish: &mut Wish) -> Option<&mut TraceParent> {
        wish.trace.as_mut()
    }

    async fn take_in(
        &self,
        conn: &mut PgConnection,
        wishes: &[Wish],
    ) -> Result<(Vec<Self::Answer>, Effects), Fault> {
        let keys: Vec<ScopedKey> =
            wishes.iter().filter_map(|it| it.key.as_ref()).map(|(key, _)| key.clone()).collect();
        let answered = idempotency::find(conn, &keys).await?;
        let verdicts = verdicts(wishes, &answered);
        self.grant(conn, wishes, &verdicts).await
    }
}

/// Which wishes are new; those without a key always are.
fn verdicts<'s>(wishes: &[Wish], answered: &'s HashMap<ScopedKey, Stored>) -> Vec<Verdict<'s>> {
    let (places, keyed): (Vec<usize>, Vec<_>) = wishes
        .iter()
        .enumerate()
        .filter_map(|(place, wish)| Some((place, wish.key.as_ref()?)))
        .map(|(place, (key, fingerprint))| (place, (key, *fingerprint)))
        .unzip();
    let mut verdicts = vec![Verdict::First; wishes.len()];
    for (place, verdict) in places.iter().zip(idempotency::sort_out(keyed, answered)) {
        verdicts[*place] = match verdict {
            // From a place among those that have a key to one among all.
            Verdict::RepeatOf(first) => Verdict::RepeatOf(places[first]),
            Verdict::First | Verdict::Replay(_) | Verdict::Mismatch => verdict,
        };
    }
    verdicts
}

impl Door {
    /// Takes in what is new, keeps the answers that are to be given again, and answers all.
    async fn grant(
        &self,
        conn: &mut PgConnection,
        wishes: &[Wish],
        verdicts: &[Verdict<'_>],
    ) -> Result<(Vec<Result<Reply, Problem>>, Effects), Fault> {
        let first: Vec<&Wish> = wishes
            .iter()
            .zip(verdicts)
            .filter_map(|(wish, verdict)| (*verdict == Verdict::First).then_some(wish))
            .collect();
        let requests: Vec<Request> = first.iter().map(|it| it.request()).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        let mut granted =
            first.iter().zip(outcome.answers).map(|(wish, answer)| wish.reply(answer));
        let mut answers: Vec<Result<Reply, Problem>> = Vec::with_capacity(wishes.len());
        let mut records = Vec::new();
        for (wish, verdict) in wishes.iter().zip(verdicts) {
            let answer = match verdict {
                Verdict::First => granted
                    .next()
                    .unwrap_or_else(|| unreachable!("there are as many answers as commands")),
                Verdict::Replay(stored) => Ok(Reply::from(*stored)),
                Verdict::RepeatOf(place) => answers[*place].clone().map(Reply::again),
                Verdict::Mismatch => Err(problem::IDEMPOTENCY_KEY_REUSED.problem()),
            };
            if let (Verdict::First, Ok(reply), Some((key, fingerprint))) =
                (verdict, &answer, &wish.key)
            {
                let answer = reply.stored(*fingerprint);
                records.push(idempotency::Record { key: key.clone(), answer });
            }
            answers.push(answer);
        }
        idempotency::keep(conn, &records).await?;
        Ok((answers, outcome.effects))
    }
}

impl Wish {
    fn request(&self) -> Request {
        let (sku, command) = (self.sku.clone(), self.command.clone());
        Request { command: Command::Product { sku, command }, trace: self.trace }
    }

    fn reply(&self, answer: Answer) -> Result<Reply, Problem> {
        let events = answer.decision.map_err(problems::rejected)?;
        let Some(product) = answer.product else {
            unreachable!("{} exists after {:?}", self.sku, self.command)
        };
        let new = events.iter().any(Event::is_new_product);
        Ok(Reply {
            status: if new { StatusCode::CREATED } else { StatusCode::OK }.as_u16(),
            location: new.then(|| format!("/products/{}", self.sku)),
            body: self.body(&product),
            replayed: false,
        })
    }

    fn body(&self, product: &Product) -> String {
        let body = match &self.command {
            product::Command::Put { .. } | product::Command::Introduce { .. } => {
                serde_json::to_string(&view::Product::of(&self.sku, product))
            }
            product::Command::Restock { .. } => {
                serde_json::to_string(&view::Stock::of(&self.sku, product.stock))
            }
        };
        body.unwrap_or_else(|error| unreachable!("numbers and texts are JSON: {error}"))
    }
}

impl Reply {
    fn stored(&self, fingerprint: Fingerprint) -> Stored {
        let Self { status, location, body, .. } = self.clone();
        Stored { fingerprint, status, location, body }
    }

    fn again(self) -> Self {
        Self { replayed: true, ..self }
    }
}

impl From<&Stored> for Reply {
    fn from(stored: &Stored) -> Self {
        let Stored { status, location, body, .. } = stored.clone();
        Self { status, location, body, replayed: true }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let json = [(header::CONTENT_TYPE, "application/json")];
        let location = self.location.map(|it| [(header::LOCATION, it)]);
        let replayed = self.replayed.then_some([(REPLAYED, "true")]);
        (status, json, location, replayed, self.body).into_response()
    }
}
