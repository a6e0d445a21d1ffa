//! Decides the tables of the index and the statements over them, one text for both databases.
//! Does not run them.

use super::columns::{INTEGERS, TEXTS};
use super::database::{Value, Words};
use super::lines::Lines;
use super::rollup;
use p402_core::ledger::{Flags, GroupBy, Kind, Question};
use p402_core::time::Day;
use std::fmt::Write;
use std::sync::LazyLock;

/// The layout's own number: another one is another release's.
pub(super) const LAYOUT: i64 = 1;

pub(super) const TOTALS: Lines = Lines {
    head: "INSERT INTO ledger_totals (tenant, day, spent_nano) VALUES",
    tail: "ON CONFLICT (tenant, day) DO UPDATE \
        SET spent_nano = ledger_totals.spent_nano + excluded.spent_nano",
    width: 3,
};
pub(super) const OPENED: Lines = Lines {
    head: "INSERT INTO ledger_open \
        (rid, journal, tenant, held_nano, sent, suspended, bytes) VALUES",
    tail: "ON CONFLICT (rid) DO UPDATE SET held_nano = excluded.held_nano, \
        sent = excluded.sent, suspended = excluded.suspended, bytes = excluded.bytes",
    width: 7,
};
pub(super) const CLOSED: Lines =
    Lines { head: "DELETE FROM ledger_open WHERE rid IN (", tail: ")", width: 1 };

/// The names of all rows of some requests.
pub(super) const NAMES: Lines = Lines {
    head: "SELECT rid, slot, attempt FROM ledger_rows WHERE rid IN (",
    tail: ")",
    width: 1,
};

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
    ON CONFLICT (name) DO NOTHING RETURNING name";
pub(super) const FACTS: &str = "SELECT value FROM ledger_facts WHERE name = $1";

pub(super) fn tables(words: Words) -> String {
    let Words { blob, integer, clustered } = words;
    let integers = INTEGERS.join(&format!(" {integer} NOT NULL, "));
    let texts = TEXTS.join(" TEXT NOT NULL, ");
    let usage = rollup::table(words);
    format!(
        "CREATE TABLE IF NOT EXISTS ledger_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS ledger_rows (rid {blob} NOT NULL, {integers} {integer} NOT NULL,
             {texts} TEXT NOT NULL, PRIMARY KEY (rid, slot, attempt)) {clustered};
         CREATE INDEX IF NOT EXISTS ledger_rows_by_tenant ON ledger_rows (tenant, day);
         CREATE INDEX IF NOT EXISTS ledger_rows_by_session ON ledger_rows (tenant, session, day)
             WHERE session <> 0;
         CREATE INDEX IF NOT EXISTS ledger_rows_by_time ON ledger_rows (at_us);
         CREATE TABLE IF NOT EXISTS ledger_totals (tenant TEXT NOT NULL, day {integer} NOT NULL,
             spent_nano {integer} NOT NULL, PRIMARY KEY (tenant, day)) {clustered};
         CREATE TABLE IF NOT EXISTS ledger_open (rid {blob} PRIMARY KEY, journal {blob} NOT NULL,
             tenant TEXT NOT NULL, held_nano {integer} NOT NULL, sent {integer} NOT NULL,
             suspended {integer} NOT NULL, bytes {blob} NOT NULL) {clustered};
         CREATE TABLE IF NOT EXISTS ledger_positions (journal {blob} NOT NULL,
             writer {integer} NOT NULL, seq {integer} NOT NULL, PRIMARY KEY (journal, writer))
             {clustered};
         {usage}"
    )
}

/// `rid` and the columns, in their order.
pub(super) fn row_columns() -> String {
    format!("rid, {}, {}", INTEGERS.join(", "), TEXTS.join(", "))
}

static INSERT: LazyLock<String> =
    LazyLock::new(|| format!("INSERT INTO ledger_rows ({}) VALUES", row_columns()));
/// The request, the integers and the names of a row.
const ROW_WIDTH: usize = 1 + INTEGERS.len() + TEXTS.len();

/// Takes rows in that are not there.
pub(super) fn rows() -> Lines {
    Lines { head: &INSERT, tail: "ON CONFLICT DO NOTHING", width: ROW_WIDTH }
}

/// The same, and tells which were not there.
pub(super) fn rows_told() -> Lines {
    Lines { tail: "ON CONFLICT DO NOTHING RETURNING rid, slot, attempt", ..rows() }
}

/// A tenant's days, or everybody's.
pub(super) fn totals(one_tenant: bool) -> String {
    let tenant = if one_tenant { "AND tenant = $3" } else { "" };
    format!(
        "SELECT tenant, day, spent_nano FROM ledger_totals WHERE day BETWEEN $1 AND $2 {tenant} \
         ORDER BY tenant, day"
    )
}

/// Sums by bucket over ended requests and corrections, and the values that the statement takes.
pub(super) fn usage(question: &Question) -> (String, Vec<Value<'_>>) {
    let Question { from, to, by, only, .. } = question;
    let day = |day: &Day| Value::Int(i64::from(day.days()));
    let mut values = vec![day(from), day(to)];
    let hash = |hash: u64| Value::Int(hash as i64);
    let wanted = [
        ("tenant", only.tenant.as_deref().map(Value::Text)),
        ("session", only.session.map(hash)),
        ("provider", only.provider.as_deref().map(Value::Text)),
        ("model", only.model.as_deref().map(Value::Text)),
        ("mode", only.mode.map(|mode| Value::Int(mode as i64))),
        ("api_key", only.key.map(hash)),
    ];
    let mut filters = String::new();
    for (name, value) in wanted {
        if let Some(value) = value {
            values.push(value);
            // Writing to a string does not fail.
            let _ = write!(filters, " AND {name} = ${}", values.len());
        }
    }
    if only.session.is_some_and(|session| session != 0) {
        // Says that the sessions' own index may be used: it holds no row without one.
        filters.push_str(" AND session <> 0");
    }
    let column = if *by == GroupBy::Key { "api_key" } else { by.name() };
    let (table, figures) = if rollup::answers(question) {
        ("ledger_usage", rollup::figures())
    } else {
        let _ = write!(filters, " AND {}", counted());
        ("ledger_rows", figures())
    };
    let sql = format!(
        "SELECT {column}, {} FROM {table} WHERE day BETWEEN $1 AND $2 {filters} GROUP BY {column}",
        figures.join(", "),
    );
    (sql, values)
}

/// Rows that are a request's end or a correction, as `Sums::of` has it.
fn counted() -> String {
    let (settle, release, adjust) = (Kind::Settle as u8, Kind::Release as u8, Kind::Adjust as u8);
    let slice = Flags::SLICE.bits();
    format!("kind IN ({settle}, {release}, {adjust}) AND (flags & {slice}) = 0")
}

/// What a bucket's columns are where rows are added up: requests, figures, requests by mark.
fn figures() -> Vec<String> {
    let (settle, release) = (Kind::Settle as u8, Kind::Release as u8);
    let ends = format!("kind IN ({settle}, {release})");
    let sum = |what: &str| format!("CAST(SUM({what}) AS BIGINT)");
    let count = |what: &str| sum(&format!("CASE WHEN {what} THEN 1 ELSE 0 END"));
    let marked = |flag: Flags| count(&format!("{ends} AND (flags & {}) <> 0", flag.bits()));
    let flags = Flags::NAMES.map(|(flag, _)| marked(flag));
    [count(&ends)].into_iter().chain(rollup::FIGURES.map(sum)).chain(flags).collect()
}

/// Fills the second form of what was used from rows that an earlier release has indexed.
pub(super) fn fill_usage() -> String {
    let key = rollup::KEY.join(", ");
    format!(
        "INSERT INTO ledger_usage ({}) SELECT {key}, {} FROM ledger_rows WHERE {} GROUP BY {key}",
        rollup::columns(),
        figures().join(", "),
        counted(),
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
