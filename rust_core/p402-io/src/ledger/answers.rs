//! Reads the index: positions, counters, what is open, sums by bucket, rows.
//! Does not know what the journal holds beyond it, and changes nothing.

use super::columns::{Cells, INTEGERS, TEXTS};
use super::database::{IndexError, Value};
use super::folder::JournalId;
use super::index::{Index, Positions, rid_bits};
use super::schema;
use p402_core::id::RequestId;
use p402_core::ledger::{Balance, GroupBy, Open, ROW_BYTES, Row, Seq, Sums, Tally};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};

/// Rows that are read at once where all are.
const PAGE_ROWS: usize = 5_000;

/// Which days of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// As it stands in rows; `None` is everybody.
    pub(super) tenant: Option<&'a str>,
    pub(super) from: Day,
    pub(super) to: Day,
}

/// An open request and the journal that it is in.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    pub(super) rid: RequestId,
    pub(super) journal: JournalId,
    pub(super) open: Open,
}

impl Index {
    pub(super) fn positions(&mut self, journal: JournalId) -> Result<Positions, IndexError> {
        let mut found = Positions::new();
        self.database.ask(schema::POSITIONS, &[Value::Bytes(&journal)], &mut |line| {
            let writer = u8::try_from(line.int(0)?).map_err(IndexError::new)?;
            found.insert(writer, Seq::from_bits(line.int(1)? as u64));
            Ok(())
        })?;
        Ok(found)
    }

    /// The counters: Σ(cost + wasted) by tenant and day, as they were added up row by row.
    pub(super) fn totals(&mut self, scope: Scope<'_>) -> Result<Vec<Balance>, IndexError> {
        let mut found = Vec::new();
        let sql = schema::totals(scope.tenant.is_some());
        self.database.ask(&sql, &scope.values(), &mut |line| {
            let day = i32::try_from(line.int(1)?).map_err(IndexError::new)?;
            let spent = Usd::from_nano(line.int(2)?);
            found.push(Balance { tenant: line.text(0)?.into(), day: Day::from_days(day), spent });
            Ok(())
        })?;
        Ok(found)
    }

    /// Requests that have not ended, of every journal.
    pub(super) fn open(&mut self) -> Result<Vec<Outstanding>, IndexError> {
        let mut found = Vec::new();
        self.database.ask(schema::OPEN, &[], &mut |line| {
            let row = <[u8; ROW_BYTES]>::try_from(line.bytes(5)?).map_err(IndexError::new)?;
            let held = Usd::from_nano(line.int(2)?);
            found.push(Outstanding {
                rid: RequestId::from_bits(rid_bits(line, 0)?),
                journal: line.bytes(1)?.try_into().map_err(IndexError::new)?,
                open: Open::new(row, held, line.int(3)? != 0, line.int(4)? != 0),
            });
            Ok(())
        })?;
        Ok(found)
    }

    /// Adds what is used by bucket to the tally.
    pub(super) fn usage(&mut self, scope: Scope<'_>, tally: &mut Tally) -> Result<(), IndexError> {
        let by = tally.by();
        let sql = schema::usage(by, scope.tenant.is_some());
        self.database.ask(&sql, &scope.values(), &mut |line| {
            let bucket = match by {
                GroupBy::Model | GroupBy::Provider => line.text(0)?.to_owned(),
                GroupBy::Day | GroupBy::Mode | GroupBy::Session => by.bucket_of(line.int(0)?),
            };
            let count = |at| line.int(at).map(i64::cast_unsigned);
            let money = |at| line.int(at).map(Usd::from_nano);
            let sums = Sums {
                requests: count(1)?,
                cached: count(2)?,
                input_tokens: count(3)?,
                output_tokens: count(4)?,
                cost: money(5)?,
                direct: money(6)?,
                wasted: money(7)?,
            };
            tally.add(bucket, &sums);
            Ok(())
        })
    }

    /// Rows of one request.
    pub(super) fn rows_of(
        &mut self,
        rid: RequestId,
        each: &mut dyn FnMut(&Row<'_>),
    ) -> Result<(), IndexError> {
        let rid = rid.bits().to_be_bytes();
        self.rows(&schema::rows_of(), &[Value::Bytes(&rid)], each).map(drop)
    }

    /// The instants of the first and the last row.
    pub(super) fn span(&mut self) -> Result<Option<(Timestamp, Timestamp)>, IndexError> {
        let mut found = None;
        self.database.ask(schema::SPAN, &[], &mut |line| {
            let at = |column| line.int(column).map(Timestamp::from_micros);
            found = Some((at(0)?, at(1)?)).filter(|_| line.int(2).is_ok_and(|rows| rows > 0));
            Ok(())
        })?;
        Ok(found)
    }

    /// Rows that were written from `from` to before `to`, in no order.
    pub(super) fn rows_between(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        each: &mut dyn FnMut(&Row<'_>),
    ) -> Result<(), IndexError> {
        let values = [Value::Int(from.micros()), Value::Int(to.micros())];
        self.rows(&schema::rows_between(), &values, each).map(drop)
    }

    /// Every row, request by request.
    pub(super) fn all_rows(&mut self, each: &mut dyn FnMut(&Row<'_>)) -> Result<(), IndexError> {
        let sql = schema::page(PAGE_ROWS);
        let mut behind = ([0_u8; 16], -1, -1);
        loop {
            let (rid, slot, attempt) = &behind;
            let values = [Value::Bytes(rid), Value::Int(*slot), Value::Int(*attempt)];
            let mut last = None;
            let count = self.rows(&sql, &values, &mut |row| {
                let (rid, slot, attempt) = row.identity();
                last = Some((rid.bits().to_be_bytes(), i64::from(slot), i64::from(attempt)));
                each(row);
            })?;
            match last {
                Some(next) if count == PAGE_ROWS => behind = next,
                _ => return Ok(()),
            }
        }
    }

    fn rows(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>),
    ) -> Result<usize, IndexError> {
        let mut count = 0;
        self.database.ask(sql, values, &mut |line| {
            let mut cells = Cells {
                rid: rid_bits(line, 0)?.to_be_bytes(),
                integers: [0; INTEGERS.len()],
                texts: [""; TEXTS.len()],
            };
            for (at, number) in cells.integers.iter_mut().enumerate() {
                *number = line.int(1 + at)?;
            }
            for (at, text) in cells.texts.iter_mut().enumerate() {
                *text = line.text(1 + INTEGERS.len() + at)?;
            }
            let row = cells.row().ok_or_else(|| IndexError::new("a row there is no row"))?;
            count += 1;
            each(&row);
            Ok(())
        })?;
        Ok(count)
    }
}

impl<'a> Scope<'a> {
    fn values(&self) -> Vec<Value<'a>> {
        let day = |day: Day| Value::Int(i64::from(day.days()));
        let tenant = self.tenant.map(Value::Text);
        [day(self.from), day(self.to)].into_iter().chain(tenant).collect()
    }
}
