//! The public REST API: one endpoint a file.
//!
//! What changes an order goes through an intake, where the commands of many callers become one
//! transaction; what only looks reads directly.

use std::{sync::Arc, time::Duration};

use axum::Router;
use shared::{
    db,
    http::{Problem, Settings, finish, problem as shared_problem, problem_pages},
    intake::Intake,
};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Semaphore;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use self::{cancelling::Cancelling, placing::Placing};

mod cancel_order;
mod get_order;
mod list_orders;
mod list_products;
mod place_order;

pub mod cancelling;
pub mod placing;
pub mod problem;
mod view;

/// Looking something up may take this long.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// So many callers may wait for their orders to end at the same time.
const WAITING_MAX: usize = 200;
/// Items on a page, unless the caller says how many.
const PAGE_DEFAULT: u16 = 50;
/// Items on a page, at most.
const PAGE_MAX: u16 = 200;

/// What the endpoints work with.
#[derive(Clone, Debug)]
pub struct Api {
    pool: PgPool,
    placing: Intake<Placing>,
    cancelling: Intake<Cancelling>,
    waiting: Arc<Semaphore>,
}

impl Api {
    /// An API over a database, with the doors for new orders and for cancellations.
    pub fn new(pool: PgPool, placing: Intake<Placing>, cancelling: Intake<Cancelling>) -> Self {
        Self { pool, placing, cancelling, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// Looks something up.
    async fn read<T>(
        &self,
        look: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Problem> {
        let read = db::read(&self.pool, READ_LIMIT, look).await;
        read.map_err(|error| Problem::unavailable(&error))
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "order-service",
        description = "Orders are accepted at once and carried out behind the answer. Amounts are whole \
                       minor units of the currency that stands beside them."
    ),
    tags(
        (name = "orders", description = "Placing orders, following them, cancelling them."),
        (name = "products", description = "What can be ordered.")
    )
)]
struct Description;

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(place_order::place_order, list_orders::list_orders))
        .routes(routes!(get_order::get_order))
        .routes(routes!(cancel_order::cancel_order))
        .routes(routes!(list_products::list_products))
}

/// The description of the API, as it is committed in `openapi.json`.
pub fn document_text() -> String {
    let document = routes().into_openapi().to_pretty_json();
    document
        .map_or_else(|error| format!("the description cannot be written: {error}"), |it| it + "\n")
}

/// The public API, with its description and its pages.
pub fn router(api: Api, settings: &Settings) -> Router {
    let (router, description) = routes().with_state(api).split_for_parts();
    let pages = SwaggerUi::new("/swagger-ui").url("/openapi.json", description);
    finish(router.merge(pages).merge(problem_pages(problem::PAGES)), settings)
}

/// How many items a page has.
fn page_limit(asked: Option<u16>) -> Result<i64, Problem> {
    let limit = asked.unwrap_or(PAGE_DEFAULT);
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(limit.into());
    }
    let detail = format!("limit: {limit} is not between 1 and {PAGE_MAX}");
    Err(shared_problem::MALFORMED_REQUEST.detail(detail))
}
