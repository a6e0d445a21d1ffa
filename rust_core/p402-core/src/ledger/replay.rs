//! Decides what rows add up to: money per tenant and day, and which requests never ended.
//! Does not read rows from anywhere, and settles nothing: it says which row would.

use super::row::{Flags, Kind, ROW_BYTES, Row, RowFault, Seq};
use crate::id::RequestId;
use crate::money::Usd;
use crate::time::{Day, Timestamp};
use std::collections::{HashMap, HashSet};

/// A stretch of the ledger, added up row by row. It is whole in itself where the stretch begins
/// with the ledger; else it says what the rows change about what was known before.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    spent: HashMap<Box<str>, Vec<(Day, Usd)>>,
    open: HashMap<RequestId, Open>,
    closed: HashSet<RequestId>,
    adjusted: HashSet<(RequestId, u8)>,
    /// What was told of requests that began before the stretch.
    carried: HashMap<RequestId, Carried>,
    rows: u64,
    repeated: u64,
}

/// A request that began and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    row: [u8; ROW_BYTES],
    pub held: Usd,
    /// An attempt was sent: whether it was billed, nobody here knows.
    pub sent: bool,
    pub suspended: bool,
}

/// What a stretch tells of an open request that began before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Carried {
    held: Option<Usd>,
    suspended: bool,
}

/// Money of one tenant on one UTC day of admission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance {
    pub tenant: Box<str>,
    pub day: Day,
    pub spent: Usd,
}

/// A counter that is not what the rows add up to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    pub tenant: Box<str>,
    pub day: Day,
    pub rows: Usd,
    pub counter: Usd,
}

impl Replay {
    /// Takes the next row in; one that says again what another said changes nothing (`false`).
    pub fn push(&mut self, row: &Row<'_>) -> bool {
        self.rows += 1;
        let fresh = match row.kind {
            Kind::Settle | Kind::Release => self.close(row.rid),
            Kind::Adjust => self.adjusted.insert((row.rid, row.attempt)),
            _ => {
                self.go_on(row);
                true
            }
        };
        if !fresh {
            self.repeated += 1;
        } else if row.spent() != Usd::ZERO {
            add(self.spent.entry(row.tenant.into()).or_default(), row.day, row.spent());
        }
        fresh
    }

    fn close(&mut self, rid: RequestId) -> bool {
        self.open.remove(&rid);
        self.carried.remove(&rid);
        self.closed.insert(rid)
    }

    fn go_on(&mut self, row: &Row<'_>) {
        if self.closed.contains(&row.rid) {
            return;
        }
        match row.kind {
            Kind::Intent | Kind::Dispatch => self.begin(row),
            Kind::Extend => self.carry(row.rid, Some(row.held)),
            Kind::Suspense => self.carry(row.rid, None),
            Kind::Settle | Kind::Release | Kind::Adjust | Kind::Deny => {}
        }
    }

    /// The row states the whole hold: what was told before of the same request is over.
    fn begin(&mut self, row: &Row<'_>) {
        self.carried.remove(&row.rid);
        let sent = row.kind == Kind::Dispatch;
        let open = Open { row: row.encode(row.seq), held: row.held, sent, suspended: false };
        self.open.insert(row.rid, open);
    }

    /// A request goes on under a new hold, or lapses where there is none.
    fn carry(&mut self, rid: RequestId, held: Option<Usd>) {
        if let Some(open) = self.open.get_mut(&rid) {
            open.held = held.unwrap_or(open.held);
            open.suspended |= held.is_none();
        } else {
            let carried = self.carried.entry(rid).or_default();
            carried.held = held.or(carried.held);
            carried.suspended |= held.is_none();
        }
    }

    /// Rows taken in.
    pub const fn rows(&self) -> u64 {
        self.rows
    }
    /// Rows among them that said again what another had said.
    pub const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Σ(cost + wasted) of this tenant's ended requests and corrections from `from` to `to`.
    pub fn spent(&self, tenant: &str, from: Day, to: Day) -> Usd {
        let days = self.spent.get(tenant).map_or(&[][..], Vec::as_slice);
        let within = days.iter().filter(|(day, _)| (from..=to).contains(day));
        within.fold(Usd::ZERO, |sum, (_, spent)| sum.saturating_add(*spent))
    }

    /// Every tenant's days, in order.
    pub fn balances(&self) -> Vec<Balance> {
        let mut all: Vec<_> = self
            .spent
            .iter()
            .flat_map(|(tenant, days)| {
                let balance = |(day, spent): &(Day, Usd)| Balance {
                    tenant: tenant.clone(),
                    day: *day,
                    spent: *spent,
                };
                days.iter().map(balance)
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// Requests of this stretch that have not ended, oldest first.
    pub fn open(&self) -> Vec<(RequestId, &Open)> {
        let mut all: Vec<_> = self.open.iter().map(|(rid, open)| (*rid, open)).collect();
        all.sort_unstable_by_key(|(rid, _)| rid.bits());
        all
    }

    /// Requests that ended here, those among them that began before the stretch included.
    pub fn closed(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.closed.iter().copied()
    }

    /// Requests that began before the stretch and go on: the new hold, and whether they lapsed.
    pub fn carried(&self) -> impl Iterator<Item = (RequestId, Option<Usd>, bool)> + '_ {
        self.carried.iter().map(|(rid, told)| (*rid, told.held, told.suspended))
    }

    /// Requests that are open after the stretch, given those that were open before it.
    pub fn outstanding(
        &self,
        before: impl IntoIterator<Item = (RequestId, Open)>,
    ) -> Vec<(RequestId, Open)> {
        let mut all = self.open.clone();
        for (rid, mut open) in before {
            if self.closed.contains(&rid) {
                continue;
            }
            if let Some(told) = self.carried.get(&rid) {
                open.held = told.held.unwrap_or(open.held);
                open.suspended |= told.suspended;
            }
            all.entry(rid).or_insert(open);
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable_by_key(|(rid, _)| rid.bits());
        all
    }
}

impl Open {
    pub const fn new(row: [u8; ROW_BYTES], held: Usd, sent: bool, suspended: bool) -> Self {
        Self { row, held, sent, suspended }
    }

    /// The row that opened it, or sent its last attempt.
    pub fn row(&self) -> Result<Row<'_>, RowFault> {
        Row::decode(&self.row)
    }
    pub const fn bytes(&self) -> &[u8; ROW_BYTES] {
        &self.row
    }

    /// How a request ends whose process is gone: an attempt that was sent counts with its whole
    /// hold, as wasted, since no answer to charge for was delivered; before that nothing was spent.
    pub fn end(&self, now: Timestamp) -> Result<Row<'_>, RowFault> {
        let row = self.row()?;
        let base = Row { at: now, attempt: 0, seq: Seq::default(), held: self.held, ..row };
        if !self.sent {
            return Ok(Row { kind: Kind::Release, ..base });
        }
        let late = Flags::LATE.when(self.suspended);
        let flags = row.flags.with(Flags::ESTIMATED).with(late);
        Ok(Row { kind: Kind::Settle, wasted: self.held, flags, ..base })
    }
}

/// Counters that differ from what rows add up to, either side's absence being zero.
pub fn mismatches(rows: &[Balance], counters: &[Balance]) -> Vec<Mismatch> {
    let mut both: HashMap<(&str, Day), (Usd, Usd)> = HashMap::new();
    for each in rows {
        let entry = both.entry((&each.tenant, each.day)).or_default();
        entry.0 = entry.0.saturating_add(each.spent);
    }
    for each in counters {
        let entry = both.entry((&each.tenant, each.day)).or_default();
        entry.1 = entry.1.saturating_add(each.spent);
    }
    let mut found: Vec<_> = both
        .into_iter()
        .filter(|(_, (rows, counter))| rows != counter)
        .map(|((tenant, day), (rows, counter))| Mismatch {
            tenant: tenant.into(),
            day,
            rows,
            counter,
        })
        .collect();
    found.sort_unstable();
    found
}

fn add(days: &mut Vec<(Day, Usd)>, day: Day, spent: Usd) {
    match days.iter_mut().find(|(known, _)| *known == day) {
        Some((_, sum)) => *sum = sum.saturating_add(spent),
        None => days.push((day, spent)),
    }
}
