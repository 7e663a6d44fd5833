//! Checks that each group has read its topics, and that no message was deleted before it was read.
//!
//! The lag is computed as in the services ([`shared::lag`]). It is asked again until it stops
//! changing, because offsets are committed a second after their messages.

use std::time::Duration;

use shared::{kafka, lag::GroupProbe};

use super::stillness::StillCount;
use crate::service_name::ServiceName;

/// The pause between looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What the groups have not read: what was deleted before, and what is still there when a group
/// does not read on for so long. Each line says where, and whether it was deleted. Blocks.
pub(super) fn unread(
    broker: &kafka::KafkaSettings,
    still_max: Duration,
) -> anyhow::Result<Vec<(ServiceName, String)>> {
    let mut unread = Vec::new();
    for service in ServiceName::ALL {
        let found = unread_of(broker, service, still_max)?;
        unread.extend(found.into_iter().map(|what| (service, what)));
    }
    Ok(unread)
}

fn unread_of(
    broker: &kafka::KafkaSettings,
    service: ServiceName,
    still_max: Duration,
) -> anyhow::Result<Vec<String>> {
    let mut group = GroupProbe::new(broker, service.name())?;
    let topics = service.topics();
    let mut stillness = StillCount::new(still_max, LOOK_AGAIN);
    let (mut unread, mut ends) = (Vec::new(), None);
    loop {
        let seen = match group.look(&topics) {
            Ok(look) => {
                if ends.is_none() {
                    unread.extend(look.0.iter().filter_map(|(at, standing)| {
                        let range = standing.deleted_unread()?;
                        let (from, to) = (range.start, range.end);
                        Some(format!("never read {at} from offset {from} to {to}: deleted"))
                    }));
                }
                if look.is_read_up_to(ends.get_or_insert_with(|| look.ends())) {
                    return Ok(unread);
                }
                look.behind().map(|behind| behind.to_string()).unwrap_or_default()
            }
            Err(error) => error.to_string(),
        };
        if stillness.lasts(&seen) {
            // A broker that never answered has not been asked.
            anyhow::ensure!(ends.is_some(), "{seen}");
            unread.push(seen);
            return Ok(unread);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
