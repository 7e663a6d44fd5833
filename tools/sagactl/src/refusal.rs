//! What a service refused, as a person reads it: title, detail, and each part that is wrong.
//!
//! The texts of a problem (RFC 9457) may come from a stranger: each stays on its line.

use reqwest::{Response, StatusCode};
use serde_json::Value;
use shared::visible_text::visible;

/// The problem that an answer holds; empty if it holds none.
pub async fn problem_of(response: Response) -> Value {
    response.json().await.unwrap_or_default()
}

/// A problem in one line, and a line for each part that is wrong, whatever is in it.
pub fn explain(status: StatusCode, problem: &Value) -> String {
    let text = |value: &Value, name: &str| Some(visible(value.get(name)?.as_str()?).into_owned());
    let title = text(problem, "title").unwrap_or_else(|| {
        status.canonical_reason().unwrap_or("the service refused without a reason").to_owned()
    });
    let errors = problem.get("errors").and_then(Value::as_array).into_iter().flatten();
    let errors = errors.filter_map(|error| Some((text(error, "pointer")?, text(error, "detail")?)));
    let errors: Vec<(String, String)> = errors.collect();
    // Some problems have nothing to add to their title, or repeat there what is wrong.
    let repeats = |detail: &str| {
        detail == title
            || !errors.is_empty() && errors.iter().all(|(_, error)| detail.contains(error.as_str()))
    };
    let detail = text(problem, "detail").filter(|detail| !repeats(detail));
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    let mut lines = vec![format!("{title}{detail} ({})", status.as_u16())];
    lines.extend(errors.iter().map(|(pointer, detail)| format!("  {pointer}: {detail}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_shown_with_each_part_that_is_wrong_on_a_line() {
        let problem = json!({
            "title": "The request body is invalid", "detail": "2 parts are wrong",
            "errors": [
                { "pointer": "/lines/0/sku", "detail": "unknown", "code": "x" },
                { "pointer": "/currency", "detail": "no\nsuch", "code": "y" },
            ],
        });
        assert_eq!(
            explain(StatusCode::UNPROCESSABLE_ENTITY, &problem),
            "The request body is invalid: 2 parts are wrong (422)\n  /lines/0/sku: unknown\n  /currency: no\\nsuch"
        );
    }

    #[test]
    fn a_detail_that_repeats_the_title_and_an_answer_without_a_problem_are_short() {
        let twice = json!({ "title": "Busy", "detail": "Busy" });
        assert_eq!(explain(StatusCode::CONFLICT, &twice), "Busy (409)");
        let repeated = json!({
            "title": "Invalid", "detail": "/a: too long; /b: too short",
            "errors": [
                { "pointer": "/a", "detail": "too long" }, { "pointer": "/b", "detail": "too short" },
            ],
        });
        let expected = "Invalid (422)\n  /a: too long\n  /b: too short";
        assert_eq!(explain(StatusCode::UNPROCESSABLE_ENTITY, &repeated), expected);
        assert_eq!(explain(StatusCode::BAD_GATEWAY, &Value::Null), "Bad Gateway (502)");
    }
}
