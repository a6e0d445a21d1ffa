//! Decides how cost and metadata are written into what the upstream sent.
//! Does not compute either: both come in ready.

use super::identity::Identity;
use crate::dialect::wire::json::Walk;
use crate::dialect::wire::object::Object;
use crate::money::Usd;
use crate::usage::Usage;

/// What a finished answer is sealed with. Both metadata texts are whole JSON objects.
#[derive(Clone, Copy, Debug)]
pub struct Seal<'a> {
    pub metadata: &'a [u8],
    /// The same object with its own latency, for the usage chunk; not used in whole answers.
    pub metadata_again: &'a [u8],
    pub cost: Usd,
    /// The counts that were billed: they are what `usage` says, whatever the upstream wrote.
    pub usage: &'a Usage,
}

const METADATA_KEY: &[u8] = b",\"p402_metadata\":";

/// The usage object a client sees: the upstream's own keys, the billed counts, our cost.
/// Whatever the upstream says of cost is the operator's price and is cut.
pub(super) fn usage_json(raw: Option<&[u8]>, usage: &Usage, cost: Usd) -> Vec<u8> {
    let mut out = raw.and_then(Object::parse).unwrap_or_default();
    out.retain(|key| !key.contains("cost") && key != "is_byok");
    let counts = [
        ("prompt_tokens", usage.input()),
        ("completion_tokens", usage.output),
        ("total_tokens", usage.input().saturating_add(usage.output)),
    ];
    for (key, count) in counts {
        if out.whole(key) != Some(count) {
            out.set(key, count.to_string().into_bytes());
        }
    }
    let details = [
        ("prompt_tokens_details", "cached_tokens", usage.cache_read),
        ("completion_tokens_details", "reasoning_tokens", usage.reasoning),
    ];
    for (key, part, count) in details {
        let inner = out.get(key).and_then(Object::parse);
        let mut inner = inner.map(Object::into_owned).unwrap_or_default();
        if inner.whole(part) != Some(count) {
            inner.set(part, count.to_string().into_bytes());
            out.set(key, inner.write());
        }
    }
    out.set("cost", cost.to_string().into_bytes());
    out.write()
}

/// An object that has at least one member and ends in its brace, with the metadata appended.
pub(super) fn with_metadata(object: &[u8], metadata: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + metadata.len() + METADATA_KEY.len() + 1);
    out.extend_from_slice(object);
    append_metadata(&mut out, metadata);
    out
}

/// Appends the metadata in place.
pub(super) fn append_metadata(object: &mut Vec<u8>, metadata: &[u8]) {
    let inner = object.trim_ascii_end();
    let inner = inner.strip_suffix(b"}").unwrap_or(inner).trim_ascii_end().len();
    object.truncate(inner);
    object.extend_from_slice(METADATA_KEY);
    object.extend_from_slice(metadata);
    object.push(b'}');
}

/// The usage chunk: the upstream's own where it sent one, with the same identity as all others.
pub(super) fn usage_chunk(own: Option<&[u8]>, identity: &Identity, usage: &[u8]) -> Vec<u8> {
    let mut out = Object::default();
    out.set("id", identity.id.as_slice());
    out.set("object", b"\"chat.completion.chunk\"".as_slice());
    out.set("created", identity.created.as_slice());
    out.set("model", identity.model.as_slice());
    out.set("choices", b"[]".as_slice());
    if let Some(own) = own.and_then(Object::parse) {
        out.append_missing(&own);
        out.remove("p402_metadata");
    }
    out.remove("usage");
    out.set("usage", usage);
    out.write()
}

/// A body with its usage replaced, or added where there is none; all other bytes stay. `more`
/// bytes of room are left for what its caller appends.
pub(super) fn replace_usage(body: &[u8], usage: &[u8], more: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + usage.len() + more + 32);
    let copied = copy_with_usage(body, usage, &mut out);
    if copied.is_none() {
        // Not reached with a body that `read_answer` has read: it is an object.
        out.clear();
        out.extend_from_slice(body);
    }
    out
}

fn copy_with_usage(body: &[u8], usage: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut walk = Walk::new(body);
    walk.eat(b'{')?;
    let (mut first, mut copied, mut found) = (true, 0, false);
    while let Some(key) = walk.key(&mut first)? {
        let value = walk.value()?;
        if key.text() == "usage" {
            found = true;
            out.extend_from_slice(body.get(copied..walk.at() - value.len())?);
            out.extend_from_slice(usage);
            copied = walk.at();
        }
    }
    if found {
        out.extend_from_slice(body.get(copied..)?);
    } else {
        let inner = body.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
        out.extend_from_slice(inner);
        out.extend_from_slice(b",\"usage\":");
        out.extend_from_slice(usage);
        out.push(b'}');
    }
    Some(())
}
