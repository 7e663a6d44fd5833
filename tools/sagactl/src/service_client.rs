//! Calls of one service over HTTP: where nobody answers or the call is refused, the error says what
//! to do next.

use std::{error::Error, fmt};

use anyhow::Context as _;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::{
    http_client::http_client,
    refusal::{explain, problem_of},
    which_system::{AddressSource, ServiceAddress},
};

/// A service, as this program reaches it.
#[derive(Clone, Debug)]
pub struct ServiceClient {
    http: reqwest::Client,
    address: ServiceAddress,
}

/// A call to which no answer came.
#[derive(Debug)]
pub struct UnansweredCall {
    next_step: String,
    /// What happened, unless it says nothing new.
    cause: Option<String>,
    /// Whether the call may have had its effect.
    pub may_have_arrived: bool,
}

impl ServiceClient {
    /// A client with connections of its own.
    pub fn new(address: ServiceAddress) -> anyhow::Result<Self> {
        Ok(Self::with(http_client()?, address))
    }

    /// A client that shares these connections.
    pub fn with(http: reqwest::Client, address: ServiceAddress) -> Self {
        Self { http, address }
    }

    /// The name of the service, or its address.
    pub fn name(&self) -> &str {
        &self.address.name
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address.url)
    }

    /// Fails if nobody answers, with what to do then; any answer will do.
    pub async fn reach(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.get(path)).await.map(drop)
    }

    /// The answer, also one that refuses.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        request.send().await.map_err(|error| self.unanswered(&error).into())
    }

    /// What the service answers, unless it refuses.
    pub async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        self.body(self.send(request).await?).await
    }

    /// What this answer says, unless it is a refusal.
    pub async fn body<T: DeserializeOwned>(&self, response: Response) -> anyhow::Result<T> {
        let status = response.status();
        if !status.is_success() {
            anyhow::bail!("{}", explain(status, &problem_of(response).await));
        }
        let unreadable = || {
            let ServiceAddress { name, url, .. } = &self.address;
            format!("the answer of {url} cannot be read: is that {name}?")
        };
        response.json().await.with_context(unreadable)
    }

    fn unanswered(&self, error: &reqwest::Error) -> UnansweredCall {
        // The outermost layers repeat the URL; the innermost says what happened.
        let mut cause: &dyn Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let is_sought = matches!(self.address.source, AddressSource::Compose(_));
        let cause = (!is_sought || !error.is_connect()).then(|| cause.to_string());
        let (next_step, may_have_arrived) = (self.address.next_step(), !error.is_connect());
        UnansweredCall { next_step, cause, may_have_arrived }
    }
}

impl fmt::Display for UnansweredCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.next_step)?;
        self.cause.iter().try_for_each(|cause| write!(f, " ({cause})"))
    }
}

impl Error for UnansweredCall {}
