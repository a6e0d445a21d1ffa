//! Decides what the shared ledger tells the store of a tenant whose account has been lost.
//! Does not keep balances: each answer is read anew, on a thread that may wait for a database.

use crate::ledger::{Books, Ledger, OpenRequest};
use crate::store::redis::{Balances, Promise, Truth, Unread};
use p402_core::guard::{ANYONE, Open};
use p402_core::time::Day;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Rows that are not in the index by then hold up a recovery that waits for them.
const SHARE_MAX: Duration = Duration::from_secs(1);

/// The ledger of this process, whose index other nodes read.
pub struct Record {
    ledger: Arc<Ledger>,
    books: Arc<Mutex<Books>>,
    id: String,
}

impl Record {
    /// # Errors
    /// A sentence: the index cannot be read.
    pub fn of(ledger: Arc<Ledger>) -> Result<Self, String> {
        let mut books = ledger.books().map_err(|error| error.to_string())?;
        let id = books.ledger_id().map_err(|error| error.to_string())?;
        Ok(Self { ledger, books: Arc::new(Mutex::new(books)), id })
    }
}

impl Truth for Record {
    fn uuid(&self) -> String {
        self.id.clone()
    }

    fn flush(&self) -> Promise<'_, ()> {
        let ledger = Arc::clone(&self.ledger);
        Box::pin(async move {
            let shared = spawn_blocking(move || ledger.share(SHARE_MAX)).await;
            if matches!(shared, Ok(true)) { Ok(()) } else { Err(Unread) }
        })
    }

    fn read(&self, tenant: &str, day: Day, from: Day) -> Promise<'_, Balances> {
        let (books, tenant) = (Arc::clone(&self.books), tenant.to_owned());
        Box::pin(async move {
            let read = spawn_blocking(move || books.lock().seed(&tenant, day, from)).await;
            let seed = read.map_err(|_| Unread)?.map_err(|_| Unread)?;
            Ok(Balances {
                day_spent: seed.day_spent,
                prev_spent: seed.prev_day_spent,
                budget_spent: seed.budget_spent,
                open: seed.open.iter().filter(|request| request.sent).map(open).collect(),
            })
        })
    }
}

/// A row does not say which node runs its request.
fn open(request: &OpenRequest) -> Open {
    let OpenRequest { rid, day, held, .. } = *request;
    Open { rid, amount: held, day, owner: ANYONE, slice: false }
}
