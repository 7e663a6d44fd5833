//! The spans of one trace as a tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::collector::Recorded;

/// The spans of a trace, each once, by their ids.
pub(crate) struct Tree(BTreeMap<Vec<u8>, Recorded>);

impl Tree {
    /// The trace in which this order was placed, or nothing yet.
    pub(crate) fn of(recorded: Vec<Recorded>, order: &str) -> Self {
        let mine = |span: &&Recorded| {
            let key = span.attribute("messaging.kafka.message.key");
            span.name() == "send order-placed" && key.is_some_and(|text| text == order)
        };
        let trace = recorded.iter().find(mine).map(Recorded::trace_id);
        let spans = recorded.into_iter().filter(|span| Some(span.trace_id()) == trace);
        Self(spans.map(|recorded| (recorded.span.span_id.clone(), recorded)).collect())
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.0.values().map(|recorded| recorded.name().to_owned()).collect()
    }

    pub(crate) fn services(&self) -> BTreeSet<&str> {
        self.0.values().map(|span| span.service.as_str()).collect()
    }

    /// Each span with its parent.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&Recorded, Option<&Recorded>)> {
        self.0.values().map(|recorded| (recorded, self.0.get(&recorded.span.parent_span_id)))
    }

    pub(crate) fn roots(&self) -> Vec<&Recorded> {
        self.0.values().filter(|recorded| recorded.parent_id().is_none()).collect()
    }

    /// Those that name a parent which is not there.
    pub(crate) fn orphans(&self) -> Vec<&Recorded> {
        let alone = |(span, parent): &(&Recorded, Option<&Recorded>)| {
            span.parent_id().is_some() && parent.is_none()
        };
        self.edges().filter(alone).map(|(recorded, _)| recorded).collect()
    }

    fn children<'t>(&'t self, of: &'t Recorded) -> Vec<&'t Recorded> {
        let mine = |span: &&Recorded| span.span.parent_span_id == of.span.span_id;
        let mut children: Vec<_> = self.0.values().filter(mine).collect();
        children.sort_by_key(|recorded| recorded.span.start_time_unix_nano);
        children
    }

    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        span: &Recorded,
        (depth, origin): (usize, u64),
    ) -> fmt::Result {
        let millis = |nanos: u64| format!("{}.{} ms", nanos / 1_000_000, nanos / 100_000 % 10);
        let (began, ended) = (span.span.start_time_unix_nano, span.span.end_time_unix_nano);
        let name = format!("{}{}", "  ".repeat(depth), span.name());
        let at = millis(began.saturating_sub(origin));
        writeln!(f, "{name:<58} {:<18} {at:>10} +{:>9}", span.service, millis(ended - began))?;
        for child in self.children(span) {
            self.write(f, child, (depth + 1, origin))?;
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tops = self.roots().into_iter().chain(self.orphans());
        for top in tops {
            self.write(f, top, (0, top.span.start_time_unix_nano))?;
        }
        Ok(())
    }
}
