use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::message::{Headers, Outgoing};

fn kept(outbox_id: i64, key: &str) -> Kept {
    Kept {
        outbox_id,
        created_at: OffsetDateTime::UNIX_EPOCH,
        message: Outgoing {
            id: Uuid::nil(),
            topic: "a-topic".into(),
            key: Some(key.as_bytes().to_vec()),
            headers: Headers::default(),
            payload: None,
        },
    }
}

#[test]
fn a_key_is_settled_only_as_far_as_all_before_is_confirmed() {
    let batch = [kept(1, "a"), kept(2, "b"), kept(3, "a"), kept(4, "b")];
    assert_eq!(settleable(&batch, &[true, false, true, true]), [1, 3]);
    assert_eq!(settleable(&batch, &[true; 4]), [1, 2, 3, 4]);
    assert_eq!(settleable(&batch, &[false, true, true, true]), [2, 4]);
}
