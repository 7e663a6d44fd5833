//! The public REST API: one endpoint per file.
//!
//! Changes to orders go through a batcher, where the commands of many callers become one
//! transaction; reads query the database directly.

use std::sync::Arc;

use axum::Router;
use shared::{
    batcher::CommandBatcher,
    http::{ApiPages, HttpSettings, OwnProblems, api_routes, describe, finish},
};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::commands::{CancelOrders, PlaceOrders};

mod cancel_order;
mod get_order;
mod list_orders;
mod list_products;
mod place_order;

pub mod problem;
pub(crate) mod view;

/// The number of callers that may wait for their orders to end at the same time.
const WAITING_MAX: usize = 200;

/// State that the endpoints share.
#[derive(Clone, Debug)]
pub struct OrderApi {
    pool: PgPool,
    place: CommandBatcher<PlaceOrders>,
    cancel: CommandBatcher<CancelOrders>,
    waiting: Arc<Semaphore>,
}

impl OrderApi {
    /// An API over a database, with the batchers that place and cancel orders.
    pub fn new(
        pool: PgPool,
        place: CommandBatcher<PlaceOrders>,
        cancel: CommandBatcher<CancelOrders>,
    ) -> Self {
        Self { pool, place, cancel, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "order-service",
        description = "Orders are accepted at once and carried out after the answer. Amounts are whole \
                       minor units of the currency that stands beside them."
    ),
    tags(
        (name = "orders", description = "Placing orders, following them, cancelling them."),
        (name = "products", description = "What can be ordered.")
    )
)]
struct ApiDocument;

fn routes() -> OpenApiRouter<OrderApi> {
    OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(place_order::place_order, list_orders::list_orders))
        .routes(routes!(get_order::get_order))
        .routes(routes!(cancel_order::cancel_order))
        .routes(routes!(list_products::list_products))
}

/// The problems that only this service answers, by operation.
const OWN: &OwnProblems = &[
    ("place_order", &[problem::NOT_ORDERABLE]),
    ("get_order", &[problem::ORDER_NOT_FOUND]),
    ("cancel_order", &[problem::ORDER_NOT_FOUND, problem::TOO_LATE_TO_CANCEL]),
];

/// The description of the API.
pub fn document() -> OpenApi {
    describe(routes().into_openapi(), OWN)
}

/// The description of the API, as it is committed in `openapi.json`.
pub fn document_text() -> String {
    document().to_pretty_json().map_or_else(
        |error| format!("the description cannot be written: {error}"),
        |text| text + "\n",
    )
}

/// The public API, with its description and its pages.
pub fn router(api: OrderApi, settings: &HttpSettings) -> Router {
    let (router, description) = routes().with_state(api).split_for_parts();
    let pages = ApiPages { document: describe(description, OWN), problems: problem::PAGES };
    finish(api_routes(router, pages), settings)
}
