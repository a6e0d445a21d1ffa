//! Decides the `x-p402-*` headers of a reply (routing.md § 2.4): names, order, ASCII only.
//! Does not hold errors' retry headers (error.rs) or the guard's.

use crate::catalog::{Effort, Task};
use crate::id::RequestId;
use crate::money::Usd;
use crate::route::{Mode, SessionState};
use std::fmt::Write;

/// A header's value is cut here: clients and proxies refuse heads beyond a few KiB.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// What the head of a reply says; what is unknown at that time is left out.
#[derive(Clone, Copy, Debug)]
pub struct ReplyHeaders<'a> {
    pub request_id: RequestId,
    /// Absent in a head that left before a provider had answered.
    pub provider: Option<&'a str>,
    pub model: Option<&'a str>,
    pub effort: Option<Effort>,
    pub mode: Option<Mode>,
    pub task: Option<Task>,
    /// Probability of `task`, 0 to 1.
    pub confidence: f32,
    /// `2;groq=429`; empty = absent.
    pub attempts: &'a str,
    pub session: SessionState,
    /// exact, semantic, miss, off.
    pub cache: &'static str,
    /// The weights' snapshot; empty = absent.
    pub weights: &'a str,
    /// Known before the body: not of a stream.
    pub cost: Option<Usd>,
    pub warnings: &'a [String],
}

impl<'a> ReplyHeaders<'a> {
    /// The headers of a reply of which nothing but the request id is known.
    pub const fn new(request_id: RequestId) -> Self {
        Self {
            request_id,
            provider: None,
            model: None,
            effort: None,
            mode: None,
            task: None,
            confidence: 0.0,
            attempts: "",
            session: SessionState::None,
            cache: "off",
            weights: "",
            cost: None,
            warnings: &[],
        }
    }

    /// Name and value of each header, in routing.md's order.
    pub fn build(&self) -> Vec<(&'static str, String)> {
        let id = self.request_id.to_string();
        let mut out = Vec::with_capacity(14);
        out.push(("x-request-id", id.clone()));
        out.push(("x-p402-request-id", id));
        let words: [(&'static str, Option<&'a str>); 4] = [
            ("x-p402-provider", self.provider),
            ("x-p402-model", self.model),
            ("x-p402-effort", self.effort.map(Effort::name)),
            ("x-p402-mode", self.mode.map(Mode::name)),
        ];
        for (name, value) in words {
            out.extend(value.map(|value| (name, ascii(value))));
        }
        if let Some(task) = self.task {
            out.push(("x-p402-task", format!("{};c={:.2}", task.name(), self.confidence)));
        }
        if !self.attempts.is_empty() {
            out.push(("x-p402-attempts", ascii(self.attempts)));
        }
        let session = match self.session {
            SessionState::None => None,
            SessionState::New => Some("new"),
            SessionState::Held => Some("held"),
            SessionState::Moved => Some("moved"),
        };
        out.extend(session.map(|word| ("x-p402-session", word.to_owned())));
        out.push(("x-p402-cache", self.cache.to_owned()));
        if !self.weights.is_empty() {
            out.push(("x-p402-weights", ascii(self.weights)));
        }
        out.extend(self.cost.map(|cost| ("x-p402-cost-usd", cost.to_string())));
        if !self.warnings.is_empty() {
            out.push(("x-p402-warnings", ascii(&self.warnings.join("; "))));
        }
        out
    }
}

/// The warning for fields that an upstream could not be told; `None` where there were none.
pub fn dropped_warning(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("dropped={}", names.join(",")))
}

/// Printable ASCII stays; every other byte becomes `%XX`. Cut at `VALUE_BYTES_MAX`.
fn ascii(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if out.len() + 3 > VALUE_BYTES_MAX {
            break;
        }
        if matches!(byte, b' '..=b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
    out
}
