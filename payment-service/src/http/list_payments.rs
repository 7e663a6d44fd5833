//! `GET /payments`
#![expect(unused_qualifications, reason = "utoipa's macro writes paths to the query's type")]

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::http::{Json, Problem, ProblemDocument, Query, problem};
use sqlx::{PgConnection, PgPool};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    read,
    view::{PaymentView, StageName},
};
use crate::store;

const LIMIT_DEFAULT: u16 = 50;
const LIMIT_MAX: u16 = 500;

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those at this stage.
    #[param(inline)]
    stage: Option<StageName>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// Those that come after a page: its `next_cursor`.
    cursor: Option<Uuid>,
}

/// A page of payments.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payments)]
pub(super) struct PaymentPage {
    /// The payments, those of the newest orders first.
    items: Vec<PaymentView>,
    /// Where the next page begins, if there may be one.
    next_cursor: Option<Uuid>,
}

/// Payments, those of the newest orders first.
#[utoipa::path(
    get,
    path = "/payments",
    tag = "payments",
    params(Which),
    responses(
        (status = 200, description = "A page of payments.", body = PaymentPage),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "The database is out of reach.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_payments(
    State(pool): State<PgPool>,
    Query(which): Query<Which>,
) -> Result<Json<PaymentPage>, Problem> {
    let limit = which.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit: {limit} is not between 1 and {LIMIT_MAX}");
        return Err(problem::MALFORMED_REQUEST.detail(detail));
    }
    let stage = which.stage.map(Into::into);
    let page =
        async |conn: &mut PgConnection| store::page(conn, stage, which.cursor, limit.into()).await;
    let page = read(&pool, page).await?;
    let is_full = page.len() == usize::from(limit);
    let next_cursor = page.last().filter(|_| is_full).map(|it| it.order_id);
    Ok(Json(PaymentPage { items: page.iter().filter_map(PaymentView::of).collect(), next_cursor }))
}
