//! `GET /payments`
#![expect(unused_qualifications, reason = "utoipa's macro writes paths to the query's type")]

use axum::extract::State;
use serde::Deserialize;
use shared::http::{JsonBody, ListPage, PageLimit, Problem, ProblemDocument, QueryParams, look_up};
use sqlx::{PgConnection, PgPool};
use utoipa::IntoParams;
use uuid::Uuid;

use super::view::{PaymentView, StageName};
use crate::store;

/// The payments to list: by stage, a page at a time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PaymentQuery {
    /// Only those at this stage.
    #[param(inline)]
    stage: Option<StageName>,
    /// At most so many.
    #[param(inline)]
    limit: Option<PageLimit>,
    /// Those that come after a page: its `next_cursor`.
    cursor: Option<Uuid>,
}

/// Payments, those of the newest orders first.
#[utoipa::path(
    get,
    path = "/payments",
    tag = "payments",
    params(PaymentQuery),
    responses(
        (status = 200, description = "A page of payments.", body = ListPage<PaymentView>),
        (status = 400, description = "The query cannot be read.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "The database is out of reach.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_payments(
    State(pool): State<PgPool>,
    QueryParams(which): QueryParams<PaymentQuery>,
) -> Result<JsonBody<ListPage<PaymentView>>, Problem> {
    let limit = which.limit.unwrap_or_default();
    let stage = which.stage.map(Into::into);
    let look =
        async |conn: &mut PgConnection| store::page(conn, stage, which.cursor, limit.rows()).await;
    let shown = look_up(&pool, look).await?;
    let page = ListPage::of(
        shown,
        limit,
        |payment| payment.order_id.to_string(),
        |payment| PaymentView::of(&payment),
    );
    Ok(JsonBody(page.flatten()))
}
