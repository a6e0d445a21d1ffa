//! Decides what the index asks of a database: run, ask, one transaction at a time.
//! Does not know a table; the two that answer know nothing else.

use std::fmt;

/// A value on its way into a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// One line of an answer; a column of another type is a fault.
pub(super) trait Columns {
    fn int(&self, at: usize) -> Result<i64, IndexError>;
    fn text(&self, at: usize) -> Result<&str, IndexError>;
    fn bytes(&self, at: usize) -> Result<&[u8], IndexError>;
}

/// Takes the lines of an answer as they come.
pub(super) type Each<'a> = &'a mut dyn FnMut(&dyn Columns) -> Result<(), IndexError>;

/// Why the index did not answer. Its text holds no value of a row and no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexError(String);

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Everything that is read is of one instant.
    Read,
    Write,
}

/// Whether the database may be written to, and made where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Owner,
    Reader,
}

/// What this database calls things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) blob: &'static str,
    pub(super) integer: &'static str,
    /// Behind a table whose rows stand in the order of its key.
    pub(super) clustered: &'static str,
}

/// A connection. Parameters are `$1`, `$2`, … and first appear in that order.
pub(super) trait Database: Send {
    fn words(&self) -> Words;
    /// Runs statements without parameters.
    fn batch(&mut self, sql: &str) -> Result<(), IndexError>;
    /// Runs one statement and hands its lines over.
    fn ask(&mut self, sql: &str, values: &[Value<'_>], each: Each<'_>) -> Result<(), IndexError>;
    fn begin(&mut self, purpose: Purpose) -> Result<(), IndexError>;
    fn commit(&mut self) -> Result<(), IndexError>;
    /// Ends a transaction that failed; a connection that is gone has ended it already.
    fn rollback(&mut self);
    /// Makes what was committed outlive a power loss; `false` when it has to wait.
    fn flush(&mut self) -> Result<bool, IndexError>;
}

impl IndexError {
    pub(super) fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IndexError {}
