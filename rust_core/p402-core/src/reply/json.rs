//! Decides how JSON is written by hand where its key order is a promise.
//! Does not read JSON.

use std::fmt::Display;
use std::io::Write;

/// A string with quotes, escaped as serde_json does.
pub(super) fn text(out: &mut Vec<u8>, value: &str) {
    // Writing to memory cannot fail.
    serde_json::to_writer(out, value).unwrap_or_default();
}

/// Whatever displays as JSON already: numbers, booleans, null, values.
pub(super) fn plain(out: &mut Vec<u8>, value: impl Display) {
    write!(out, "{value}").unwrap_or_default();
}

/// `"key":` of the next member, with a comma unless it is the object's first.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// `"key":"value"`
pub(super) fn text_member(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    text(out, value);
}

/// `"key":value`
pub(super) fn member(out: &mut Vec<u8>, name: &str, value: impl Display) {
    key(out, name);
    plain(out, value);
}

/// `"key":"value"`, or null.
pub(super) fn optional_member(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    match value {
        Some(value) => text_member(out, name, value),
        None => member(out, name, "null"),
    }
}
