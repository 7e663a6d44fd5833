//! The dead letters of a service, for its operators: listed, shown, redriven, discarded.
//!
//! Part of the admin server of every service, and of no other.
//!
//! | | |
//! | --- | --- |
//! | `GET /dead-letters?topic=&reason=&key=&limit=&cursor=` | open letters, oldest first |
//! | `GET /dead-letters/reasons?topic=&reason=&key=` | how many there are of each topic and reason |
//! | `GET /dead-letters/decisions?limit=` | what was decided last, newest first |
//! | `GET /dead-letters/{id}` | one of them in whole, with what was decided about it |
//! | `POST /dead-letters/{id}/redrive` | `{"by": "ada"}`: tries it again |
//! | `POST /dead-letters/{id}/discard` | `{"by": "ada", "reason": "…"}`: ends it |
//!
//! Deciding the same twice is once: a letter that is not open any more answers `not-open`.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use self::view::{Cursor, DecisionsView};
use super::{Json, Page, PageLimit, Path, Problem, Query, problem};
use crate::dead_letter::{self, By, Carried, DeadLetterAdmin, Error, Filter, Summary};

pub use self::view::{HeaderView, LetterView, MessageView, ReasonCounts};

mod view;

/// The routes for operators.
pub fn dead_letters(letters: DeadLetterAdmin) -> Router {
    Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/reasons", get(reasons))
        .route("/dead-letters/decisions", get(decisions))
        .route("/dead-letters/{id}", get(show))
        .route("/dead-letters/{id}/redrive", post(redrive))
        .route("/dead-letters/{id}/discard", post(discard))
        .with_state(letters)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    topic: Option<String>,
    reason: Option<String>,
    key: Option<String>,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<Cursor>,
}

impl Which {
    fn filter(&self) -> Filter {
        let Self { topic, reason, key, .. } = self;
        Filter { topic: topic.clone(), reason: reason.clone(), key: key.clone() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redrive {
    by: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Discard {
    by: String,
    reason: String,
}

async fn list(
    State(letters): State<DeadLetterAdmin>,
    Query(which): Query<Which>,
) -> Result<Json<Page<Summary>>, Problem> {
    let (filter, n_max) = (which.filter(), which.limit.rows());
    let after = which.cursor.map(|it| (it.at, it.id));
    let rows = async |conn: &mut PgConnection| dead_letter::list(conn, &filter, after, n_max).await;
    Ok(Json(view::page(letters.read(rows).await?, which.limit)))
}

async fn reasons(
    State(letters): State<DeadLetterAdmin>,
    Query(which): Query<Which>,
) -> Result<Json<ReasonCounts>, Problem> {
    let filter = which.filter();
    let counts = letters.read(async |conn| dead_letter::reasons(conn, &filter).await).await?;
    Ok(Json(ReasonCounts::of(counts)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latest {
    #[serde(default)]
    limit: PageLimit,
}

async fn decisions(
    State(letters): State<DeadLetterAdmin>,
    Query(latest): Query<Latest>,
) -> Result<Json<DecisionsView>, Problem> {
    let n_max = latest.limit.items();
    let latest = letters.read(async |conn| dead_letter::decisions(conn, n_max).await).await?;
    Ok(Json(DecisionsView { items: latest }))
}

async fn show(
    State(letters): State<DeadLetterAdmin>,
    Path(id): Path<Uuid>,
) -> Result<Json<LetterView>, Problem> {
    let shown = letters.read(async |conn| dead_letter::show(conn, id).await).await?;
    shown.map(|it| Json(LetterView::of(id, it))).ok_or_else(unknown)
}

async fn redrive(
    State(letters): State<DeadLetterAdmin>,
    Path(id): Path<Uuid>,
    Json(Redrive { by }): Json<Redrive>,
) -> Result<Json<Carried>, Problem> {
    let by = By::new(&by).map_err(|error| invalid("/by", error))?;
    let carried = letters.redrive(id, &by).await?;
    tracing::info!(letter = %id, by = by.name(), ?carried, "dead letter redriven by an operator");
    answer(&letters, id, carried).await
}

async fn discard(
    State(letters): State<DeadLetterAdmin>,
    Path(id): Path<Uuid>,
    Json(Discard { by, reason }): Json<Discard>,
) -> Result<Json<Carried>, Problem> {
    let by = By::new(&by).map_err(|error| invalid("/by", error))?;
    let by = by.because(&reason).map_err(|error| invalid("/reason", error))?;
    let carried = letters.discard(id, &by).await?;
    tracing::info!(letter = %id, by = by.name(), ?carried, "dead letter discarded by an operator");
    answer(&letters, id, carried).await
}

/// A letter that is not open may have been closed before; an id that never was a letter's is not found.
async fn answer(
    letters: &DeadLetterAdmin,
    id: Uuid,
    carried: Carried,
) -> Result<Json<Carried>, Problem> {
    if carried == Carried::NotOpen {
        let shown = letters.read(async |conn| dead_letter::show(conn, id).await).await?;
        shown.ok_or_else(unknown)?;
    }
    Ok(Json(carried))
}

fn unknown() -> Problem {
    problem::NOT_FOUND.detail("no dead letter has this id")
}

fn invalid(pointer: &str, error: dead_letter::BadName) -> Problem {
    problem::INVALID_BODY.problem().with_error(pointer, "out-of-range", error.to_string())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(reason) => problem::NOT_REDRIVABLE.detail(reason),
            Error::Needed(reason) => problem::NOT_DISCARDABLE.detail(reason),
            Error::Fault(fault) if fault.is_lock_timeout() || fault.is_collision() => {
                problem::BUSY.problem().retry_after(Duration::from_secs(1))
            }
            Error::Fault(fault) => Self::unavailable(&fault),
        }
    }
}
