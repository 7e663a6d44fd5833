//! A proxy in front of the registry that counts requests, refuses those that a test names, and can
//! act as a registry whose ids were reset.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use shared::schema_registry::SchemaRegistry;
use tokio::{net::TcpListener, task::JoinSet};

/// The offset that a registry of another generation adds to each id.
const ANEW: u64 = 1_000_000;

/// The proxy. Dropping it stops it.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<Mutex<Told>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Told {
    behind: String,
    client: reqwest::Client,
    asked: Vec<(Method, String)>,
    refusal: Option<(u16, u32)>,
    counted_anew: bool,
    level_of_all: Option<&'static str>,
    open: usize,
    open_most: usize,
}

impl Proxy {
    /// A proxy in front of the registry at this URL.
    pub(crate) async fn before(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let behind = format!("{scheme}://{host}");
        // Installs what the HTTP client needs.
        SchemaRegistry::new(&behind).unwrap();
        let state = Arc::new(Mutex::new(Told { behind, ..Told::default() }));
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let url = format!("http://{}/{path}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(forward).with_state(Arc::clone(&state));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, state, _serving: serving }
    }

    /// From now on every write is refused with this text.
    pub(crate) fn refuse_writes(&self, status: u16, code: u32) {
        self.state.lock().unwrap().refusal = Some((status, code));
    }

    /// From now on the registry knows none of its earlier ids.
    pub(crate) fn count_anew(&self) {
        self.state.lock().unwrap().counted_anew = true;
    }

    /// From now on no subject has a setting of its own, and this global one applies.
    pub(crate) fn set_level_of_all(&self, level: &'static str) {
        self.state.lock().unwrap().level_of_all = Some(level);
    }

    /// The ids that were requested since the last call, in order.
    pub(crate) fn ids_asked(&self) -> Vec<u32> {
        let asked = std::mem::take(&mut self.state.lock().unwrap().asked);
        let id = |path: &str| path.split_once("/schemas/ids/")?.1.parse().ok();
        asked.iter().filter_map(|(_, path)| id(path)).collect()
    }

    /// The number of writes since the last call.
    pub(crate) fn writes(&self) -> usize {
        let asked = std::mem::take(&mut self.state.lock().unwrap().asked);
        asked.iter().filter(|(method, path)| writes(method, path)).count()
    }

    /// The most requests that were open at the same time.
    pub(crate) fn open_most(&self) -> usize {
        self.state.lock().unwrap().open_most
    }
}

/// A lookup is a `POST` as well, but writes nothing.
fn writes(method: &Method, path: &str) -> bool {
    method == Method::PUT || method == Method::POST && path.ends_with("/versions")
}

async fn forward(State(state): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let (server, refusal, counted_anew, level) = {
        let mut told = state.lock().unwrap();
        told.asked.push((head.method.clone(), path.clone()));
        told.open += 1;
        told.open_most = told.open_most.max(told.open);
        let level = told.level_of_all.filter(|_| path.contains("/config"));
        ((told.client.clone(), told.behind.clone()), told.refusal, told.counted_anew, level)
    };
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let answer = match (refusal, id_in(&path), counted_anew) {
        (Some((status, code)), ..) if writes(&head.method, &path) => refused(status, code),
        _ if level.is_some() && path.contains("/config/") => refused(404, 40_408),
        _ if level.is_some() => axum::Json(json!({ "compatibilityLevel": level })).into_response(),
        (_, Some(id), true) if id < ANEW => refused(404, 40_403),
        (_, Some(id), true) => {
            let path = path.replace(&id.to_string(), &(id - ANEW).to_string());
            pass_on(&server, (&head.method, &path), body).await
        }
        _ => pass_on(&server, (&head.method, &path), body).await,
    };
    state.lock().unwrap().open -= 1;
    if counted_anew { renumbered(answer).await } else { answer }
}

fn id_in(path: &str) -> Option<u64> {
    path.split_once("/schemas/ids/")?.1.parse().ok()
}

fn refused(status: u16, code: u32) -> Response {
    let body = json!({ "error_code": code, "message": "the test refuses" });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

async fn pass_on(
    (client, behind): &(reqwest::Client, String),
    (method, path): (&Method, &str),
    body: Bytes,
) -> Response {
    let mut request = client.request(method.clone(), format!("{behind}{path}"));
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json").body(body);
    }
    match request.send().await {
        Ok(answer) => {
            let (status, body) = (answer.status(), answer.bytes().await.unwrap_or_default());
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(_lost) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// The same answer with the ids of another generation.
async fn renumbered(answer: Response) -> Response {
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&body) else {
        return (head.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    };
    if let Some(id) = object.get("id").and_then(Value::as_u64) {
        object.insert("id".to_owned(), (id + ANEW).into());
    }
    (head.status, axum::Json(Value::Object(object))).into_response()
}
