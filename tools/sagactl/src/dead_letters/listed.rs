//! Dead letters as one JSON document.

use serde::Serialize;
use shared::{
    dead_letter::{LetterSummary, ReasonCount},
    http::ReasonCounts,
};

/// The letters of all services that were asked.
#[derive(Default, Serialize)]
pub(super) struct LetterList {
    items: Vec<OfService<LetterSummary>>,
    reasons: Vec<OfService<ReasonCount>>,
    /// Whether there are more letters than were asked for.
    more: bool,
}

/// What a service says, with its name.
#[derive(Serialize)]
struct OfService<T> {
    service: String,
    #[serde(flatten)]
    said: T,
}

impl LetterList {
    pub(super) fn add(&mut self, service: &str, reasons: ReasonCounts, found: Vec<LetterSummary>) {
        self.more |= usize::try_from(reasons.letters).is_ok_and(|all| all > found.len());
        self.items.extend(of(service, found));
        self.reasons.extend(of(service, reasons.items));
    }
}

fn of<T>(service: &str, said: Vec<T>) -> impl Iterator<Item = OfService<T>> {
    said.into_iter().map(|said| OfService { service: service.to_owned(), said })
}
