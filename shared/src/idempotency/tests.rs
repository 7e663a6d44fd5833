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

fn of(text: &str) -> RequestFingerprint {
    RequestFingerprint::of("POST", "/things", &serde_json::from_str(text).unwrap())
}

#[test]
fn a_fingerprint_sees_the_value_not_its_spelling() {
    for (one, other) in [
        (r#"{"a":1,"b":[2,{"d":3,"c":4}]}"#, r#" {"b":[2,{"c":4,"d":3}], "\u0061":1} "#),
        (r#"{"quantity":2}"#, r#"{"quantity":2.0}"#),
        ("[1,10,0.001,-0]", "[1e0,1E1,1e-3,0]"),
        (r#"[{"lines":[{"n":100}]}]"#, r#"[{"lines":[{"n":1.00e2}]}]"#),
        (r#""\u20ac/\n\ud83d\ude00""#, "\"\u{20ac}\\/\\u000a\u{1f600}\""),
        // Names are sorted by UTF-16 (RFC 8785, 3.2.3), whatever order they are sent in.
        (
            "{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\u{20ac}\":3}",
            "{\"\u{20ac}\":3,\"\u{fb33}\":1,\"\u{1f600}\":2}",
        ),
    ] {
        assert_eq!(of(one), of(other), "{one} {other}");
    }
    for (one, other) in [
        (r#"{"a":1}"#, r#"{"a":2}"#),
        ("[[1],2]", "[1,[2]]"),
        (r#""1""#, "1"),
        ("2", "2.5"),
        ("9007199254740991", "9007199254740990"),
        (r#""\u0041\u030a""#, r#""\u00c5""#),
    ] {
        assert_ne!(of(one), of(other), "{one} {other}");
    }
}

#[test]
fn a_fingerprint_is_the_digest_of_the_canonical_form_of_rfc_8785() {
    let body =
        r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3],"literals":[true,false],"a":null}"#;
    let text = b"POST\0/things\0\
        {\"literals\":[true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002]}";
    assert_eq!(of(body).as_bytes(), &Sha256::digest(text)[..]);
}

#[test]
fn a_name_without_a_value_is_as_good_as_none_and_a_value_without_a_name_is_not() {
    assert_eq!(of(r#"{"a":1,"b":null,"c":[{"d":null}]}"#), of(r#"{"a":1,"c":[{}]}"#));
    assert_ne!(of("[null]"), of("[]"));
    assert_ne!(of("{}"), of("null"));
}

#[test]
fn a_request_is_known_by_the_fingerprints_that_earlier_versions_kept() {
    let (understood, spelling) = (json!({ "n": 2 }), json!({ "n": 2.0, "name": null }));
    let now = RequestFingerprint::of_spelled("POST", "/things", &understood, &spelling);
    // The SHA-256 of the texts that were digested then.
    for text in [&b"POST\0/things\0{\"n\":2.0,\"name\":null,}"[..], b"POST\0/things\0{\"n\":2,}"] {
        let kept = RequestFingerprint::from_bytes(&Sha256::digest(text)).unwrap();
        assert!(now.is_of(&kept));
        let three = json!({ "n": 3 });
        assert!(!RequestFingerprint::of_spelled("POST", "/things", &three, &three).is_of(&kept));
    }
    assert!(now.is_of(&RequestFingerprint::of("POST", "/things", &understood)));
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
