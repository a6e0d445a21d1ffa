//! Keeps the accounts of tenants that are not here just now, on disk, packed.
//! Does not outlive the process: what lasts is the ledger, and the next start reads that.

use p402_core::guard::Account;
use p402_core::ledger::{TENANT_BYTES_MAX, short_name};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

const FILE: &str = "accounts.sqlite";
/// Pages that SQLite keeps in memory, in KiB (negative is its word for that).
const CACHE_KIB: i64 = -2_048;

/// Accounts by tenant, as `Account::encode` packs them.
#[derive(Debug)]
pub struct Attic {
    connection: Mutex<Connection>,
}

/// Why an account could not be put away or found again; the words are for the operator.
#[derive(Debug)]
pub struct AtticError(String);

impl Attic {
    /// A new one in the data directory, in the place of an earlier process's.
    pub fn open(folder: &Path) -> Result<Self, AtticError> {
        let file = folder.join(FILE);
        for suffix in ["", "-journal"] {
            let old = folder.join(format!("{FILE}{suffix}"));
            if old.exists() {
                std::fs::remove_file(&old).map_err(|error| AtticError::of(&error))?;
            }
        }
        let connection = Connection::open(file)?;
        // A crash loses it whole and nothing with it, so nothing is synced.
        connection.pragma_update(None, "journal_mode", "off")?;
        connection.pragma_update(None, "synchronous", "off")?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        connection.execute_batch(
            "CREATE TABLE accounts (tenant TEXT PRIMARY KEY, packed BLOB NOT NULL) WITHOUT ROWID",
        )?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    pub fn put(&self, tenant: &str, account: &Account) -> Result<(), AtticError> {
        let connection = self.connection.lock();
        put(&connection, tenant, account)
    }

    /// Many at once.
    pub fn fill<'a>(
        &self,
        accounts: impl Iterator<Item = (&'a str, Account)>,
    ) -> Result<(), AtticError> {
        let connection = self.connection.lock();
        connection.execute_batch("BEGIN")?;
        for (tenant, account) in accounts {
            put(&connection, tenant, &account)?;
        }
        connection.execute_batch("COMMIT")?;
        Ok(())
    }

    /// The account as it was put away; it stays there, and is overwritten when it comes back.
    pub fn get(&self, tenant: &str) -> Result<Option<Account>, AtticError> {
        let connection = self.connection.lock();
        let mut found =
            connection.prepare_cached("SELECT packed FROM accounts WHERE tenant = ?1")?;
        let packed: Option<Vec<u8>> =
            found.query_row([key(tenant)], |row| row.get(0)).optional()?;
        let account = packed.map(|packed| Account::decode(&packed)).transpose();
        account.map_err(|error| AtticError::of(&format!("{error:?}")))
    }
}

fn put(connection: &Connection, tenant: &str, account: &Account) -> Result<(), AtticError> {
    let mut into = connection.prepare_cached("INSERT OR REPLACE INTO accounts VALUES (?1, ?2)")?;
    into.execute(params![key(tenant), account.encode()])?;
    Ok(())
}

/// Tenants are named as the ledger names them.
fn key(tenant: &str) -> String {
    short_name(tenant, TENANT_BYTES_MAX).into_owned()
}

impl AtticError {
    fn of(error: &dyn std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<rusqlite::Error> for AtticError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(&error)
    }
}

impl std::fmt::Display for AtticError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "accounts: {}", self.0)
    }
}

impl std::error::Error for AtticError {}
