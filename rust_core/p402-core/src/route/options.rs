//! Decides what the `p402` field and its header twins ask for, and refuses what they cannot mean.
//! Does not know the catalogue: whether a name exists is checked by who routes.

use super::types::{Lists, Mode, Options, Said};
use crate::catalog::{OfferKind, Task};
use crate::money::Usd;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Accepted keys, in the order they are told.
pub const KEYS: [&str; 11] = [
    "mode",
    "task",
    "models",
    "providers",
    "pin",
    "max_cost_usd",
    "max_latency_ms",
    "explain",
    "session_id",
    "cache",
    "cost_details",
];
pub const LATENCY_MS_MIN: u64 = 50;
pub const SESSION_BYTES_MAX: usize = 128;
/// Names in one allow or deny list.
pub const LIST_MAX: usize = 256;
/// Bytes of one such name.
pub const PATTERN_BYTES_MAX: usize = 256;
const HEADER_PREFIX: &str = "x-p402-";

/// Why the field cannot be followed. `code` is one of the error table's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub code: &'static str,
    pub param: String,
    pub message: String,
}

/// One key's value, and where it came from.
#[derive(Clone, Copy)]
enum Given<'a> {
    Body(&'a str, &'a RawValue),
    Header(&'a str, &'a str),
}

/// The values of all keys, the body's before the headers'.
struct Wishes<'a> {
    body: BTreeMap<String, &'a RawValue>,
    headers: &'a [(&'a str, &'a str)],
}

const PREFIX: &str = "x-p402-";
/// Headers of our own replies that a caller may echo; they ask for nothing.
const TOLD: [&str; 11] = [
    "request-id",
    "provider",
    "model",
    "effort",
    "attempts",
    "session",
    "weights",
    "hedged",
    "explored",
    "cost-usd",
    "warnings",
];

impl Options {
    /// Reads the raw `p402` object and the request's headers; the body wins key by key.
    pub fn read(p402: Option<&[u8]>, headers: &[(&str, &str)]) -> Result<Self, FieldError> {
        let body = p402.map_or(Ok(BTreeMap::new()), object)?;
        for key in body.keys() {
            if !KEYS.contains(&key.as_str()) {
                return Err(unknown(key));
            }
        }
        for (name, _) in headers {
            let Some(rest) = name.get(..7).filter(|start| start.eq_ignore_ascii_case(PREFIX))
            else {
                continue;
            };
            let rest = name.get(rest.len()..).unwrap_or_default();
            let told = TOLD.iter().any(|told| rest.eq_ignore_ascii_case(told));
            if !told && !KEYS.iter().any(|key| is_twin(name, key)) {
                return Err(unknown_header(name));
            }
        }
        let wishes = Wishes { body, headers };
        let flag = |key| wishes.read(key, Given::flag);
        Ok(Self {
            kind: OfferKind::default(),
            mode: wishes.read("mode", Given::mode)?,
            task: wishes.read("task", Given::task)?.flatten(),
            models: wishes.read("models", Given::lists)?.unwrap_or_default(),
            providers: wishes.read("providers", Given::lists)?.unwrap_or_default(),
            pin: flag("pin")?.unwrap_or(false),
            max_cost: wishes.read("max_cost_usd", Given::cost)?,
            max_latency_ms: wishes.read("max_latency_ms", Given::latency_ms)?,
            explain: flag("explain")?.unwrap_or(false),
            session_id: wishes.read("session_id", Given::session)?,
            cache: wishes.read("cache", |given| Ok(given.said()))?,
            cost_details: flag("cost_details")?.unwrap_or(false),
        })
    }
}

fn object(raw: &[u8]) -> Result<BTreeMap<String, &RawValue>, FieldError> {
    serde_json::from_slice(raw).map_err(|_| FieldError {
        code: "p402_field_invalid",
        param: "p402".to_owned(),
        message: "`p402` must be an object.".to_owned(),
    })
}

/// A mistyped wish must not be silent in a header either.
fn unknown_header(name: &str) -> FieldError {
    let shown: String = name.chars().take(64).collect();
    let known: Vec<String> = KEYS.iter().map(|key| key.replace('_', "-")).collect();
    let message = format!(
        "The header `{shown}` is unknown. Accepted after `{PREFIX}`: {}.",
        known.join(", ")
    );
    FieldError { code: "p402_field_unknown", param: shown, message }
}

fn unknown(key: &str) -> FieldError {
    let shown: String = key.chars().take(64).collect();
    let near = KEYS.iter().find(|known| {
        let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
        plain(known).starts_with(&plain(&shown)) || plain(&shown).starts_with(&plain(known))
    });
    let hint = near.filter(|_| !shown.is_empty()).map(|known| format!(" Did you mean `{known}`?"));
    let message = format!(
        "`p402.{shown}` is unknown.{} Accepted keys: {}.",
        hint.unwrap_or_default(),
        KEYS.join(", ")
    );
    FieldError { code: "p402_field_unknown", param: format!("p402.{shown}"), message }
}

impl<'a> Wishes<'a> {
    /// Reads one key where it is given; a null counts as not given.
    fn read<T>(
        &self,
        key: &'a str,
        reader: impl FnOnce(Given<'a>) -> Result<T, FieldError>,
    ) -> Result<Option<T>, FieldError> {
        let body = self.body.get(key).filter(|raw| raw.get() != "null");
        if let Some(raw) = body {
            return reader(Given::Body(key, raw)).map(Some);
        }
        let twin = self.headers.iter().find(|(name, _)| is_twin(name, key));
        twin.map(|(_, value)| reader(Given::Header(key, value.trim()))).transpose()
    }
}

/// Whether `name` is `x-p402-` + `key` with dashes, in any case.
fn is_twin(name: &str, key: &str) -> bool {
    let (Some(prefix), Some(rest)) =
        (name.get(..HEADER_PREFIX.len()), name.get(HEADER_PREFIX.len()..))
    else {
        return false;
    };
    let same = |(a, b): (u8, u8)| a.to_ascii_lowercase() == if b == b'_' { b'-' } else { b };
    prefix.eq_ignore_ascii_case(HEADER_PREFIX)
        && rest.len() == key.len()
        && rest.bytes().zip(key.bytes()).all(same)
}

impl Given<'_> {
    fn invalid(self, rule: &str) -> FieldError {
        let param = match self {
            Self::Body(key, _) => format!("p402.{key}"),
            Self::Header(key, _) => format!("{HEADER_PREFIX}{}", key.replace('_', "-")),
        };
        let message = format!("`{param}` must be {rule}.");
        FieldError { code: "p402_field_invalid", param, message }
    }

    /// A string: the body's unescaped, a header's as it stands.
    fn word(self) -> Option<String> {
        match self {
            Self::Body(_, raw) => serde_json::from_str(raw.get()).ok(),
            Self::Header(_, text) => Some(text.to_owned()),
        }
    }

    fn said(self) -> Said {
        match self {
            Self::Body(_, raw) => Said::Body(raw.get().to_owned()),
            Self::Header(_, text) => Said::Header(text.to_owned()),
        }
    }

    fn mode(self) -> Result<Mode, FieldError> {
        let names = Mode::ALL.map(Mode::name).join(", ");
        let mode = self.word().and_then(|word| Mode::parse(&word));
        mode.ok_or_else(|| self.invalid(&format!("one of {names}")))
    }

    /// `Some(None)` in the caller's hands: `auto`, said in so many words.
    fn task(self) -> Result<Option<Task>, FieldError> {
        let word = self.word();
        if word.as_deref() == Some("auto") {
            return Ok(None);
        }
        let names = Task::ALL.map(Task::name).join(", ");
        let task = word.and_then(|word| Task::parse(&word));
        task.map(Some).ok_or_else(|| self.invalid(&format!("auto or one of {names}")))
    }

    fn flag(self) -> Result<bool, FieldError> {
        let text = match self {
            Self::Body(_, raw) => raw.get().to_owned(),
            Self::Header(_, text) => text.to_ascii_lowercase(),
        };
        match (text.as_str(), self) {
            ("true", _) | ("1", Self::Header(..)) => Ok(true),
            ("false", _) | ("0", Self::Header(..)) => Ok(false),
            _ => Err(self.invalid("true or false")),
        }
    }

    /// The text of a number: money is never read through a float.
    fn number(self) -> Option<String> {
        match self {
            Self::Body(_, raw) if raw.get().starts_with('"') => self.word(),
            Self::Body(_, raw) => Some(raw.get().to_owned()),
            Self::Header(_, text) => Some(text.to_owned()),
        }
    }

    fn cost(self) -> Result<Usd, FieldError> {
        let cost = self.number().and_then(|text| Usd::parse(&text).ok());
        cost.filter(|cost| *cost > Usd::ZERO).ok_or_else(|| {
            self.invalid("dollars above 0 with at most nine decimals, such as \"0.05\"")
        })
    }

    fn latency_ms(self) -> Result<u64, FieldError> {
        let text = match self {
            Self::Body(_, raw) => raw.get(),
            Self::Header(_, text) => text,
        };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let ms = text.parse::<u64>().ok().filter(|ms| digits && *ms >= LATENCY_MS_MIN);
        ms.ok_or_else(|| self.invalid("a whole number of milliseconds, at least 50"))
    }

    fn session(self) -> Result<String, FieldError> {
        let printable = |id: &String| id.bytes().all(|b| (b' '..=b'~').contains(&b));
        let sized = |id: &String| (1..=SESSION_BYTES_MAX).contains(&id.len());
        let id = self.word().filter(printable).filter(sized);
        id.ok_or_else(|| self.invalid("1 to 128 printable ASCII characters"))
    }

    fn lists(self) -> Result<Lists, FieldError> {
        let lists = match self {
            Self::Header(_, text) => {
                let names = text.split(',').map(|name| name.trim().to_owned()).collect();
                Lists { allow: names, deny: Vec::new() }
            }
            Self::Body(_, raw) if raw.get().starts_with('[') => {
                Lists { allow: self.names(raw.get())?, deny: Vec::new() }
            }
            Self::Body(_, raw) => self.both(raw.get())?,
        };
        for name in lists.allow.iter().chain(&lists.deny) {
            self.check_pattern(name)?;
        }
        if lists.allow.len() > LIST_MAX || lists.deny.len() > LIST_MAX {
            return Err(self.invalid("a list of at most 256 names"));
        }
        if let Some(name) = lists.allow.iter().find(|name| lists.deny.contains(name)) {
            let rule = format!("free of contradictions: `{name}` is both allowed and denied");
            return Err(self.invalid(&rule));
        }
        Ok(lists)
    }

    fn both(self, raw: &str) -> Result<Lists, FieldError> {
        let rule = "a list of names, or an object with `allow` and `deny` lists";
        let members: BTreeMap<String, Vec<String>> =
            serde_json::from_str(raw).map_err(|_| self.invalid(rule))?;
        let mut lists = Lists::default();
        for (key, names) in members {
            match key.as_str() {
                "allow" => lists.allow = names,
                "deny" => lists.deny = names,
                _ => return Err(self.invalid(rule)),
            }
        }
        Ok(lists)
    }

    fn names(self, raw: &str) -> Result<Vec<String>, FieldError> {
        let names: Option<Vec<String>> = serde_json::from_str(raw).ok();
        names.filter(|names| !names.is_empty()).ok_or_else(|| {
            self.invalid("a list of at least one name; leave it out to allow everything")
        })
    }

    fn check_pattern(self, name: &str) -> Result<(), FieldError> {
        let body = name.strip_suffix('*').unwrap_or(name);
        let plain = !body.contains('*') && !name.chars().any(char::is_control);
        if name.is_empty() || name.len() > PATTERN_BYTES_MAX || !plain {
            let rule = "names of 1 to 256 bytes: exact, alias, provider/model, or one trailing `*`";
            return Err(self.invalid(rule));
        }
        Ok(())
    }
}
