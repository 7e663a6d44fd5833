//! Purity: the domain uses no I/O, no clock and no randomness; `shared` names no business terms.

use super::{
    Sin, assert_none,
    tree::{File, words},
};

/// Crates for I/O and serialisation, and crates that serve these.
const OUTSIDE: [&str; 16] = [
    "apache_avro",
    "axum",
    "futures_util",
    "lettre",
    "metrics",
    "rdkafka",
    "reqwest",
    "secrecy",
    "serde",
    "serde_json",
    "sqlx",
    "tokio",
    "tokio_util",
    "tower",
    "tracing",
    "utoipa",
];

/// Modules of the standard library that do I/O.
const OUTSIDE_STD: [&str; 5] = ["std::fs", "std::io", "std::net", "std::process", "std::thread"];

/// Sources of time and randomness.
const CLOCK_AND_CHANCE: [&str; 7] =
    ["now_utc", "now_local", "Instant", "SystemTime", "fastrand", "now_v7", "new_v7"];

/// Business terms, which the messaging runtime must not name.
const BUSINESS: [&str; 13] = [
    "order",
    "orders",
    "sku",
    "skus",
    "stock",
    "payment",
    "payments",
    "product",
    "products",
    "customer",
    "customers",
    "inventory",
    "refund",
];

fn impure(file: &File) -> Vec<Sin> {
    let is_domain =
        file.in_service().is_some_and(|text| text == "domain.rs" || text.starts_with("domain/"));
    if !is_domain {
        return vec![];
    }
    let code = file.code();
    words(&code)
        .filter(|(_, word)| OUTSIDE.contains(word) || CLOCK_AND_CHANCE.contains(word))
        .chain(OUTSIDE_STD.iter().flat_map(|name| code.match_indices(name)))
        .map(|(at, word)| file.sin(at, format!("the domain uses `{word}`")))
        .collect()
}

fn business_terms(file: &File) -> Vec<Sin> {
    if !file.path.starts_with("shared/src/") || file.is_test() {
        return vec![];
    }
    let (code, strings) = (file.code(), file.strings());
    let said = words(&code).chain(words(&strings).filter(|(at, _)| !is_sql_order(&strings[*at..])));
    let mut sins: Vec<Sin> = said
        .filter(|(_, word)| is_business(word))
        .map(|(at, word)| file.sin(at, format!("the messaging runtime names `{word}`")))
        .collect();
    if file.path.split(['/', '.', '_']).any(|part| BUSINESS.contains(&part)) {
        sins.push(file.sin(0, "a file of the messaging runtime has a business term in its name"));
    }
    sins
}

/// Whether a name has a word of the business in it. What is *in order* is only as it should be.
fn is_business(name: &str) -> bool {
    let parts = parts(name);
    let mut words = parts.iter().enumerate();
    words.any(|(at, text)| {
        let is_in_order = text == "order" && at > 0 && parts[at - 1] == "in";
        BUSINESS.contains(&text.as_str()) && !is_in_order
    })
}

/// SQL sorts by a word of the business.
fn is_sql_order(text: &str) -> bool {
    text.starts_with("ORDER BY")
}

/// The words that a name is made of: `OrderPlaced` and `order_placed` are both order, placed.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for it in name.chars() {
        if it == '_' || (it.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = it.is_lowercase();
        if it != '_' {
            parts.last_mut().unwrap().extend(it.to_lowercase());
        }
    }
    parts
}

#[test]
fn the_domain_knows_no_io_no_clock_and_no_chance() {
    let sins: Vec<Sin> = File::all("rs").iter().flat_map(impure).collect();
    assert_none("decide and evolve are pure: what they need comes in with the command", &sins);
}

#[test]
fn the_messaging_runtime_names_no_business_term() {
    let sins: Vec<Sin> = File::all("rs").iter().flat_map(business_terms).collect();
    assert_none(
        "other workflows use the same messaging runtime: only `contract` may name this one",
        &sins,
    );
}

#[test]
fn an_impure_domain_is_found() {
    let sins = |path, text| impure(&File::planted(path, text)).len();
    for sin in ["use sqlx::PgConnection;", "OffsetDateTime::now_utc()", "std::net::TcpStream"] {
        assert_eq!(sins("order-service/src/domain.rs", sin), 1, "{sin}");
        assert_eq!(sins("order-service/src/domain/order/tests.rs", sin), 1, "{sin}");
        assert_eq!(sins("order-service/src/store.rs", sin), 0, "{sin}");
    }
    let innocent = "// as tokio does\nlet what = \"sqlx\"; let instant = 1;";
    assert_eq!(sins("order-service/src/domain/order.rs", innocent), 0);
}

#[test]
fn a_business_term_in_the_messaging_runtime_is_found() {
    let sins = |path, text| business_terms(&File::planted(path, text)).len();
    for sin in
        ["struct OrderId;", "let stock_left = 1;", "const A: &str = \"payment-done\";", "SKU"]
    {
        assert_eq!(sins("shared/src/relay.rs", sin), 1, "{sin}");
        assert_eq!(sins("contract/src/order.rs", sin), 0, "{sin}");
        assert_eq!(sins("shared/src/codec/tests.rs", sin), 0, "{sin}");
        assert_eq!(sins("order-service/src/app.rs", sin), 0, "{sin}");
    }
    assert_eq!(sins("shared/src/order.rs", "struct Id;"), 1);
    let innocent =
        "// in order\nuse std::sync::atomic::Ordering; let sql = \"SELECT a ORDER BY a\";";
    assert_eq!(sins("shared/src/relay.rs", innocent), 0);
}
