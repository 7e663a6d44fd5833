//! `POST /orders`

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use shared::http::{
    IdempotentBody, Problem, ProblemDocument, RequestContext, problem, respond, whole,
};
use utoipa::ToSchema;

use super::{
    OrderApi,
    problem::{invalid, not_orderable},
    view::Acceptance,
};
use crate::{
    commands,
    domain::{
        catalogue::Sku,
        contact::{BadPaymentMethod, CustomerName, EmailAddress, PaymentMethod},
        draft::{Customer, DraftFault, DraftLine, OrderDraft},
        money::{BadOrderCurrency, Currency, Quantity},
    },
};

/// An order as it is asked for.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = PlaceOrder)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceOrderBody {
    /// What, each SKU once.
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<WishedLine>,
    /// ISO 4217; all products have to be sold for it.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: String,
    /// The payment method's token, as the payment gateway gave it out. Never a card number.
    #[schema(example = "tok_visa", pattern = "^[A-Za-z0-9_-]{1,255}$")]
    payment_method: String,
    /// The customer whom this service notifies.
    customer: CustomerBody,
}

/// A line of it.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WishedLine {
    /// The product's stock keeping unit.
    #[schema(example = "coffee-beans", pattern = "^[A-Za-z0-9._-]{1,64}$")]
    sku: String,
    /// How many pieces are ordered.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000, example = 2)]
    quantity: i64,
}

/// The customer whom this service notifies.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerBody {
    /// The mail address for notifications.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
    /// The customer's name, for the salutation.
    #[schema(example = "Ada Lovelace", min_length = 1, max_length = 200)]
    name: Option<String>,
}

/// Places an order.
///
/// It is accepted at once, and carried out behind this answer: how it goes on is under `Location`.
/// The same `Idempotency-Key` with the same body is the same order, and gets the same answer, for a
/// day.
#[utoipa::path(
    post,
    path = "/orders",
    tag = "orders",
    params(
        ("Idempotency-Key" = String, Header, pattern = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#,
            description = "Your name for this request: 1 to 255 visible ASCII characters, in quotes or bare. \
                           Choose a new one for a new order, and the same one to ask again."),
        ("X-Client-Id" = Option<String>, Header, pattern = "^[!-~]{1,100}$",
            description = "Who you are: 1 to 100 visible ASCII characters. Keys of different clients never meet; \
                           those who do not say who they are share theirs. This header is not authenticated."),
    ),
    request_body = PlaceOrderBody,
    responses(
        (status = 202, description = "It is accepted.", body = Acceptance, headers(
            ("Location" = String, description = "Where the order is."),
            ("Retry-After" = u32, description = "When to look there, in seconds."),
            ("Idempotency-Replayed" = String, description = "`true` if this answer was given before."),
        )),
        (status = 400, description = "The request cannot be read, or its key is missing or malformed.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The same key is being worked on at this moment.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON by its content type.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "This cannot be ordered, or the key belongs to another request.",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Not now: ask again after `Retry-After`, with the same key.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn place_order(
    State(api): State<OrderApi>,
    context: RequestContext,
    request: IdempotentBody<PlaceOrderBody>,
) -> Result<Response, Problem> {
    let IdempotentBody { key, body } = request;
    let order = commands::PlaceOrder { key, draft: body.check()?, trace: context.trace };
    let answered = api.place.submit(order).await?;
    let mut response = respond(answered, |faults| not_orderable(&faults))?;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}

impl PlaceOrderBody {
    /// Reads each part; says everything that is wrong at once.
    fn check(self) -> Result<OrderDraft, Problem> {
        if !(1..=OrderDraft::LINES_MAX).contains(&self.lines.len()) {
            return Err(invalid(&[DraftFault::LineCount]));
        }
        let mut wrong = FieldErrors(problem::INVALID_BODY.in_parts());
        let wishes: Vec<_> = self
            .lines
            .iter()
            .enumerate()
            .map(|(line, one_line)| {
                let at = |part: &str| format!("/lines/{line}/{part}");
                let sku = wrong.unless(at("sku"), "malformed-sku", Sku::parse(&one_line.sku));
                let quantity =
                    wrong.unless(at("quantity"), "out-of-range", Quantity::new(one_line.quantity));
                Some(DraftLine { sku: sku?, quantity: quantity? })
            })
            .collect();
        let currency = Currency::of_new_order(&self.currency);
        let code = match currency {
            Err(BadOrderCurrency::Unknown) => "unknown-currency",
            Ok(_) | Err(BadOrderCurrency::Malformed(_)) => "malformed-currency",
        };
        let currency = wrong.unless("/currency", code, currency);
        let method = PaymentMethod::parse(&self.payment_method);
        let code = match method {
            Err(BadPaymentMethod::CardNumber) => "card-number",
            Ok(_) | Err(BadPaymentMethod::NoToken) => "malformed-token",
        };
        let method = wrong.unless("/payment_method", code, method);
        let email = EmailAddress::parse(&self.customer.email);
        let email = wrong.unless("/customer/email", "malformed-email", email);
        let name = self.customer.name.as_deref().map(CustomerName::parse).transpose();
        let name = wrong.unless("/customer/name", "malformed-name", name);
        let all = || {
            let customer = Customer { email: email?, name: name? };
            Some((wishes.into_iter().collect::<Option<_>>()?, currency?, method?, customer))
        };
        let (wishes, currency, method, customer) = all().ok_or(wrong.0)?;
        OrderDraft::new(wishes, currency, method, customer).map_err(|faults| invalid(&faults))
    }
}

/// What is wrong so far.
struct FieldErrors(Problem);

impl FieldErrors {
    /// Notes what is wrong at a place, unless it is right.
    fn unless<T, E: std::error::Error>(
        &mut self,
        pointer: impl Into<String>,
        code: &'static str,
        read: Result<T, E>,
    ) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.0 = self.0.clone().with_error(pointer, code, error.to_string());
                None
            }
        }
    }
}
