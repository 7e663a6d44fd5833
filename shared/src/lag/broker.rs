//! The questions to the broker, each with a limit, off the runtime's threads.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{Error, Look, Settings};

/// A topic without the deployment's prefix, and a partition of it.
pub(super) type Place = (&'static str, i32);

/// The broker may take this long for one answer. Three of them are far below a process' grace.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A client that asks about a group and never joins it.
pub(super) struct Broker {
    settings: Settings,
    client: Option<BaseConsumer>,
    /// Known after the first answer: topics have the partitions that they were made with.
    places: Vec<Place>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl Broker {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let client = settings.kafka.consumer(settings.group).create().map_err(Error::Client)?;
        Ok(Self { settings: settings.clone(), client: Some(client), places: vec![] })
    }

    /// Looks at the group; gives itself back with what it saw. The client is lost with a look that
    /// is dropped.
    pub(super) async fn look(mut self) -> (Option<Self>, Result<Look, Error>) {
        let looking = tokio::task::spawn_blocking(move || {
            let looked = self.ask();
            (self, looked)
        });
        match looking.await {
            Ok((broker, looked)) => (Some(broker), looked),
            Err(_panic) => {
                let lost = KafkaError::MetadataFetch(RDKafkaErrorCode::Fail);
                (None, Err(Error::Unreachable(lost)))
            }
        }
    }

    fn client(&self) -> &BaseConsumer {
        self.client.as_ref().unwrap_or_else(|| unreachable!("the client is taken only by drop"))
    }

    fn ask(&mut self) -> Result<Look, Error> {
        if self.places.is_empty() {
            self.places = self.partitions()?;
        }
        // The ends before what is read: what is read by then includes what had been said before.
        let ends = self.offsets(&self.places, Offset::End)?;
        let mut read = self.committed()?;
        let is_behind = |place: &&Place| read.get(*place).is_none_or(|it| *it < ends[*place]);
        let behind: Vec<Place> = self.places.iter().filter(is_behind).copied().collect();
        if !behind.is_empty() {
            // What was never read is read from the beginning, and what is gone cannot be read.
            for (place, beginning) in self.offsets(&behind, Offset::Beginning)? {
                let known = read.entry(place).or_default();
                *known = beginning.max(*known);
            }
        }
        Ok(Look { ends, read })
    }

    fn partitions(&self) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for topic in &self.settings.topics {
            let name = self.settings.kafka.topic(topic);
            let metadata = self
                .client()
                .fetch_metadata(Some(&name), ANSWER_LIMIT)
                .map_err(Error::Unreachable)?;
            let known =
                metadata.topics().iter().find(|it| it.name() == name && it.error().is_none());
            let known = known.filter(|it| !it.partitions().is_empty()).ok_or(Error::Incomplete)?;
            places.extend(known.partitions().iter().map(|it| (*topic, it.id())));
        }
        Ok(places)
    }

    /// Where these partitions begin or end.
    fn offsets(&self, places: &[Place], which: Offset) -> Result<BTreeMap<Place, i64>, Error> {
        let asked = self.list(places, which)?;
        let told = self.client().offsets_for_times(asked, ANSWER_LIMIT);
        let told = self.read(&told.map_err(Error::Unreachable)?);
        if told.len() == places.len() { Ok(told) } else { Err(Error::Incomplete) }
    }

    /// Up to where the group has read; a partition of which it has read nothing is missing.
    fn committed(&self) -> Result<BTreeMap<Place, i64>, Error> {
        let asked = self.list(&self.places, Offset::Invalid)?;
        let told = self.client().committed_offsets(asked, ANSWER_LIMIT);
        Ok(self.read(&told.map_err(Error::Unreachable)?))
    }

    fn list(&self, places: &[Place], offset: Offset) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition) in places {
            let name = self.settings.kafka.topic(topic);
            list.add_partition_offset(&name, *partition, offset).map_err(Error::Client)?;
        }
        Ok(list)
    }

    /// The partitions for which there is a place in the log.
    fn read(&self, list: &TopicPartitionList) -> BTreeMap<Place, i64> {
        let topics: BTreeMap<String, &'static str> =
            self.settings.topics.iter().map(|it| (self.settings.kafka.topic(it), *it)).collect();
        let known = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let Offset::Offset(offset) = element.offset() else { return None };
            element.error().ok()?;
            Some(((*topics.get(element.topic())?, element.partition()), offset))
        };
        list.elements().iter().filter_map(known).collect()
    }
}

impl Drop for Broker {
    /// The client's drop waits for the broker: on a thread that nobody waits for.
    fn drop(&mut self) {
        let client = self.client.take();
        std::thread::spawn(move || drop(client));
    }
}
