//! Keeps what is usual for each tenant on disk, so that the next life of this process knows it.
//! Does not read it: what is unusual, and whether these bytes say so, is the core's to judge.

use p402_core::ledger::{TENANT_BYTES_MAX, short_name};
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

const FILE: &str = "usual.sqlite";
/// Tenants that are remembered; those not told of for longest go.
const TENANTS_MAX: u32 = 100_000;
/// The table is cut to its size once in so many writes.
const CUT_EVERY: u32 = 1_024;

/// A snapshot per tenant.
#[derive(Debug)]
pub struct Usual {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    writes: u32,
}

impl Usual {
    /// What a former life left. A file that is none of ours is begun anew: it holds no money.
    ///
    /// # Errors
    /// The folder cannot be written; the words are for the operator.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let made = connect(folder).or_else(|_| {
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(folder.join(format!("{FILE}{suffix}")));
            }
            connect(folder)
        });
        let connection = made.map_err(|error| format!("{FILE}: {error}"))?;
        Ok(Self { inner: Mutex::new(Inner { connection, writes: 0 }) })
    }

    /// Waits for a disk: not for a thread that serves. `None` where it did not answer.
    pub fn get(&self, tenant: &str) -> Option<Option<Vec<u8>>> {
        let inner = self.inner.lock();
        let mut asked =
            inner.connection.prepare_cached("SELECT snapshot FROM seen WHERE tenant = ?1").ok()?;
        asked.query_row([short_name(tenant, TENANT_BYTES_MAX)], |row| row.get(0)).optional().ok()
    }

    /// Takes the place of what was kept before; whether it was written.
    pub fn put(&self, tenant: &str, snapshot: &[u8], now: Timestamp) -> bool {
        let mut inner = self.inner.lock();
        inner.writes += 1;
        if inner.writes >= CUT_EVERY {
            inner.writes = 0;
            let cut = "DELETE FROM seen WHERE tenant IN
                (SELECT tenant FROM seen ORDER BY at DESC LIMIT -1 OFFSET ?1)";
            // What is not cut now is cut the next time.
            let _ = inner.connection.execute(cut, [TENANTS_MAX]);
        }
        let into = inner
            .connection
            .prepare_cached("INSERT OR REPLACE INTO seen (tenant, at, snapshot) VALUES (?, ?, ?)");
        let name = short_name(tenant, TENANT_BYTES_MAX);
        into.and_then(|mut into| into.execute(params![name, now.micros(), snapshot])).is_ok()
    }
}

fn connect(folder: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(folder.join(FILE))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A power loss may cost the last writes.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS seen
            (tenant TEXT PRIMARY KEY, at INTEGER NOT NULL, snapshot BLOB NOT NULL) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS seen_by_age ON seen (at);
         SELECT tenant, at, snapshot FROM seen LIMIT 0;",
    )?;
    Ok(connection)
}
