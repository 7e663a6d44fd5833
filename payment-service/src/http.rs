//! The REST API of payments, without the means of payment; operators' decisions at their own port.

use axum::Router;
use shared::http::{ApiPages, HttpSettings, ProblemPage, api_routes, describe, finish};
use sqlx::PgPool;
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use review_payment::operators;

mod get_payment;
mod list_payments;
pub mod problem;
mod review_payment;
mod view;

/// The pages behind this service's own problems.
pub const PAGES: &[ProblemPage] = shared::pages!["payment-not-under-review"];

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "payment-service", description = "What became of the payment of each order."),
    tags((name = "payments", description = "One payment per order."))
)]
struct ApiDocument;

fn routes() -> OpenApiRouter<PgPool> {
    OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(get_payment::get_payment))
        .routes(routes!(list_payments::list_payments))
}

/// The description of the API, as it is committed in `openapi.json`.
pub fn document() -> OpenApi {
    describe(routes().into_openapi(), &[])
}

/// The public API, with its description and its pages.
pub fn router(pool: PgPool, settings: &HttpSettings) -> Router {
    let (router, description) = routes().with_state(pool).split_for_parts();
    let pages = ApiPages { document: describe(description, &[]), problems: PAGES };
    finish(api_routes(router, pages), settings)
}
