//! Speaks to PostgreSQL: every call has a deadline, and one that missed it ends the connection.
//! Does not know a table, and asks for TLS wherever the server is not on this host.

use super::database::{Columns, Database, Each, IndexError, Purpose, Value, Words};
use crate::trust::Trust;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer: a year of one tenant's rows is summed in less.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Prepared statements that are kept.
const STATEMENTS_MAX: usize = 64;
/// Each statement is a trip to the server.
const LINES_MAX: usize = 128;

/// A connection, driven by whoever calls.
pub(super) struct Postgres {
    client: Client,
    runtime: Runtime,
    statements: HashMap<Box<str>, Statement>,
    /// When whoever asks stops waiting.
    until: Option<Instant>,
}

impl Postgres {
    /// `url` as libpq reads it. It may hold a password: no error of ours repeats it.
    pub(super) fn connect(url: &str) -> Result<Self, IndexError> {
        let (mut config, trust) = read(url)?;
        config.connect_timeout(CONNECT_MAX);
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(IndexError::new)?;
        let tls = trust.client().map_err(IndexError::new)?;
        let connect = config.connect(MakeRustlsConnect::new(tls));
        let (client, connection) = bounded(&runtime, CONNECT_MAX, connect)?;
        // It ends with the client; what went wrong is told by the call that needed it.
        runtime.spawn(async move { drop(connection.await) });
        Ok(Self { client, runtime, statements: HashMap::new(), until: None })
    }

    fn left(&self) -> Duration {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(ANSWER_MAX, |left| left.min(ANSWER_MAX))
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, IndexError> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let made = bounded(&self.runtime, self.left(), self.client.prepare(sql))?;
        self.statements.insert(sql.into(), made.clone());
        Ok(made)
    }
}

impl Database for Postgres {
    fn words(&self) -> Words {
        Words { blob: "BYTEA", integer: "BIGINT", clustered: "" }
    }

    fn lines_max(&self) -> usize {
        LINES_MAX
    }

    fn batch(&mut self, sql: &str) -> Result<(), IndexError> {
        bounded(&self.runtime, self.left(), self.client.batch_execute(sql))
    }

    fn ask(&mut self, sql: &str, values: &[Value<'_>], each: Each<'_>) -> Result<(), IndexError> {
        let statement = self.statement(sql)?;
        let values = parameters(values);
        let answer = self.client.query(&statement, &values);
        for row in bounded(&self.runtime, self.left(), answer)? {
            each(&row)?;
        }
        Ok(())
    }

    fn change(&mut self, sql: &str, values: &[Value<'_>]) -> Result<usize, IndexError> {
        let statement = self.statement(sql)?;
        let values = parameters(values);
        let changed = bounded(&self.runtime, ANSWER_MAX, self.client.execute(&statement, &values))?;
        usize::try_from(changed).map_err(IndexError::new)
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

    fn hurry(&mut self, until: Instant) -> Result<(), IndexError> {
        self.until = Some(until);
        // The server need not go on with what nobody waits for. Zero would be no bound at all.
        let ms = self.left().as_millis().max(1);
        self.batch(&format!("SET statement_timeout = {ms}"))
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

fn parameters<'a>(values: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    let parameter = |value: &'a Value<'_>| match value {
        Value::Int(number) => number as &(dyn ToSql + Sync),
        Value::Text(text) => text,
        Value::Bytes(bytes) => bytes,
    };
    values.iter().map(parameter).collect()
}

fn bounded<T>(
    runtime: &Runtime,
    most: Duration,
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, IndexError> {
    match runtime.block_on(async { tokio::time::timeout(most, call).await }) {
        Ok(outcome) => outcome.map_err(|error| match error.code() {
            Some(&SqlState::QUERY_CANCELED) => IndexError::Late,
            _ => IndexError::new(told(&error)),
        }),
        Err(_) => Err(IndexError::Late),
    }
}

/// The server's words where it said something: the error's own display leaves them out.
fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
}

/// The server, and whom we believe to be it. Where TLS is spoken its certificate and its name are
/// always looked at, so that libpq's `verify-full` is what `require` means here.
fn read(url: &str) -> Result<(Config, Trust), IndexError> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let [mut ca, mut cert, mut key] = [const { None::<PathBuf> }; 3];
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("sslmode", "verify-full" | "verify-ca") => kept.push("sslmode=require"),
            ("sslrootcert", path) => ca = Some(unquoted(path)),
            ("sslcert", path) => cert = Some(unquoted(path)),
            ("sslkey", path) => key = Some(unquoted(path)),
            _ => kept.push(pair),
        }
    }
    let address =
        if kept.is_empty() { address.into() } else { format!("{address}?{}", kept.join("&")) };
    let no_url = |_| IndexError::new("the index's address is no PostgreSQL URL");
    let mut config: Config = address.parse().map_err(no_url)?;
    let elsewhere = !config.get_hosts().iter().all(is_here);
    if config.get_ssl_mode() == SslMode::Prefer && (elsewhere || ca.is_some()) {
        config.ssl_mode(SslMode::Require);
    }
    let trust = Trust::read(ca.as_deref(), (cert.as_deref(), key.as_deref()));
    Ok((config, trust.map_err(IndexError::new)?))
}

/// A path as it stands in a URL: `%` and two digits are a byte.
fn unquoted(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = byte.and_then(|two| u8::from_str_radix(two, 16).ok());
        if let Some(byte) = byte.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    OsString::from_vec(bytes).into()
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
