//! A collection of HTTP requests (`.http`, as editors send them), sent request by request.
//!
//! Of the format: `###` between requests, `@name = value`, `# @name`, `{{variable}}`, `{{$guid}}` and
//! `{{request.response.body.$.field}}`. Two comments are ours: `# answers STATUS` and `# shows TEXT`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

/// What a request shows has to have come about within this, on a busy machine.
const SHOWN_LIMIT: Duration = Duration::from_secs(90);
/// How often a request is sent again until then.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A request and what it has to be answered with.
#[derive(Debug, Default)]
struct CollectedRequest<'a> {
    title: &'a str,
    name: Option<&'a str>,
    status: Option<&'a str>,
    shown: Vec<&'a str>,
    method: &'a str,
    url: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

/// Sends all requests of a collection in their order; answers how many they were.
pub(crate) async fn send_all(http: &reqwest::Client, text: &str) -> anyhow::Result<usize> {
    let (mut variables, requests) = collection(text)?;
    for request in &requests {
        let answer = send_until_shown(http, request, &variables).await?;
        let Some(name) = request.name else { continue };
        for (path, value) in leaves(&answer) {
            variables.insert(format!("{name}.response.body.${path}"), value);
        }
    }
    Ok(requests.len())
}

async fn send_until_shown(
    http: &reqwest::Client,
    request: &CollectedRequest<'_>,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let (status, body) = send(http, request, variables)
            .await
            .with_context(|| format!("{}: {} {}", request.title, request.method, request.url))?;
        let expected = request.status.with_context(|| format!("{}: # answers", request.title))?;
        anyhow::ensure!(
            status == expected,
            "{}: answered {status}, not {expected}: {body}",
            request.title
        );
        if request.shown.iter().all(|text| body.contains(text)) {
            return Ok(serde_json::from_str(&body).unwrap_or_default());
        }
        anyhow::ensure!(
            began.elapsed() < SHOWN_LIMIT,
            "{}: {body} does not show {:?}",
            request.title,
            request.shown
        );
        sleep(LOOK_AGAIN).await;
    }
}

async fn send(
    http: &reqwest::Client,
    request: &CollectedRequest<'_>,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<(String, String)> {
    let method = Method::from_bytes(request.method.as_bytes())?;
    let mut sent = http.request(method, filled(request.url, variables)?);
    for (name, value) in &request.headers {
        sent = sent.header(*name, filled(value, variables)?);
    }
    let answer = sent.body(filled(request.body, variables)?).send().await?;
    Ok((answer.status().as_u16().to_string(), answer.text().await?))
}

/// The variables and the requests of a file.
fn collection(text: &str) -> anyhow::Result<(BTreeMap<String, String>, Vec<CollectedRequest<'_>>)> {
    let (head, rest) = text.split_once("\n###").context("no request")?;
    let definitions = head.lines().filter_map(|line| line.strip_prefix('@')?.split_once('='));
    let variables = definitions
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    Ok((variables, rest.split("\n###").map(collected).collect::<anyhow::Result<_>>()?))
}

fn collected(part: &str) -> anyhow::Result<CollectedRequest<'_>> {
    let (head, body) = part.split_once("\n\n").unwrap_or((part, ""));
    let mut lines = head.lines();
    let mut request = CollectedRequest {
        title: lines.next().unwrap_or_default().trim(),
        body: body.trim(),
        ..CollectedRequest::default()
    };
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            match comment.split_once(' ') {
                Some(("@name", name)) => request.name = Some(name),
                Some(("answers", status)) => request.status = Some(status),
                Some(("shows", text)) => request.shown.push(text),
                _ => {}
            }
        } else if request.method.is_empty() {
            (request.method, request.url) =
                line.split_once(' ').with_context(|| format!("{}: {line}", request.title))?;
        } else {
            request
                .headers
                .push(line.split_once(": ").with_context(|| format!("{}: {line}", request.title))?);
        }
    }
    Ok(request)
}

/// A text with its variables filled in.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut parts = text.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").context("a variable without an end")?;
        if name == "$guid" {
            filled.push_str(&Uuid::from_u128(fastrand::u128(..)).to_string());
        } else {
            filled.push_str(variables.get(name).with_context(|| format!("no variable {name}"))?);
        }
        filled.push_str(rest);
    }
    Ok(filled)
}

/// The texts and numbers of an answer's outermost object, each with its path.
fn leaves(answer: &Value) -> impl Iterator<Item = (String, String)> {
    answer.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((format!(".{name}"), text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# About\n@a = http://x\n\n### One\n# @name one\n# answers 202\n# shows pending\n\
        POST {{a}}/orders\nContent-Type: application/json\n\n{\"k\": \"{{$guid}}\"}\n\n### Two\n# answers 200\n\
        GET {{a}}/orders/{{one.response.body.$.id}}\n";

    #[test]
    fn a_file_is_read_into_its_variables_and_requests() {
        let (variables, requests) = collection(FILE).unwrap();
        assert_eq!(variables["a"], "http://x");
        let [one, two] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!((one.title, one.name, one.status), ("One", Some("one"), Some("202")));
        assert_eq!(one.shown, ["pending"]);
        assert_eq!(one.headers, [("Content-Type", "application/json")]);
        assert!(filled(one.body, &variables).unwrap().len() > 36);
        assert!(filled(two.url, &variables).is_err(), "the first has not been answered");
    }

    #[test]
    fn a_later_request_names_what_an_earlier_one_was_answered() {
        let (mut variables, requests) = collection(FILE).unwrap();
        let answer = serde_json::json!({"id": "01a2", "total": 5, "lines": []});
        let known =
            leaves(&answer).map(|(path, value)| (format!("one.response.body.${path}"), value));
        variables.extend(known);
        assert_eq!(filled(requests[1].url, &variables).unwrap(), "http://x/orders/01a2");
    }

    #[test]
    fn each_request_of_the_tour_says_its_answer() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tour.http");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, requests) = collection(&text).unwrap();
        assert!(requests.len() > 10);
        assert!(requests.iter().all(|request| request.status.is_some() && !request.url.is_empty()));
    }
}
