//! Decides the tables of the index and the statements over them, one text for both databases.
//! Does not run them.

use super::columns::{INTEGERS, TEXTS};
use super::database::Words;
use p402_core::ledger::{Flags, GroupBy, Kind};
use std::fmt::Write;

/// The layout's own number: another one is another release's.
pub(super) const LAYOUT: i64 = 1;

/// A statement over many lines: `head ($1, $2), ($3, $4) … tail`, `width` parameters each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    pub(super) head: &'a str,
    pub(super) tail: &'a str,
    pub(super) width: usize,
}

pub(super) const TOTALS: Lines<'_> = Lines {
    head: "INSERT INTO ledger_totals (tenant, day, spent_nano) VALUES",
    tail: "ON CONFLICT (tenant, day) DO UPDATE \
        SET spent_nano = ledger_totals.spent_nano + excluded.spent_nano",
    width: 3,
};
pub(super) const OPENED: Lines<'_> = Lines {
    head: "INSERT INTO ledger_open \
        (rid, journal, tenant, held_nano, sent, suspended, bytes) VALUES",
    tail: "ON CONFLICT (rid) DO UPDATE SET held_nano = excluded.held_nano, \
        sent = excluded.sent, suspended = excluded.suspended, bytes = excluded.bytes",
    width: 7,
};
pub(super) const CLOSED: Lines<'_> =
    Lines { head: "DELETE FROM ledger_open WHERE rid IN (", tail: ")", width: 1 };

pub(super) const EXTENDED: &str = "UPDATE ledger_open SET held_nano = $1 WHERE rid = $2";
pub(super) const SUSPENDED: &str = "UPDATE ledger_open SET suspended = 1 WHERE rid = $1";
pub(super) const POSITION: &str = "INSERT INTO ledger_positions (journal, writer, seq) \
    VALUES ($1, $2, $3) ON CONFLICT (journal, writer) DO UPDATE SET seq = excluded.seq";
pub(super) const POSITIONS: &str = "SELECT writer, seq FROM ledger_positions WHERE journal = $1";
pub(super) const OPEN: &str =
    "SELECT rid, journal, held_nano, sent, suspended, bytes FROM ledger_open ORDER BY rid";
/// The third column is one where there are rows at all: counting them would read them.
pub(super) const SPAN: &str = "SELECT (SELECT MIN(at_us) FROM ledger_rows), \
    (SELECT MAX(at_us) FROM ledger_rows), \
    CAST(CASE WHEN EXISTS (SELECT 1 FROM ledger_rows) THEN 1 ELSE 0 END AS BIGINT)";
pub(super) const FACT: &str = "INSERT INTO ledger_facts (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO NOTHING";
pub(super) const FACTS: &str = "SELECT value FROM ledger_facts WHERE name = $1";

pub(super) fn tables(words: Words) -> String {
    let Words { blob, integer, clustered } = words;
    let integers = INTEGERS.join(&format!(" {integer} NOT NULL, "));
    let texts = TEXTS.join(" TEXT NOT NULL, ");
    format!(
        "CREATE TABLE IF NOT EXISTS ledger_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS ledger_rows (rid {blob} NOT NULL, {integers} {integer} NOT NULL,
             {texts} TEXT NOT NULL, PRIMARY KEY (rid, slot, attempt)) {clustered};
         CREATE INDEX IF NOT EXISTS ledger_rows_by_tenant ON ledger_rows (tenant, day);
         CREATE INDEX IF NOT EXISTS ledger_rows_by_time ON ledger_rows (at_us);
         CREATE TABLE IF NOT EXISTS ledger_totals (tenant TEXT NOT NULL, day {integer} NOT NULL,
             spent_nano {integer} NOT NULL, PRIMARY KEY (tenant, day)) {clustered};
         CREATE TABLE IF NOT EXISTS ledger_open (rid {blob} PRIMARY KEY, journal {blob} NOT NULL,
             tenant TEXT NOT NULL, held_nano {integer} NOT NULL, sent {integer} NOT NULL,
             suspended {integer} NOT NULL, bytes {blob} NOT NULL) {clustered};
         CREATE TABLE IF NOT EXISTS ledger_positions (journal {blob} NOT NULL,
             writer {integer} NOT NULL, seq {integer} NOT NULL, PRIMARY KEY (journal, writer))
             {clustered};"
    )
}

/// `rid` and the columns, in their order.
pub(super) fn row_columns() -> String {
    format!("rid, {}, {}", INTEGERS.join(", "), TEXTS.join(", "))
}

pub(super) fn insert_head() -> String {
    format!("INSERT INTO ledger_rows ({}) VALUES", row_columns())
}
/// Tells which rows were not there.
pub(super) const INSERT_TAIL: &str = "ON CONFLICT DO NOTHING RETURNING rid, slot, attempt";

impl Lines<'_> {
    pub(super) fn sql(&self, lines: usize) -> String {
        let Lines { head, tail, width } = *self;
        let mut sql = String::with_capacity(head.len() + tail.len() + lines * width * 6);
        sql.push_str(head);
        for line in 0..lines {
            sql.push_str(if line == 0 { " (" } else { ", (" });
            for column in 0..width {
                let comma = if column == 0 { "" } else { ", " };
                // Writing to a string does not fail.
                let _ = write!(sql, "{comma}${}", line * width + column + 1);
            }
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(tail);
        sql
    }
}

/// A tenant's days, or everybody's.
pub(super) fn totals(one_tenant: bool) -> String {
    let tenant = if one_tenant { "AND tenant = $3" } else { "" };
    format!(
        "SELECT tenant, day, spent_nano FROM ledger_totals WHERE day BETWEEN $1 AND $2 {tenant} \
         ORDER BY tenant, day"
    )
}

/// Sums by bucket over ended requests and corrections of the days `$1` to `$2`.
pub(super) fn usage(by: GroupBy, one_tenant: bool) -> String {
    let tenant = if one_tenant { "AND tenant = $3" } else { "" };
    let column = by.name();
    let (settle, release, adjust) = (Kind::Settle as u8, Kind::Release as u8, Kind::Adjust as u8);
    let ends = format!("kind IN ({settle}, {release})");
    let cached = format!("{ends} AND (flags & {}) <> 0", Flags::CACHED.bits());
    let sum = |what: &str| format!("CAST(SUM({what}) AS BIGINT)");
    let count = |what: &str| sum(&format!("CASE WHEN {what} THEN 1 ELSE 0 END"));
    let figures = ["input_tokens", "output_tokens", "cost_nano", "direct_nano", "wasted_nano"];
    format!(
        "SELECT {column}, {}, {}, {} FROM ledger_rows WHERE day BETWEEN $1 AND $2 {tenant} \
         AND kind IN ({settle}, {release}, {adjust}) GROUP BY {column}",
        count(&ends),
        count(&cached),
        figures.map(sum).join(", "),
    )
}

/// Rows of one request, in the order they were written.
pub(super) fn rows_of() -> String {
    format!("SELECT {} FROM ledger_rows WHERE rid = $1 ORDER BY at_us, seq", row_columns())
}

/// Rows that were written from `$1` to before `$2`.
pub(super) fn rows_between() -> String {
    format!("SELECT {} FROM ledger_rows WHERE at_us >= $1 AND at_us < $2", row_columns())
}

/// The next rows behind (`$1`, `$2`, `$3`), in the order of the key.
pub(super) fn page(rows: usize) -> String {
    format!(
        "SELECT {} FROM ledger_rows WHERE (rid, slot, attempt) > ($1, $2, $3) \
         ORDER BY rid, slot, attempt LIMIT {rows}",
        row_columns()
    )
}
