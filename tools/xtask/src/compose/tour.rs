//! `docs/tour.md`, walked: its commands as they stand there, what it says of their answers, and the
//! orders as they end.
//!
//! The document is the script. A section says in words how its order differs from the first one
//! (`"payment_method": "tok_slow"`); those words are read, too.

use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use super::{done, orders::until, project::ComposeProject};

/// What nobody can read, on the way.
const DEAD_LETTERS: i64 = 1;

#[derive(Debug)]
pub(super) struct TourTest<'a> {
    project: &'a ComposeProject,
    text: &'a str,
}

impl<'a> TourTest<'a> {
    /// A walk through the running project by this text.
    pub(super) fn of(project: &'a ComposeProject, text: &'a str) -> Self {
        Self { project, text }
    }

    /// All of it, in its order; answers how many dead letters that makes.
    pub(super) async fn walk(&self) -> anyhow::Result<i64> {
        let began = Instant::now();
        self.confirmed().await?;
        done(began, "an order that is confirmed");
        let declined = ["payment-failed", "order-cancelled", "stock-released"];
        self.ends("A card that is declined", "cancelled", &declined).await?;
        self.ends("Nothing left", "cancelled", &["stock-rejected", "order-cancelled"]).await?;
        self.changed_mind().await?;
        self.reviewed().await?;
        done(began, "cancelled orders, and a payment that waited for a person");
        self.unreadable().await?;
        done(began, "an unreadable message");
        self.killed().await?;
        done(began, "a service that dies");
        self.project.shell(self.section("Many at once")?.block(0)?).await?;
        done(began, "many at once");
        Ok(DEAD_LETTERS)
    }

    async fn confirmed(&self) -> anyhow::Result<()> {
        let section = self.section(FIRST)?;
        let answers = [
            self.project.shell(section.block(0)?).await?,
            self.project.shell(section.block(0)?).await?,
        ];
        anyhow::ensure!(answers[0] == answers[1], "{} again is {}", answers[0], answers[1]);
        let order = id(&answers[0])?;
        let history = [
            "order-placed",
            "stock-reserved",
            "payment-done",
            "order-confirmed",
            "notification-sent",
        ];
        self.comes_to(&section, &order, "confirmed", &history).await?;
        // The console reader gives up after three seconds; on a busy machine its start takes that.
        until("the topic shows the order's key and headers", async || {
            let records = self.project.shell(section.block(2)?).await?;
            Ok(records.contains(&order) && records.contains("ce_type:"))
        })
        .await?;
        let mail = self.project.shell(section.command("curl", "api/v1/search")?).await?;
        anyhow::ensure!(mail.contains("ada@example.org"), "no mail to the customer: {mail}");
        let money = self.project.shell(section.command("curl", "charges")?).await?;
        anyhow::ensure!(money.contains(&order), "the gateway does not know the order: {money}");
        Ok(())
    }

    /// The order of a section ends in this way.
    async fn ends(&self, title: &str, status: &str, history: &[&str]) -> anyhow::Result<()> {
        let section = self.section(title)?;
        let order = self.order(&section).await?;
        self.comes_to(&section, &order, status, history).await
    }

    async fn changed_mind(&self) -> anyhow::Result<()> {
        let section = self.section("A customer who changes his mind")?;
        let order = self.order(&section).await?;
        self.project.shell(&section.block(0)?.replace("ID", &order)).await?;
        self.comes_to(&section, &order, "cancelled", &[]).await
    }

    async fn reviewed(&self) -> anyhow::Result<()> {
        let section = self.section("A payment that waits for a person")?;
        let order = self.order(&section).await?;
        self.comes_to(&section, &order, "pending", &["payment-under-review"]).await?;
        self.project.shell(&section.block(0)?.replace("ID", &order)).await?;
        let history = ["payment-under-review", "payment-failed", "payment-refunded"];
        self.comes_to(&section, &order, "cancelled", &history).await
    }

    async fn unreadable(&self) -> anyhow::Result<()> {
        let section = self.section("A message that nobody can read")?;
        self.project.shell(section.block(0)?).await?;
        let order = self.order(&section).await?;
        self.project.shell(&section.block(1)?.replace("ID", &order)).await?;
        let (mut letter, list) = (String::new(), section.block(2)?);
        until("the unreadable message is a dead letter", async || {
            let page: Value = serde_json::from_str(&self.project.shell(list).await?)?;
            page["items"][0]["id"].as_str().unwrap_or_default().clone_into(&mut letter);
            Ok(!letter.is_empty())
        })
        .await?;
        self.comes_to(&section, &order, "confirmed", &[]).await?;
        let redriven = self.project.shell(&section.block(3)?.replace("LETTER", &letter)).await?;
        section.says("still-dead")?;
        anyhow::ensure!(redriven.contains("still-dead"), "redriven: {redriven}");
        let ended = self.project.shell(&section.block(4)?.replace("LETTER", &letter)).await?;
        section.says(ended.trim())
    }

    async fn killed(&self) -> anyhow::Result<()> {
        let section = self.section("A service that dies")?;
        self.project.shell(section.block(0)?).await?;
        let order = self.order(&section).await?;
        self.project.shell(section.command("docker compose", "up")?).await?;
        self.comes_to(&section, &order, "confirmed", &[]).await
    }

    /// Places the first order, as this section has it otherwise; answers its id.
    async fn order(&self, section: &TourSection<'_>) -> anyhow::Result<String> {
        let first = self.section(FIRST)?.block(0)?;
        let order = order_of(first, section)?;
        id(&self.project.shell(&order).await?)
    }

    /// What the tour shows of an order has this status and history in the end, and the section says
    /// so.
    async fn comes_to(
        &self,
        section: &TourSection<'_>,
        order: &str,
        status: &str,
        history: &[&str],
    ) -> anyhow::Result<()> {
        for word in history {
            section.says(word)?;
        }
        let show = self.section(FIRST)?.block(1)?.replace("ID", order);
        until(&format!("{}: order {order} is {status}", section.title), async || {
            let order: Value = serde_json::from_str(&self.project.shell(&show).await?)?;
            let known = order["history"].as_array().into_iter().flatten();
            let known: Vec<_> = known.filter_map(|entry| entry["what"].as_str()).collect();
            Ok(order["status"] == status && history.iter().all(|text| known.contains(text)))
        })
        .await
    }

    fn section(&self, title: &'a str) -> anyhow::Result<TourSection<'a>> {
        let sections = self.text.split("\n## ").filter_map(|text| text.split_once('\n'));
        let found = sections.filter(|(name, _)| *name == title).map(|(_, text)| text).next();
        let text = found.with_context(|| format!("the tour has no {title:?}"))?;
        Ok(TourSection { title, text })
    }
}

/// Where the first order is placed.
const FIRST: &str = "An order that is confirmed";

/// The text under one heading.
#[derive(Debug)]
struct TourSection<'a> {
    title: &'a str,
    text: &'a str,
}

impl<'a> TourSection<'a> {
    /// Its n-th block of commands.
    fn block(&self, n: usize) -> anyhow::Result<&'a str> {
        let mut blocks = self.text.split("\n```\n").skip(1).step_by(2);
        blocks.nth(n).with_context(|| format!("{:?} has no commands number {n}", self.title))
    }

    /// What stands as code amid its words.
    fn code(&self) -> impl Iterator<Item = &'a str> {
        let prose = self.text.split("\n```\n").step_by(2);
        prose.flat_map(|text| text.split('`').skip(1).step_by(2))
    }

    /// The command amid its words that begins so and speaks of this.
    fn command(&self, begins: &str, of: &str) -> anyhow::Result<&'a str> {
        let found = self.code().find(|code| code.starts_with(begins) && code.contains(of));
        found.with_context(|| format!("{:?} has no {begins} of {of}", self.title))
    }

    /// Fails unless this stands as code amid its words.
    fn says(&self, word: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.code().any(|text| text == word),
            "{:?} does not say {word}",
            self.title
        );
        Ok(())
    }
}

/// The first order, as this section has it otherwise.
fn order_of(first: &str, section: &TourSection<'_>) -> anyhow::Result<String> {
    let first = first.replace("tour-1", &section.title.replace(' ', "-"));
    let words = section.code().filter_map(|text| text.split_once(": "));
    words
        .filter(|(name, value)| name.starts_with('"') && value.starts_with('"'))
        .try_fold(first, |order, (name, value)| otherwise(&order, name, value))
}

/// The command with another value for this field of its JSON.
fn otherwise(command: &str, name: &str, value: &str) -> anyhow::Result<String> {
    let begin = format!("{name}: \"");
    let (before, rest) =
        command.split_once(&begin).with_context(|| format!("the order has no {name}"))?;
    let (_, after) = rest.split_once('"').context("a value without an end")?;
    Ok(format!("{before}{name}: {value}{after}"))
}

/// The order's id in an answer.
fn id(answer: &str) -> anyhow::Result<String> {
    let order: Value =
        serde_json::from_str(answer).with_context(|| format!("no order: {answer}"))?;
    Ok(order["id"].as_str().with_context(|| format!("no id: {answer}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# T\n\n## One\n\nDo `curl a`:\n\n```\ncurl x \\\n  y\n```\n\nthen `\"a\": \"b\"`, and\n\n\
        ```\nls\n```\n\n## Two\n";

    #[test]
    fn blocks_and_words_of_a_section_are_told_apart() {
        let (_, rest) = TEXT.split_once("## One\n").unwrap();
        let (text, _) = rest.split_once("\n## ").unwrap();
        let section = TourSection { title: "One", text };
        assert_eq!(section.block(0).unwrap(), "curl x \\\n  y");
        assert_eq!(section.block(1).unwrap(), "ls");
        assert!(section.block(2).is_err());
        assert_eq!(section.code().collect::<Vec<_>>(), ["curl a", "\"a\": \"b\""]);
        assert!(section.command("curl", "a").is_ok() && section.command("curl", "b").is_err());
        assert!(section.says("curl a").is_ok() && section.says("ls").is_err());
    }

    #[test]
    fn a_field_of_an_order_is_put_otherwise() {
        let order = "-d '{\"sku\": \"a\", \"n\": 1}'";
        let other = otherwise(order, "\"sku\"", "\"b\"").unwrap();
        assert_eq!(other, "-d '{\"sku\": \"b\", \"n\": 1}'");
        assert!(otherwise(order, "\"card\"", "\"b\"").is_err());
    }

    #[test]
    fn each_section_of_the_tour_changes_only_fields_that_the_first_order_has() {
        let tour = include_str!("../../../../docs/tour.md");
        let sections = || {
            let parts = tour.split("\n## ").filter_map(|text| text.split_once('\n'));
            parts.map(|(title, text)| TourSection { title, text })
        };
        let first = sections().find(|section| section.title == FIRST).unwrap();
        let first = first.block(0).unwrap();
        let orders: Vec<String> =
            sections().map(|section| order_of(first, &section).unwrap()).collect();
        assert!(orders.iter().any(|order| order.contains("tok_slow")));
    }
}
