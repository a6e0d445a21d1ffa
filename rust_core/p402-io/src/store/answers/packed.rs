//! Decides how an entry lies in bytes: in a snapshot, in Redis, in its log.
//! Does not read or write files or sockets.

use bytes::Bytes;
use p402_core::cache::judge::versions;
use p402_core::cache::key::Digest;
use p402_core::cache::rules::shipped_encoder;
use p402_core::cache::shelf::Entry;
use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_core::time::Timestamp;
use std::sync::Arc;

const FIELD_BYTES_MAX: usize = 64 << 20;

/// Whose vectors, judged by which rules.
pub(super) fn made_by() -> String {
    format!("{}.{}", shipped_encoder(), versions())
}

/// The next part, without its length.
pub(super) fn taken<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    (length <= FIELD_BYTES_MAX).then_some(part)
}

pub(super) fn packed(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.answer.len() + 1_024);
    let (question, canonical) = match &entry.asked {
        Some((text, canonical)) => (text.as_bytes(), canonical.0.as_slice()),
        None => (b"".as_slice(), b"".as_slice()),
    };
    let values = entry.vector.as_ref().map(|vector| vector.values.map(i8::cast_unsigned));
    let numbers = [
        entry.id.to_le_bytes(),
        entry.created.micros().to_le_bytes(),
        entry.expires.micros().to_le_bytes(),
    ];
    let parts: [&[u8]; 9] = [
        &numbers.concat(),
        entry.tenant.as_bytes(),
        &entry.scope.0,
        &entry.exact.0,
        canonical,
        question,
        values.as_ref().map_or(&[], <[u8; DIMENSIONS]>::as_slice),
        entry.model.as_bytes(),
        &entry.answer,
    ];
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

pub(super) fn unpacked(mut rest: &[u8]) -> Option<Entry> {
    let numbers: &[u8; 24] = taken(&mut rest)?.try_into().ok()?;
    let number = |at: usize| {
        let bytes = numbers.get(at * 8..).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map(|bytes| i64::from_le_bytes(*bytes))
    };
    let tenant = std::str::from_utf8(taken(&mut rest)?).ok()?;
    let digest = |bytes: &[u8]| Some(Digest(bytes.try_into().ok()?));
    let (scope, exact) = (digest(taken(&mut rest)?)?, digest(taken(&mut rest)?)?);
    let (canonical, question) = (taken(&mut rest)?, taken(&mut rest)?);
    let question = std::str::from_utf8(question).ok()?;
    let asked =
        if canonical.is_empty() { None } else { Some((question.into(), digest(canonical)?)) };
    let values = taken(&mut rest)?;
    let vector = if values.is_empty() {
        None
    } else {
        let bytes: &[u8; DIMENSIONS] = values.try_into().ok()?;
        Some(Arc::new(Vector::from_bytes(bytes.map(u8::cast_signed))))
    };
    let model = std::str::from_utf8(taken(&mut rest)?).ok()?;
    let answer = Bytes::copy_from_slice(taken(&mut rest)?);
    rest.is_empty().then_some(Entry {
        id: number(0)?.cast_unsigned(),
        tenant: tenant.into(),
        scope,
        exact,
        asked,
        vector,
        model: model.into(),
        answer,
        created: Timestamp::from_micros(number(1)?),
        expires: Timestamp::from_micros(number(2)?),
    })
}
