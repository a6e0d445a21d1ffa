//! Decides how ended requests are summed for whoever asks what was used: integers by bucket.
//! Does not know where rows come from; an index may hand whole sums over.

use super::row::{Flags, Kind, Row};
use super::text::hash_text;
use crate::money::Usd;
use crate::route::Mode;
use crate::time::Day;
use std::collections::BTreeMap;

/// What requests are summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Day,
    Model,
    Provider,
    Mode,
    Session,
}

/// Sums over the ended requests of one bucket, corrections included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests that ended, with an answer or without.
    pub requests: u64,
    pub cached: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost: Usd,
    pub direct: Usd,
    pub wasted: Usd,
}

/// Sums by bucket, in the order of the buckets' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    by: GroupBy,
    buckets: BTreeMap<String, Sums>,
}

impl GroupBy {
    pub const ALL: [Self; 5] = [Self::Day, Self::Model, Self::Provider, Self::Mode, Self::Session];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Mode => "mode",
            Self::Session => "session",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    /// The bucket of a row: a day as `2026-11-28`, a session by its hash, nothing for none.
    pub fn bucket(self, row: &Row<'_>) -> String {
        match self {
            Self::Day => row.day.to_string(),
            Self::Model => row.model.to_owned(),
            Self::Provider => row.provider.to_owned(),
            Self::Mode => row.mode.map_or("", Mode::name).to_owned(),
            Self::Session => hash_text(row.session),
        }
    }

    /// The bucket of an integer that an index grouped by: days, modes and sessions are integers
    /// there.
    pub fn bucket_of(self, stored: i64) -> String {
        match self {
            Self::Day => i32::try_from(stored)
                .map_or_else(|_| String::new(), |days| Day::from_days(days).to_string()),
            Self::Mode => {
                let mode = usize::try_from(stored).ok().and_then(|at| Mode::ALL.get(at));
                mode.map_or("", |mode| mode.name()).to_owned()
            }
            Self::Session => hash_text(stored as u64),
            Self::Model | Self::Provider => String::new(),
        }
    }
}

impl Sums {
    /// What a row adds; `None` where it reports no end and no correction.
    pub fn of(row: &Row<'_>) -> Option<Self> {
        let ends = row.kind.closes();
        (ends || row.kind == Kind::Adjust).then(|| Self {
            requests: u64::from(ends),
            cached: u64::from(ends && row.flags.has(Flags::CACHED)),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cost: row.cost,
            direct: row.direct,
            wasted: row.wasted,
        })
    }

    fn add(&mut self, more: &Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.cached = self.cached.saturating_add(more.cached);
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cost = self.cost.saturating_add(more.cost);
        self.direct = self.direct.saturating_add(more.direct);
        self.wasted = self.wasted.saturating_add(more.wasted);
    }

    /// `direct − cost`, signed.
    pub const fn savings(&self) -> Usd {
        self.direct.saturating_sub(self.cost)
    }
}

impl Tally {
    pub const fn new(by: GroupBy) -> Self {
        Self { by, buckets: BTreeMap::new() }
    }
    pub const fn by(&self) -> GroupBy {
        self.by
    }

    /// Takes in a row that ended or corrected a request.
    pub fn push(&mut self, row: &Row<'_>) {
        if let Some(sums) = Sums::of(row) {
            self.add(self.by.bucket(row), &sums);
        }
    }
    /// Takes in what was summed elsewhere.
    pub fn add(&mut self, bucket: String, sums: &Sums) {
        self.buckets.entry(bucket).or_default().add(sums);
    }

    pub fn buckets(&self) -> impl Iterator<Item = (&str, &Sums)> {
        self.buckets.iter().map(|(name, sums)| (name.as_str(), sums))
    }

    /// The `data` of `GET /usage`: an array, money as plain JSON numbers written from integers.
    pub fn to_json(&self) -> String {
        let entries: Vec<String> = self
            .buckets()
            .map(|(name, sums)| {
                let bucket = serde_json::Value::from(name);
                format!(
                    "{{\"bucket\":{bucket},\"requests\":{},\"cached\":{},\"input_tokens\":{},\
                     \"output_tokens\":{},\"cost_usd\":{},\"direct_cost\":{},\"savings\":{},\
                     \"wasted_usd\":{}}}",
                    sums.requests,
                    sums.cached,
                    sums.input_tokens,
                    sums.output_tokens,
                    sums.cost,
                    sums.direct,
                    sums.savings(),
                    sums.wasted,
                )
            })
            .collect();
        format!("[{}]", entries.join(","))
    }
}
