//! The wire format around a datum: a zero byte and the id of the writer's schema.

use super::{BODY_BYTES_MAX, UnreadableBody};
use crate::message::MessageHeaders;

/// The first byte of the wire format.
pub(super) const MAGIC: u8 = 0;
/// The first byte of Confluent's newer format; the GUID of the schema follows.
const MAGIC_GUID: u8 = 1;
/// A GUID after its magic byte.
const GUID_BYTES: usize = 1 + 16;
/// The header in which Confluent's newer format names the schema of a body that has no prefix.
const GUID_HEADER: &str = "__value_schema_id";

/// The prefix of a body.
pub(super) fn frame(id: u32) -> Vec<u8> {
    let mut payload = Vec::with_capacity(256);
    payload.push(MAGIC);
    payload.extend_from_slice(&id.to_be_bytes());
    payload
}

/// Removes the wire format: returns the id of the writer's schema, and the datum.
pub(super) fn unwrap(payload: &[u8]) -> Result<(u32, &[u8]), UnreadableBody> {
    if payload.len() > BODY_BYTES_MAX {
        return Err(UnreadableBody::TooLarge(payload.len()));
    }
    match payload.first() {
        Some(&MAGIC_GUID) if payload.len() >= GUID_BYTES => {
            return Err(UnreadableBody::Guid("after a 0x01"));
        }
        Some(first) if *first != MAGIC => return Err(UnreadableBody::NoMagic(*first)),
        _ => (),
    }
    let Some((prefix, datum)) = payload.split_first_chunk::<5>() else {
        return Err(UnreadableBody::TooShort(payload.len()));
    };
    let [_magic, id @ ..] = *prefix;
    let id = u32::from_be_bytes(id);
    // Registries count with signed numbers, from 1.
    match i32::try_from(id) {
        Ok(1..) => Ok((id, datum)),
        _ => Err(UnreadableBody::NoId(id)),
    }
}

/// A body without a prefix, whose schema is named in a header, is not a broken body.
pub(super) fn or_in_a_header(headers: &MessageHeaders, why: UnreadableBody) -> UnreadableBody {
    let is_about_the_prefix = matches!(
        why,
        UnreadableBody::NoMagic(_) | UnreadableBody::TooShort(_) | UnreadableBody::NoId(_)
    );
    if is_about_the_prefix && headers.iter().any(|(name, _)| name == GUID_HEADER) {
        return UnreadableBody::Guid("in the header __value_schema_id");
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_named_by_a_guid_is_said_to_be() {
        let body = [&[MAGIC_GUID][..], &[0xab; 16], b"a datum"].concat();
        assert_eq!(unwrap(&body), Err(UnreadableBody::Guid("after a 0x01")));
        assert_eq!(unwrap(&body[..16]), Err(UnreadableBody::NoMagic(MAGIC_GUID)));

        let mut headers = MessageHeaders::default();
        for body in [&b"H0"[..], b"", b"\0\0\0\0\0"] {
            let why = unwrap(body).unwrap_err();
            assert_eq!(or_in_a_header(&headers, why.clone()), why, "there is no such header");
        }
        headers.push_raw(GUID_HEADER, Some(&[MAGIC_GUID; 17]));
        for body in [&b"H0"[..], b"", b"\0\0\0\0\0"] {
            let why = or_in_a_header(&headers, unwrap(body).unwrap_err());
            assert!(why.to_string().contains("in the header __value_schema_id"), "{why}");
        }
        let large = UnreadableBody::TooLarge(2_000_000);
        assert_eq!(or_in_a_header(&headers, large.clone()), large);
    }
}
