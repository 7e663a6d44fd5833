use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Decision {
    Accept,
    Refund,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only read")]
struct Body {
    lines: Vec<Line>,
    decision: Decision,
    note: Option<String>,
    #[serde(default)]
    gift: bool,
    id: Option<Uuid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only read")]
struct Line {
    sku: String,
    #[serde(deserialize_with = "crate::http::whole")]
    quantity: i64,
}

fn body() -> Value {
    json!({ "lines": [{ "sku": "tea", "quantity": 2 }], "decision": "accept", "note": null })
}

/// Where and what, or nothing if it can be read.
fn fault(input: InputValue) -> Option<(String, String)> {
    let error = serde_path_to_error::deserialize::<_, Body>(input).err()?;
    let place = error.path().to_string();
    let fault = error.into_inner();
    let member = fault.member.map(|name| format!("+{name}")).unwrap_or_default();
    Some((place + &member, fault.text))
}

#[test]
fn what_is_wrong_is_told_without_a_word_of_the_program() {
    const LARGE: &str = "is too large or too small a number";
    const MEMBERS: &str = "is not known here; known are lines, decision, note, gift, id";
    const UUID: &str = "has to be a UUID, such as 01a20fcc-a92c-76ef-87b5-a07309aa9900";
    for (pointer, value, place, text) in [
        ("/lines", Value::Null, "lines", "has to be a list, but is null"),
        ("/lines", json!({}), "lines", "has to be a list, but is an object"),
        ("/lines/0", json!("tea"), "lines[0]", "has to be an object, but is 'tea'"),
        ("/lines/0", json!(["tea", 2]), "lines[0]", "has to be an object, but is a list"),
        ("/lines/0", json!({ "sku": "tea" }), "lines[0]+quantity", "is missing"),
        ("/lines/0/sku", json!(7), "lines[0].sku", "has to be a text, but is 7"),
        (
            "/lines/0/quantity",
            json!("2"),
            "lines[0].quantity",
            "has to be a whole number, but is '2'",
        ),
        (
            "/lines/0/quantity",
            json!(1.5),
            "lines[0].quantity",
            "has to be a whole number, but is 1.5",
        ),
        ("/lines/0/quantity", json!(u64::MAX), "lines[0].quantity", LARGE),
        ("/lines/0/quantity", json!(1e300), "lines[0].quantity", LARGE),
        ("/decision", json!("ok"), "decision", "has to be one of accept, refund, but is 'ok'"),
        ("/decision", json!([]), "decision", "has to be one of accept, refund, but is a list"),
        ("/gift", json!("yes"), "gift", "has to be true or false, but is 'yes'"),
        ("/note", json!(true), "note", "has to be a text, but is true"),
        ("/phone", json!(1), "phone", MEMBERS),
        ("/id", json!("seven"), "id", UUID),
    ] {
        let mut body = body();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap();
        match name.parse::<usize>() {
            Ok(at) => parent[at] = value,
            Err(_name) => parent[name] = value,
        }
        let told = fault(InputValue::Json(body));
        assert_eq!(told, Some((place.to_owned(), text.to_owned())), "{pointer}");
    }
    assert_eq!(fault(InputValue::Json(body())), None);
    let whole = |value: Value| fault(InputValue::Json(value)).unwrap().1;
    assert_eq!(whole(json!([[], "accept"])), "has to be an object, but is a list");
    let long = format!("has to be an object, but is '{}…'", "x".repeat(60));
    assert_eq!(whole(json!("x".repeat(100))), long);
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    limit: Option<u16>,
    offset: Option<i64>,
    open: Option<bool>,
    cursor: Option<Uuid>,
}

fn query(text: &str) -> Result<Query, (String, String)> {
    let parts = text.split('&').filter_map(|part| part.split_once('='));
    let parts = parts.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    serde_path_to_error::deserialize(InputValue::Query(parts)).map_err(|error| {
        let place = error.path().to_string();
        let fault = error.into_inner();
        (fault.member.map_or(place, ToOwned::to_owned), fault.text)
    })
}

#[test]
fn a_text_is_read_as_what_is_wanted_there() {
    let read = query("limit=10&offset=-3&open=true&cursor=01a20fcc-a92c-76ef-87b5-a07309aa9900");
    let cursor = Uuid::parse_str("01a20fcc-a92c-76ef-87b5-a07309aa9900").ok();
    let all = Query { limit: Some(10), offset: Some(-3), open: Some(true), cursor };
    assert_eq!(read, Ok(all));
    for (text, place, told) in [
        ("limit=ten", "limit", "has to be a whole number, but is 'ten'"),
        ("limit=", "limit", "has to be a whole number, but is ''"),
        ("limit=1.5", "limit", "has to be a whole number, but is '1.5'"),
        ("limit=-1", "limit", "has to be a whole number from 0 to 65535, but is -1"),
        ("limit=65536", "limit", "has to be a whole number from 0 to 65535, but is 65536"),
        ("limit=99999999999999999999", "limit", "is too large or too small a number"),
        ("open=yes", "open", "has to be true or false, but is 'yes'"),
        ("limit=1&limit=2", "limit", "is given more than once"),
        ("sort=price", "sort", "is not known here; known are limit, offset, open, cursor"),
    ] {
        assert_eq!(query(text), Err((place.to_owned(), told.to_owned())), "{text}");
    }
}
