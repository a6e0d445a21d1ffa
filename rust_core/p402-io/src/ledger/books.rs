//! Answers from the ledger: the index and what the journal holds beyond it, as one.
//! Does not write; a gateway may run beside it, in this process or another.

use super::answers::Scope;
use super::database::{Access, IndexError, Purpose};
use super::folder::{JournalId, journal_id, journal_of, kept_damage, owner_of};
use super::fresh::{Name, name_of};
use super::index::{Index, IndexAt, Positions};
use super::tail::{self, Ends};
use p402_core::guard::Told;
use p402_core::id::RequestId;
use p402_core::ledger::{
    Balance, Flags, Open, Question, ROW_BYTES, Replay, Row, Seq, TENANT_BYTES_MAX, Tally, Used,
    short_name,
};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Tries of an answer whose segment was indexed and removed while it was being read.
const TRIES_MAX: u32 = 5;
/// Rows beyond the index that an answer still reads; further behind, it would be hours late.
const TAIL_ROWS_MAX: u64 = 50_000_000;
/// Rows beyond the index that are read between two looks at the time.
const TAIL_STEP: u64 = 4_096;
/// Buckets that the rows beyond the index may fill; more of them are more than anybody reads.
const TAIL_BUCKETS_MAX: usize = 100_000;

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
    /// When whoever asks stops waiting.
    until: Option<Instant>,
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
    /// A node's share for an outage, not a request.
    pub slice: bool,
    /// Whose hold it is in a shared store.
    pub owner: u32,
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
    journal_id: Option<JournalId>,
    until: Option<Instant>,
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
        Ok(Self { index: Some(index), at, folder, journal, journal_id, until: None })
    }

    /// Answers from now on come before this, or fail as late.
    pub fn hurry(&mut self, until: Instant) {
        self.until = Some(until);
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
                Err(Interrupted::Failed(IndexError::Late)) => return Err(IndexError::Late),
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
        if let Some(until) = self.until {
            index.database.hurry(until)?;
        }
        index.within(Purpose::Read, |index| {
            let positions = match self.journal_id {
                Some(id) => index.positions(id)?,
                None => Positions::new(),
            };
            let (journal, journal_id, until) = (&*self.journal, self.journal_id, self.until);
            answer(&mut Page { index, positions, journal, journal_id, until })
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

    /// What was used. Every row that was acknowledged by this process before the question is in
    /// the answer; another node's, once it has brought them into the index.
    pub fn usage(&mut self, question: &Question) -> Result<Used, IndexError> {
        self.ask(|page| {
            let mut tally = Tally::new(question.by, question.most);
            // A request that ends twice ends once here, too.
            let mut seen = Replay::default();
            page.fresh(|row| {
                if seen.push(row) && question.admits(row) && tally.waiting() <= TAIL_BUCKETS_MAX {
                    tally.push(row);
                }
            })?;
            if tally.waiting() > TAIL_BUCKETS_MAX {
                return Err(IndexError::new("the index is too far behind the journal").into());
            }
            page.index.usage(question, &mut tally)?;
            Ok(tally.finish())
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

    /// What the ledger tells of each of these requests.
    pub fn told(&mut self, rids: &[RequestId]) -> Result<Vec<Told>, IndexError> {
        self.ask(|page| {
            let mut found: HashMap<RequestId, Found> =
                rids.iter().map(|rid| (*rid, Found::default())).collect();
            for (rid, rows) in &mut found {
                page.index.rows_of(*rid, &mut |row| rows.keep(row))?;
            }
            page.tail(|row| {
                if let Some(rows) = found.get_mut(&row.rid) {
                    rows.keep(row);
                }
            })?;
            let told = |rid| found.get(rid).map_or(Told::Nothing, Found::told);
            Ok(rids.iter().map(told).collect())
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
    seen: HashSet<Name>,
}

impl Found {
    fn told(&self) -> Told {
        let rows = self.rows.iter().filter_map(|(.., bytes)| Row::decode(bytes).ok());
        Replay::told(&rows.collect::<Vec<_>>())
    }

    fn keep(&mut self, row: &Row<'_>) {
        if self.seen.insert(name_of(row)) {
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
        let (mut rows, mut late, until) = (0, false, self.until);
        let read = tail::rows(self.journal, &self.positions, Ends::Keep, |row, _| {
            rows += 1;
            each(row);
            late = rows % TAIL_STEP == 0 && until.is_some_and(|until| Instant::now() > until);
            rows <= TAIL_ROWS_MAX && !late
        });
        match read {
            _ if late => Err(IndexError::Late.into()),
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

    fn open(&mut self, tail: &Replay) -> Result<Vec<OpenRequest>, Interrupted> {
        let before = self.index.open()?;
        let owners: HashMap<_, _> =
            before.iter().map(|found| (found.rid, owner_of(found.journal))).collect();
        let open = tail.outstanding(before.into_iter().map(|found| (found.rid, found.open)));
        // What the index does not have is in this directory's journal alone.
        let own = self.journal_id.map_or(0, owner_of);
        let owner = |rid| owners.get(rid).copied().unwrap_or(own);
        Ok(open.iter().filter_map(|(rid, open)| OpenRequest::of(*rid, open, owner(rid))).collect())
    }
}

impl OpenRequest {
    fn of(rid: RequestId, open: &Open, owner: u32) -> Option<Self> {
        let row = open.row().ok()?;
        Some(Self {
            rid,
            tenant: row.tenant.into(),
            day: row.day,
            held: open.held,
            slice: row.flags.has(Flags::SLICE),
            owner,
            sent: open.sent,
            suspended: open.suspended,
            since: row.at,
        })
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "request_id": self.rid.to_string(), "tenant": &*self.tenant,
            "day": self.day.to_string(), "held_nano": self.held.nano(), "owner": self.owner,
            "slice": self.slice, "sent": self.sent, "suspended": self.suspended,
            "since_us": self.since.micros(),
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
