//! The metrics and labels that a `PromQL` expression uses.

use std::collections::{BTreeMap, BTreeSet};

/// What an expression speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Metrics, each with the labels that it is chosen by.
    pub(super) metrics: BTreeMap<String, BTreeSet<String>>,
    /// Labels that are grouped or matched by.
    pub(super) grouped: BTreeSet<String>,
}

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'e> {
    Name(&'e str),
    Sign(char),
}

/// Words between expressions, which are no metrics.
const WORDS: [&str; 9] = ["and", "or", "unless", "bool", "offset", "inf", "nan", "by", "without"];
/// Words before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

pub(super) fn read(expression: &str) -> Asked {
    let tokens = tokens(expression);
    let mut asked = Asked::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        at += 1;
        let Token::Name(name) = *token else { continue };
        if LISTS.contains(&name) && next == Some(&Token::Sign('(')) {
            let list = names_until(&tokens[at..], ')');
            asked.grouped.extend(list.iter().map(|text| (*text).to_owned()));
            at += 1 + list.len();
        } else if next == Some(&Token::Sign('{')) {
            let list = names_until(&tokens[at..], '}');
            at += 1 + list.len();
            let labels = list.into_iter().map(str::to_owned);
            asked.metrics.entry(name.to_owned()).or_default().extend(labels);
        } else if next != Some(&Token::Sign('('))
            && !matches!(next, Some(Token::Name("by" | "without")))
            && !WORDS.contains(&name)
        {
            asked.metrics.entry(name.to_owned()).or_default();
        }
    }
    asked
}

/// The names up to a closing sign; other signs stand between them.
fn names_until<'e>(tokens: &[Token<'e>], close: char) -> Vec<&'e str> {
    let inside = tokens.iter().take_while(|token| **token != Token::Sign(close));
    inside
        .filter_map(|token| match token {
            Token::Name(name) => Some(*name),
            Token::Sign(_) => None,
        })
        .collect()
}

/// Names, and the signs that tell what they are; numbers, spans of time and texts are left out.
fn tokens(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_name = |character: char| {
            character.is_ascii_alphanumeric() || character == '_' || character == ':'
        };
        let skip = match first {
            '"' => 2 + rest[1..].find('"').unwrap_or(rest.len() - 2),
            '[' => rest.find(']').unwrap_or(rest.len()),
            it if it.is_ascii_digit() => {
                rest.find(|character| !is_name(character)).unwrap_or(rest.len())
            }
            it if is_name(it) => {
                let end = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
                tokens.push(Token::Name(&rest[..end]));
                end
            }
            '(' | ')' | '{' | '}' => {
                tokens.push(Token::Sign(first));
                1
            }
            other => other.len_utf8(),
        };
        rest = &rest[skip..];
    }
    tokens
}

#[test]
fn metrics_and_labels_are_told_from_functions_words_and_texts() {
    let asked = read(
        "histogram_quantile(0.9, sum by (le, job) (rate(a_bucket{x=~\"b.c\", y!=\"d\"}[5m]))) > 2e3\n\
         and on (job) max without (instance) (e) / f offset 5m > bool 1",
    );
    let names: Vec<&str> = asked.metrics.keys().map(String::as_str).collect();
    assert_eq!(names, ["a_bucket", "e", "f"]);
    assert_eq!(asked.metrics["a_bucket"], BTreeSet::from(["x".to_owned(), "y".to_owned()]));
    let grouped: Vec<&str> = asked.grouped.iter().map(String::as_str).collect();
    assert_eq!(grouped, ["instance", "job", "le"]);
}
