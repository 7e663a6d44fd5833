use super::*;

fn said(status: StatusCode, answer: &str) -> RegistryError {
    refusal(status, answer.as_bytes())
}

#[test]
fn the_path_of_the_base_url_is_kept_and_names_are_escaped() {
    for base in ["http://host:1/apis/ccompat/v7", "http://host:1/apis/ccompat/v7/"] {
        let url = SchemaRegistry::new(base).unwrap().url(&["subjects", "a b/c-value", "versions"]);
        assert_eq!(url.as_str(), "http://host:1/apis/ccompat/v7/subjects/a%20b%2Fc-value/versions");
    }
    let url = SchemaRegistry::new("http://host:1").unwrap().url(&["config", "s"]);
    assert_eq!(url.as_str(), "http://host:1/config/s");
}

#[test]
fn what_is_no_http_url_is_refused_for_good() {
    for address in ["", "registry:8081", "ftp://registry/", "http://"] {
        let error = SchemaRegistry::new(address).unwrap_err();
        assert!(matches!(error, RegistryError::Address), "{address}: {error}");
        assert!(!error.is_transient());
    }
}

#[test]
fn a_password_in_the_address_is_never_shown() {
    let registry = SchemaRegistry::new("http://me:secret@host/").unwrap();
    assert!(!format!("{registry:?}").contains("secret"));
}

#[test]
fn only_the_registrys_own_word_says_that_a_schema_is_unknown() {
    let known = said(StatusCode::NOT_FOUND, r#"{"error_code":40403,"message":"no"}"#);
    assert!(matches!(known, RegistryError::UnknownSchema));
    for answer in ["", "<html>", "{}", r#"{"message":"no"}"#] {
        let error = said(StatusCode::NOT_FOUND, answer);
        assert!(matches!(error, RegistryError::Unreadable(_)), "{answer}: {error}");
        assert!(error.is_transient());
    }
}

#[test]
fn each_refusal_is_known_by_its_code() {
    let code = |status, code| said(status, &format!(r#"{{"error_code":{code},"message":"why"}}"#));
    let not_found = StatusCode::NOT_FOUND;
    assert!(matches!(code(not_found, 40_401), RegistryError::UnknownSubject));
    assert!(
        matches!(code(StatusCode::CONFLICT, 409), RegistryError::Incompatible(why) if why == "why")
    );
    let invalid = code(StatusCode::UNPROCESSABLE_ENTITY, 42_201);
    assert!(matches!(invalid, RegistryError::Invalid(why) if why == "why"));
    assert!(matches!(code(StatusCode::FORBIDDEN, 40_301), RegistryError::Refused { .. }));
}

#[test]
fn a_registry_in_trouble_is_a_passing_thing() {
    for status in [500, 502, 503, 504, 429, 408] {
        let status = StatusCode::from_u16(status).unwrap();
        let error = said(status, r#"{"error_code":40403,"message":"no"}"#);
        assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
        assert!(error.is_transient());
    }
}
