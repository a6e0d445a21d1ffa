//! Decides how answers are kept in Redis, where all nodes find them: one call each, in time or not.
//! Does not know this node's shelf (answers.rs) or follow the log (tail.rs).

use super::packed::{packed, unpacked};
use crate::store::StoreError;
use crate::store::redis::address::{Address, Tag};
use crate::store::redis::breaker::{Breaker, Outcome};
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, cmd, pipe};
use p402_core::cache::key::Digest;
use p402_core::cache::shelf::Entry;
use p402_core::time::{Ticks, Timestamp};
use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KEEP: &str = include_str!("cache_keep.lua");
const DROP: &str = include_str!("cache_drop.lua");
pub(super) const SHARDS: u8 = 64;
/// Nobody waits for what is stored; whoever purges wants to know.
const WRITE_WAIT: Duration = Duration::from_secs(1);
/// Calls that may wait for their turn to be written.
const QUEUED_MAX: usize = 1_024;
/// Entries that one trip of a purge takes.
const DROPS_MAX: usize = 512;
/// A tenant lies in one shard, and may fill this part of all.
const TENANT_PART: u64 = 4;

/// The answers' home in Redis.
pub struct Record {
    address: Address,
    link: Mutex<Option<MultiplexedConnection>>,
    breaker: Mutex<Breaker>,
    started: Instant,
    /// Longest wait for what an index has found.
    wait: Duration,
    pub(super) bytes_max: u64,
    /// All shards together hold as much as they may: what comes drives out what is there.
    pub(super) full: AtomicBool,
    /// Not all that lies here was looked at yet.
    pub(super) behind: AtomicBool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("full", &self.full).finish_non_exhaustive()
    }
}

impl Record {
    /// # Errors
    /// A sentence: not every kind of address will do.
    pub fn new(address: Address, bytes_max: usize, wait: Duration) -> Result<Self, String> {
        if matches!(address, Address::Cluster(_)) {
            return Err("a cluster is not supported: name one server, or sentinels".to_owned());
        }
        Ok(Self {
            address,
            link: Mutex::new(None),
            breaker: Mutex::default(),
            started: Instant::now(),
            wait,
            bytes_max: bytes_max as u64,
            full: AtomicBool::new(false),
            behind: AtomicBool::new(true),
        })
    }

    /// The entries that are there, whosever they are: whoever asks compares.
    pub(super) async fn fetch(
        &self,
        tenant: &str,
        ids: &[u64],
    ) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut get = cmd("MGET");
        for id in ids {
            get.arg(entry_key(tenant, *id));
        }
        let found: Vec<Option<Vec<u8>>> = self.ask(self.wait, get).await?;
        Ok(found.into_iter().map(|bytes| bytes.as_deref().and_then(unpacked)).collect())
    }

    /// Which entries these digests name, whether or not they are still there.
    pub(super) async fn named(
        &self,
        tenant: &str,
        digests: [&Digest; 2],
    ) -> Result<[Option<u64>; 2], StoreError> {
        let mut get = cmd("MGET");
        for digest in digests {
            get.arg(digest_key(tenant, digest));
        }
        let found: [Option<String>; 2] = self.ask(self.wait, get).await?;
        Ok(found.map(|id| u64::from_str_radix(&id?, 16).ok()))
    }

    /// Puts an entry where all nodes find it, or gives it the vector it was kept without.
    pub(super) async fn keep(&self, entry: &Entry, now: Timestamp) -> Result<(), StoreError> {
        let life_ms = (entry.expires.millis() - now.millis()).max(1);
        let canonical = entry.asked.as_ref().map_or(&entry.exact, |(_, canonical)| canonical);
        let shard = Shard::of(&entry.tenant);
        let begins = entry_prefix(&entry.tenant);
        let mut keep = cmd("EVAL");
        keep.arg(KEEP).arg(6);
        keep.arg(entry_key(&entry.tenant, entry.id));
        keep.arg(digest_key(&entry.tenant, &entry.exact));
        keep.arg(digest_key(&entry.tenant, canonical));
        keep.arg(shard.key("dir")).arg(shard.key("log")).arg(shard.key("bytes"));
        keep.arg(format!("{:016x}", entry.id)).arg(packed(entry)).arg(packed(&told(entry)));
        keep.arg(life_ms).arg(entry.expires.millis()).arg(self.bytes_max / TENANT_PART);
        keep.arg(u8::from(self.full.load(Ordering::Relaxed))).arg(begins).arg(now.millis());
        self.ask::<i64>(WRITE_WAIT, keep).await.map(drop)
    }

    /// Takes entries of one tenant out; how many were there.
    pub(super) async fn take_out(&self, tenant: &str, ids: &[u64]) -> Result<usize, StoreError> {
        let shard = Shard::of(tenant);
        let mut gone = 0;
        for some in ids.chunks(DROPS_MAX) {
            let mut commands = pipe();
            for id in some {
                commands.cmd("EVAL").arg(DROP).arg(4).arg(entry_key(tenant, *id));
                commands.arg(shard.key("dir")).arg(shard.key("log")).arg(shard.key("bytes"));
                commands.arg(format!("{id:016x}"));
            }
            let counts: Vec<i64> = self.ask_all(WRITE_WAIT, commands).await?;
            gone += counts.iter().filter(|count| **count == 1).count();
        }
        Ok(gone)
    }

    /// Whether it answers; asked while nobody else asks it.
    pub(super) async fn probe(&self) -> bool {
        let answer = tokio::time::timeout(self.wait, async {
            let mut link = self.link().await?;
            cmd("PING").query_async::<String>(&mut link).await.map_err(|_| StoreError::Away)
        });
        let good = matches!(answer.await, Ok(Ok(_)));
        if !good {
            *self.link.lock() = None;
        }
        self.breaker.lock().probed(good, self.ticks())
    }

    pub(super) fn is_open(&self) -> bool {
        self.breaker.lock().is_open()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// A connection of its own, which may be read for as long as it takes.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        let away = |_| StoreError::Away;
        let info = self.address.resolve().await.map_err(|_| StoreError::Away)?;
        let client = Client::open(info).map_err(away)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUED_MAX);
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(away)
    }

    async fn ask<T: FromRedisValue>(&self, wait: Duration, one: Cmd) -> Result<T, StoreError> {
        let mut commands = pipe();
        commands.add_command(one);
        let (answer,): (T,) = self.ask_all(wait, commands).await?;
        Ok(answer)
    }

    async fn ask_all<T: FromRedisValue>(
        &self,
        wait: Duration,
        commands: Pipeline,
    ) -> Result<T, StoreError> {
        if self.is_open() {
            return Err(StoreError::Away);
        }
        let answer = tokio::time::timeout(wait, async {
            let mut link = self.link().await?;
            commands.query_async::<T>(&mut link).await.map_err(|error| {
                if error.is_io_error() { StoreError::Away } else { StoreError::Broken }
            })
        });
        let answer = answer.await.unwrap_or(Err(StoreError::Late));
        let outcome = if answer.is_ok() { Outcome::Answered } else { Outcome::Failed };
        if answer.is_err() {
            // A late reply must not answer the next command.
            *self.link.lock() = None;
        }
        self.breaker.lock().note(outcome, self.ticks());
        answer
    }

    async fn link(&self) -> Result<MultiplexedConnection, StoreError> {
        if let Some(link) = self.link.lock().clone() {
            return Ok(link);
        }
        let link = self.connect().await?;
        *self.link.lock() = Some(link.clone());
        Ok(link)
    }

    fn ticks(&self) -> Ticks {
        let micros = self.started.elapsed().as_micros();
        Ticks::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// One of the places that tenants are spread over.
pub(super) struct Shard(u8);

impl Shard {
    fn of(tenant: &str) -> Self {
        let tag = Tag::of(tenant);
        let byte = tag.text().get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        Self(byte.unwrap_or_default() % SHARDS)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    /// All keys of a call lie in one slot.
    pub(super) fn key(&self, what: &str) -> String {
        format!("p402:{{c{:02x}}}:{what}", self.0)
    }
}

fn entry_prefix(tenant: &str) -> String {
    Shard::of(tenant).key(&format!("{}:e:", Tag::of(tenant).text()))
}

fn entry_key(tenant: &str, id: u64) -> String {
    format!("{}{id:016x}", entry_prefix(tenant))
}

fn digest_key(tenant: &str, digest: &Digest) -> String {
    let mut key = Shard::of(tenant).key(&format!("{}:x:", Tag::of(tenant).text()));
    for byte in digest.0 {
        // Writing into a String cannot fail.
        write!(key, "{byte:02x}").unwrap_or_default();
    }
    key
}

/// What other nodes need to find it: everything but the words.
pub(super) fn told(entry: &Entry) -> Entry {
    let asked = entry.asked.as_ref().map(|(_, canonical)| ("".into(), *canonical));
    Entry { answer: bytes::Bytes::new(), asked, ..entry.clone() }
}
