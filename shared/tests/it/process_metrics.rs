//! The metrics of a process.

use axum::{body::Body, http::Request};
use shared::{
    db,
    health::ProcessHealth,
    http::{self, AdminRoutes},
    telemetry,
    telemetry::ProcessMetrics,
};
use tower::ServiceExt as _;

use crate::kit::{self, value_on};

#[tokio::test]
async fn parts_connections_and_memory_are_as_they_are_when_asked() {
    let (_, settings) = kit::database().await;
    let pool =
        db::pool(&db::DatabaseSettings { connections_max: 3, ..settings }, "process_metrics")
            .unwrap();
    let health = ProcessHealth::default();
    let part = health.component("asked");
    let process_metrics = ProcessMetrics::of(health);
    let metrics = telemetry::init(telemetry::LogFormat::Pretty, "off").unwrap();
    let settings = http::HttpSettings::default();
    let admin =
        AdminRoutes::new("loan-service", process_metrics.clone(), metrics, settings).router();
    let ask = async || {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let answer = admin.clone().oneshot(request).await.unwrap();
        let page = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(page.to_vec()).unwrap()
    };
    assert!(!ask().await.contains("db_connections{"), "there is no pool yet");
    process_metrics.watch_pool(pool.clone());
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
            ("db_connections_refused", 0),
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
