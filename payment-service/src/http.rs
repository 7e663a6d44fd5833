//! What people may see of payments, without the means of payment; and, at the operators' port, what
//! they may decide.

use std::time::Duration;

use axum::Router;
use shared::{
    db,
    fault::Fault,
    http::{Page, Problem, Settings, finish, problem_pages},
};
use sqlx::{PgConnection, PgPool};
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

pub use review_payment::{ReviewDoor, operators};

mod get_payment;
mod list_payments;
pub mod problem;
mod review_payment;
mod view;

/// The pages behind this service's own problems.
pub const PAGES: &[Page] = shared::pages!["payment-not-under-review"];

/// Looking something up may take this long.
const READ_LIMIT: Duration = Duration::from_secs(5);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "payment-service", description = "What became of the payment of each order."),
    tags((name = "payments", description = "One payment per order."))
)]
struct Api;

fn routes() -> OpenApiRouter<PgPool> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(get_payment::get_payment))
        .routes(routes!(list_payments::list_payments))
}

/// The description of the API, as it is committed in `openapi.json`.
pub fn document() -> OpenApi {
    routes().into_openapi()
}

/// The public API, with its description and its pages.
pub fn router(pool: PgPool, settings: &Settings) -> Router {
    let (router, api) = routes().with_state(pool).split_for_parts();
    let pages = SwaggerUi::new("/swagger-ui").url("/openapi.json", api);
    finish(router.merge(pages).merge(problem_pages(PAGES)), settings)
}

/// Looks something up. The database may be out of reach, or hold what cannot be read.
async fn read<T>(
    pool: &PgPool,
    look: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, Problem> {
    db::read(pool, READ_LIMIT, look).await.map_err(|error| match Fault::from(error) {
        Fault::Transient(error) => Problem::unavailable(&*error),
        Fault::Poison(error) => Problem::internal(&*error),
    })
}
