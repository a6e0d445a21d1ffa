//! Decides the index's second form of what was used: sums by everything but the conversation.
//! Does not hold a request: a question about a session is answered from rows.

use super::columns::mode_code;
use super::database::{Columns, IndexError, Value, Words};
use super::lines::Lines;
use p402_core::ledger::{Flags, GroupBy, Question, Row, Sums};
use p402_core::money::Usd;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a line is of, in the order of its columns.
pub(super) const KEY: [&str; 6] = ["tenant", "day", "provider", "model", "mode", "api_key"];
/// Columns that are added up, behind the number of requests.
pub(super) const FIGURES: [&str; 7] = [
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nano",
    "direct_nano",
    "wasted_nano",
];
/// Requests, figures, and requests by mark.
pub(super) const SUMS: usize = 1 + FIGURES.len() + Flags::NAMES.len();
const WIDTH: usize = KEY.len() + SUMS;

/// Sums of one batch of rows, or of all of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rollup {
    lines: BTreeMap<Line, Sums>,
}

/// (tenant, day, provider, model, mode, key), as they stand in a table.
type Line = (Box<str>, i64, Box<str>, Box<str>, i64, i64);

impl Rollup {
    pub(super) fn push(&mut self, row: &Row<'_>) {
        if let Some(sums) = Sums::of(row) {
            let (day, mode) = (i64::from(row.day.days()), mode_code(row.mode));
            let (provider, model) = (row.provider.into(), row.model.into());
            let line = (row.tenant.into(), day, provider, model, mode, row.key as i64);
            self.lines.entry(line).or_default().add(&sums);
        }
    }

    /// Takes in a line of the table.
    pub(super) fn read(&mut self, line: &dyn Columns) -> Result<(), IndexError> {
        let text = |at| line.text(at).map(Box::from);
        let key = (text(0)?, line.int(1)?, text(2)?, text(3)?, line.int(4)?, line.int(5)?);
        self.lines.insert(key, sums(line, KEY.len())?);
        Ok(())
    }

    /// Lines that only one of the two has, or that say another thing in each.
    pub(super) fn differences(&self, other: &Self) -> u64 {
        let (here, there) = (&self.lines, &other.lines);
        let nothing = Sums::default();
        let differ = |one: &BTreeMap<Line, Sums>, other: &BTreeMap<Line, Sums>| {
            one.iter().filter(|(key, sums)| other.get(key).unwrap_or(&nothing) != *sums).count()
        };
        let missing =
            there.iter().filter(|(key, sums)| !here.contains_key(key) && **sums != nothing);
        (differ(here, there) + missing.count()) as u64
    }

    /// The values of the statement that adds these lines to the table's.
    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let mut values = Vec::with_capacity(self.lines.len() * WIDTH);
        for ((tenant, day, provider, model, mode, key), sums) in &self.lines {
            values.extend([Value::Text(tenant), Value::Int(*day), Value::Text(provider)]);
            values.extend([Value::Text(model), Value::Int(*mode), Value::Int(*key)]);
            values.extend(integers(sums).map(Value::Int));
        }
        values
    }
}

/// A bucket's or a line's sums, from its column on.
pub(super) fn sums(line: &dyn Columns, from: usize) -> Result<Sums, IndexError> {
    let count = |at| line.int(from + at).map(i64::cast_unsigned);
    let money = |at| line.int(from + at).map(Usd::from_nano);
    let mut sums = Sums {
        requests: count(0)?,
        input_tokens: count(1)?,
        cached_tokens: count(2)?,
        output_tokens: count(3)?,
        reasoning_tokens: count(4)?,
        cost: money(5)?,
        direct: money(6)?,
        wasted: money(7)?,
        ..Sums::default()
    };
    for (at, marked) in sums.flags.iter_mut().enumerate() {
        *marked = count(1 + FIGURES.len() + at)?;
    }
    Ok(sums)
}

/// In the order of the columns.
fn integers(sums: &Sums) -> impl Iterator<Item = i64> {
    let tokens = [
        sums.requests,
        sums.input_tokens,
        sums.cached_tokens,
        sums.output_tokens,
        sums.reasoning_tokens,
    ];
    let money = [sums.cost, sums.direct, sums.wasted].map(Usd::nano);
    let marks = sums.flags;
    tokens.into_iter().map(u64::cast_signed).chain(money).chain(marks.map(u64::cast_signed))
}

/// The sums' columns, in their order.
fn names() -> impl Iterator<Item = &'static str> {
    let marks = Flags::NAMES.into_iter().map(|(_, name)| name);
    ["requests"].into_iter().chain(FIGURES).chain(marks)
}

pub(super) fn table(words: Words) -> String {
    let Words { integer, clustered, .. } = words;
    let [tenant, day, provider, model, mode, key] = KEY;
    let sums: Vec<String> = names().map(|name| format!("{name} {integer} NOT NULL")).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS ledger_usage ({tenant} TEXT NOT NULL, {day} {integer} NOT NULL,
             {provider} TEXT NOT NULL, {model} TEXT NOT NULL, {mode} {integer} NOT NULL,
             {key} {integer} NOT NULL, {}, PRIMARY KEY ({})) {clustered};",
        sums.join(", "),
        KEY.join(", "),
    )
}

/// Names these sums among the index's facts: marks are added by releases, and none is taken away.
pub(super) fn fact() -> String {
    format!("usage in {WIDTH} columns")
}

/// Every column, in order.
pub(super) fn columns() -> String {
    KEY.into_iter().chain(names()).collect::<Vec<_>>().join(", ")
}

static HEAD: LazyLock<String> =
    LazyLock::new(|| format!("INSERT INTO ledger_usage ({}) VALUES", columns()));
static TAIL: LazyLock<String> = LazyLock::new(|| {
    let grown: Vec<String> =
        names().map(|name| format!("{name} = ledger_usage.{name} + excluded.{name}")).collect();
    format!("ON CONFLICT ({}) DO UPDATE SET {}", KEY.join(", "), grown.join(", "))
});

/// Adds lines to those that are there.
pub(super) fn lines() -> Lines {
    Lines { head: &HEAD, tail: &TAIL, width: WIDTH }
}

pub(super) fn all() -> String {
    format!("SELECT {} FROM ledger_usage", columns())
}

/// Whether a question can be answered from here.
pub(super) fn answers(question: &Question) -> bool {
    question.by != GroupBy::Session && question.only.session.is_none()
}

/// What a bucket's columns are where lines are added up.
pub(super) fn figures() -> Vec<String> {
    names().map(|name| format!("CAST(SUM({name}) AS BIGINT)")).collect()
}
