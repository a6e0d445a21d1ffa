//! Opens what must outlive a request: the accounts' home, here or in Redis, and the ledger.
//! Does not decide what happens when either fails (gateway.rs).

use crate::ledger::{
    Books, Durability, IndexAt, IndexError, Ledger, LedgerError, Options, RowBytes,
};
use crate::past::LedgerPast;
use crate::store::Store;
use crate::store::answers::{Answers, Record};
use crate::store::memory::Memory;
use crate::store::redis::address::Address;
use crate::store::redis::{self, Notice, Redis};
use crate::store::usual::Usual;
use crate::trust::Trust;
use crate::truth;
use p402_core::cache::rules::{redis_wait_ms, room};
use p402_core::config::Config;
use p402_core::guard::Limits;
use p402_core::id::RequestId;
use p402_core::time::Now;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Notices kept while nobody fetches them.
const NOTICES_MAX: usize = 64;
/// Longest wait for the ledger to say whether an idempotency key is an old one.
const KNOWS_WAIT: Duration = Duration::from_millis(250);

/// Why a data directory was not opened; the words are for the operator.
#[derive(Debug)]
pub enum HomeError {
    /// Another process holds it.
    Held(String),
    Failed(String),
}

/// Where accounts and the ledger live.
pub struct Home {
    pub store: Box<dyn Store>,
    pub ledger: Arc<Ledger>,
    /// What the semantic cache keeps.
    pub answers: Arc<Answers>,
    /// Accounts of this node alone, for as long as the store is away.
    pub local: Memory,
    /// Marks this data directory's holds among those of other nodes.
    pub owner: u32,
    /// The ledger's reader, once somebody has asked.
    books: Mutex<Option<Books>>,
    /// Requests ask the one reader one at a time: each would hold a thread only to wait for it.
    asking: Arc<Semaphore>,
    notices: Arc<Notices>,
}

/// What the store told, until somebody fetches it.
type Notices = Mutex<VecDeque<Notice>>;

impl Home {
    /// Takes the data directory for this process; `limits` of a tenant say what its past is.
    ///
    /// # Errors
    /// The folder is held by another process, or cannot be written, or a setting is wrong.
    pub fn open(
        config: &Config,
        folder: &Path,
        limits: &dyn Fn(&str) -> Limits,
        now: Now,
    ) -> Result<Self, HomeError> {
        let durability = durability(config).map_err(HomeError::Failed)?;
        let index = index(config).map_err(HomeError::Failed)?;
        let options = Options { durability, index, ..Options::new(folder) };
        let ledger = Ledger::open(&options, now).map_err(|error| match error {
            LedgerError::Held(_) => HomeError::Held(error.to_string()),
            other => HomeError::Failed(other.to_string()),
        })?;
        let ledger = Arc::new(ledger);
        let owner = ledger.owner();
        let answers = Arc::new(answers(config, folder).map_err(HomeError::Failed)?);
        if let Some(url) = &config.store.url {
            let notices = Arc::new(Notices::default());
            let store = elsewhere(config, url, (&ledger, owner), &notices);
            let store = Box::new(store.map_err(HomeError::Failed)?);
            return Ok(Self { answers, notices, ..Self::new(store, ledger) });
        }
        let past = LedgerPast::read(Arc::clone(&ledger), limits, (owner, now.utc));
        let past = past.map_err(HomeError::Failed)?;
        let usual = Usual::open(folder).map_err(HomeError::Failed)?;
        Ok(Self { answers, ..Self::new(Box::new(Memory::new(Box::new(past), usual)), ledger) })
    }

    pub fn new(store: Box<dyn Store>, ledger: Arc<Ledger>) -> Self {
        Self {
            store,
            answers: Arc::default(),
            local: Memory::default(),
            owner: ledger.owner(),
            books: Mutex::new(None),
            ledger,
            asking: Arc::new(Semaphore::new(1)),
            notices: Arc::default(),
        }
    }

    /// What the operator should hear of the store since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().drain(..).collect()
    }

    /// The rows of a request, oldest first. Waits for a database: not for a thread that serves.
    ///
    /// # Errors
    /// The ledger's index does not answer.
    pub fn rows_of(&self, rid: RequestId) -> Result<Vec<RowBytes>, IndexError> {
        let mut books = self.books.lock();
        if books.is_none() {
            *books = Some(self.ledger.books()?);
        }
        let answer = books.as_mut().map(|books| books.request(rid));
        if matches!(answer, Some(Err(_))) {
            // The next one connects anew.
            *books = None;
        }
        answer.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Whether the ledger has a row of this request: `None` if it did not say in time.
    pub async fn knows(self: &Arc<Self>, rid: RequestId) -> Option<bool> {
        let home = Arc::clone(self);
        let answer = async {
            let turn = Arc::clone(&home.asking).acquire_owned().await.ok()?;
            let asked = move || {
                let rows = home.rows_of(rid);
                drop(turn);
                rows
            };
            spawn_blocking(asked).await.ok()?.ok()
        };
        let rows = tokio::time::timeout(KNOWS_WAIT, answer).await.ok()??;
        Some(!rows.is_empty())
    }
}

/// Accounts in Redis, told by the shared ledger. Whether that store is ours is asked now, by a
/// runtime of its own: a node of another ledger must not start.
fn elsewhere(
    config: &Config,
    url: &str,
    (ledger, node): (&Arc<Ledger>, u32),
    notices: &Arc<Notices>,
) -> Result<Redis, String> {
    let address = address(config, url).map_err(|text| format!("store.url: {text}"))?;
    let truth = Arc::new(truth::Record::of(Arc::clone(ledger))?);
    let kept = Arc::clone(notices);
    let tell: redis::Tell = Arc::new(move |notice| {
        let mut kept = kept.lock();
        if kept.len() < NOTICES_MAX {
            kept.push_back(notice.clone());
        }
    });
    let options = redis::Options {
        address,
        node,
        deadline: Duration::from_millis(config.store.deadline_ms),
        seed_deadline: Duration::from_millis(config.store.seed_deadline_ms),
        wait_replicas: config.store.wait_replicas,
        truth,
        tell,
    };
    let greeter = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let greeter = greeter.map_err(|error| error.to_string())?;
    greeter.block_on(Redis::new(options.clone())?.greet())?;
    Redis::new(options)
}

/// What the cache keeps: here, or where all nodes find it.
fn answers(config: &Config, folder: &Path) -> Result<Answers, String> {
    let room = room(&config.cache).map_err(|error| error.to_string())?;
    let answers = Answers::new(room, Some(folder));
    let Some(url) = &config.cache.redis_url else { return Ok(answers) };
    let wait_ms = redis_wait_ms(&config.cache).map_err(|error| error.to_string())?;
    let record = address(config, url)
        .and_then(|address| Record::new(address, room.bytes, Duration::from_millis(wait_ms)));
    Ok(answers.recorded(record.map_err(|why| format!("cache.redis_url: {why}"))?))
}

/// A Redis of the settings, believed by their certificates.
fn address(config: &Config, url: &str) -> Result<Address, String> {
    let store = &config.store;
    let path = |text: &'_ Option<String>| text.clone().map(PathBuf::from);
    let [ca, cert, key] = [&store.ca, &store.cert, &store.key].map(path);
    let trust = Trust::read(ca.as_deref(), (cert.as_deref(), key.as_deref()))?;
    Address::parse(url)?.trusting(&trust)
}

fn durability(config: &Config) -> Result<Durability, String> {
    match config.ledger.durability.as_deref() {
        None | Some("process") => Ok(Durability::Process),
        Some("group") => Ok(Durability::Group),
        Some("strict") => Ok(Durability::Strict),
        Some(other) => {
            Err(format!("ledger.durability {other:?} is not one of process, group, strict"))
        }
    }
}

/// Where the ledger's index is kept.
fn index(config: &Config) -> Result<IndexAt, String> {
    match config.store.ledger.as_deref() {
        None => Ok(IndexAt::Sqlite(None)),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Ok(IndexAt::Postgres(url.to_owned()))
        }
        Some(_) => Err("store.ledger: not a postgres:// address".to_owned()),
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("ledger", &self.ledger.folder()).finish_non_exhaustive()
    }
}
