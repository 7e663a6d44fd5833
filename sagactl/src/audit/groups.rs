//! Has each service read everything that was said to it? And was anything deleted before it was read?
//!
//! The answer is the services' own ([`shared::lag`]). It is asked until nothing moves any more, because
//! offsets are committed a second after their messages.

use std::{sync::Arc, time::Duration};

use devstack::Limit;
use shared::{contract, kafka, lag::Group};

use crate::fleet::Member;

/// Within this, a group has to read on.
const STEP_LIMIT: Duration = Duration::from_mins(2);

/// The pause between looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Who reads each topic of events.
pub fn readers(topic: &str) -> &'static [Member] {
    use Member::{Inventory, Notify, Orders, Payments};
    match topic {
        contract::ORDER_PLACED | contract::ORDER_CANCELLED => &[Inventory, Payments, Notify],
        contract::ORDER_CONFIRMED => &[Inventory, Notify],
        contract::STOCK_RESERVED => &[Payments, Orders],
        contract::PAYMENT_REFUNDED => &[Orders, Notify],
        _others => &[Orders],
    }
}

/// The topics that a service reads.
pub fn topics_of(member: Member) -> Vec<Arc<str>> {
    let events = contract::TOPICS.iter().map(|it| it.name).filter(|it| !it.contains('.'));
    events.filter(|it| readers(it).contains(&member)).map(Arc::from).collect()
}

/// What the groups have not read: what was deleted before, and what still lies there when they do not
/// read on for so long.
pub fn faults(broker: &kafka::Settings) -> anyhow::Result<Vec<String>> {
    faults_within(broker, STEP_LIMIT)
}

/// The same, given up when a group does not read on for so long.
pub fn faults_within(broker: &kafka::Settings, limit: Duration) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for member in Member::SERVICES {
        let mut group = Group::new(broker, member.program())?;
        let topics = topics_of(member);
        let mut limit = Limit::new(format!("{member} has read everything"), limit, LOOK_AGAIN);
        let mut ends = None;
        loop {
            let seen = match group.look(&topics) {
                Ok(look) => {
                    if ends.is_none() {
                        let deleted = look.0.iter().filter_map(|(at, it)| {
                            let range = it.deleted_unread()?;
                            let (from, to) = (range.start, range.end);
                            Some(format!(
                                "{member} never read {at} from offset {from} to {to}: deleted"
                            ))
                        });
                        faults.extend(deleted);
                    }
                    if look.is_read_up_to(ends.get_or_insert_with(|| look.ends())) {
                        break;
                    }
                    look.behind().map(|it| it.to_string()).unwrap_or_default()
                }
                Err(error) => error.to_string(),
            };
            if limit.looked(&seen).is_err() {
                faults.push(format!("{member}: {seen}"));
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(faults)
}
