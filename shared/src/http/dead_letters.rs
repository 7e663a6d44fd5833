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
//! A repeated decision has no second effect: a letter that is not open any more answers `not-open`.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use self::view::{DecisionsView, LetterCursor};
use super::{
    IndexLink, JsonBody, ListPage, OperatorRoutes, PageLimit, PathParams, Problem, QueryParams,
    problem,
};
use crate::dead_letter::{
    self, Actor, DeadLetterAdmin, LetterFilter, LetterSummary, Resolution, ResolutionError,
};

pub use self::view::{HeaderView, LetterView, MessageView, ReasonCounts};

mod view;

/// The routes for operators.
pub fn dead_letters(letters: DeadLetterAdmin) -> OperatorRoutes {
    let routes = Router::new()
        .route("/dead-letters", get(list))
        .route("/dead-letters/reasons", get(reasons))
        .route("/dead-letters/decisions", get(decisions))
        .route("/dead-letters/{id}", get(show))
        .route("/dead-letters/{id}/redrive", post(redrive))
        .route("/dead-letters/{id}/discard", post(discard))
        .with_state(letters);
    let post = |path, about| IndexLink::of("POST", path, about);
    let links = vec![
        IndexLink::page("/dead-letters", "Open dead letters, oldest first"),
        IndexLink::page("/dead-letters/reasons", "How many there are of each topic and reason"),
        IndexLink::page("/dead-letters/decisions", "What was decided last"),
        IndexLink::page("/dead-letters/{id}", "One of them in whole"),
        post("/dead-letters/{id}/redrive", "Tries it again: `{\"by\": \"ada\"}`"),
        post("/dead-letters/{id}/discard", "Ends it: `{\"by\": \"ada\", \"reason\": \"too old\"}`"),
    ];
    OperatorRoutes { routes, links }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterQuery {
    topic: Option<String>,
    reason: Option<String>,
    key: Option<String>,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<LetterCursor>,
}

impl LetterQuery {
    fn filter(&self) -> LetterFilter {
        let Self { topic, reason, key, .. } = self;
        LetterFilter { topic: topic.clone(), reason: reason.clone(), key: key.clone() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedriveBody {
    by: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    by: String,
    reason: String,
}

async fn list(
    State(letters): State<DeadLetterAdmin>,
    QueryParams(which): QueryParams<LetterQuery>,
) -> Result<JsonBody<ListPage<LetterSummary>>, Problem> {
    let (filter, n_max) = (which.filter(), which.limit.rows());
    let after = which.cursor.map(|letter_cursor| (letter_cursor.at, letter_cursor.id));
    let rows = async |conn: &mut PgConnection| dead_letter::list(conn, &filter, after, n_max).await;
    Ok(JsonBody(view::page(letters.read(rows).await?, which.limit)))
}

async fn reasons(
    State(letters): State<DeadLetterAdmin>,
    QueryParams(which): QueryParams<LetterQuery>,
) -> Result<JsonBody<ReasonCounts>, Problem> {
    let filter = which.filter();
    let counts = letters.read(async |conn| dead_letter::reasons(conn, &filter).await).await?;
    Ok(JsonBody(ReasonCounts::of(counts)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatestQuery {
    #[serde(default)]
    limit: PageLimit,
}

async fn decisions(
    State(letters): State<DeadLetterAdmin>,
    QueryParams(latest): QueryParams<LatestQuery>,
) -> Result<JsonBody<DecisionsView>, Problem> {
    let n_max = latest.limit.items();
    let latest = letters.read(async |conn| dead_letter::decisions(conn, n_max).await).await?;
    Ok(JsonBody(DecisionsView { items: latest }))
}

async fn show(
    State(letters): State<DeadLetterAdmin>,
    PathParams(id): PathParams<Uuid>,
) -> Result<JsonBody<LetterView>, Problem> {
    let shown = letters.read(async |conn| dead_letter::show(conn, id).await).await?;
    shown.map(|letter| JsonBody(LetterView::of(id, letter))).ok_or_else(unknown)
}

async fn redrive(
    State(letters): State<DeadLetterAdmin>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(RedriveBody { by }): JsonBody<RedriveBody>,
) -> Result<JsonBody<Resolution>, Problem> {
    let by = Actor::new(&by).map_err(|error| invalid("/by", error))?;
    let carried = letters.redrive(id, &by).await?;
    tracing::info!(letter = %id, by = by.name(), ?carried, "dead letter redriven by an operator");
    answer(&letters, id, carried).await
}

async fn discard(
    State(letters): State<DeadLetterAdmin>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(DiscardBody { by, reason }): JsonBody<DiscardBody>,
) -> Result<JsonBody<Resolution>, Problem> {
    let by = Actor::new(&by).map_err(|error| invalid("/by", error))?;
    let by = by.because(&reason).map_err(|error| invalid("/reason", error))?;
    let carried = letters.discard(id, &by).await?;
    tracing::info!(letter = %id, by = by.name(), ?carried, "dead letter discarded by an operator");
    answer(&letters, id, carried).await
}

/// A letter that is not open may have been closed before; an id without a letter is not found.
async fn answer(
    letters: &DeadLetterAdmin,
    id: Uuid,
    carried: Resolution,
) -> Result<JsonBody<Resolution>, Problem> {
    if carried == Resolution::NotOpen {
        let shown = letters.read(async |conn| dead_letter::show(conn, id).await).await?;
        shown.ok_or_else(unknown)?;
    }
    Ok(JsonBody(carried))
}

fn unknown() -> Problem {
    problem::NOT_FOUND.detail("no dead letter has this id: GET /dead-letters lists the open ones")
}

fn invalid(pointer: &str, error: dead_letter::InvalidActor) -> Problem {
    problem::INVALID_BODY.in_parts().with_error(pointer, "out-of-range", error.to_string())
}

impl From<ResolutionError> for Problem {
    fn from(error: ResolutionError) -> Self {
        match error {
            ResolutionError::Refused(reason) => problem::NOT_REDRIVABLE.detail(reason),
            ResolutionError::Needed(reason) => problem::NOT_DISCARDABLE.detail(reason),
            ResolutionError::Fault(fault) if fault.is_lock_timeout() || fault.is_collision() => {
                problem::BUSY.detail(problem::IN_USE).retry_after(Duration::from_secs(1))
            }
            ResolutionError::Fault(fault) => Self::unavailable(&fault),
        }
    }
}
