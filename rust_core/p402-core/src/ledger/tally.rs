//! Decides how ended requests are summed for whoever asks what was used: integers by bucket.
//! Does not know where rows come from; an index may hand whole sums over.

use super::row::{Flags, Kind, Row};
use super::text::hash_text;
use crate::money::Usd;
use crate::route::Mode;
use crate::time::Day;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What requests are summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Day,
    Model,
    Provider,
    Mode,
    Session,
    Key,
    Tenant,
}

/// Sums over the ended requests of one bucket, corrections included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests that ended, with an answer or without.
    pub requests: u64,
    pub input_tokens: u64,
    /// Of the input: what the provider had in its cache.
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Of the output: what nobody read.
    pub reasoning_tokens: u64,
    pub cost: Usd,
    pub direct: Usd,
    pub wasted: Usd,
    /// Requests by mark, in the order of `Flags::NAMES`.
    pub flags: [u64; Flags::NAMES.len()],
}

/// Sums by bucket while they are taken in: rows first, then each bucket of an index once.
#[derive(Clone, Debug)]
pub struct Tally {
    by: GroupBy,
    most: usize,
    /// Of rows: a bucket may still get its part of the index.
    rows: BTreeMap<String, Sums>,
    told: Vec<(String, Sums)>,
    total: Sums,
    has_more: bool,
}

/// What was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// In the order of their names; at most as many as were asked for, the dearest ones.
    pub buckets: Vec<(String, Sums)>,
    /// Over all buckets, the untold ones included.
    pub total: Sums,
    pub has_more: bool,
}

impl GroupBy {
    pub const ALL: [Self; 7] = [
        Self::Day,
        Self::Model,
        Self::Provider,
        Self::Mode,
        Self::Session,
        Self::Key,
        Self::Tenant,
    ];
    pub(super) const WORDS: &'static str =
        "none of day, model, provider, mode, session, key, tenant";

    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Mode => "mode",
            Self::Session => "session",
            Self::Key => "key",
            Self::Tenant => "tenant",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }
    /// An index holds the bucket as text; days, modes and hashes are integers there.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Model | Self::Provider | Self::Tenant)
    }

    /// The bucket of a row: a day as `2026-11-28`, a session or key by its hash, nothing for none.
    pub fn bucket(self, row: &Row<'_>) -> String {
        match self {
            Self::Day => row.day.to_string(),
            Self::Model => row.model.to_owned(),
            Self::Provider => row.provider.to_owned(),
            Self::Mode => row.mode.map_or("", Mode::name).to_owned(),
            Self::Session => hash_text(row.session),
            Self::Key => hash_text(row.key),
            Self::Tenant => row.tenant.to_owned(),
        }
    }

    /// The bucket of an integer that an index grouped by.
    pub fn bucket_of(self, stored: i64) -> String {
        match self {
            Self::Day => i32::try_from(stored)
                .map_or_else(|_| String::new(), |days| Day::from_days(days).to_string()),
            Self::Mode => {
                let mode = usize::try_from(stored).ok().and_then(|at| Mode::ALL.get(at));
                mode.map_or("", |mode| mode.name()).to_owned()
            }
            Self::Session | Self::Key => hash_text(stored as u64),
            Self::Model | Self::Provider | Self::Tenant => String::new(),
        }
    }
}

impl Sums {
    /// What a row adds; `None` where it reports no end of a request and no correction.
    pub fn of(row: &Row<'_>) -> Option<Self> {
        let ends = row.kind.closes();
        let counts = (ends || row.kind == Kind::Adjust) && !row.flags.has(Flags::SLICE);
        counts.then(|| Self {
            requests: u64::from(ends),
            input_tokens: row.input_tokens,
            cached_tokens: row.cached_tokens,
            output_tokens: row.output_tokens,
            reasoning_tokens: row.reasoning_tokens,
            cost: row.cost,
            direct: row.direct,
            wasted: row.wasted,
            flags: Flags::NAMES.map(|(flag, _)| u64::from(ends && row.flags.has(flag))),
        })
    }

    pub fn add(&mut self, more: &Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(more.cached_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(more.reasoning_tokens);
        self.cost = self.cost.saturating_add(more.cost);
        self.direct = self.direct.saturating_add(more.direct);
        self.wasted = self.wasted.saturating_add(more.wasted);
        for (count, more) in self.flags.iter_mut().zip(more.flags) {
            *count = count.saturating_add(more);
        }
    }

    /// `direct − cost`, signed.
    pub const fn savings(&self) -> Usd {
        self.direct.saturating_sub(self.cost)
    }
    /// What counts against caps.
    pub const fn spent(&self) -> Usd {
        self.cost.saturating_add(self.wasted)
    }

    /// Requests with this mark.
    pub fn marked(&self, flag: Flags) -> u64 {
        let both = Flags::NAMES.iter().zip(self.flags);
        both.filter(|((known, _), _)| *known == flag).map(|(_, count)| count).sum()
    }

    /// The members of a bucket, money as plain JSON numbers written from integers.
    fn write(&self, out: &mut String) {
        let marks = Flags::NAMES.iter().zip(self.flags).filter(|(_, count)| *count > 0);
        let marks = marks.map(|((_, name), count)| format!("\"{name}\":{count}"));
        let marks: Vec<String> = marks.collect();
        let written = write!(
            out,
            "\"requests\":{},\"cached\":{},\"input_tokens\":{},\"cached_tokens\":{},\
             \"output_tokens\":{},\"reasoning_tokens\":{},\"cost_usd\":{},\"direct_cost\":{},\
             \"savings\":{},\"wasted_usd\":{},\"flags\":{{{}}}",
            self.requests,
            self.marked(Flags::CACHED),
            self.input_tokens,
            self.cached_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.cost,
            self.direct,
            self.savings(),
            self.wasted,
            marks.join(","),
        );
        // Writing into a String cannot fail.
        written.unwrap_or_default();
    }
}

impl Tally {
    /// At most `most` buckets will be told.
    pub fn new(by: GroupBy, most: usize) -> Self {
        let (rows, told) = (BTreeMap::new(), Vec::new());
        Self { by, most, rows, told, total: Sums::default(), has_more: false }
    }
    pub const fn by(&self) -> GroupBy {
        self.by
    }
    /// Buckets that wait for their part of the index.
    pub fn waiting(&self) -> usize {
        self.rows.len()
    }

    /// Takes in a row that ended or corrected a request.
    pub fn push(&mut self, row: &Row<'_>) {
        if let Some(sums) = Sums::of(row) {
            self.rows.entry(self.by.bucket(row)).or_default().add(&sums);
        }
    }

    /// Takes in what an index has of a bucket; with its rows, which came before, that is all.
    pub fn add(&mut self, bucket: String, sums: &Sums) {
        let mut whole = self.rows.remove(&bucket).unwrap_or_default();
        whole.add(sums);
        self.tell(bucket, whole);
    }

    /// All of it.
    pub fn finish(mut self) -> Used {
        for (bucket, sums) in std::mem::take(&mut self.rows) {
            self.tell(bucket, sums);
        }
        self.cut();
        self.told.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Used { buckets: self.told, total: self.total, has_more: self.has_more }
    }

    fn tell(&mut self, bucket: String, sums: Sums) {
        self.total.add(&sums);
        self.told.push((bucket, sums));
        if self.told.len() >= self.most.saturating_mul(2) {
            self.cut();
        }
    }

    /// Keeps the dearest; of equal ones the first by name.
    fn cut(&mut self) {
        if self.told.len() > self.most {
            let order = |(name, sums): &(String, Sums)| (-sums.spent().nano(), name.clone());
            self.told.sort_by_cached_key(order);
            self.told.truncate(self.most);
            self.has_more = true;
        }
    }
}

impl Used {
    /// `"data":[…],"total":{…},"has_more":…`: the members of `GET /usage` that sum.
    pub fn members(&self) -> String {
        let mut out = String::from("\"data\":[");
        for (at, (bucket, sums)) in self.buckets.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let bucket = serde_json::Value::from(bucket.as_str());
            write!(out, "{comma}{{\"bucket\":{bucket},").unwrap_or_default();
            sums.write(&mut out);
            out.push('}');
        }
        out.push_str("],\"total\":{");
        self.total.write(&mut out);
        write!(out, "}},\"has_more\":{}", self.has_more).unwrap_or_default();
        out
    }
}
