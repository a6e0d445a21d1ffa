//! Decides which requests may ever share an answer: the scope, a hard partition, and the exact key.
//! Does not compare meanings: everything but the last user message is matched here, byte for byte.

use super::canon;
use crate::envelope::{Field, Role, Scan, Span, canonical};
use sha2::{Digest as _, Sha256};

/// Raised when a rule of this file changes: old entries then lie in scopes nobody asks for.
const SCOPE_VERSION: u32 = 1;
/// Fields that cannot change the answer, or that enter the scope in a form of their own.
const NOT_IN_SCOPE: &[&str] = &[
    "model",
    "messages",
    "p402",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
];

/// A SHA-256 sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// Among whom an answer may be shared. A request may narrow its tenant's rule, never widen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share<'a> {
    Tenant,
    User(&'a str),
    Session(&'a str),
}

/// Which models' answers the request would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class<'a> {
    /// The resolved id of the one model asked for.
    Pinned(&'a str),
    Routed {
        mode: &'a str,
        models: &'a [String],
        providers: &'a [String],
        task: Option<&'a str>,
    },
}

/// Everything beside the body that keeps requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Around<'a> {
    pub tenant: &'a str,
    pub share: Share<'a>,
    pub class: Class<'a>,
    /// The encoder whose vectors are compared: another one empties the cache by construction.
    pub embedder: &'a str,
    /// Versions of the rules that judge a pair, joined by the caller.
    pub rules: &'a str,
}

/// Under what a request is looked up and its answer stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub scope: Digest,
    pub exact: Digest,
    /// The last message's text and the digest of its canonical form, where it is the user's and
    /// nothing but text.
    pub asked: Option<(String, Digest)>,
}

/// Feeds parts to the sum, each with tag and length: no two lists of parts give the same bytes.
pub struct Parts(Sha256);

impl Parts {
    pub fn new(of: &str) -> Self {
        Self(Sha256::new()).with("of", of.as_bytes())
    }

    #[must_use]
    pub fn with(mut self, tag: &str, part: &[u8]) -> Self {
        self.0.update((tag.len() as u64).to_le_bytes());
        self.0.update(tag.as_bytes());
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    fn with_list(self, tag: &str, list: &[String]) -> Self {
        let counted = self.with(tag, &(list.len() as u64).to_le_bytes());
        list.iter().fold(counted, |parts, item| parts.with(tag, item.as_bytes()))
    }

    pub fn sum(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Who asks, as a number: a user where one is named, else the API key's hash.
pub fn asker(user: Option<&str>, key: u64) -> u64 {
    let parts = Parts::new("asker");
    let parts = match user {
        Some(user) => parts.with("user", user.as_bytes()),
        None => parts.with("key", &key.to_le_bytes()),
    };
    let Digest(sum) = parts.sum();
    sum.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

impl Digest {
    /// The first twelve hex digits: an id for people.
    pub fn short(&self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let nibbles = self.0.iter().take(6).flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.map(|nibble| char::from(HEX[usize::from(nibble)])).collect()
    }
}

/// The key of a scanned body. `None`: this request is never cached (a link's content can change).
pub fn key(body: &[u8], scan: &Scan, around: &Around<'_>) -> Option<Key> {
    let last = last_user_message(scan);
    let messages = canonical(body, scan.field("messages")?.value, last)?;
    if messages.remote_link {
        return None;
    }
    let mut parts = around.parts().with("messages", &messages.bytes);
    for (name, field) in relevant(scan) {
        parts = parts.with("field", name.as_bytes());
        parts = parts.with("value", &canonical(body, field.value, None)?.bytes);
    }
    let scope = parts.sum();
    let Some(last) = last else {
        let exact = Parts::new("exact").with("scope", &scope.0).sum();
        return Some(Key { scope, exact, asked: None });
    };
    let content = canonical(body, last, None)?;
    if content.remote_link {
        return None;
    }
    let exact = Parts::new("exact").with("scope", &scope.0).with("last", &content.bytes).sum();
    let asked = text_of(last.of(body)).map(|text| {
        let form = canon::canonical(&text);
        let parts = Parts::new("canonical").with("scope", &scope.0);
        let sum =
            parts.with("version", &canon::VERSION.to_le_bytes()).with("form", form.as_bytes());
        (text, sum.sum())
    });
    Some(Key { scope, exact, asked })
}

/// The raw content of the last message, where it is the user's.
fn last_user_message(scan: &Scan) -> Option<Span> {
    let user = scan.last_role == Role::User;
    scan.user_texts.first().copied().filter(|_| user)
}

/// Fields that can change the answer, known or not, by name.
fn relevant(scan: &Scan) -> Vec<(&str, Field)> {
    let fields = scan.fields.iter().map(|(name, field)| (name.as_str(), *field));
    let mut kept: Vec<_> = fields.filter(|(name, _)| !NOT_IN_SCOPE.contains(name)).collect();
    kept.sort_by_key(|(name, _)| *name);
    kept
}

/// The text of a content value that is a string, or one text part and nothing else.
fn text_of(content: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        r#type: String,
        text: String,
    }
    if content.first() == Some(&b'"') {
        return serde_json::from_slice(content).ok();
    }
    let [part] = serde_json::from_slice::<[Part; 1]>(content).ok()?;
    (part.r#type == "text").then_some(part.text)
}

impl Around<'_> {
    fn parts(&self) -> Parts {
        let parts = Parts::new("scope")
            .with("version", &SCOPE_VERSION.to_le_bytes())
            .with("tenant", self.tenant.as_bytes())
            .with("embedder", self.embedder.as_bytes())
            .with("rules", self.rules.as_bytes());
        let parts = match self.share {
            Share::Tenant => parts.with("share", b"tenant"),
            Share::User(user) => parts.with("share", b"user").with("user", user.as_bytes()),
            Share::Session(id) => parts.with("share", b"session").with("session", id.as_bytes()),
        };
        match self.class {
            Class::Pinned(model) => parts.with("pinned", model.as_bytes()),
            Class::Routed { mode, models, providers, task } => parts
                .with("mode", mode.as_bytes())
                .with_list("models", models)
                .with_list("providers", providers)
                .with("task", task.unwrap_or_default().as_bytes()),
        }
    }
}
