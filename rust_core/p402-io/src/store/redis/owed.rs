//! Keeps what could not be said in time: settlements, releases of claims that may be admitted.
//! Does not decide when to say it; the home does, on the next healthy connection.

use super::address::Tag;
use super::wire::Call;
use p402_core::id::RequestId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is kept; beyond it a slot lapses and a hold goes into suspense, as after a crash.
pub(super) const OWED_MAX: usize = 4_096;

/// One settlement (a release is one at zero) that the store has not confirmed.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    pub(super) tag: Tag,
    pub(super) rid: RequestId,
    pub(super) call: Call,
    pub(super) is_release: bool,
}

/// The list, oldest first.
#[derive(Default)]
pub(super) struct Owed {
    debts: Mutex<VecDeque<Debt>>,
    paying: AtomicBool,
}

impl Owed {
    /// Whether there was room.
    pub(super) fn push(&self, debt: Debt) -> bool {
        let mut debts = self.debts.lock();
        let fits = debts.len() < OWED_MAX;
        if fits {
            debts.push_back(debt);
        }
        fits
    }

    /// The request is asked about anew: what was owed for it must not hit its new hold.
    pub(super) fn forget(&self, rid: RequestId) {
        self.debts.lock().retain(|debt| debt.rid != rid);
    }

    pub(super) fn first(&self) -> Option<Debt> {
        self.debts.lock().front().cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.debts.lock().len()
    }

    /// Whoever gets `true` pays, and says so when done.
    pub(super) fn begin(&self) -> bool {
        self.len() > 0 && !self.paying.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end(&self) {
        self.paying.store(false, Ordering::Release);
    }
}
