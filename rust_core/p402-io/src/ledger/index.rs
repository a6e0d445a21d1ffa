//! Keeps the index: rows once each, totals, what is open, and how far each journal has been read.
//! Does not read the journal, and knows neither database: both speak through one small trait.

use super::columns::{Cells, INTEGERS, TEXTS};
use super::database::{Access, Columns, Database, IndexError, Purpose, Value};
use super::folder::JournalId;
use super::postgres::Postgres;
use super::schema::{self, Lines};
use super::sqlite::Sqlite;
use p402_core::ledger::{ROW_BYTES, Replay, Row, Seq};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

/// Rows that one transaction takes.
pub(super) const BATCH_ROWS_MAX: usize = 1_000;
/// Lines of one statement; what is over goes in halves of it, so that few statements are prepared.
const LINES_MAX: usize = 128;
/// The 22 integers and four names of a row, and its request.
const ROW_WIDTH: usize = 1 + INTEGERS.len() + TEXTS.len();

/// Where the index is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum IndexAt {
    /// A file; `None` is `ledger.sqlite` in the data directory.
    Sqlite(Option<PathBuf>),
    /// A PostgreSQL URL, which may hold a password.
    Postgres(String),
}

/// The index, connected.
pub(super) struct Index {
    pub(super) database: Box<dyn Database>,
}

/// Rows that follow one another in a journal, and where its writers then stand.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<[u8; ROW_BYTES]>,
    pub(super) positions: Positions,
}

/// For each writer of a journal: the first row that is not in the index.
pub(super) type Positions = BTreeMap<u8, Seq>;

impl Index {
    /// Connects, and makes the tables where this is the owner.
    pub(super) fn connect(
        at: &IndexAt,
        folder: &std::path::Path,
        access: Access,
    ) -> Result<Self, IndexError> {
        let mut missing = false;
        let database: Box<dyn Database> = match at {
            IndexAt::Sqlite(path) => {
                let path = path.clone().unwrap_or_else(|| folder.join("ledger.sqlite"));
                let file = Sqlite::open(&path, access)?;
                missing = file.is_none();
                Box::new(file.map_or_else(Sqlite::empty, Ok)?)
            }
            IndexAt::Postgres(url) => Box::new(Postgres::connect(url)?),
        };
        let mut made = Self { database };
        if access == Access::Owner || missing {
            made.prepare()?;
        }
        let layout = made.fact("layout")?;
        if layout.as_deref() != Some(&*schema::LAYOUT.to_string()) {
            return Err(IndexError::new("the index was made by another release"));
        }
        Ok(made)
    }

    fn prepare(&mut self) -> Result<(), IndexError> {
        let tables = schema::tables(self.database.words());
        let mut id = JournalId::default();
        getrandom::fill(&mut id).map_err(IndexError::new)?;
        let id = format!("{:032x}", u128::from_be_bytes(id));
        self.within(Purpose::Write, |index| {
            index.database.batch(&tables)?;
            for (name, value) in [("ledger", &*id), ("layout", &schema::LAYOUT.to_string())] {
                index.run(schema::FACT, &[Value::Text(name), Value::Text(value)])?;
            }
            Ok(())
        })
    }

    fn fact(&mut self, name: &str) -> Result<Option<String>, IndexError> {
        let mut found = None;
        self.database.ask(schema::FACTS, &[Value::Text(name)], &mut |line| {
            found = Some(line.text(0)?.to_owned());
            Ok(())
        })?;
        Ok(found)
    }

    /// The ledger's own id: nodes that share a store must share this.
    pub(super) fn ledger_id(&mut self) -> Result<String, IndexError> {
        self.fact("ledger")?.ok_or_else(|| IndexError::new("the index has no id"))
    }

    /// One transaction: all of it, or nothing.
    pub(super) fn within<T, E: From<IndexError>>(
        &mut self,
        purpose: Purpose,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.database.begin(purpose)?;
        match work(self).and_then(|done| Ok(self.database.commit().map(|()| done)?)) {
            Ok(done) => Ok(done),
            Err(error) => {
                self.database.rollback();
                Err(error)
            }
        }
    }

    /// Takes rows in, each once, and moves the journal's positions, in one transaction.
    pub(super) fn apply(&mut self, journal: JournalId, batch: &Batch) -> Result<(), IndexError> {
        let rows: Vec<Row<'_>> =
            batch.rows.iter().filter_map(|bytes| Row::decode(bytes).ok()).collect();
        self.within(Purpose::Write, |index| {
            let mut fresh = index.insert(&rows)?;
            let mut change = Replay::default();
            for row in &rows {
                let (rid, slot, attempt) = row.identity();
                if fresh.remove(&(rid.bits(), slot, attempt)) {
                    change.push(row);
                }
            }
            index.total(&change)?;
            index.keep_open(journal, &change)?;
            for (writer, seq) in &batch.positions {
                let writer = Value::Int(i64::from(*writer));
                let seq = Value::Int(seq.bits() as i64);
                index.run(schema::POSITION, &[Value::Bytes(&journal), writer, seq])?;
            }
            Ok(())
        })
    }

    /// Which of them were not there.
    fn insert(&mut self, rows: &[Row<'_>]) -> Result<HashSet<(u128, u8, u8)>, IndexError> {
        let cells: Vec<Cells<'_>> = rows.iter().map(Cells::of).collect();
        let mut values = Vec::with_capacity(cells.len() * ROW_WIDTH);
        for cell in &cells {
            values.push(Value::Bytes(&cell.rid));
            values.extend(cell.integers.iter().map(|number| Value::Int(*number)));
            values.extend(cell.texts.iter().map(|text| Value::Text(text)));
        }
        let mut fresh = HashSet::with_capacity(rows.len());
        let head = schema::insert_head();
        let lines = Lines { head: &head, tail: schema::INSERT_TAIL, width: ROW_WIDTH };
        self.many(lines, &values, &mut |line| {
            let small = |at| line.int(at).and_then(|n| u8::try_from(n).map_err(IndexError::new));
            fresh.insert((rid_bits(line, 0)?, small(1)?, small(2)?));
            Ok(())
        })?;
        Ok(fresh)
    }

    fn total(&mut self, change: &Replay) -> Result<(), IndexError> {
        let balances = change.balances();
        let mut values = Vec::with_capacity(balances.len() * 3);
        for balance in &balances {
            let day = Value::Int(i64::from(balance.day.days()));
            values.extend([Value::Text(&balance.tenant), day, Value::Int(balance.spent.nano())]);
        }
        self.many(schema::TOTALS, &values, &mut |_| Ok(()))
    }

    fn keep_open(&mut self, journal: JournalId, change: &Replay) -> Result<(), IndexError> {
        let closed: Vec<_> = change.closed().map(|rid| rid.bits().to_be_bytes()).collect();
        let values: Vec<_> = closed.iter().map(|rid| Value::Bytes(rid)).collect();
        self.many(schema::CLOSED, &values, &mut |_| Ok(()))?;
        let open = change.open();
        let rids: Vec<_> = open.iter().map(|(rid, _)| rid.bits().to_be_bytes()).collect();
        let mut values = Vec::with_capacity(open.len() * 7);
        for ((_, open), rid) in open.iter().zip(&rids) {
            let tenant = open.row().map_or("", |row| row.tenant);
            let flag = |set: bool| Value::Int(i64::from(set));
            let held = Value::Int(open.held.nano());
            values.extend([Value::Bytes(rid), Value::Bytes(&journal), Value::Text(tenant), held]);
            values.extend([flag(open.sent), flag(open.suspended), Value::Bytes(open.bytes())]);
        }
        self.many(schema::OPENED, &values, &mut |_| Ok(()))?;
        for (rid, held, suspended) in change.carried() {
            let rid = rid.bits().to_be_bytes();
            if let Some(held) = held {
                self.run(schema::EXTENDED, &[Value::Int(held.nano()), Value::Bytes(&rid)])?;
            }
            if suspended {
                self.run(schema::SUSPENDED, &[Value::Bytes(&rid)])?;
            }
        }
        Ok(())
    }

    /// Makes what was applied outlive a power loss; `false` when it has to wait.
    pub(super) fn flush(&mut self) -> Result<bool, IndexError> {
        self.database.flush()
    }

    pub(super) fn run(&mut self, sql: &str, values: &[Value<'_>]) -> Result<(), IndexError> {
        self.database.ask(sql, values, &mut |_| Ok(()))
    }

    /// A statement over many lines, in as few trips as its bound allows.
    fn many(
        &mut self,
        lines: Lines<'_>,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Columns) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut rest = values;
        let mut count = LINES_MAX;
        while !rest.is_empty() {
            while count * lines.width > rest.len() {
                count /= 2;
            }
            let (now, later) = rest.split_at(count * lines.width);
            self.database.ask(&lines.sql(count), now, each)?;
            rest = later;
        }
        Ok(())
    }
}

impl IndexAt {
    /// A PostgreSQL URL (or libpq's `key=value` form), a file, or the file that is there anyway.
    pub fn read(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Sqlite(None),
            Some(url)
                if url.starts_with("postgres://")
                    || url.starts_with("postgresql://")
                    || url.contains('=') =>
            {
                Self::Postgres(url.to_owned())
            }
            Some(path) => Self::Sqlite(Some(path.into())),
        }
    }
}

/// The address without what may be a password in it.
impl fmt::Debug for IndexAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

pub(super) fn rid_bits(line: &dyn Columns, at: usize) -> Result<u128, IndexError> {
    line.bytes(at)?.try_into().map(u128::from_be_bytes).map_err(IndexError::new)
}
