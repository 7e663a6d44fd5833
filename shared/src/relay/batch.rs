//! A batch from the head of the outbox, and what its answers mean for each topic.
//!
//! A topic that refuses is held at once. Missing answers, and errors that may be our own, prove
//! nothing about a topic yet: its messages are left out of the next batch, and it is held if the
//! others are then confirmed. If they are not, the broker or this process is at fault, and only
//! copies of dead letters are held, so that a service does not become unready because of them.

use std::{
    collections::HashSet,
    time::{Instant, SystemTime},
};

use super::{
    LeaderLease, MessagePublisher, OutboxRelay, PublishResult, RefusalCause, RelayError, RelayStep,
    counter,
    held_topics::{self, HeldTopic, UNCONFIRMED},
    show_held,
};
use crate::{
    db,
    outbox::{self, OutboxRow, TopicSelection},
    published,
    telemetry::{messaging, spans},
};

impl<P: MessagePublisher> OutboxRelay<P> {
    /// Publishes one batch: from the head of the outbox, or of a held topic whose retry is due. The
    /// two alternate.
    pub(super) async fn lead(&mut self, leader: &mut LeaderLease) -> Result<RelayStep, RelayError> {
        leader.has_read_all = false;
        if !self.look(leader).await? {
            return Ok(RelayStep::Deposed);
        }
        let again = leader.known.due_again().next().map(ToOwned::to_owned);
        if let Some(topic) = again.as_deref().filter(|_| leader.known.take_turn()) {
            return self.say_again(leader, topic).await;
        }
        // Lost records of a topic are published before new ones.
        let due =
            leader.due().filter(|topic| leader.known.due_again().all(|lost| lost != topic.topic));
        if let Some(held) = due.clone().filter(|_| !leader.was_alone) {
            return self.alone(leader, &held).await;
        }
        leader.was_alone = false;
        let mut batch = self.head(leader).await?;
        if batch.is_empty() && !leader.suspects.is_empty() {
            leader.suspects.clear();
            batch = self.head(leader).await?;
        }
        if batch.is_empty() {
            if let Some(held) = due {
                return self.alone(leader, &held).await;
            }
            if let Some(topic) = again {
                return self.say_again(leader, &topic).await;
            }
            self.tenure.idles(Instant::now());
            return Ok(RelayStep::Idle);
        }
        let began = spans::now();
        self.publisher.set_patience(self.tenure.patience());
        let answers = self.publish(&batch).await;
        let Some(n) = self.settle(leader, &batch, (&answers, began)).await? else {
            return Ok(RelayStep::Deposed);
        };
        self.judge(leader, &batch, &answers, n).await
    }

    pub(super) fn n_max(&self) -> i64 {
        i64::try_from(self.settings.batch_max).unwrap_or(i64::MAX)
    }

    /// The head of the outbox, without held or suspected topics.
    async fn head(&self, leader: &mut LeaderLease) -> Result<Vec<OutboxRow>, RelayError> {
        let n_max = if leader.is_doubtful { 1 } else { self.n_max() };
        let waiting =
            leader.held.iter().chain(&leader.suspects).map(|held_topic| held_topic.topic.as_str());
        let beside: Vec<&str> = waiting.chain(leader.known.due_again()).collect();
        leader.has_read_all = beside.is_empty() && !leader.is_doubtful;
        let limit = self.settings.statement_limit;
        let head = outbox::head_of(&mut leader.conn, n_max, TopicSelection::Beside(&beside));
        let head = db::within(limit, head).await?;
        leader.floor.note(&head);
        db::within(limit, leader.floor.raise(&mut leader.conn)).await?;
        Ok(head)
    }

    /// Passes a batch to the log, and measures how long that takes.
    pub(super) async fn publish(&mut self, batch: &[OutboxRow]) -> Vec<PublishResult> {
        let (service, began) = (self.settings.service, Instant::now());
        let answers = self.publisher.publish(batch).await;
        metrics::histogram!("relay_ack_duration_seconds", "service" => service)
            .record(began.elapsed());
        metrics::histogram!("relay_batch_size", "service" => service)
            .record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        answers
    }

    /// Records the losses that the confirmed offsets reveal, then takes the [`settleable`] rows out
    /// of the outbox ([`published::settle`]). Answers how many rows these are; `None` if another
    /// relay leads.
    pub(super) async fn settle(
        &mut self,
        leader: &mut LeaderLease,
        batch: &[OutboxRow],
        (answers, began): (&[PublishResult], SystemTime),
    ) -> Result<Option<usize>, RelayError> {
        let settled = settleable(batch, answers);
        let offsets = self.publisher.offsets();
        if !self.compare(leader, &offsets).await? {
            return Ok(None);
        }
        let kept = (&offsets, &self.keep);
        let settle = published::settle(&mut leader.conn, leader.epoch, &settled, kept);
        if !db::within(self.settings.statement_limit, settle).await? {
            return Ok(None);
        }
        leader.known.reached(offsets);
        if settled.len() < batch.len() {
            leader.known.doubt();
        }
        for (kept, _) in batch.iter().zip(answers).filter(|(_, answer)| answer.is_confirmed()) {
            messaging::published(kept, began);
        }
        counter("relay_published_total", self.settings.service).increment(settled.len() as u64);
        if !settled.is_empty() {
            leader.is_doubtful = false;
            self.tenure.published(Instant::now());
        }
        Ok(Some(settled.len()))
    }

    /// Decides which topics to hold or to suspect after a batch of which `n` records were settled.
    async fn judge(
        &mut self,
        leader: &mut LeaderLease,
        batch: &[OutboxRow],
        answers: &[PublishResult],
        n: usize,
    ) -> Result<RelayStep, RelayError> {
        let mut held = refused(batch, answers);
        leader.is_doubtful |= n == 0 && answers.iter().any(PublishResult::is_unclear);
        if n > 0 {
            // Others are confirmed: these topics themselves are at fault.
            let proven = std::mem::take(&mut leader.suspects);
            held.extend(proven.iter().map(|topic| topic.again(&topic.code, &topic.detail)));
        }
        if held.is_empty() && n < batch.len() {
            let copies = format!("{}.dlq", self.settings.service);
            // An error for the topic itself, while others were confirmed, is proof as well. Copies
            // of dead letters are held without proof: nothing depends on when they are published.
            let is_certain =
                |topic: &HeldTopic| topic.topic == copies || (n > 0 && topic.code != UNCONFIRMED);
            let doubtful = doubtful(batch, answers, &self.publisher.trouble());
            let (certain, suspects): (Vec<_>, Vec<_>) = doubtful.into_iter().partition(is_certain);
            leader.suspects = if leader.suspects.is_empty() { suspects } else { vec![] };
            held.extend(certain.iter().map(|topic| topic.again(&topic.code, &topic.detail)));
        }
        if held.is_empty() {
            let all = n == batch.len();
            return Ok(if all { RelayStep::Published(n) } else { RelayStep::Unconfirmed(n) });
        }
        for held in held {
            let held = HeldTopic { is_proven: held.is_proven || n > 0, ..held };
            if !self.hold(leader, held).await? {
                return Ok(RelayStep::Deposed);
            }
        }
        Ok(RelayStep::Held)
    }

    /// Holds a topic, or holds it longer; answers whether this relay still leads.
    pub(super) async fn hold(
        &mut self,
        leader: &mut LeaderLease,
        topic: HeldTopic,
    ) -> Result<bool, RelayError> {
        let hold = held_topics::hold(&mut leader.conn, leader.epoch, &topic);
        if !db::within(self.settings.statement_limit, hold).await? {
            return Ok(false);
        }
        show_held(self.settings.service, &topic.topic, true);
        tracing::warn!(
            topic = topic.topic,
            code = topic.code,
            detail = topic.detail,
            attempts = topic.attempts,
            retry_in_ms = topic.pause().as_millis(),
            "a topic is held: its messages wait, others go on"
        );
        leader.held.retain(|one_topic| one_topic.topic != topic.topic);
        leader.held.push(topic);
        Ok(true)
    }

    /// Holds a topic no longer; answers whether this relay still leads.
    pub(super) async fn release(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
    ) -> Result<bool, RelayError> {
        let release = held_topics::release(&mut leader.conn, leader.epoch, &held.topic);
        if !db::within(self.settings.statement_limit, release).await? {
            return Ok(false);
        }
        show_held(self.settings.service, &held.topic, false);
        tracing::info!(topic = held.topic, "a topic is held no longer");
        leader.held.retain(|topic| topic.topic != held.topic);
        Ok(true)
    }
}

/// The rows that may be deleted: confirmed, and all earlier ones of the same key confirmed.
pub(super) fn settleable(batch: &[OutboxRow], answers: &[PublishResult]) -> Vec<i64> {
    let mut blocked = HashSet::new();
    batch
        .iter()
        .zip(answers)
        .filter_map(|(kept, answer)| {
            let key = (&kept.message.topic, &kept.message.key);
            if answer.is_confirmed() && !blocked.contains(&key) {
                return Some(kept.outbox_id);
            }
            blocked.insert(key);
            None
        })
        .collect()
}

/// The topics that refused, each once. Within a batch the record at fault is not known.
fn refused(batch: &[OutboxRow], answers: &[PublishResult]) -> Vec<HeldTopic> {
    topics(batch, answers, |answer| match answer {
        PublishResult::Refused(it) if it.blame != RefusalCause::Unclear => {
            Some((it.code.clone(), format!("{} ({})", it.code, it.text)))
        }
        PublishResult::Refused(_) | PublishResult::Confirmed | PublishResult::Unconfirmed => None,
    })
}

/// The topics that may have made a batch fail: those with an error of their own; or else those of
/// which nothing was confirmed.
fn doubtful(batch: &[OutboxRow], answers: &[PublishResult], trouble: &str) -> Vec<HeldTopic> {
    let named = topics(batch, answers, |answer| match answer {
        PublishResult::Refused(it) => Some((it.code.clone(), format!("{} ({})", it.code, it.text))),
        PublishResult::Confirmed | PublishResult::Unconfirmed => None,
    });
    if !named.is_empty() {
        return named;
    }
    let confirmed: HashSet<&str> = batch
        .iter()
        .zip(answers)
        .filter(|(_, answer)| answer.is_confirmed())
        .map(|(kept, _)| &*kept.message.topic)
        .collect();
    let mut silent = topics(batch, answers, |answer| {
        (!answer.is_confirmed()).then(|| (UNCONFIRMED.to_owned(), trouble.to_owned()))
    });
    silent.retain(|topic| !confirmed.contains(topic.topic.as_str()));
    silent
}

/// The topics of those messages that `pick` has a code and words for, each once.
fn topics(
    batch: &[OutboxRow],
    answers: &[PublishResult],
    pick: impl Fn(&PublishResult) -> Option<(String, String)>,
) -> Vec<HeldTopic> {
    let mut seen = HashSet::new();
    let mut topics = Vec::new();
    for (kept, answer) in batch.iter().zip(answers) {
        if let Some((code, detail)) = pick(answer)
            && seen.insert(&kept.message.topic)
        {
            topics.push(HeldTopic::now(&kept.message.topic, &code, &detail));
        }
    }
    topics
}

#[cfg(test)]
mod tests;
