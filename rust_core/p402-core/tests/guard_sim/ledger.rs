//! Decides what is written down: a journal per node, and the ledger that all of them share.
//! Does not decide when a node flushes; a row is in the ledger once its journal was flushed.

use crate::world::{NODES, TENANTS, owner};
use p402_core::guard::{Open, Seed};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Day;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dispatch,
    Extend,
    Settle,
    /// The truth about a request that was settled at its hold.
    Adjust,
    SliceOpen,
    SliceClose,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub seq: u64,
    pub rid: u128,
    pub tenant: usize,
    pub kind: Kind,
    pub nano: i64,
    pub day: i64,
    /// The slice a dispatch was drawn from.
    pub slice: Option<u128>,
    /// The account's version when the request was admitted.
    pub version: i64,
    pub at: i64,
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub node: usize,
    pub day: i64,
    pub hold: i64,
    pub cost: Option<i64>,
    pub slice: Option<u128>,
    pub is_slice: bool,
}

/// What the last seeding of an account had read: of each node, rows up to this one.
#[derive(Clone, Copy, Debug)]
pub struct Seeding {
    pub version: i64,
    pub marks: [u64; NODES],
    /// Nodes that took part in the barrier.
    pub answered: [bool; NODES],
}

#[derive(Default)]
pub struct Journal {
    pub rows: Vec<Row>,
    pub flushed: usize,
}

#[derive(Default)]
pub struct Ledger {
    pub tenants: [BTreeMap<u128, Entry>; TENANTS],
    pub marks: [u64; NODES],
    pub seedings: [Option<Seeding>; TENANTS],
}

impl Journal {
    pub fn write(&mut self, mut row: Row) -> u64 {
        row.seq = self.rows.len() as u64 + 1;
        self.rows.push(row);
        row.seq
    }

    pub fn tail(&self) -> &[Row] {
        &self.rows[self.flushed..]
    }
}

impl Ledger {
    pub fn flush(&mut self, node: usize, journal: &mut Journal) {
        for row in &journal.rows[journal.flushed..] {
            let entries = &mut self.tenants[row.tenant];
            let is_slice = matches!(row.kind, Kind::SliceOpen | Kind::SliceClose);
            let entry = entries.entry(row.rid).or_insert(Entry {
                node,
                day: row.day,
                hold: row.nano,
                cost: None,
                slice: row.slice,
                is_slice,
            });
            match row.kind {
                Kind::Dispatch | Kind::SliceOpen => {}
                Kind::Extend => entry.hold = row.nano,
                Kind::Settle | Kind::Adjust | Kind::SliceClose => entry.cost = Some(row.nano),
            }
            self.marks[node] = row.seq;
        }
        journal.flushed = journal.rows.len();
    }

    /// A draw is covered by its slice as long as that is open.
    fn covered(&self, tenant: usize, entry: &Entry) -> bool {
        let slice = entry.slice.and_then(|slice| self.tenants[tenant].get(&slice));
        slice.is_some_and(|slice| slice.cost.is_none())
    }

    pub fn spent(&self, tenant: usize, on: impl Fn(i64) -> bool) -> i64 {
        let counted =
            |entry: &&Entry| !entry.is_slice && on(entry.day) && !self.covered(tenant, entry);
        self.tenants[tenant].values().filter(counted).filter_map(|entry| entry.cost).sum()
    }

    /// What was drawn from a slice, open draws at their holds.
    pub fn drawn(&self, tenant: usize, slice: u128) -> i64 {
        let from = self.tenants[tenant].values().filter(|entry| entry.slice == Some(slice));
        from.map(|entry| entry.cost.unwrap_or(entry.hold)).sum()
    }

    pub fn read(&self, tenant: usize, day: i64, epoch: i64, seen: (i64, i64)) -> Seed {
        let open = self.tenants[tenant].iter().filter(|(_, entry)| entry.cost.is_none());
        let open =
            open.filter(|(_, entry)| !self.covered(tenant, entry)).map(|(rid, entry)| Open {
                rid: RequestId::from_bits(*rid),
                amount: Usd::from_nano(entry.hold),
                day: Day::from_days(entry.day as i32),
                owner: owner(entry.node),
                slice: entry.is_slice,
            });
        let usd = |nano| Usd::from_nano(nano);
        Seed {
            epoch,
            version: seen.0,
            tat_us: seen.1,
            day: Day::from_days(day as i32),
            day_spent: usd(self.spent(tenant, |on| on == day)),
            prev_spent: usd(self.spent(tenant, |on| on == day - 1)),
            budget_spent: usd(self.spent(tenant, |_| true)),
            open: open.collect(),
        }
    }
}
