//! Decides who may use the encoder's threads: so many of a node, fewer of a tenant, none too late.
//! Does not compute (model.rs); a request's own lane never does either.

use super::{EmbedError, Embedder, Embedding, Hands, Model};
use p402_core::cache::similarity::Vector;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Texts that wait or are worked on, all tenants together, and of one tenant.
pub const QUEUE_MAX: usize = 64;
pub const PER_TENANT_MAX: usize = 8;

/// The encoder on threads of its own.
#[derive(Debug)]
pub struct Pool {
    id: Box<str>,
    queue: SyncSender<Job>,
    waiting: Arc<Waiting>,
}

#[derive(Debug)]
struct Job {
    text: String,
    until: Instant,
    answer: oneshot::Sender<Result<Vector, EmbedError>>,
    /// Gives the place back when the job is done with, however that happens.
    _place: Place,
}

#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<Box<str>, usize>>);

#[derive(Debug)]
struct Place {
    waiting: Arc<Waiting>,
    tenant: Box<str>,
}

impl Waiting {
    fn enter(self: &Arc<Self>, tenant: &str) -> Option<Place> {
        let mut waiting = self.0.lock();
        let all: usize = waiting.values().sum();
        let own = waiting.get(tenant).copied().unwrap_or_default();
        if all >= QUEUE_MAX || own >= PER_TENANT_MAX {
            return None;
        }
        waiting.insert(tenant.into(), own + 1);
        Some(Place { waiting: Arc::clone(self), tenant: tenant.into() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.0.lock();
        if let Some(own) = waiting.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.tenant);
            }
        }
    }
}

impl Pool {
    /// Starts `threads` threads; each works on one text at a time.
    ///
    /// # Errors
    /// `Broken` where the system gives no thread.
    pub fn start(model: Model, threads: usize) -> Result<Self, EmbedError> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let (model, jobs) = (Arc::new(model), Arc::new(Mutex::new(jobs)));
        let id = model.id().into();
        for number in 0..threads.max(1) {
            let (model, jobs) = (Arc::clone(&model), Arc::clone(&jobs));
            // It ends when the pool is dropped, and with it the last sender.
            std::thread::Builder::new()
                .name(format!("p402-embed-{number}"))
                .spawn(move || work(&model, &jobs))
                .map_err(|_| EmbedError::Broken)?;
        }
        Ok(Self { id, queue, waiting: Arc::default() })
    }
}

/// Until nobody can ask any more.
fn work(model: &Model, jobs: &Mutex<Receiver<Job>>) {
    let mut hands = Hands::default();
    loop {
        let next = jobs.lock().recv();
        let Ok(job) = next else { return };
        if job.answer.is_closed() || Instant::now() >= job.until {
            continue;
        }
        let answer = model.embed(&mut hands, &job.text).map_err(EmbedError::from);
        let Job { answer: to, .. } = job;
        // Whoever asked may have left: then nobody needs the vector.
        to.send(answer).unwrap_or_default();
    }
}

impl Embedder for Pool {
    fn id(&self) -> &str {
        &self.id
    }

    fn embed(&self, tenant: &str, text: &str, deadline: Duration) -> Embedding {
        let Some(place) = self.waiting.enter(tenant) else {
            return Box::pin(std::future::ready(Err(EmbedError::Overflow)));
        };
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + deadline;
        let job = Job { text: text.to_owned(), until, answer, _place: place };
        if self.queue.try_send(job).is_err() {
            return Box::pin(std::future::ready(Err(EmbedError::Overflow)));
        }
        Box::pin(async move {
            match tokio::time::timeout(deadline, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(EmbedError::Late),
            }
        })
    }
}
