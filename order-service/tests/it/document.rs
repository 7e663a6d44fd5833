//! The committed, the served and the printed API description are the same.

use std::{fs, path::Path, process::Command};

use order_service::http::{document_text, problem};
use serde_json::Value;
use shared::http::has_pages;

use crate::kit::Shop;

#[test]
fn the_committed_description_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if fs::read_to_string(&file).unwrap_or_default() != document_text() {
        fs::write(&file, document_text()).unwrap();
        panic!("openapi.json was out of date and has been written anew: look at it and commit it");
    }
}

#[test]
fn the_program_prints_the_description_whatever_its_surroundings_are() {
    let printed = Command::new(env!("CARGO_BIN_EXE_order-service"))
        .arg("--openapi")
        .env("DATABASE_URL", "postgres://nobody@nowhere/nothing")
        .env("HTTP_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&printed.stderr).into_owned();
    assert!(printed.status.success(), "{complaint}");
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), document_text());
}

#[test]
fn every_problem_has_its_page() {
    has_pages(problem::ALL, problem::PAGES).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_its_reader_and_the_pages_are_served() {
    let shop = Shop::open().await;
    let served = shop.get("/openapi.json").await;
    let committed: Value = serde_json::from_str(&document_text()).unwrap();
    assert_eq!(served.json(), committed);
    assert_eq!(shop.get("/swagger-ui/").await.status.as_u16(), 200);
    for kind in problem::ALL {
        let page = shop.get(&format!("/problems/{}", kind.code)).await;
        assert!(String::from_utf8_lossy(&page.bytes).starts_with(&format!("# {}", kind.title)));
    }
}

#[test]
fn every_answer_in_the_description_has_its_form() {
    let document: Value = serde_json::from_str(&document_text()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let form = if status.starts_with('2') {
                    "application/json"
                } else {
                    "application/problem+json"
                };
                let schema = &response["content"][form]["schema"];
                assert!(schema.is_object(), "{method} {path} {status}");
            }
        }
    }
}
