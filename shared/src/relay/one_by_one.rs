//! Tries a held topic alone and record by record, to find the record at fault.
//!
//! **Architecture invariant:** a visit is bounded in records and in time, and the other topics have
//! their turn before the next visit.

use std::{
    slice,
    time::{Duration, Instant},
};

use super::{
    LeaderLease, MessagePublisher, OutboxRelay, PublishRefusal, PublishResult, RefusalCause,
    RelayError, RelayStep, count_topic,
    held_topics::{HeldTopic, UNCONFIRMED},
    publish_result,
};
use crate::{
    db,
    dead_letter::unpublishable,
    outbox::{self, OutboxRow, TopicSelection},
    telemetry::spans,
};

/// The most records of one visit.
const RECORDS_MAX: usize = 100;
/// No further record is sent after this long.
const VISIT_LIMIT: Duration = Duration::from_secs(1);

/// The results of one visit of a held topic.
struct TopicVisit<'b> {
    /// One confirmation per confirmed record, in order.
    confirmed: Vec<PublishResult>,
    /// The first record that was not confirmed, if there was one.
    failed: Option<(&'b OutboxRow, PublishResult)>,
}

impl<P: MessagePublisher> OutboxRelay<P> {
    /// Visits a held topic: publishes its records up to the first one that is not confirmed.
    pub(super) async fn alone(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
    ) -> Result<RelayStep, RelayError> {
        leader.was_alone = true;
        if let Some(step) = self.restore_held(leader, held).await? {
            return Ok(step);
        }
        let n_max = i64::try_from(RECORDS_MAX).unwrap_or(i64::MAX);
        let first = outbox::head_of(&mut leader.conn, n_max, TopicSelection::Of(&held.topic));
        let batch = db::within(self.settings.statement_limit, first).await?;
        let began = spans::now();
        let TopicVisit { confirmed, failed } = self.visit(&batch).await;
        if self.settle(leader, &batch, (&confirmed, began)).await?.is_none() {
            return Ok(RelayStep::Deposed);
        }
        let n = confirmed.len();
        match failed {
            Some(failed) => self.judge_record(leader, held, failed, n).await,
            // No record is left: the record at fault is gone.
            None if n == batch.len() && n < RECORDS_MAX => {
                let leads = self.release(leader, held).await?;
                Ok(if leads { RelayStep::Published(n) } else { RelayStep::Deposed })
            }
            None => Ok(RelayStep::Published(n)),
        }
    }

    /// Recreates the topic if it is missing. Answers the outcome of the step if the visit ends
    /// here: the topic cannot be recreated, or has lost records, which are published again before
    /// waiting ones.
    async fn restore_held(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
    ) -> Result<Option<RelayStep>, RelayError> {
        if !publish_result::is_missing(&held.code) {
            return Ok(None);
        }
        match self.publisher.restore(&held.topic).await {
            Ok(false) => Ok(None),
            Ok(true) => {
                let losses = self.restored(leader, &held.topic);
                if !self.record(leader, &losses).await? {
                    return Ok(Some(RelayStep::Deposed));
                }
                Ok((!losses.is_empty()).then_some(RelayStep::Held))
            }
            Err(reason) => {
                let detail = (held.code.as_str(), reason.as_str());
                self.hold_again(leader, held, detail).await.map(Some)
            }
        }
    }

    /// Publishes these records one at a time, up to the first that is not confirmed or until
    /// [`VISIT_LIMIT`].
    async fn visit<'b>(&mut self, batch: &'b [OutboxRow]) -> TopicVisit<'b> {
        // Other topics wait for this visit: its time limit is shorter than that of a batch.
        self.publisher.set_patience(self.tenure.patience() / 2);
        let (began, mut confirmed) = (Instant::now(), Vec::new());
        for kept in batch {
            match self.publish(slice::from_ref(kept)).await.pop() {
                Some(PublishResult::Confirmed) => confirmed.push(PublishResult::Confirmed),
                other => {
                    return TopicVisit { confirmed, failed: other.map(|result| (kept, result)) };
                }
            }
            if began.elapsed() > VISIT_LIMIT {
                break;
            }
        }
        TopicVisit { confirmed, failed: None }
    }

    /// Decides about a record that was not confirmed, after `n` records of the visit that were.
    async fn judge_record(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
        (kept, result): (&OutboxRow, PublishResult),
        n: usize,
    ) -> Result<RelayStep, RelayError> {
        match result {
            PublishResult::Refused(refusal) if refusal.blame == RefusalCause::Record => {
                self.unpublishable(leader, held, (kept, &refusal)).await
            }
            PublishResult::Refused(refusal) => {
                let said = (&*refusal.code, &*describe(kept, &refusal));
                let is_unclear = refusal.blame == RefusalCause::Unclear;
                if n == 0 && is_unclear && !held.is_known_for(&refusal.code) {
                    return self.suspect(leader, held, said).await;
                }
                self.hold_again(leader, held, said).await
            }
            PublishResult::Unconfirmed | PublishResult::Confirmed => {
                let trouble = self.publisher.trouble();
                if n == 0 && !held.is_known_for(UNCONFIRMED) {
                    return self.suspect(leader, held, (UNCONFIRMED, &trouble)).await;
                }
                self.hold_again(leader, held, (&held.code, &trouble)).await
            }
        }
    }

    /// The topic stays held, and its next try is later.
    async fn hold_again(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
        (code, detail): (&str, &str),
    ) -> Result<RelayStep, RelayError> {
        let leads = self.hold(leader, held.again(code, detail)).await?;
        Ok(if leads { RelayStep::Held } else { RelayStep::Deposed })
    }

    /// The topic's error turns out to be one that may be our own fault: the topic is released,
    /// until other topics are confirmed without it. If none is, this relay must stop leading.
    async fn suspect(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
        (code, detail): (&str, &str),
    ) -> Result<RelayStep, RelayError> {
        if !self.release(leader, held).await? {
            return Ok(RelayStep::Deposed);
        }
        leader.is_doubtful = true;
        leader.suspects.push(HeldTopic::now(&held.topic, code, detail));
        Ok(RelayStep::Unconfirmed(0))
    }

    /// The broker rejects this record itself: it becomes a dead letter, or, if it is a copy of one,
    /// is sent without its body. The topic stays held for the records after it.
    async fn unpublishable(
        &mut self,
        leader: &mut LeaderLease,
        held: &HeldTopic,
        (kept, refusal): (&OutboxRow, &PublishRefusal),
    ) -> Result<RelayStep, RelayError> {
        let service = self.settings.service;
        let detail = describe(kept, refusal);
        let leads = if *kept.message.topic == format!("{service}.dlq") {
            if !self.publish_without_body(kept, &detail).await {
                return self.hold_again(leader, held, (&refusal.code, &detail)).await;
            }
            let gone = [kept.outbox_id];
            let settle = outbox::settle(&mut leader.conn, leader.epoch, &gone);
            db::within(self.settings.statement_limit, settle).await?
        } else {
            let record = (service, kept);
            let bury = unpublishable::bury(&mut leader.conn, leader.epoch, record, &detail);
            db::within(self.settings.statement_limit, bury).await?
        };
        if !leads {
            return Ok(RelayStep::Deposed);
        }
        let message = &kept.message;
        tracing::warn!(message = %message.id, detail, "a record that no broker takes leaves the outbox");
        count_topic("relay_unpublishable_total", service, &message.topic, 1);
        self.tenure.published(Instant::now());
        Ok(RelayStep::Published(1))
    }

    /// Publishes a copy of a dead letter without its body. If the broker rejects that as well,
    /// there is no copy: the letter's row has all of it. Answers whether the copy is finished.
    async fn publish_without_body(&mut self, kept: &OutboxRow, detail: &str) -> bool {
        let small =
            OutboxRow { message: unpublishable::without_body(&kept.message), ..kept.clone() };
        let answer = self.publish(slice::from_ref(&small)).await.pop();
        // This record's offset belongs to no batch.
        drop(self.publisher.offsets());
        match answer {
            Some(PublishResult::Confirmed) => true,
            Some(PublishResult::Refused(it)) if it.blame == RefusalCause::Record => {
                tracing::warn!(
                    detail,
                    "a copy of a dead letter is left out: its row has all of it"
                );
                true
            }
            Some(PublishResult::Refused(_) | PublishResult::Unconfirmed) | None => false,
        }
    }
}

/// A refusal in words that an operator can search for.
fn describe(kept: &OutboxRow, refusal: &PublishRefusal) -> String {
    let (topic, bytes) = (&kept.message.topic, kept.message.bytes());
    format!("{topic} refused a record of {bytes} bytes: {} ({})", refusal.code, refusal.text)
}
