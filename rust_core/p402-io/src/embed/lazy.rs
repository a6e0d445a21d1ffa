//! Decides when the encoder is loaded: by its first use, on a thread of its own.
//! Does not compute or queue (pool.rs); a gateway that never needs it never pays for it.

use super::{EmbedError, Embedder, Embedding, Model, Pool};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The shipped encoder, once it is wanted.
#[derive(Debug)]
pub struct Lazy {
    path: PathBuf,
    /// Of the weights, in hex.
    digest: &'static str,
    threads: usize,
    begun: AtomicBool,
    told: AtomicBool,
    loading: Arc<Loading>,
}

#[derive(Debug, Default)]
struct Loading {
    pool: OnceLock<Result<Pool, EmbedError>>,
    done: Notify,
}

impl Loading {
    fn load(&self, path: &PathBuf, digest: &str, threads: usize) {
        let pool = std::fs::read(path)
            .map_err(|_| EmbedError::Weights)
            .and_then(|file| Ok(Model::new(&file, digest)?))
            .and_then(|model| Pool::start(model, threads));
        // Loaded once: nobody else sets it.
        self.pool.set(pool).unwrap_or_default();
        self.done.notify_waiters();
    }

    async fn until_done(&self) {
        loop {
            let done = self.done.notified();
            if self.pool.get().is_some() {
                return;
            }
            done.await;
        }
    }
}

impl Lazy {
    /// The weights at `path`, should they have this digest; on so many threads.
    pub fn new(path: PathBuf, digest: &'static str, threads: usize) -> Self {
        let (begun, told) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { path, digest, threads, begun, told, loading: Arc::default() }
    }

    fn begin(&self) {
        if self.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        let (path, digest, threads) = (self.path.clone(), self.digest, self.threads);
        let loading = Arc::clone(&self.loading);
        let named = std::thread::Builder::new().name("p402-embed-load".to_owned());
        // Without a thread there is no encoder, and every wait for it ends at its deadline.
        drop(named.spawn(move || loading.load(&path, digest, threads)));
    }
}

impl Embedder for Lazy {
    fn id(&self) -> &str {
        self.digest.get(..12).unwrap_or_default()
    }

    fn embed(&self, tenant: &str, text: &str, deadline: Duration) -> Embedding {
        match self.loading.pool.get() {
            Some(Ok(pool)) => return pool.embed(tenant, text, deadline),
            Some(Err(error)) => return Box::pin(std::future::ready(Err(*error))),
            None => self.begin(),
        }
        let loading = Arc::clone(&self.loading);
        let (tenant, text, until) = (tenant.to_owned(), text.to_owned(), Instant::now() + deadline);
        Box::pin(async move {
            if tokio::time::timeout_at(until, loading.until_done()).await.is_err() {
                return Err(EmbedError::Late);
            }
            match loading.pool.get() {
                Some(Ok(pool)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    pool.embed(&tenant, &text, left).await
                }
                Some(Err(error)) => Err(*error),
                None => Err(EmbedError::Broken),
            }
        })
    }

    fn fault(&self) -> Option<EmbedError> {
        let error = self.loading.pool.get()?.as_ref().err().copied()?;
        (!self.told.swap(true, Ordering::AcqRel)).then_some(error)
    }
}
