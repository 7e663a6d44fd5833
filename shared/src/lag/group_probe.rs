//! The requests to the broker, each with a time limit.
//!
//! ```text
//! partitions ──> high watermarks ──> committed offsets ──> (where these differ) log starts, last stable offsets
//! ```
//!
//! **Architecture invariant:** each sample asks for the partitions anew, so that an added one
//! counts at once; and for the ends before the committed offsets, so that a group that has read to
//! these ends has read all earlier messages.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{
    LagError,
    group_standing::{GroupStanding, PartitionStanding, TopicPartition},
};
use crate::kafka;

/// The broker may take this long for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// All answers of one sample may take this long: far below the grace period of a process.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// The probe of a group: its clients ask about the group and never join it.
///
/// The methods block. The probe's drop does not.
pub struct GroupProbe {
    kafka: kafka::KafkaSettings,
    name: String,
    /// Reads each log's high watermark.
    client: Option<BaseConsumer>,
    /// Reads the last stable offset. Made when a partition stays unread, dropped when all is read.
    stable: Option<BaseConsumer>,
    /// The group's offsets in the last sample, of partitions that were not read to their end.
    behind: BTreeMap<TopicPartition, i64>,
}

impl std::fmt::Debug for GroupProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}

impl GroupProbe {
    /// The group of this name, without the deployment's prefix.
    pub fn new(kafka: &kafka::KafkaSettings, name: &str) -> Result<Self, LagError> {
        let mut config = kafka.consumer(name);
        // The default isolation level answers a request for the end with the last stable offset.
        let client = config.set("isolation.level", "read_uncommitted").create();
        Ok(Self {
            kafka: kafka.clone(),
            name: name.to_owned(),
            client: Some(client.map_err(LagError::Client)?),
            stable: None,
            behind: BTreeMap::new(),
        })
    }

    /// Samples every partition that these topics have now. The last stable offset is requested
    /// where the group has not moved since the last sample, with messages before that offset.
    pub fn look(&mut self, topics: &[Arc<str>]) -> Result<GroupStanding, LagError> {
        let limit = ProbeDeadline(Instant::now() + LOOK_LIMIT);
        let all = self.partitions(topics, limit)?;
        let mut ends = self.offsets(self.client(), &all, (Offset::End, limit))?;
        let committed = self.committed(&all, limit)?;
        let is_at = |at: &&TopicPartition, end: &i64| committed.get(*at) == Some(end);
        let beyond = |at: &&TopicPartition| committed.get(*at).is_some_and(|n| *n > ends[*at]);
        // Read since the ends were requested; or from another log, which the next sample shows.
        let beyond: Vec<_> = all.iter().filter(beyond).cloned().collect();
        ends.extend(self.offsets(self.client(), &beyond, (Offset::End, limit))?);
        let differ = |at: &&TopicPartition| ends[*at] > 0 && !is_at(at, &ends[*at]);
        let differ: Vec<_> = all.iter().filter(differ).cloned().collect();
        let starts = self.offsets(self.client(), &differ, (Offset::Beginning, limit))?;
        let standing = |at: TopicPartition| {
            let (committed, end) = (committed.get(&at).copied(), ends[&at]);
            let start = starts.get(&at).copied().unwrap_or_default();
            (at, PartitionStanding { committed, start, end, stable: None })
        };
        let mut look = GroupStanding(all.into_iter().map(standing).collect());
        self.look_for_transactions(&mut look, limit)?;
        Ok(look)
    }

    fn look_for_transactions(
        &mut self,
        look: &mut GroupStanding,
        limit: ProbeDeadline,
    ) -> Result<(), LagError> {
        let unread = look.0.iter().filter(|(_, standing)| !standing.is_read());
        let unread: BTreeMap<_, _> =
            unread.map(|(at, standing)| (at.clone(), standing.read())).collect();
        let known = std::mem::replace(&mut self.behind, unread);
        let stays = |(at, read): &(&TopicPartition, &i64)| known.get(*at) == Some(*read);
        let stays: Vec<_> = self.behind.iter().filter(stays).map(|(at, _)| at.clone()).collect();
        if self.behind.is_empty() {
            give_up(self.stable.take());
        }
        if stays.is_empty() {
            return Ok(());
        }
        let stable = if let Some(client) = self.stable.take() {
            client
        } else {
            let mut config = self.kafka.consumer(&self.name);
            config.set("isolation.level", "read_committed").create().map_err(LagError::Client)?
        };
        let answer = self.offsets(&stable, &stays, (Offset::End, limit));
        self.stable = Some(stable);
        for (at, offset) in answer? {
            look.0.entry(at).and_modify(|standing| standing.stable = Some(offset));
        }
        Ok(())
    }

    fn client(&self) -> &BaseConsumer {
        self.client.as_ref().unwrap_or_else(|| unreachable!("the client is taken only by drop"))
    }

    /// The partitions that these topics have now.
    fn partitions(
        &self,
        topics: &[Arc<str>],
        limit: ProbeDeadline,
    ) -> Result<Vec<TopicPartition>, LagError> {
        let mut all = Vec::new();
        for topic in topics {
            let name = self.kafka.topic(topic);
            let metadata = self
                .client()
                .fetch_metadata(Some(&name), limit.left())
                .map_err(LagError::Unreachable)?;
            let known = metadata
                .topics()
                .iter()
                .find(|topic| topic.name() == name && topic.error().is_none());
            let known = known.filter(|topic| !topic.partitions().is_empty());
            let known = known.ok_or_else(|| LagError::NoTopic(topic.to_string()))?;
            let at = |partition| TopicPartition { topic: Arc::clone(topic), partition };
            all.extend(
                known.partitions().iter().map(|metadata_partition| at(metadata_partition.id())),
            );
        }
        all.sort();
        Ok(all)
    }

    /// The first or last offsets of these partitions.
    fn offsets(
        &self,
        client: &BaseConsumer,
        all: &[TopicPartition],
        (which, limit): (Offset, ProbeDeadline),
    ) -> Result<BTreeMap<TopicPartition, i64>, LagError> {
        if all.is_empty() {
            return Ok(BTreeMap::new());
        }
        let told = client.offsets_for_times(self.list(all, which)?, limit.left());
        let told = self.read(all, &told.map_err(LagError::Unreachable)?);
        match all.iter().find(|topic_partition| !told.contains_key(topic_partition)) {
            None => Ok(told),
            Some(missing) => Err(LagError::Incomplete(missing.clone())),
        }
    }

    /// The group's committed offsets; a partition without one is missing.
    fn committed(
        &self,
        all: &[TopicPartition],
        limit: ProbeDeadline,
    ) -> Result<BTreeMap<TopicPartition, i64>, LagError> {
        let asked = self.list(all, Offset::Invalid)?;
        let told = self.client().committed_offsets(asked, limit.left());
        Ok(self.read(all, &told.map_err(LagError::Unreachable)?))
    }

    fn list(&self, all: &[TopicPartition], offset: Offset) -> Result<TopicPartitionList, LagError> {
        let mut list = TopicPartitionList::with_capacity(all.len());
        for at in all {
            let name = self.kafka.topic(&at.topic);
            list.add_partition_offset(&name, at.partition, offset).map_err(LagError::Client)?;
        }
        Ok(list)
    }

    /// The partitions for which there is an offset.
    fn read(
        &self,
        all: &[TopicPartition],
        list: &TopicPartitionList,
    ) -> BTreeMap<TopicPartition, i64> {
        let offset = |at: &TopicPartition| {
            let found = list.find_partition(&self.kafka.topic(&at.topic), at.partition)?;
            let Offset::Offset(offset) = found.offset() else { return None };
            found.error().ok()?;
            Some((at.clone(), offset))
        };
        all.iter().filter_map(offset).collect()
    }
}

/// The deadline for the answers of one sample.
#[derive(Clone, Copy)]
struct ProbeDeadline(Instant);

impl ProbeDeadline {
    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).min(ANSWER_LIMIT)
    }
}

/// A client's drop waits for the broker: it runs on a thread that is not waited for.
fn give_up(client: Option<BaseConsumer>) {
    if let Some(client) = client {
        std::thread::spawn(move || drop(client));
    }
}

impl Drop for GroupProbe {
    fn drop(&mut self) {
        give_up(self.client.take());
        give_up(self.stable.take());
    }
}
