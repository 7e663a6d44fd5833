//! `PUT /products/{sku}`

use axum::{extract::State, response::Response};
use serde::Deserialize;
use shared::http::{
    JsonBody, PathParams, Problem, ProblemDocument, RequestContext, respond, whole,
};
use utoipa::ToSchema;

use super::{InventoryApi, problems, view};
use crate::{
    commands::ChangeProduct,
    domain::{
        naming::Sku,
        product::{ProductCommand, ProductOffer},
    },
};

/// How a product is to be offered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutProduct {
    /// What people call it: 1 to 200 printable characters.
    #[schema(example = "Desk lamp", min_length = 1, max_length = 200)]
    name: String,
    /// The price of one, in minor units of its currency.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 4990, minimum = 0, maximum = 1_000_000_000)]
    price_minor: i64,
    /// ISO 4217: a currency that has a minor unit there.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: String,
    /// Whether it can be ordered; yes if not said.
    #[serde(default = "offered")]
    #[schema(default = true)]
    active: bool,
}

fn offered() -> bool {
    true
}

/// Lists a product, or changes how it is offered.
///
/// A new product has no stock. `product-changed` is said if anything is different. The same again
/// does nothing, so no Idempotency-Key is needed.
#[utoipa::path(
    put, path = "/products/{sku}", tag = "products",
    params(("sku" = String, Path, pattern = "^[A-Za-z0-9._-]{1,64}$", description = "1 to 64 letters, digits, `-`, `_` and `.`")),
    request_body = PutProduct,
    responses(
        (status = 200, description = "It was known, and is now like this", body = view::ProductView),
        (status = 201, description = "It is new", body = view::ProductView,
            headers(("Location" = String, description = "Where it is"))),
        (status = 400, description = "The body cannot be read", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 409, description = "The same product is being worked on", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 422, description = "Nothing can be offered like this", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now; nothing was done, or the same again tells",
            body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put_product(
    State(api): State<InventoryApi>,
    PathParams(text): PathParams<String>,
    context: RequestContext,
    JsonBody(body): JsonBody<PutProduct>,
) -> Result<Response, Problem> {
    let sku = Sku::parse(&text).ok_or_else(|| problems::not_a_sku(&text))?;
    let offer = ProductOffer::new(body.name, body.price_minor, body.currency, body.active)
        .map_err(problems::invalid_offer)?;
    let command = ProductCommand::Put { offer };
    let change = ChangeProduct { sku, command, key: None, trace: Some(context.trace) };
    respond(api.batcher.submit(change).await?, |rejection| problems::rejected(&text, rejection))
}
