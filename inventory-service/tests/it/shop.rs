//! The service with its REST API on a socket.

use std::sync::Arc;

use inventory_service::{
    commands::ChangeProducts,
    http::{InventoryApi, routes},
};
use reqwest::{Client, Response, StatusCode, header};
use serde_json::{Value, json};
use shared::{
    admission::AdmissionGate,
    batcher::{self, CommandBatcher},
    effects::WorkerWakers,
    http,
    lifecycle::{ProcessLifecycle, StopStage},
};

use crate::kit::{PATIENCE, TestService};

/// One instance of the service over a test kit.
pub(crate) struct Shop {
    pub(crate) service: Arc<TestService>,
    pub(crate) client: Client,
    pub(crate) batcher: CommandBatcher<ChangeProducts>,
    base: String,
    _life: ProcessLifecycle,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::of(TestService::new().await).await
    }

    /// Another instance over the same database.
    pub(crate) async fn of(service: Arc<TestService>) -> Self {
        let parts = batcher::BatcherParts {
            name: "test",
            batch: ChangeProducts { app: service.app.clone() },
            pool: service.pool.clone(),
            wakers: WorkerWakers::default(),
            gate: AdmissionGate::default(),
        };
        let (transaction_limit, lock_limit) = (PATIENCE, PATIENCE);
        let settings = batcher::BatcherSettings {
            transaction_limit,
            lock_limit,
            ..batcher::BatcherSettings::default()
        };
        let (batcher, worker) = CommandBatcher::new(parts, settings);
        let life = ProcessLifecycle::new(PATIENCE);
        life.start(StopStage::Work, "batcher", |stop| worker.run(stop));
        let limits =
            http::HttpSettings { request_limit: 2 * PATIENCE, ..http::HttpSettings::default() };
        let listener = http::bind("http", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = routes(InventoryApi { batcher: batcher.clone(), pool: service.pool.clone() });
        let router = http::finish(router, &limits);
        life.start(StopStage::Edges, "http", |stop| http::serve(listener, router, limits, stop));
        Self { service, client: Client::new(), batcher, base, _life: life }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    pub(crate) async fn put(&self, sku: &str, body: &Value) -> (StatusCode, Option<String>, Value) {
        let request = self.client.put(self.url(&format!("/products/{sku}"))).json(body);
        let response = request.send().await.unwrap();
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|value| value.to_str().unwrap().to_owned());
        (response.status(), location, response.json().await.unwrap())
    }

    pub(crate) async fn restock(&self, sku: &str, key: &str, quantity: i32) -> (StatusCode, Value) {
        self.restock_with(sku, key, &json!({"quantity": quantity})).await
    }

    pub(crate) async fn restock_with(
        &self,
        sku: &str,
        key: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let response = self.restock_as("ada", sku, key, body).await;
        (response.status(), response.json().await.unwrap())
    }

    pub(crate) async fn restock_as(
        &self,
        client: &str,
        sku: &str,
        key: &str,
        body: &Value,
    ) -> Response {
        let request = self.client.post(self.url(&format!("/products/{sku}/restock")));
        let request = request.header("Idempotency-Key", key).header("X-Client-Id", client);
        request.json(body).send().await.unwrap()
    }
}

/// The code of a problem.
pub(crate) fn code(problem: &Value) -> &str {
    problem["code"].as_str().unwrap_or_default()
}
