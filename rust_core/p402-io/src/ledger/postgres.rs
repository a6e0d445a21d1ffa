//! Speaks to PostgreSQL: every call has a deadline, and one that missed it ends the connection.
//! Does not know a table, and asks for TLS wherever the server is not on this host.

use super::database::{Columns, Database, Each, IndexError, Purpose, Value, Words};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer: a year of one tenant's rows is summed in less.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Prepared statements that are kept.
const STATEMENTS_MAX: usize = 64;

/// A connection, driven by whoever calls.
pub(super) struct Postgres {
    client: Client,
    runtime: Runtime,
    statements: HashMap<Box<str>, Statement>,
}

impl Postgres {
    /// `url` as libpq reads it. It may hold a password: no error of ours repeats it.
    pub(super) fn connect(url: &str) -> Result<Self, IndexError> {
        let mut config: Config =
            url.parse().map_err(|_| IndexError::new("the index's address is no PostgreSQL URL"))?;
        if config.get_ssl_mode() == SslMode::Prefer && !config.get_hosts().iter().all(is_here) {
            config.ssl_mode(SslMode::Require);
        }
        config.connect_timeout(CONNECT_MAX);
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(IndexError::new)?;
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(IndexError::new)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let connect = config.connect(MakeRustlsConnect::new(tls));
        let (client, connection) = bounded(&runtime, CONNECT_MAX, connect)?;
        // It ends with the client; what went wrong is told by the call that needed it.
        runtime.spawn(async move { drop(connection.await) });
        Ok(Self { client, runtime, statements: HashMap::new() })
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, IndexError> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let made = bounded(&self.runtime, ANSWER_MAX, self.client.prepare(sql))?;
        self.statements.insert(sql.into(), made.clone());
        Ok(made)
    }
}

impl Database for Postgres {
    fn words(&self) -> Words {
        Words { blob: "BYTEA", integer: "BIGINT", clustered: "" }
    }

    fn batch(&mut self, sql: &str) -> Result<(), IndexError> {
        bounded(&self.runtime, ANSWER_MAX, self.client.batch_execute(sql))
    }

    fn ask(&mut self, sql: &str, values: &[Value<'_>], each: Each<'_>) -> Result<(), IndexError> {
        let statement = self.statement(sql)?;
        let values: Vec<&(dyn ToSql + Sync)> = values
            .iter()
            .map(|value| match value {
                Value::Int(number) => number as &(dyn ToSql + Sync),
                Value::Text(text) => text,
                Value::Bytes(bytes) => bytes,
            })
            .collect();
        let answer = self.client.query(&statement, &values);
        for row in bounded(&self.runtime, ANSWER_MAX, answer)? {
            each(&row)?;
        }
        Ok(())
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), IndexError> {
        self.batch(match purpose {
            Purpose::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Purpose::Write => "BEGIN",
        })
    }

    fn commit(&mut self) -> Result<(), IndexError> {
        self.batch("COMMIT")
    }

    fn rollback(&mut self) {
        // A connection that is gone has taken its transaction with it.
        let _ = self.batch("ROLLBACK");
    }

    fn flush(&mut self) -> Result<bool, IndexError> {
        // The server's own `synchronous_commit` has done it.
        Ok(true)
    }
}

impl Columns for Row {
    fn int(&self, at: usize) -> Result<i64, IndexError> {
        self.try_get::<_, Option<i64>>(at).map(Option::unwrap_or_default).map_err(IndexError::new)
    }
    fn text(&self, at: usize) -> Result<&str, IndexError> {
        self.try_get(at).map_err(IndexError::new)
    }
    fn bytes(&self, at: usize) -> Result<&[u8], IndexError> {
        self.try_get(at).map_err(IndexError::new)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

fn bounded<T>(
    runtime: &Runtime,
    most: Duration,
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, IndexError> {
    match runtime.block_on(async { tokio::time::timeout(most, call).await }) {
        Ok(outcome) => outcome.map_err(|error| IndexError::new(told(&error))),
        Err(_) => Err(IndexError::new("the database did not answer in time")),
    }
}

/// The server's words where it said something: the error's own display leaves them out.
fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}
