//! Queries to a Prometheus server.

use sagactl::http_client::http_client;
use serde_json::Value;

/// The values that an expression has now, without those that are none.
pub(super) async fn now(base: &str, expression: &str) -> Result<Vec<f64>, String> {
    let answer = http_client()
        .unwrap()
        .get(format!("{base}/api/v1/query"))
        .query(&[("query", expression)])
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    if answer["status"] != "success" {
        return Err(answer["error"].to_string());
    }
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |one_value: &Value| {
        one_value["value"][1].as_str().and_then(|text| text.parse::<f64>().ok())
    };
    Ok(series.iter().filter_map(value).filter(|n| !n.is_nan()).collect())
}

/// Each alert that is known there, with its health and its state.
pub(super) async fn alerts(base: &str) -> Vec<(String, String, String)> {
    let url = format!("{base}/api/v1/rules");
    let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
    let rules =
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rules.map(|rule| (text(&rule["name"]), text(&rule["health"]), text(&rule["state"]))).collect()
}
