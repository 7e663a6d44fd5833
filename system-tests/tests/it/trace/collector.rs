//! A collector in this process: takes spans by OTLP over HTTP, and keeps them.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

/// A span, and which service recorded it.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) service: String,
    pub(crate) span: Span,
}

type Arrived = Arc<Mutex<Vec<Recorded>>>;

/// Spans that have arrived so far.
pub(crate) struct Collector {
    arrived: Arrived,
    url: String,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let arrived = Arrived::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&arrived));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { arrived, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.arrived.lock().unwrap().clone()
    }
}

async fn take(State(arrived): State<Arrived>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut arrived = arrived.lock().unwrap();
    for of_service in request.resource_spans {
        let named = of_service.resource.iter().flat_map(|resource| &resource.attributes);
        let service = named.filter(|key_value| key_value.key == "service.name").map(text).next();
        let service = service.expect("spans of nobody");
        let spans = of_service.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        arrived.extend(spans.map(|span| Recorded { service: service.clone(), span }));
    }
}

impl Recorded {
    pub(crate) fn name(&self) -> &str {
        &self.span.name
    }

    pub(crate) fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn parent_id(&self) -> Option<String> {
        let id = &self.span.parent_span_id;
        (!id.is_empty()).then(|| hex(id))
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.span.attributes.iter().find(|key_value| key_value.key == name).map(text)
    }

    /// All that it says.
    pub(crate) fn text(&self) -> String {
        let status = self.span.status.as_ref().map_or("", |status| status.message.as_str());
        let attributes = self
            .span
            .attributes
            .iter()
            .map(|attribute| format!("{}={}", attribute.key, text(attribute)));
        format!("{} {status} {}", self.span.name, attributes.collect::<Vec<_>>().join(" "))
    }
}

fn text(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|any_value| any_value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut all, byte| {
        write!(all, "{byte:02x}").unwrap();
        all
    })
}
