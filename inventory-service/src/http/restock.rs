//! `POST /products/{sku}/restock`

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use shared::http::{
    IdempotentBody, PathParams, Problem, ProblemDocument, RequestContext, problem, respond, whole,
};
use utoipa::ToSchema;

use super::{InventoryApi, problems, view};
use crate::{
    commands::ChangeProduct,
    domain::{
        naming::{Quantity, Sku},
        product::ProductCommand,
    },
};

/// A delivery of one product.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Restock)]
#[serde(deny_unknown_fields)]
pub(super) struct RestockBody {
    /// How many more there are.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 100, minimum = 1, maximum = 2_147_483_647)]
    quantity: i64,
}

/// Puts a delivery on the shelf, once per Idempotency-Key.
///
/// A repeated request with the same key is given the same answer; nothing is delivered twice.
#[utoipa::path(
    post, path = "/products/{sku}/restock", tag = "stock",
    params(
        ("sku" = String, Path, pattern = "^[A-Za-z0-9._-]{1,64}$"),
        ("Idempotency-Key" = String, Header, pattern = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#,
            description = "The caller's name for this delivery: 1 to 255 visible characters"),
        ("X-Client-Id" = Option<String>, Header, pattern = "^[!-~]{1,100}$",
            description = "Who the caller is: 1 to 100 visible ASCII characters. Keys of different callers never meet; \
                           those who do not say who they are share theirs. This header is not authenticated."),
    ),
    request_body = RestockBody,
    responses(
        (status = 200, description = "The stock after it", body = view::StockView, headers(
            ("Idempotency-Replayed" = String, description = "`true` if this answer was given before"),
        )),
        (status = 400, description = "The key is missing, or the body cannot be read",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such product", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 409, description = "The same product is being worked on", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 422, description = "It cannot be, or the key belongs to another request",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Not now; the same key again tells", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn restock(
    State(api): State<InventoryApi>,
    PathParams(text): PathParams<String>,
    context: RequestContext,
    IdempotentBody { key, body }: IdempotentBody<RestockBody>,
) -> Result<Response, Problem> {
    let sku = Sku::parse(&text).ok_or_else(|| problems::unknown(&text))?;
    let quantity = i32::try_from(body.quantity).ok().and_then(Quantity::new).ok_or_else(|| {
        let detail = "is not between 1 and 2147483647";
        problem::INVALID_BODY.in_parts().with_error("/quantity", "out-of-range", detail)
    })?;
    let command = ProductCommand::Restock { quantity };
    // The path is part of the fingerprint: a key that was used for another product is refused.
    let change = ChangeProduct { sku, command, key: Some(key), trace: Some(context.trace) };
    respond(api.batcher.submit(change).await?, |rejection| problems::rejected(&text, rejection))
}
