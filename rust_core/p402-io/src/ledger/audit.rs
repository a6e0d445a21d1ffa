//! Adds the whole ledger up again and compares: rows, counters, what is open, what does not read.
//! Does not repair: a difference is for a person to see.

use super::answers::Scope;
use super::books::{Books, Interrupted, Page};
use super::database::IndexError;
use p402_core::ledger::{Mismatch, Replay, mismatches};
use p402_core::time::Day;
use std::collections::BTreeSet;

/// What adding up again found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    pub rows: u64,
    /// Rows that the index does not have yet; they read.
    pub waiting: u64,
    /// Tenant and day pairs that were compared.
    pub balances: u64,
    pub mismatches: Vec<Mismatch>,
    /// Requests whose rows say one thing about their end, and the table of open ones another.
    pub open_wrong: u64,
    pub open: u64,
    /// Segments with rows that do not read, kept as evidence or still to be indexed.
    pub damaged_segments: u64,
}

impl Audit {
    /// Not a nano-dollar, request or row is out of place.
    pub const fn is_clean(&self) -> bool {
        self.mismatches.is_empty() && self.open_wrong == 0 && self.damaged_segments == 0
    }

    pub fn to_json(&self) -> serde_json::Value {
        let mismatches = self.mismatches.iter().map(|found| {
            serde_json::json!({
                "tenant": &*found.tenant, "day": found.day.to_string(),
                "rows_nano": found.rows.nano(), "counter_nano": found.counter.nano(),
            })
        });
        serde_json::json!({
            "object": "ledger.audit", "clean": self.is_clean(), "rows": self.rows,
            "waiting": self.waiting, "balances": self.balances, "open": self.open,
            "open_wrong": self.open_wrong, "damaged_segments": self.damaged_segments,
            "mismatches": mismatches.collect::<Vec<_>>(),
        })
    }
}

impl Books {
    /// Reads every row of the index, so it takes about as long as writing them did.
    pub fn audit(&mut self) -> Result<Audit, IndexError> {
        self.ask(audit)
    }
}

fn audit(page: &mut Page<'_>) -> Result<Audit, Interrupted> {
    let mut replay = Replay::default();
    page.index.all_rows(&mut |row| {
        replay.push(row);
    })?;
    let rows = replay.balances();
    let days = Day::from_days(i32::MIN)..=Day::from_days(i32::MAX);
    let scope = Scope { tenant: None, from: *days.start(), to: *days.end() };
    let counters = page.index.totals(scope)?;
    let told: BTreeSet<u128> = page.index.open()?.iter().map(|open| open.rid.bits()).collect();
    let found: BTreeSet<u128> = replay.open().iter().map(|(rid, _)| rid.bits()).collect();
    let tail = page.replay()?;
    Ok(Audit {
        rows: replay.rows() + tail.rows(),
        waiting: tail.rows(),
        balances: rows.len() as u64,
        mismatches: mismatches(&rows, &counters),
        open_wrong: told.symmetric_difference(&found).count() as u64,
        open: found.len() as u64,
        damaged_segments: page.damaged()?,
    })
}
