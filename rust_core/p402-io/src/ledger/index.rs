//! Keeps the index: rows once each, totals, what is open, and how far each journal has been read.
//! Does not read the journal, and knows neither database: both speak through one small trait.

use super::columns::Cells;
use super::database::{Access, Columns, Database, IndexError, Purpose, Value};
use super::folder::JournalId;
use super::fresh::{Name, name_of};
use super::lines::Lines;
use super::postgres::Postgres;
use super::rollup::{self, Rollup};
use super::schema;
use super::sqlite::Sqlite;
use p402_core::ledger::{ROW_BYTES, Replay, Row, Seq};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

/// Rows that one transaction takes.
pub(super) const BATCH_ROWS_MAX: usize = 1_000;
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
    /// Statements over many lines, by their head, tail and number of lines: they are long.
    statements: BTreeMap<(&'static str, &'static str, usize), String>,
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
        let mut made = Self { database, statements: BTreeMap::new() };
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
            index.state("ledger", &id)?;
            index.state("layout", &schema::LAYOUT.to_string())?;
            // Whoever states it first is alone with what was indexed before; others wait for it.
            if index.state(&rollup::fact(), "1")? {
                // Another release's sums have other marks.
                index.database.batch("DROP TABLE ledger_usage")?;
                index.database.batch(&tables)?;
                index.run(&schema::fill_usage(), &[])?;
            }
            Ok(())
        })
    }

    /// States a fact, unless it was stated before; whether this did.
    fn state(&mut self, name: &str, value: &str) -> Result<bool, IndexError> {
        let mut fresh = false;
        self.database.ask(schema::FACT, &[Value::Text(name), Value::Text(value)], &mut |_| {
            fresh = true;
            Ok(())
        })?;
        Ok(fresh)
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
        let done = self.within(Purpose::Write, |index| {
            if index.insert(&rows)? < rows.len() {
                return Err(Unfit::Known);
            }
            Ok(index.book(journal, batch, &rows)?)
        });
        match done {
            Ok(()) => Ok(()),
            Err(Unfit::Failed(error)) => Err(error),
            Err(Unfit::Known) => self.within(Purpose::Write, |index| {
                let fresh = index.insert_told(&rows)?;
                index.book(journal, batch, &fresh)
            }),
        }
    }

    /// What rows that were not there change, and how far the journal has been read.
    fn book(
        &mut self,
        journal: JournalId,
        batch: &Batch,
        fresh: &[Row<'_>],
    ) -> Result<(), IndexError> {
        let (mut change, mut used) = (Replay::default(), Rollup::default());
        for row in fresh {
            change.push(row);
            used.push(row);
        }
        self.total(&change)?;
        self.change(rollup::lines(), &used.values())?;
        self.keep_open(journal, &change)?;
        for (writer, seq) in &batch.positions {
            let writer = Value::Int(i64::from(*writer));
            let seq = Value::Int(seq.bits() as i64);
            self.run(schema::POSITION, &[Value::Bytes(&journal), writer, seq])?;
        }
        Ok(())
    }

    /// How many of them were not there.
    fn insert(&mut self, rows: &[Row<'_>]) -> Result<usize, IndexError> {
        let cells: Vec<Cells<'_>> = rows.iter().map(Cells::of).collect();
        self.change(schema::rows(), &values(&cells))
    }

    /// Which of them were not there: the first of those that bear the same name.
    fn insert_told<'a>(&mut self, rows: &[Row<'a>]) -> Result<Vec<Row<'a>>, IndexError> {
        let cells: Vec<Cells<'_>> = rows.iter().map(Cells::of).collect();
        let mut told = HashSet::with_capacity(rows.len());
        self.names(schema::rows_told(), &values(&cells), &mut |name| {
            told.insert(name);
        })?;
        let fresh = rows.iter().filter(|row| told.remove(&name_of(row)));
        Ok(fresh.copied().collect())
    }

    fn total(&mut self, change: &Replay) -> Result<(), IndexError> {
        let balances = change.balances();
        let mut values = Vec::with_capacity(balances.len() * 3);
        for balance in &balances {
            let day = Value::Int(i64::from(balance.day.days()));
            values.extend([Value::Text(&balance.tenant), day, Value::Int(balance.spent.nano())]);
        }
        self.change(schema::TOTALS, &values).map(drop)
    }

    fn keep_open(&mut self, journal: JournalId, change: &Replay) -> Result<(), IndexError> {
        let closed: Vec<_> = change.closed().map(|rid| rid.bits().to_be_bytes()).collect();
        let values: Vec<_> = closed.iter().map(|rid| Value::Bytes(rid)).collect();
        self.change(schema::CLOSED, &values)?;
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
        self.change(schema::OPENED, &values)?;
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
        self.database.change(sql, values).map(drop)
    }

    /// A statement over many lines; how many it changed.
    fn change(&mut self, lines: Lines, values: &[Value<'_>]) -> Result<usize, IndexError> {
        let mut changed = 0;
        self.many(lines, values, |database, sql, values| {
            changed += database.change(sql, values)?;
            Ok(())
        })?;
        Ok(changed)
    }

    /// The names of every row that stands here of these requests.
    pub(super) fn names_of(
        &mut self,
        rids: &[[u8; 16]],
        each: &mut dyn FnMut(Name),
    ) -> Result<(), IndexError> {
        let values: Vec<_> = rids.iter().map(|rid| Value::Bytes(rid)).collect();
        self.names(schema::NAMES, &values, each)
    }

    /// A statement over many lines that tells names of rows.
    fn names(
        &mut self,
        lines: Lines,
        values: &[Value<'_>],
        each: &mut dyn FnMut(Name),
    ) -> Result<(), IndexError> {
        self.many(lines, values, |database, sql, values| {
            database.ask(sql, values, &mut |line| {
                let small =
                    |at| line.int(at).and_then(|n| u8::try_from(n).map_err(IndexError::new));
                each((rid_bits(line, 0)?, small(1)?, small(2)?));
                Ok(())
            })
        })
    }

    /// As many lines at a time as the database takes; what is over goes in halves of that, so that
    /// few statements are prepared.
    fn many(
        &mut self,
        lines: Lines,
        values: &[Value<'_>],
        mut run: impl FnMut(&mut dyn Database, &str, &[Value<'_>]) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut rest = values;
        let mut count = self.database.lines_max();
        while !rest.is_empty() {
            while count * lines.width > rest.len() {
                count /= 2;
            }
            let (now, later) = rest.split_at(count * lines.width);
            let name = (lines.head, lines.tail, count);
            let sql = self.statements.entry(name).or_insert_with(|| lines.sql(count));
            run(self.database.as_mut(), sql, now)?;
            // Where it shares a core with those who serve, nobody may wait for a whole batch.
            std::thread::yield_now();
            rest = later;
        }
        Ok(())
    }
}

/// Why a transaction was not made.
enum Unfit {
    /// Some of its rows were there: which, is asked for then alone.
    Known,
    Failed(IndexError),
}

impl From<IndexError> for Unfit {
    fn from(error: IndexError) -> Self {
        Self::Failed(error)
    }
}

fn values<'a>(cells: &'a [Cells<'a>]) -> Vec<Value<'a>> {
    let mut values = Vec::with_capacity(cells.len() * schema::rows().width);
    for cell in cells {
        values.push(Value::Bytes(&cell.rid));
        values.extend(cell.integers.iter().map(|number| Value::Int(*number)));
        values.extend(cell.texts.iter().map(|text| Value::Text(text)));
    }
    values
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
