//! Decides what a request asks of the cache: its `p402.cache`, or the header twin.
//! Does not know what its tenant allows (rules.rs).

use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// Keys of the object, in the order they are told.
pub const KEYS: [&str; 6] = ["no_store", "refresh", "max_age", "ttl", "threshold", "share"];
const BODY: &str = "p402.cache";
const HEADER: &str = "x-p402-cache";
/// Longer than any life that a tenant can allow.
pub const SECONDS_MAX: u64 = 31 * 86_400;

/// Among whom an answer may be shared, widest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    #[default]
    Tenant,
    User,
    Session,
}

/// What one request says; what it leaves out is its tenant's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wish {
    /// `None`: nothing was said.
    pub on: Option<bool>,
    /// May be served, is not stored.
    pub no_store: bool,
    /// Is not served; its answer takes the place of the one there is.
    pub refresh: bool,
    pub max_age_s: Option<u64>,
    pub ttl_s: Option<u64>,
    pub threshold: Option<f32>,
    pub share: Option<Sharing>,
}

/// Why it cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WishError {
    /// There is no such key; else its value is none.
    pub unknown: bool,
    pub param: String,
    /// `must be …`, or the keys there are.
    pub rule: String,
}

impl Sharing {
    pub const ALL: [Self; 3] = [Self::Tenant, Self::User, Self::Session];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Session => "session",
        }
    }
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sharing| sharing.name() == word)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Flag(bool),
    Keys(serde_json::Map<String, Value>),
}

impl Wish {
    /// The value of the `cache` key of a body.
    ///
    /// # Errors
    /// The key at fault and what it accepts.
    pub fn of_body(json: &str) -> Result<Self, WishError> {
        let raw = serde_json::from_str(json)
            .map_err(|_| invalid(BODY, "must be true or false, or an object"))?;
        let keys = match raw {
            Raw::Flag(on) => return Ok(Self { on: Some(on), ..Self::default() }),
            Raw::Keys(keys) => keys,
        };
        let mut wish = Self { on: Some(true), ..Self::default() };
        for (key, value) in &keys {
            let text = match value {
                Value::Null => continue,
                Value::String(word) if key == "share" => word.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => String::new(),
            };
            wish.take(key, &text, &format!("{BODY}.{}", shown(key)))?;
        }
        Ok(wish)
    }

    /// The header: `true`, or words and `key=value`, comma-separated.
    ///
    /// # Errors
    /// The word at fault and what is accepted.
    pub fn of_header(text: &str) -> Result<Self, WishError> {
        let mut wish = Self { on: Some(true), ..Self::default() };
        for part in text.split(',').map(str::trim) {
            let lower = part.to_ascii_lowercase();
            let (name, value) = lower.split_once('=').unwrap_or((&lower, "true"));
            match (name, value) {
                ("true" | "1", "true") => {}
                ("false" | "0", "true") => wish.on = Some(false),
                _ => wish.take(&name.trim().replace('-', "_"), value.trim(), HEADER)?,
            }
        }
        Ok(wish)
    }

    fn take(&mut self, key: &str, text: &str, param: &str) -> Result<(), WishError> {
        let seconds = || {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|number| digits && *number <= SECONDS_MAX);
            number.ok_or_else(|| invalid(param, "must be whole seconds, at most 2678400"))
        };
        let flag = || text.parse().map_err(|_| invalid(param, "must be true or false"));
        match key {
            "no_store" => self.no_store = flag()?,
            "refresh" => self.refresh = flag()?,
            "max_age" => self.max_age_s = Some(seconds()?),
            "ttl" => self.ttl_s = Some(seconds()?),
            "threshold" => {
                let number = text.parse().ok().filter(|cosine| (0.0..=1.0).contains(cosine));
                let rule = "must be a cosine, 0 to 1: higher is nearer";
                self.threshold = Some(number.ok_or_else(|| invalid(param, rule))?);
            }
            "share" => {
                let rule = "must be one of tenant, user, session";
                self.share = Some(Sharing::parse(text).ok_or_else(|| invalid(param, rule))?);
            }
            _ => {
                let rule = format!("is unknown; accepted: {}", KEYS.join(", "));
                return Err(WishError { unknown: true, param: param.to_owned(), rule });
            }
        }
        Ok(())
    }
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}.", self.param, self.rule)
    }
}

pub(super) fn invalid(param: &str, rule: &str) -> WishError {
    WishError { unknown: false, param: param.to_owned(), rule: rule.to_owned() }
}

fn shown(key: &str) -> String {
    key.chars().take(64).collect()
}
