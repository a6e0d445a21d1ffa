//! Answers from the ledger: the index and what the journal holds beyond it, as one.
//! Does not write; a gateway may run beside it, in this process or another.

use super::answers::Scope;
use super::database::{Access, IndexError, Purpose};
use super::folder::{JournalId, journal_id, journal_of, kept_damage};
use super::index::{Index, IndexAt, Positions};
use super::tail::{self, Ends};
use p402_core::id::RequestId;
use p402_core::ledger::{
    Balance, GroupBy, Open, ROW_BYTES, Replay, Row, Seq, TENANT_BYTES_MAX, Tally, short_name,
};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// Tries of an answer whose segment was indexed and removed while it was being read.
const TRIES_MAX: u32 = 5;
/// Rows beyond the index that an answer still reads; further behind, it would be hours late.
const TAIL_ROWS_MAX: u64 = 50_000_000;

/// The ledger of a data directory, for reading.
#[derive(Debug)]
pub struct Books {
    /// `None` after an answer that failed: the next one connects anew.
    index: Option<Index>,
    at: IndexAt,
    folder: PathBuf,
    journal: PathBuf,
    /// `None` where no process has written there yet.
    journal_id: Option<JournalId>,
}

/// What a tenant's account starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    pub day_spent: Usd,
    pub prev_day_spent: Usd,
    /// From the first day of the budget's period on.
    pub budget_spent: Usd,
    /// Requests that were sent and have not ended, of any node.
    pub open: Vec<OpenRequest>,
}

/// A request that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    pub rid: RequestId,
    pub tenant: Box<str>,
    pub day: Day,
    pub held: Usd,
    pub sent: bool,
    pub suspended: bool,
    pub since: Timestamp,
}

/// A row as it was written; `Row::decode` reads it.
pub type RowBytes = [u8; ROW_BYTES];

/// One instant of the index, and the rows beyond it.
pub(super) struct Page<'a> {
    pub(super) index: &'a mut Index,
    positions: Positions,
    journal: &'a Path,
}

impl Books {
    pub fn open(folder: &Path, at: &IndexAt) -> Result<Self, IndexError> {
        let journal = journal_of(folder);
        let journal_id = journal_id(&journal).map_err(IndexError::new)?;
        if journal_id.is_none() && !journal.is_dir() {
            let folder = folder.display();
            return Err(IndexError::new(format!("{folder} holds no ledger")));
        }
        let index = Index::connect(at, folder, Access::Reader)?;
        let (at, folder) = (at.clone(), folder.to_owned());
        Ok(Self { index: Some(index), at, folder, journal, journal_id })
    }

    /// The ledger's own id: nodes that share a store must share this.
    pub fn ledger_id(&mut self) -> Result<String, IndexError> {
        self.ask(|page| Ok(page.index.ledger_id()?))
    }

    /// Answers from one instant. A connection that was idle may have ended meanwhile, and a
    /// segment may go into the index while it is being read: both are asked again.
    pub(super) fn ask<T>(
        &mut self,
        mut answer: impl FnMut(&mut Page<'_>) -> Result<T, Interrupted>,
    ) -> Result<T, IndexError> {
        for _ in 0..TRIES_MAX {
            let idle = self.index.take();
            let was_idle = idle.is_some();
            let mut index = match idle {
                Some(index) => index,
                None => Index::connect(&self.at, &self.folder, Access::Reader)?,
            };
            match self.once(&mut index, &mut answer) {
                Ok(found) => {
                    self.index = Some(index);
                    return Ok(found);
                }
                Err(Interrupted::Moved) => self.index = Some(index),
                Err(Interrupted::Failed(_)) if was_idle => {}
                Err(Interrupted::Failed(error)) => return Err(error),
            }
        }
        Err(IndexError::new("the journal moves faster than it is read"))
    }

    fn once<T>(
        &self,
        index: &mut Index,
        answer: &mut impl FnMut(&mut Page<'_>) -> Result<T, Interrupted>,
    ) -> Result<T, Interrupted> {
        index.within(Purpose::Read, |index| {
            let positions = match self.journal_id {
                Some(id) => index.positions(id)?,
                None => Positions::new(),
            };
            answer(&mut Page { index, positions, journal: &self.journal })
        })
    }

    /// What the account of `tenant` starts from on `today`, its budget's period from `since`.
    pub fn seed(&mut self, tenant: &str, today: Day, since: Day) -> Result<Seed, IndexError> {
        let tenant = short_name(tenant, TENANT_BYTES_MAX);
        let yesterday = Day::from_days(today.days() - 1);
        let from = since.min(yesterday);
        self.ask(|page| {
            let scope = Scope { tenant: Some(&tenant), from, to: Day::from_days(i32::MAX) };
            let mut days = page.index.totals(scope)?;
            let tail = page.replay()?;
            days.extend(tail.balances().into_iter().filter(|day| *day.tenant == *tenant));
            let sum = |wanted: &dyn Fn(Day) -> bool| {
                let sums = days.iter().filter(|balance| wanted(balance.day));
                sums.fold(Usd::ZERO, |sum, balance| sum.saturating_add(balance.spent))
            };
            let mut open = page.open(&tail)?;
            open.retain(|request| *request.tenant == *tenant);
            Ok(Seed {
                day_spent: sum(&|day| day == today),
                prev_day_spent: sum(&|day| day == yesterday),
                budget_spent: sum(&|day| day >= since),
                open,
            })
        })
    }

    /// Every tenant's totals from `from` on, in order of tenant and day.
    pub fn balances(&mut self, from: Day) -> Result<Vec<Balance>, IndexError> {
        self.ask(|page| {
            let scope = Scope { tenant: None, from, to: Day::from_days(i32::MAX) };
            let mut all = page.index.totals(scope)?;
            all.extend(page.replay()?.balances().into_iter().filter(|each| each.day >= from));
            Ok(summed(all))
        })
    }

    /// Requests that have not ended, oldest first.
    pub fn open_requests(&mut self) -> Result<Vec<OpenRequest>, IndexError> {
        self.ask(|page| {
            let tail = page.replay()?;
            page.open(&tail)
        })
    }

    /// What was used from `from` to `to` (UTC days, both included), of one tenant or of all.
    pub fn usage(
        &mut self,
        tenant: Option<&str>,
        (from, to): (Day, Day),
        by: GroupBy,
    ) -> Result<Tally, IndexError> {
        let tenant = tenant.map(|tenant| short_name(tenant, TENANT_BYTES_MAX));
        let tenant = tenant.as_deref();
        self.ask(|page| {
            let mut tally = Tally::new(by);
            page.index.usage(Scope { tenant, from, to }, &mut tally)?;
            // A request that ends twice ends once here, too.
            let mut seen = Replay::default();
            page.tail(|row| {
                let fresh = seen.push(row);
                let asked = tenant.is_none_or(|tenant| tenant == row.tenant);
                if fresh && asked && (from..=to).contains(&row.day) {
                    tally.push(row);
                }
            })?;
            Ok(tally)
        })
    }

    /// The rows of one request, in the order they were written.
    pub fn request(&mut self, rid: RequestId) -> Result<Vec<RowBytes>, IndexError> {
        self.ask(|page| {
            let mut found = Found::default();
            page.index.rows_of(rid, &mut |row| found.keep(row))?;
            page.tail(|row| {
                if row.rid == rid {
                    found.keep(row);
                }
            })?;
            Ok(found.rows.into_iter().map(|(.., row)| row).collect())
        })
    }

    /// The instants of the first and the last row.
    pub fn span(&mut self) -> Result<Option<(Timestamp, Timestamp)>, IndexError> {
        self.ask(|page| {
            let mut span = page.index.span()?;
            page.tail(|row| {
                let (first, last) = span.unwrap_or((row.at, row.at));
                span = Some((first.min(row.at), last.max(row.at)));
            })?;
            Ok(span)
        })
    }

    /// The rows written from `from` to before `to`, by tenant, then in the order of their writing.
    pub fn between(&mut self, from: Timestamp, to: Timestamp) -> Result<Vec<RowBytes>, IndexError> {
        self.ask(|page| {
            let mut found = Found::default();
            page.index.rows_between((from, to), &mut |row| found.keep(row))?;
            page.tail(|row| {
                if (from..to).contains(&row.at) {
                    found.keep(row);
                }
            })?;
            found.rows.sort_unstable();
            Ok(found.rows.into_iter().map(|(.., row)| row).collect())
        })
    }
}

/// Rows of an answer, each once: what says again what another said is no row of the ledger.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<(Box<str>, Timestamp, Seq, RowBytes)>,
    seen: HashSet<(u128, u8, u8)>,
}

impl Found {
    fn keep(&mut self, row: &Row<'_>) {
        let (rid, slot, attempt) = row.identity();
        if self.seen.insert((rid.bits(), slot, attempt)) {
            self.rows.push((row.tenant.into(), row.at, row.seq, row.encode(row.seq)));
        }
    }
}

/// Why an answer was not finished.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// A segment is in the index now and gone from the journal: ask again.
    Moved,
    Failed(IndexError),
}

impl Page<'_> {
    /// Hands over the rows beyond the index.
    pub(super) fn tail(&mut self, mut each: impl FnMut(&Row<'_>)) -> Result<(), Interrupted> {
        let mut rows = 0;
        let read = tail::rows(self.journal, &self.positions, Ends::Keep, |row, _| {
            rows += 1;
            each(row);
            rows <= TAIL_ROWS_MAX
        });
        match read {
            Ok(_) if rows > TAIL_ROWS_MAX => {
                Err(IndexError::new("the index is too far behind the journal").into())
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.journal.is_dir() => {
                Err(Interrupted::Moved)
            }
            // Nothing has been written yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(IndexError::new(error).into()),
        }
    }

    /// Segments with rows that do not read: kept ones, and those beyond the index.
    pub(super) fn damaged(&self) -> Result<u64, Interrupted> {
        let read = tail::rows(self.journal, &self.positions, Ends::Keep, |_, _| true);
        let waiting = read.map_or(0, |read| read.damaged.len());
        Ok((waiting + kept_damage(self.journal).map_err(IndexError::new)?) as u64)
    }

    pub(super) fn replay(&mut self) -> Result<Replay, Interrupted> {
        let mut replay = Replay::default();
        self.tail(|row| {
            replay.push(row);
        })?;
        Ok(replay)
    }

    fn open(&mut self, tail: &Replay) -> Result<Vec<OpenRequest>, Interrupted> {
        let before = self.index.open()?.into_iter().map(|found| (found.rid, found.open));
        let open = tail.outstanding(before);
        Ok(open.iter().filter_map(|(rid, open)| OpenRequest::of(*rid, open)).collect())
    }
}

impl OpenRequest {
    fn of(rid: RequestId, open: &Open) -> Option<Self> {
        let row = open.row().ok()?;
        Some(Self {
            rid,
            tenant: row.tenant.into(),
            day: row.day,
            held: open.held,
            sent: open.sent,
            suspended: open.suspended,
            since: row.at,
        })
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "request_id": self.rid.to_string(), "tenant": &*self.tenant,
            "day": self.day.to_string(), "held_nano": self.held.nano(), "sent": self.sent,
            "suspended": self.suspended, "since_us": self.since.micros(),
        })
    }
}

impl From<IndexError> for Interrupted {
    fn from(error: IndexError) -> Self {
        Self::Failed(error)
    }
}

/// Balances of the same tenant and day as one.
fn summed(mut all: Vec<Balance>) -> Vec<Balance> {
    all.sort_unstable();
    all.dedup_by(|next, kept| {
        let same = next.tenant == kept.tenant && next.day == kept.day;
        if same {
            kept.spent = kept.spent.saturating_add(next.spent);
        }
        same
    });
    all
}
