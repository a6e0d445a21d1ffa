//! Decides how a body that cannot be accepted is told to its sender: code, param, sentence.
//! Does not choose the status (reply/error.rs) and never quotes the body's text.

use super::cursor::{Fault, Kind};

/// Longest piece of a client's key that is repeated in a message.
const KEY_SHOWN_MAX: usize = 64;

/// Why a chat body is refused. `code` is one of the error table's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanError {
    pub code: &'static str,
    pub param: Option<String>,
    pub message: String,
}

impl ScanError {
    pub(super) fn missing(param: impl Into<String>, why: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}` is required: {why}.");
        Self { code: "missing_required_parameter", param: Some(param), message }
    }

    pub(super) fn mistyped(param: impl Into<String>, wanted: &str, found: Kind) -> Self {
        let param = param.into();
        let message = format!("`{param}` must be {wanted}, but it is {}.", found.name());
        Self { code: "invalid_type", param: Some(param), message }
    }

    pub(super) fn invalid(param: impl Into<String>, rule: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}` is out of bounds: {rule}.");
        Self { code: "invalid_value", param: Some(param), message }
    }

    pub(super) fn duplicate(parent: &str, key: &str) -> Self {
        let shown: String = key.chars().take(KEY_SHOWN_MAX).collect();
        let dot = if parent.is_empty() { "" } else { "." };
        let param = format!("{parent}{dot}{shown}");
        let message = format!("`{param}` is given more than once; send it once.");
        Self { code: "duplicate_field", param: Some(param), message }
    }
}

impl From<Fault> for ScanError {
    fn from(fault: Fault) -> Self {
        let message = format!("The body is not valid JSON: {} (byte {}).", fault.what, fault.at);
        Self { code: "invalid_json", param: None, message }
    }
}
