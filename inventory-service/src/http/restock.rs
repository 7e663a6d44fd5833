//! `POST /products/{sku}/restock`

use axum::extract::State;
use serde::Deserialize;
use shared::http::{Idempotent, Path, Problem, ProblemDocument, RequestContext, problem};
use utoipa::ToSchema;

use super::{
    Api,
    door::{Reply, Wish},
    problems, view,
};
use crate::domain::{
    naming::{Quantity, Sku},
    product::Command,
};

/// What was delivered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Restock {
    /// How many more there are.
    #[schema(example = 100, minimum = 1)]
    quantity: i32,
}

/// Puts a delivery on the shelf, once per Idempotency-Key.
///
/// Whoever asks again with the same key is given the same answer; nothing is delivered twice.
#[utoipa::path(
    post, path = "/products/{sku}/restock", tag = "stock",
    params(
        ("sku" = String, Path),
        ("Idempotency-Key" = String, Header,
            description = "The caller's name for this delivery: 1 to 255 visible characters"),
        ("X-Client-Id" = Option<String>, Header,
            description = "Who the caller is: 1 to 100 visible ASCII characters. Keys of different callers never meet; \
                           those who do not say who they are share theirs. It proves nothing."),
    ),
    request_body = Restock,
    responses(
        (status = 200, description = "The stock after it", body = view::Stock, headers(
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
    State(api): State<Api>,
    Path(sku): Path<String>,
    context: RequestContext,
    Idempotent { key, fingerprint, body }: Idempotent<Restock>,
) -> Result<Reply, Problem> {
    let sku = Sku::parse(&sku).ok_or_else(|| problems::PRODUCT_UNKNOWN.problem())?;
    let quantity = Quantity::new(body.quantity).ok_or_else(|| {
        let detail = "quantity is not at least 1";
        problem::INVALID_BODY.problem().with_error("/quantity", "out-of-range", detail)
    })?;
    let command = Command::Restock { quantity };
    // The path is part of the fingerprint: a key that was used for another product is refused.
    let (key, trace) = (Some((key, fingerprint)), Some(context.trace));
    api.intake.submit(Wish { sku, command, key, trace }).await?
}
