//! A client of a schema registry that speaks Confluent's API.
//!
//! Stateless: [`crate::codec`] keeps the results. Every call has a deadline and reads a bounded
//! answer.
//!
//! **Architecture invariant:** a schema counts as unknown only if the registry itself says so (404
//! with its error code). Every other failure to answer is transient, not the message's fault: a
//! proxy's error page must not turn messages into dead letters.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url, redirect::Policy};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a call may take as a whole.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// The largest size of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How much of a refusal's text is kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// A client of one schema registry, with its address and time limits.
#[derive(Clone)]
pub struct SchemaRegistry {
    base: Url,
    client: reqwest::Client,
}

impl std::fmt::Debug for SchemaRegistry {
    /// The URL may hold a password, so only its host is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Its address is not a URL.
    #[error("the schema registry's address is not an http URL")]
    Address,
    /// The HTTP client could not be made.
    #[error("the client of the schema registry could not be made")]
    Client(#[source] reqwest::Error),
    /// No answer came within the time limit.
    #[error("the schema registry is out of reach")]
    Unreachable(#[source] reqwest::Error),
    /// The registry, or a proxy before it, reports a server error.
    #[error("the schema registry cannot answer now ({0})")]
    Unavailable(StatusCode),
    /// Something answered that is no registry, or at a wrong path.
    #[error("what answered is no schema registry: {0}")]
    Unreadable(String),
    /// There is no such subject, no version of it, or no setting of its own (40401, 40402, 40408).
    #[error("the schema registry does not know the subject")]
    UnknownSubject,
    /// There is no schema of that id (40403).
    #[error("the schema registry does not know the schema")]
    UnknownSchema,
    /// The schema could not be read by, or could not read, an earlier one of its subject (409).
    #[error("the schema is not compatible with an earlier version: {0}")]
    Incompatible(String),
    /// It is no schema (42201).
    #[error("the schema registry does not accept the schema: {0}")]
    Invalid(String),
    /// The registry refused, for a reason that a retry does not change.
    #[error("the schema registry refuses ({status}): {message}")]
    Refused {
        /// The HTTP status of the registry's answer.
        status: StatusCode,
        /// The registry's own text.
        message: String,
    },
}

impl RegistryError {
    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unavailable(_) | Self::Unreadable(_) => true,
            Self::Address
            | Self::Client(_)
            | Self::UnknownSubject
            | Self::UnknownSchema
            | Self::Incompatible(_)
            | Self::Invalid(_)
            | Self::Refused { .. } => false,
        }
    }
}

/// A schema as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegisteredSchema {
    /// The schema's text, JSON.
    #[serde(rename = "schema")]
    pub text: String,
    /// `AVRO`, `JSON`, `PROTOBUF`; none is Avro.
    #[serde(rename = "schemaType")]
    pub kind: Option<String>,
}

/// A version of a subject, such as the newest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SubjectVersion {
    /// The id that the registry gave to the schema.
    pub id: u32,
    /// The schema as the registry holds it.
    #[serde(flatten)]
    pub schema: RegisteredSchema,
}

#[derive(Serialize)]
struct CompatibilityBody<'c> {
    compatibility: &'c str,
}

/// How a registry tells it: another word than the one by which it is set.
#[derive(Deserialize)]
struct CompatibilityLevel {
    #[serde(rename = "compatibilityLevel")]
    level: String,
}

#[derive(Serialize)]
struct NewSchema<'s> {
    schema: &'s str,
}

#[derive(Deserialize)]
struct RegisteredBody {
    id: u32,
}

#[derive(Deserialize)]
struct RefusalBody {
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// An answer that is only looked at for its status.
#[derive(Deserialize)]
struct IgnoredBody {}

impl SchemaRegistry {
    /// The registry at this base URL, whose path is kept.
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        let base = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or(RegistryError::Address)?;
        // A second caller finds the provider installed already, which is fine.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(CALL_LIMIT)
            .redirect(Policy::none())
            .build()
            .map_err(RegistryError::Client)?;
        Ok(Self { base, client })
    }

    /// Which schemas the subject takes: its own setting, or the registry's for all that have none.
    /// Works before the subject has its first.
    pub async fn compatibility(&self, subject: &str) -> Result<String, RegistryError> {
        let level: CompatibilityLevel = match self.get(&["config", subject]).await {
            Err(RegistryError::UnknownSubject) => self.get(&["config"]).await?,
            level => level?,
        };
        Ok(level.level)
    }

    /// From now on the subject takes only schemas that are compatible in this way. Works before the
    /// subject has its first.
    pub async fn require(&self, subject: &str, compatibility: &str) -> Result<(), RegistryError> {
        let body = CompatibilityBody { compatibility };
        let url = self.url(&["config", subject]);
        let _done: IgnoredBody = self.call(Method::PUT, url, Some(&body)).await?;
        Ok(())
    }

    /// The id of a schema, if it is registered under this subject. Writes nothing.
    pub async fn lookup(&self, subject: &str, schema: &str) -> Result<Option<u32>, RegistryError> {
        let url = self.url(&["subjects", subject]);
        match self.call::<RegisteredBody>(Method::POST, url, Some(&NewSchema { schema })).await {
            Ok(registered) => Ok(Some(registered.id)),
            Err(RegistryError::UnknownSubject | RegistryError::UnknownSchema) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Registers a schema and answers with its id; one that is there already keeps its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let url = self.url(&["subjects", subject, "versions"]);
        let registered: RegisteredBody =
            self.call(Method::POST, url, Some(&NewSchema { schema })).await?;
        Ok(registered.id)
    }

    /// The schema of an id.
    pub async fn schema(&self, id: u32) -> Result<RegisteredSchema, RegistryError> {
        self.get(&["schemas", "ids", &id.to_string()]).await
    }

    /// The newest schema of a subject, if it has any.
    pub async fn latest(&self, subject: &str) -> Result<Option<SubjectVersion>, RegistryError> {
        match self.get(&["subjects", subject, "versions", "latest"]).await {
            Ok(latest) => Ok(Some(latest)),
            Err(RegistryError::UnknownSubject) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The numbers of a subject's versions; none if there is no such subject.
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        match self.get(&["subjects", subject, "versions"]).await {
            Err(RegistryError::UnknownSubject) => Ok(vec![]),
            versions => versions,
        }
    }

    /// A version of a subject.
    pub async fn version(
        &self,
        subject: &str,
        version: u32,
    ) -> Result<SubjectVersion, RegistryError> {
        self.get(&["subjects", subject, "versions", &version.to_string()]).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, RegistryError> {
        self.call(Method::GET, self.url(path), None::<&CompatibilityBody<'_>>).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<T, RegistryError> {
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        // The URL may hold a password: it does not belong into an error.
        let lost = |error: reqwest::Error| RegistryError::Unreachable(error.without_url());
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(RegistryError::Unreadable(format!(
                    "over {ANSWER_BYTES_MAX} bytes ({status})"
                )));
            }
        }
        if !status.is_success() {
            return Err(refusal(status, &answer));
        }
        serde_json::from_slice(&answer)
            .map_err(|error| RegistryError::Unreadable(error.to_string()))
    }
}

/// What a refusal means: its error code counts, and its status only where that is enough.
fn refusal(status: StatusCode, answer: &[u8]) -> RegistryError {
    if status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
    {
        return RegistryError::Unavailable(status);
    }
    let Ok(refusal) = serde_json::from_slice::<RefusalBody>(answer) else {
        return RegistryError::Unreadable(format!("{status} without an error code"));
    };
    let message = refusal.message.chars().take(MESSAGE_CHARS_MAX).collect();
    match refusal.error_code {
        40_401 | 40_402 | 40_408 => RegistryError::UnknownSubject,
        40_403 => RegistryError::UnknownSchema,
        409 => RegistryError::Incompatible(message),
        42_201 => RegistryError::Invalid(message),
        _ => RegistryError::Refused { status, message },
    }
}

#[cfg(test)]
mod tests;
