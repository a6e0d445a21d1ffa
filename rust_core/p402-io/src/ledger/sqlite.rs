//! Speaks to SQLite: one file beside the journal, in WAL mode.
//! Does not know a table, and waits for a lock no longer than it says.

use super::database::{Access, Columns, Database, Each, IndexError, Purpose, Value, Words};
use super::folder::private;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Row, ToSql};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// Longest wait for another connection's lock.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);
/// Prepared statements that are kept.
const STATEMENTS_MAX: usize = 64;

/// A connection to the file.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// For a reader `None` is what is not there yet: nothing has been indexed.
    pub(super) fn open(path: &Path, access: Access) -> Result<Option<Self>, IndexError> {
        if access == Access::Reader && !path.exists() {
            return Ok(None);
        }
        let kind = match access {
            Access::Owner => {
                // SQLite would make it readable for others. A file that is there must not be
                // opened beside SQLite: closing it would take the locks of this process off it.
                match private().write(true).create_new(true).open(path) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        return Err(IndexError::new(error));
                    }
                    _ => {}
                }
                OpenFlags::SQLITE_OPEN_READ_WRITE
            }
            Access::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let flags = kind | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(IndexError::new)?;
        connection.busy_timeout(BUSY_WAIT_MAX).map_err(IndexError::new)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let mut made = Self { connection };
        if access == Access::Owner {
            // NORMAL: a power loss may take back the last transactions, whole, with the position
            // that stands in them; the journal has their rows until `flush`.
            made.batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        }
        Ok(Some(made))
    }

    /// An index of nothing.
    pub(super) fn empty() -> Result<Self, IndexError> {
        let connection = Connection::open_in_memory().map_err(IndexError::new)?;
        Ok(Self { connection })
    }
}

impl Database for Sqlite {
    fn words(&self) -> Words {
        Words { blob: "BLOB", integer: "INTEGER", clustered: "WITHOUT ROWID" }
    }

    fn batch(&mut self, sql: &str) -> Result<(), IndexError> {
        self.connection.execute_batch(sql).map_err(IndexError::new)
    }

    fn ask(&mut self, sql: &str, values: &[Value<'_>], each: Each<'_>) -> Result<(), IndexError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(IndexError::new)?;
        let values = rusqlite::params_from_iter(values);
        let mut rows = statement.query(values).map_err(IndexError::new)?;
        while let Some(row) = rows.next().map_err(IndexError::new)? {
            each(row)?;
        }
        Ok(())
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), IndexError> {
        self.batch(match purpose {
            Purpose::Read => "BEGIN",
            Purpose::Write => "BEGIN IMMEDIATE",
        })
    }

    fn commit(&mut self) -> Result<(), IndexError> {
        self.batch("COMMIT")
    }

    fn rollback(&mut self) {
        // Without an open transaction there is nothing to take back.
        let _ = self.batch("ROLLBACK");
    }

    fn flush(&mut self) -> Result<bool, IndexError> {
        // It waits for no reader: what it could not move it will move another time.
        let mut whole = false;
        self.ask("PRAGMA wal_checkpoint(PASSIVE)", &[], &mut |row| {
            whole = row.int(0)? == 0 && row.int(1)? == row.int(2)?;
            Ok(())
        })?;
        Ok(whole)
    }
}

impl Columns for Row<'_> {
    fn int(&self, at: usize) -> Result<i64, IndexError> {
        match self.get_ref(at) {
            Ok(ValueRef::Null) => Ok(0),
            other => other.and_then(|value| Ok(value.as_i64()?)).map_err(IndexError::new),
        }
    }
    fn text(&self, at: usize) -> Result<&str, IndexError> {
        self.get_ref(at).and_then(|value| Ok(value.as_str()?)).map_err(IndexError::new)
    }
    fn bytes(&self, at: usize) -> Result<&[u8], IndexError> {
        self.get_ref(at).and_then(|value| Ok(value.as_blob()?)).map_err(IndexError::new)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
