//! The table of `gateway`, answer by answer.

use super::*;

fn reply(status: u16, body: &str) -> HttpReply {
    let status = StatusCode::from_u16(status).unwrap();
    HttpReply::new(status, Some(Duration::from_secs(3)), body.as_bytes().to_vec())
}

fn refusal(kind: &str, code: &str) -> String {
    format!(r#"{{"error": {{"type": "{kind}", "code": "{code}", "message": "no"}}}}"#)
}

#[test]
fn each_answer_has_its_meaning() {
    for (status, body, verdict) in [
        (200, String::new(), ReplyVerdict::Done),
        (201, String::new(), ReplyVerdict::Done),
        (400, refusal("invalid_request_error", "parameter_invalid"), ReplyVerdict::Never),
        (404, refusal("invalid_request_error", "resource_missing"), ReplyVerdict::Never),
        (400, refusal("idempotency_error", "idempotency_key_reused"), ReplyVerdict::KeyReused),
        (401, String::new(), ReplyVerdict::NotNow),
        (403, String::new(), ReplyVerdict::NotNow),
        (429, String::new(), ReplyVerdict::NotNow),
        (503, refusal("api_error", "unavailable"), ReplyVerdict::NotNow),
        (402, refusal("card_error", "card_declined"), ReplyVerdict::Declined),
        (409, refusal("idempotency_error", "idempotency_key_in_use"), ReplyVerdict::Open),
        (500, refusal("api_error", "internal"), ReplyVerdict::Open),
        (502, String::new(), ReplyVerdict::Open),
        (504, String::new(), ReplyVerdict::Open),
        (202, String::new(), ReplyVerdict::Open),
        (302, String::new(), ReplyVerdict::Open),
        (408, String::new(), ReplyVerdict::Open),
        (422, refusal("something_new", "odd"), ReplyVerdict::Open),
        // Not the gateway's own words.
        (400, "<html>bad request</html>".to_owned(), ReplyVerdict::Open),
        (402, String::new(), ReplyVerdict::Open),
        (404, "not found".to_owned(), ReplyVerdict::Open),
    ] {
        assert_eq!(reply(status, &body).verdict(), verdict, "{status} {body}");
    }
}

#[test]
fn a_charge_is_read_and_its_currency_is_upper_case() {
    let body = r#"{"id": "ch_1", "amount": 42, "currency": "eur", "status": "succeeded", "x": 1}"#;
    let charge = reply(200, body).charge().unwrap();
    assert_eq!((charge.id.as_str(), charge.amount.minor), ("ch_1", 42));
    assert_eq!(charge.amount.currency.as_str(), "EUR");
}

#[test]
fn a_charge_that_cannot_be_understood_may_have_happened() {
    for body in [
        "",
        "{}",
        r#"{"id": "ch_1", "amount": 42, "currency": "EUR", "status": "pending"}"#,
        r#"{"id": "ch_1", "amount": 42, "currency": "?", "status": "succeeded"}"#,
        r#"{"id": "ch_1", "amount": 4.2, "currency": "EUR", "status": "succeeded"}"#,
    ] {
        let failure = reply(200, body).charge().unwrap_err();
        assert!(matches!(failure, AttemptFailure::InDoubt { .. }), "{body}");
    }
    let failure = reply(200, r#"{"id": "re_1", "status": "pending"}"#).refund_id().unwrap_err();
    assert!(matches!(failure, AttemptFailure::InDoubt { .. }));
}

#[test]
fn the_code_of_a_decline_is_the_banks_where_there_is_one() {
    let body = r#"{"error": {"type": "card_error", "code": "card_declined",
        "decline_code": "insufficient_funds"}}"#;
    assert_eq!(reply(402, body).code(), "insufficient_funds");
    assert_eq!(reply(402, &refusal("card_error", "card_declined")).code(), "card_declined");
    let long = refusal("card_error", &"x".repeat(1_000));
    assert_eq!(reply(402, &long).code().len(), CODE_CHARS_MAX);
}

#[test]
fn a_gateway_that_says_when_is_asked_then() {
    let failure = reply(503, &refusal("api_error", "unavailable")).not_now();
    let AttemptFailure::NoEffect { retry_after, .. } = failure else { panic!("{failure:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn an_answer_is_an_answer_whatever_it_says_of_the_money() {
    for (status, kind, answered) in [
        (200, "", true),
        (402, "card_error", true),
        (400, "invalid_request_error", true),
        (400, "idempotency_error", true),
        (409, "idempotency_error", true),
        (401, "", false),
        (429, "", false),
        (500, "api_error", false),
        (502, "", false),
        (503, "api_error", false),
    ] {
        assert_eq!(reply(status, &refusal(kind, "x")).is_an_answer(), answered, "{status} {kind}");
    }
}

#[test]
fn what_the_customer_wants_and_cannot_have_is_told_from_a_request_that_is_wrong() {
    for (status, code, terms) in [
        (400, "amount_too_small", true),
        (400, "amount_too_large", true),
        (404, "resource_missing", true),
        (400, "parameter_invalid", false),
        (400, "idempotency_key_invalid", false),
    ] {
        let reply = reply(status, &refusal("invalid_request_error", code));
        assert_eq!(reply.refuses_terms(), terms, "{code}");
    }
}
