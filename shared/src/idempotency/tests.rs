use std::collections::{HashMap, HashSet};

use axum::http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    batch::{IdempotencyVerdict, verdicts},
    *,
};

fn headers(values: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("idempotency-key", HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn a_key_in_quotes_and_a_bare_one_are_the_same() {
    let quoted = IdempotencyKey::from_headers(&headers(&[r#""8e03978e-40d5""#])).unwrap();
    let bare = IdempotencyKey::from_headers(&headers(&["8e03978e-40d5"])).unwrap();
    assert_eq!(quoted, bare);
    assert_eq!(IdempotencyKey::parse(r#""a\"b\\c""#).unwrap().as_str(), r#"a"b\c"#);
}

#[test]
fn what_is_not_one_key_is_refused() {
    assert_eq!(IdempotencyKey::from_headers(&headers(&[])), Err(BadKey::Missing));
    assert_eq!(IdempotencyKey::from_headers(&headers(&["a", "a"])), Err(BadKey::Repeated));
    let long = "k".repeat(256);
    for text in
        ["", "  ", "\"\"", "\"a", "\"a\" b", "\"a\"b\"", r#""a\b""#, "a b", "schlüssel", &long]
    {
        assert_eq!(IdempotencyKey::parse(text), Err(BadKey::Malformed), "{text}");
    }
    assert_eq!(IdempotencyKey::parse(&long[1..]).unwrap().as_str().len(), 255);
}

#[test]
fn a_fingerprint_sees_the_value_not_its_spelling() {
    let of = |text: &str| {
        RequestFingerprint::of("POST", "/things", &serde_json::from_str(text).unwrap())
    };
    assert_eq!(
        of(r#"{"a":1,"b":[2,{"d":3,"c":4}]}"#),
        of(r#" {"b":[2,{"c":4,"d":3}], "\u0061":1} "#)
    );
    assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":2}"#));
    assert_ne!(of("[[1],2]"), of("[1,[2]]"));
    assert_ne!(of(r#""1""#), of("1"));
}

#[test]
fn a_name_without_a_value_is_as_good_as_none_and_a_value_without_a_name_is_not() {
    let of = |text: &str| {
        RequestFingerprint::of("POST", "/things", &serde_json::from_str(text).unwrap())
    };
    assert_eq!(of(r#"{"a":1,"b":null,"c":[{"d":null}]}"#), of(r#"{"a":1,"c":[{}]}"#));
    assert_ne!(of("[null]"), of("[]"));
    assert_ne!(of("{}"), of("null"));
}

#[test]
fn a_request_is_known_by_the_fingerprint_that_an_earlier_version_kept() {
    let (understood, spelling) = (json!({ "n": 2 }), json!({ "n": 2.0, "name": null }));
    let now = RequestFingerprint::of_spelled("POST", "/things", &understood, &spelling);
    // The SHA-256 of the text that was digested then.
    let text = b"POST\0/things\0{\"n\":2.0,\"name\":null,}";
    let kept = RequestFingerprint::from_bytes(&Sha256::digest(text)).unwrap();
    assert!(now.is_of(&kept));
    assert!(now.is_of(&RequestFingerprint::of("POST", "/things", &understood)));
    let other =
        RequestFingerprint::of_spelled("POST", "/things", &json!({ "n": 3 }), &json!({ "n": 3 }));
    assert!(!other.is_of(&kept));
}

#[test]
fn a_fingerprint_sees_method_and_path() {
    let of = |method, path| RequestFingerprint::of(method, path, &Value::Null);
    assert_ne!(of("POST", "/things"), of("PUT", "/things"));
    assert_ne!(of("POST", "/things/1"), of("POST", "/things/2"));
}

/// A request of the properties below: few keys and bodies, so that repeats are frequent.
fn request() -> impl Strategy<Value = (u8, u8)> {
    (0..4_u8, 0..3_u8)
}

fn scoped(key: u8) -> ScopedKey {
    ScopedKey {
        scope: "POST /things".to_owned(),
        key: IdempotencyKey::parse(&format!("key-{key}")).unwrap(),
    }
}

fn fingerprint(body: u8) -> RequestFingerprint {
    RequestFingerprint::of("POST", "/things", &json!(body))
}

proptest! {
    #[test]
    fn each_key_is_processed_once_and_answered_only_for_its_own_request(
        requests in proptest::collection::vec(request(), 0..20),
        answered in proptest::collection::hash_map(0..4_u8, 0..3_u8, 0..4),
    ) {
        let stored: HashMap<_, _> = answered
            .iter()
            .map(|(key, body)| {
                let answer = HttpAnswer { status: 202, location: None, body: body.to_string() };
                (scoped(*key), StoredAnswer { fingerprint: fingerprint(*body), answer })
            })
            .collect();
        let keys: Vec<_> = requests
            .iter()
            .map(|(key, body)| RequestKey { key: scoped(*key), fingerprint: fingerprint(*body) })
            .collect();
        let verdicts = verdicts(&keys.iter().map(Some).collect::<Vec<_>>(), &stored);
        prop_assert_eq!(verdicts.len(), requests.len());
        let mut first = HashSet::new();
        for (place, (verdict, (key, body))) in verdicts.iter().zip(&requests).enumerate() {
            match verdict {
                IdempotencyVerdict::First => {
                    prop_assert!(!answered.contains_key(key));
                    prop_assert!(first.insert(*key));
                }
                IdempotencyVerdict::Replay(_) => prop_assert_eq!(answered.get(key), Some(body)),
                IdempotencyVerdict::RepeatOf(earlier) => {
                    prop_assert!(*earlier < place);
                    prop_assert_eq!(&verdicts[*earlier], &IdempotencyVerdict::First);
                    prop_assert_eq!(requests[*earlier], (*key, *body));
                }
                IdempotencyVerdict::KeyReused => {
                    let bound = answered.get(key).copied().or_else(|| {
                        requests.iter().find(|(earlier, _)| earlier == key).map(|(_, body)| *body)
                    });
                    prop_assert_ne!(bound, Some(*body));
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_key_parser_panic(text: String) {
        drop(IdempotencyKey::parse(&text));
    }
}
