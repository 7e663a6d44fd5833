//! How much is logged does not depend on how much is done, nor on how much of it fails.

use std::{fs, time::Instant};

use sagactl::{
    cli,
    fleet::{Fleet, Member},
    load,
    screen::Board,
};
use serde_json::json;

use super::exposition;
use crate::stage::{self, Stage};

/// Lines that may be written meanwhile: what a service says of itself now and then.
const LINES_MAX: usize = 20;

/// The lines of all services that are written at the usual level.
fn lines(fleet: &Fleet) -> Vec<String> {
    let log = |member| fs::read_to_string(fleet.log_file(member)).unwrap();
    let logs: Vec<String> = Member::SERVICES.map(log).into();
    logs.iter().flat_map(|it| it.lines()).map(str::to_owned).collect()
}

/// Places orders of every outcome; answers what was logged meanwhile.
async fn logged(stage: &Stage, orders: u64) -> Vec<String> {
    let before = lines(&stage.fleet);
    assert!(before.iter().any(|it| it.contains("\"level\":\"INFO\"")), "no line can be read");
    let options = load::Options {
        orders,
        clients: 8,
        products: 20,
        limit_seconds: 300,
        tables: false,
        from: cli::From::Auto,
        at: None,
    };
    load::drive(&stage.fleet, None, &options, &Board::new()).await.unwrap();
    let mut logged = lines(&stage.fleet);
    for line in before {
        let at = logged.iter().position(|it| *it == line).unwrap();
        logged.swap_remove(at);
    }
    logged
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_logged_for_each_order_or_message() {
    let stage = stage::open().await;
    let logged = logged(&stage, 200).await;
    assert!(logged.len() <= LINES_MAX, "{} lines\n{}", logged.len(), logged.join("\n"));
    assert_eq!(stage.fleet.stop().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_logged_for_each_attempt_that_fails() {
    let stage = stage::open().await;
    let faults = format!("{}/faults", stage.fleet.url(Member::Gateway));
    let http = sagactl::client::http().unwrap();
    let broken = http.put(faults).json(&json!({ "refuse_rate": 0.4 })).send().await.unwrap();
    assert!(broken.status().is_success());
    let began = Instant::now();
    let logged = logged(&stage, 150).await;
    // One in ten seconds, however slow the machine is.
    let told_max = began.elapsed().as_secs() / 10 + 2;
    let admin = stage.fleet.admin(Member::Payments);
    let page = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
    let refused =
        exposition::value(&page, "job_attempts_total{kind=\"charge\",outcome=\"refused\"}");
    assert!(refused > 30.0, "{refused} attempts have failed");
    let of_charges = |it: &&String| it.contains("an attempt failed") && it.contains("\"charge\"");
    let told = logged.iter().filter(of_charges).count() as u64;
    assert!((1..=told_max).contains(&told), "{told} failures are told\n{}", logged.join("\n"));
    assert_eq!(stage.fleet.stop().await.unwrap(), Vec::<String>::new());
}
