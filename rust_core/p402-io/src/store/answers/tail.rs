//! Follows what all nodes keep and drop in Redis, so that this node's shelf finds it.
//! Does not serve: what is found is fetched and compared again, so being behind costs misses only.

use super::Answers;
use super::packed::unpacked;
use super::record::{Record, SHARDS, Shard, told};
use crate::store::StoreError;
use ::redis::aio::MultiplexedConnection;
use ::redis::streams::{StreamId, StreamRangeReply, StreamReadReply};
use ::redis::{RedisError, Value, cmd, pipe};
use p402_core::cache::shelf::Entry;
use p402_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// One look at the logs waits so long for something new.
const BLOCK_MS: usize = 500;
/// A server that does not end a look is gone.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// Lines of each log in one look.
const LINES_MAX: usize = 256;
/// Keys that one step of a rebuild looks at; between steps others have their turn.
const STEP: usize = 256;
const STEP_PAUSE: Duration = Duration::from_millis(5);
const AGAIN: Duration = Duration::from_millis(100);
/// How full all shards are is asked this often.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// Tells the time: this folder reads no clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The place in each log up to which it was read.
struct Places(Vec<(String, String)>);

impl Answers {
    /// Follows the record for as long as the process lives; a shelf of its own needs nobody.
    pub async fn follow(self: Arc<Self>, now: Now) {
        let Some(record) = self.record.clone() else { return };
        loop {
            // Whatever ended it, it begins anew: connected, rebuilt, read on.
            let _ended = self.read_on(&record, &now).await;
            record.probe().await;
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn read_on(&self, record: &Record, now: &Now) -> Result<(), StoreError> {
        let mut link =
            timeout(LOOK_MAX, record.connect()).await.map_err(|_| StoreError::Late)??;
        let mut places = timeout(LOOK_MAX, Places::of(&mut link)).await;
        let places = places.as_mut().map_err(|_| StoreError::Late)?.as_mut();
        let places = places.map_err(|_| StoreError::Away)?;
        record.behind.store(true, Ordering::Release);
        self.rebuild(&mut link, now).await?;
        record.behind.store(false, Ordering::Release);
        let mut weighed = Instant::now() - WEIGH_EVERY;
        loop {
            while record.is_open() {
                record.probe().await;
                tokio::time::sleep(AGAIN).await;
            }
            if weighed.elapsed() >= WEIGH_EVERY {
                weighed = Instant::now();
                let bytes = timeout(LOOK_MAX, weight(&mut link)).await;
                let bytes = bytes.map_err(|_| StoreError::Late)?.map_err(away)?;
                record.full.store(bytes >= record.bytes_max, Ordering::Relaxed);
            }
            let news = timeout(LOOK_MAX, places.look(&mut link)).await;
            let news = news.map_err(|_| StoreError::Late)??;
            for line in &news {
                self.learn(line, now);
            }
        }
    }

    /// Looks at every entry there is, a few at a time.
    async fn rebuild(&self, link: &mut MultiplexedConnection, now: &Now) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg("p402:{c*}:*:e:*").arg("COUNT").arg(STEP);
            let step = timeout(LOOK_MAX, scan.query_async::<(String, Vec<String>)>(link)).await;
            let (next, keys) = step.map_err(|_| StoreError::Late)?.map_err(away)?;
            let mut get = pipe();
            for key in &keys {
                get.cmd("GET").arg(key);
            }
            if !keys.is_empty() {
                let found = timeout(LOOK_MAX, get.query_async::<Vec<Option<Vec<u8>>>>(link)).await;
                let found = found.map_err(|_| StoreError::Late)?.map_err(away)?;
                for entry in found.iter().flatten().filter_map(|bytes| unpacked(bytes)) {
                    self.shelve(&told(&entry), now);
                }
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
            tokio::time::sleep(STEP_PAUSE).await;
        }
    }

    fn learn(&self, line: &StreamId, now: &Now) {
        let text = |name| match line.map.get(name) {
            Some(Value::BulkString(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        if let Some(entry) = text("a").and_then(unpacked) {
            self.shelve(&entry, now);
        }
        let gone = text("d").and_then(|id| std::str::from_utf8(id).ok());
        if let Some(id) = gone.and_then(|id| u64::from_str_radix(id, 16).ok()) {
            self.shelf.lock().remove(id);
        }
    }

    /// One entry as another node tells of it; what is known already, with its vector, is no news.
    fn shelve(&self, entry: &Entry, now: &Now) {
        let now = now();
        let mut shelf = self.shelf.lock();
        let known = shelf.get(entry.id).is_some_and(|own| own.vector.is_some());
        if !known && entry.expires > now {
            shelf.keep(entry.clone(), now);
        }
    }
}

impl Places {
    /// The ends of all logs: what was kept before is found by the rebuild.
    async fn of(link: &mut MultiplexedConnection) -> Result<Self, RedisError> {
        let mut ends = pipe();
        for shard in Shard::all() {
            ends.cmd("XREVRANGE").arg(shard.key("log")).arg("+").arg("-").arg("COUNT").arg(1);
        }
        let ends: Vec<StreamRangeReply> = ends.query_async(link).await?;
        let end = |last: &StreamRangeReply| {
            last.ids.first().map_or_else(|| "0".to_owned(), |line| line.id.clone())
        };
        let keys = Shard::all().map(|shard| shard.key("log"));
        Ok(Self(keys.zip(ends.iter().map(end)).collect()))
    }

    /// What is new in any log.
    ///
    /// # Errors
    /// The server is away; `Broken`: lines may have been cut away before they were read.
    async fn look(
        &mut self,
        link: &mut MultiplexedConnection,
    ) -> Result<Vec<StreamId>, StoreError> {
        let mut read = cmd("XREAD");
        read.arg("BLOCK").arg(BLOCK_MS).arg("COUNT").arg(LINES_MAX).arg("STREAMS");
        for (key, _) in &self.0 {
            read.arg(key);
        }
        for (_, place) in &self.0 {
            read.arg(place);
        }
        let news: Option<StreamReadReply> = read.query_async(link).await.map_err(away)?;
        let mut lines = Vec::with_capacity(usize::from(SHARDS));
        for log in news.map(|news| news.keys).unwrap_or_default() {
            let place = self.0.iter_mut().find(|(key, _)| *key == log.key);
            if let (Some((key, place)), Some(last)) = (place, log.ids.last()) {
                // Logs are cut far behind their end: whoever reads all there is was not overtaken.
                if log.ids.len() == LINES_MAX && !stands(link, key, place).await? {
                    return Err(StoreError::Broken);
                }
                place.clone_from(&last.id);
            }
            lines.extend(log.ids);
        }
        Ok(lines)
    }
}

/// Whether the line that was read last is still there: then nothing after it was cut away.
async fn stands(
    link: &mut MultiplexedConnection,
    log: &str,
    place: &str,
) -> Result<bool, StoreError> {
    let mut range = cmd("XRANGE");
    range.arg(log).arg(place).arg(place);
    let found: StreamRangeReply = range.query_async(link).await.map_err(away)?;
    Ok(!found.ids.is_empty())
}

/// Bytes of all shards together.
async fn weight(link: &mut MultiplexedConnection) -> Result<u64, RedisError> {
    let mut get = pipe();
    for shard in Shard::all() {
        get.cmd("GET").arg(shard.key("bytes"));
    }
    let bytes: Vec<Option<u64>> = get.query_async(link).await?;
    Ok(bytes.into_iter().flatten().sum())
}

fn away(_: RedisError) -> StoreError {
    StoreError::Away
}
