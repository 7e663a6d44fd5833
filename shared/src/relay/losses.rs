//! What the log has lost, and publishing it again: see [`crate::published`].
//!
//! The log is looked at when a relay begins to lead, after each failure, and every few seconds. So what
//! is lost goes out again before anything new does, and first occurrences keep their order. If the log
//! begins anew between two looks, the offsets of the next batch give it away; that batch is then ahead
//! of what is published again.
//!
//! **Architecture invariant:** a loss is recorded before the batch that gave it away is settled. A look
//! that fails, or a lost message that is not confirmed again, keeps nothing else back: it is tried again.

use std::time::Instant;

use super::{Answer, Error, Leader, Publish, Relay, Step, counter};
use crate::{
    db,
    published::{self, Again, Loss, Offsets},
};

impl<P: Publish> Relay<P> {
    /// Looks whether the log still has what it confirmed, if it is time to. Answers whether this relay
    /// still leads.
    pub(super) async fn look(&mut self, leader: &mut Leader) -> Result<bool, Error> {
        let partitions = leader.known.take_due();
        if partitions.is_empty() {
            return Ok(true);
        }
        let n = partitions.len();
        let Some(ends) = self.publisher.ends(partitions).await else {
            tracing::debug!("the log does not say where it ends");
            leader.known.look_soon();
            return Ok(true);
        };
        if ends.len() < n {
            leader.known.look_soon();
        }
        let losses = published::cut_short(leader.known.up_to(), &ends);
        self.record(leader, &losses).await
    }

    /// Records what the offsets of a batch give away. Answers whether this relay still leads.
    pub(super) async fn compare(
        &mut self,
        leader: &mut Leader,
        offsets: &Offsets,
    ) -> Result<bool, Error> {
        let losses = published::begun_anew(leader.known.up_to(), offsets);
        self.record(leader, &losses).await
    }

    async fn record(&mut self, leader: &mut Leader, losses: &[Loss]) -> Result<bool, Error> {
        if losses.is_empty() {
            return Ok(true);
        }
        let recorded = published::lost(&mut leader.conn, leader.epoch, losses);
        if !db::within(self.settings.statement_limit, recorded).await? {
            return Ok(false);
        }
        for Loss { partition: (topic, partition), up_to, ends_at } in losses {
            tracing::error!(
                topic,
                partition,
                confirmed_up_to = up_to,
                ends_at,
                "the log has lost messages that it had confirmed: what is kept is published again"
            );
        }
        let topics = published::topics(losses);
        counter("log_losses_total", self.settings.service).increment(topics.len() as u64);
        leader.known.lost(&topics);
        Ok(true)
    }

    /// Publishes the next batch of what was lost. None, if nothing is to be published again.
    pub(super) async fn say_again(&mut self, leader: &mut Leader) -> Result<Option<Step>, Error> {
        if !leader.known.may_say_again() {
            return Ok(None);
        }
        let (limit, n_max) = (self.settings.statement_limit, self.n_max());
        let again = db::within(limit, published::again(&mut leader.conn, n_max)).await?;
        let Again { messages, next } = again;
        let mut offsets = Offsets::default();
        if !messages.is_empty() {
            self.publisher.set_patience(self.tenure.patience());
            let answers = self.publish(&messages).await;
            offsets = self.publisher.offsets();
            if !answers.iter().all(Answer::is_confirmed) {
                leader.known.say_again_later();
                return Ok(Some(Step::Unconfirmed(0)));
            }
            // Lost again in the meantime: the record of that begins the repetition from its beginning.
            let losses = published::begun_anew(leader.known.up_to(), &offsets);
            if !losses.is_empty() {
                let leads = self.record(leader, &losses).await?;
                return Ok(Some(if leads { Step::Published(0) } else { Step::Deposed }));
            }
        }
        let said = published::said_again(&mut leader.conn, leader.epoch, next, &offsets);
        if !db::within(limit, said).await? {
            return Ok(Some(Step::Deposed));
        }
        leader.known.reached(offsets);
        self.tenure.published(Instant::now());
        counter("relay_published_again_total", self.settings.service)
            .increment(messages.len() as u64);
        if next.is_none() {
            leader.known.said_again();
            tracing::info!("what is kept of the lost messages is published again");
        }
        Ok(Some(Step::Published(messages.len())))
    }
}
