//! What a process says of itself when it is asked for its numbers.

use std::time::Duration;

use axum::{body::Body, http::Request};
use shared::{db, health::Health, http, telemetry, telemetry::Vitals};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::kit::{self, value_on};

#[tokio::test]
async fn parts_connections_and_memory_are_as_they_are_when_asked() {
    let (_, settings) = kit::database().await;
    let pool = db::pool(&db::Settings { connections_max: 3, ..settings }, "vitals").unwrap();
    let health = Health::default();
    let part = health.component("asked");
    let vitals = Vitals::of(health);
    let metrics = telemetry::init(telemetry::Format::Pretty, "off").unwrap();
    let admin = http::admin(vitals.clone(), metrics);
    let ask = async || {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let answer = admin.clone().oneshot(request).await.unwrap();
        let page = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(page.to_vec()).unwrap()
    };
    assert!(!ask().await.contains("db_connections{"), "there is no pool yet");
    vitals.watch_pool(pool.clone());
    let assert_shows = |page: &str, expected: &[(&str, u32)]| {
        for (series, n) in expected {
            assert_eq!(value_on(page, series).to_string(), n.to_string(), "{series}");
        }
    };
    let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    let page = ask().await;
    assert_shows(
        &page,
        &[
            ("health_ready{part=\"asked\"}", 0),
            ("health_ready{part=\"all\"}", 0),
            ("db_connections{state=\"busy\"}", 2),
            ("db_connections{state=\"idle\"}", 0),
            ("db_connections_max", 3),
        ],
    );
    assert!(value_on(&page, "process_resident_memory_bytes") > 1e6, "{page}");
    assert!(value_on(&page, "process_open_fds") > 2.0, "{page}");
    part.ready();
    for conn in held {
        conn.close().await.unwrap();
    }
    assert_shows(
        &ask().await,
        &[
            ("health_ready{part=\"asked\"}", 1),
            ("health_ready{part=\"all\"}", 1),
            ("db_connections{state=\"busy\"}", 0),
        ],
    );
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Kept as they are, so many measurements would be 320 MB.
const ROUNDS: u32 = 400;
const EACH: u32 = 100_000;
const GROWN_MAX: u64 = 160_000_000;
/// Other tests of this process sort the same numbers on other threads, at which some may be lost
/// (see `Metrics::keep_up`). With a thread that did nothing else it was 1 of 400 at most.
const LOST_MAX: f64 = 400_000.0;

#[tokio::test]
async fn measurements_do_not_pile_up_where_nobody_asks() {
    let metrics = telemetry::init(telemetry::Format::Pretty, "off").unwrap();
    let measured = metrics::histogram!("piled_up_size");
    let stop = CancellationToken::new();
    let measuring = async {
        for _ in 0..ROUNDS {
            measured.record_many(1.0, EACH as usize);
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let before = resident();
    let (kept_up, ()) =
        tokio::join!(metrics.clone().keep_up(Duration::from_millis(5), stop.clone()), measuring);
    kept_up.unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWN_MAX, "{grown} bytes more");
    let all = value_on(&metrics.render(), "piled_up_size_count");
    let made = f64::from(ROUNDS * EACH);
    assert!((made - LOST_MAX..=made).contains(&all), "{all} of {made}");
}
