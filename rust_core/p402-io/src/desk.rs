//! Decides how many questions about the past are answered at once, for whom, and for how long.
//! Does not answer on a thread that serves: the ledger's database is waited for elsewhere.

use crate::home::Home;
use crate::ledger::{Books, IndexError};
use p402_core::reply::{ApiError, Code};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions that are answered at once; each has a thread and a connection of its own.
pub const SEATS_MAX: usize = 3;
/// Questions of one asker, waiting or being answered: nobody takes every seat.
pub const ASKED_MAX: usize = 2;
/// Questions in all.
pub const QUESTIONS_MAX: usize = 32;
/// From the question to its answer, the wait for a seat included.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A database that hangs is given up by its own connection a little later than it should be.
const SLACK: Duration = Duration::from_millis(500);

const RETRY_MS: u64 = 1_000;

/// Where questions are answered.
#[derive(Debug)]
pub struct Desk {
    seats: Arc<Semaphore>,
    /// Readers that nobody uses: at most one for each seat.
    readers: Arc<Mutex<Vec<Books>>>,
    asked: Arc<Mutex<HashMap<Box<str>, usize>>>,
}

/// A place at the desk; it is given back wherever the question ends.
struct Place {
    asked: Arc<Mutex<HashMap<Box<str>, usize>>>,
    asker: Box<str>,
}

impl Default for Desk {
    fn default() -> Self {
        let seats = Arc::new(Semaphore::new(SEATS_MAX));
        Self { seats, readers: Arc::default(), asked: Arc::default() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut asked = self.asked.lock();
        if let Some(count) = asked.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                asked.remove(&self.asker);
            }
        }
    }
}

impl Desk {
    /// Answers from the ledger, for one asker.
    ///
    /// # Errors
    /// Too many questions, no answer in time, or a ledger that does not answer at all.
    pub async fn ask<T: Send + 'static>(
        &self,
        home: &Arc<Home>,
        asker: &str,
        answer: impl FnOnce(&mut Books) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let until = Instant::now() + ANSWER_MAX;
        let place = self.place(asker)?;
        let seat = self.seat(until).await?;
        let (ledger, readers) = (Arc::clone(&home.ledger), Arc::clone(&self.readers));
        let asked = tokio::task::spawn_blocking(move || {
            // Whoever stops waiting leaves the seat taken until its thread is free again.
            let _taken = (place, seat);
            let idle = readers.lock().pop();
            let mut books = idle.map_or_else(|| ledger.books(), Ok)?;
            books.hurry(until);
            let answer = answer(&mut books)?;
            // One that failed is not kept: the next question connects anew.
            readers.lock().push(books);
            Ok(answer)
        });
        match tokio::time::timeout_at((until + SLACK).into(), asked).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(IndexError::Failed(_))) | Err(_)) => Err(absent()),
            Ok(Ok(Err(IndexError::Late))) | Err(_) => Err(late()),
        }
    }

    fn place(&self, asker: &str) -> Result<Place, ApiError> {
        let mut asked = self.asked.lock();
        if asked.values().sum::<usize>() >= QUESTIONS_MAX {
            return Err(crowded("as many questions as this gateway answers are under way"));
        }
        let own = asked.entry(asker.into()).or_default();
        if *own >= ASKED_MAX {
            return Err(crowded("your last questions are still being answered"));
        }
        *own += 1;
        Ok(Place { asked: Arc::clone(&self.asked), asker: asker.into() })
    }

    async fn seat(&self, until: Instant) -> Result<OwnedSemaphorePermit, ApiError> {
        let free = Arc::clone(&self.seats).acquire_owned();
        match tokio::time::timeout_at(until.into(), free).await {
            Ok(Ok(seat)) => Ok(seat),
            _ => Err(crowded("as many questions as this gateway answers are under way")),
        }
    }
}

fn crowded(text: &str) -> ApiError {
    ApiError::new(Code::Overloaded, text).with_retry_after_ms(RETRY_MS)
}

/// Asking the same again would take as long again.
fn late() -> ApiError {
    let seconds = ANSWER_MAX.as_secs();
    let text = format!("the ledger did not add this up within {seconds} s; ask for fewer days");
    ApiError::new(Code::LedgerUnavailable, text).with_should_retry(false)
}

fn absent() -> ApiError {
    ApiError::new(Code::LedgerUnavailable, "the ledger's index does not answer")
        .with_retry_after_ms(RETRY_MS)
}
