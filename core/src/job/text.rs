//! From the bytes of a body to the JSON in it: what is laid around it on the way is taken off, once each.

use super::model::{MAX_BODY_BYTES, malformed};
use super::properties::Properties;
use super::recognise::{self, Seen};
use super::{amqp10, coding};
use crate::failure::Failure;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The text of a body: out of its AMQP 1.0 sections, decompressed, without a byte order mark, and out of the JSON string that it may be.
pub(super) fn of<'a>(body: &'a [u8], properties: &Properties) -> Result<Cow<'a, [u8]>, Failure> {
    if body.len() > MAX_BODY_BYTES {
        return Err(malformed(format!(
            "the body has {} bytes; a job names an image, it does not hold one",
            body.len()
        )));
    }
    if !amqp10::is_sections(body) {
        return unwrapped(body.into(), properties);
    }
    let mut pieces = amqp10::pieces(body).map_err(|unread| recognise::refused(&Seen::sections(unread)))?;
    let text = unwrapped(pieces.concat().into(), properties);
    if pieces.len() == 1 || text.as_ref().is_ok_and(|text| is_json(text)) {
        return text;
    }
    // RabbitMQ 3.10.8 hands several data sections on in the reverse of their order.
    pieces.reverse();
    unwrapped(pieces.concat().into(), properties).ok().filter(|text| is_json(text)).map_or(text, Ok)
}

fn unwrapped<'a>(body: Cow<'a, [u8]>, properties: &Properties) -> Result<Cow<'a, [u8]>, Failure> {
    // Producers that use both compress with kombu, and name the encoding of what kombu was given.
    let body = coding::decoded(body, properties.compression.as_deref())?;
    let body = coding::decoded(body, properties.content_encoding.as_deref())?;
    let bare = coding::without_bom(&body);
    Ok(match unquoted(bare) {
        Some(text) => text.into(),
        None if bare.len() == body.len() => body,
        None => bare.to_vec().into(),
    })
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// What a body that is a JSON string holds.
fn unquoted(body: &[u8]) -> Option<Vec<u8>> {
    if !body.trim_ascii_start().starts_with(b"\"") {
        return None;
    }
    serde_json::from_slice::<String>(body).ok().map(String::into_bytes)
}
