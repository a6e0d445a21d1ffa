//! Decides how call ids read where an upstream takes nothing but nine letters and digits.
//! Does not remember ids: the same one becomes the same one, in every request.

use super::edits::{Edits, elements, inner};
use super::types::{Scan, Span};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

const LENGTH: usize = 9;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Rewrites the ids of calls and of their results.
pub(super) fn shorten<'a>(body: &'a [u8], scan: &Scan, edits: &mut Edits<'a>) {
    let messages = scan.field("messages").map(|field| elements(body, field.value.start));
    let messages = messages.unwrap_or_default();
    let calls = messages.iter().filter_map(|at| inner(body, *at, "tool_calls"));
    let calls = calls.flat_map(|list| elements(body, list.value.start));
    let calls = calls.filter_map(|at| inner(body, at, "id"));
    let results = messages.iter().filter_map(|at| inner(body, *at, "tool_call_id"));
    let ids: Vec<Span> = calls.chain(results).map(|found| found.value).collect();
    for id in ids {
        let text = id.of(body);
        let bare = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let fits = |bare: &[u8]| bare.len() == LENGTH && bare.iter().all(u8::is_ascii_alphanumeric);
        if !bare.is_some_and(fits) {
            edits.replace(id, short(text));
        }
    }
}

fn short(id: &[u8]) -> Vec<u8> {
    let mut hasher = SipHasher13::new();
    hasher.write(id);
    let mut rest = hasher.finish();
    let mut out = vec![b'"'];
    for _ in 0..LENGTH {
        let letter = usize::try_from(rest % LETTERS.len() as u64).unwrap_or_default();
        out.push(LETTERS.get(letter).copied().unwrap_or(b'0'));
        rest /= LETTERS.len() as u64;
    }
    out.push(b'"');
    out
}
