//! Gives accounts their past: from the attic while the process lives, from the ledger at its start.
//! Does not decide what an account may do.

use crate::ledger::{IndexError, Ledger};
use crate::store::StoreError;
use crate::store::attic::Attic;
use crate::store::memory::{EPOCH, Past};
use p402_core::guard::{Account, Limits, Open, Seed, Told};
use p402_core::id::RequestId;
use p402_core::ledger::Balance;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::sync::Arc;

/// Where accounts come from that are not in memory.
#[derive(Debug)]
pub struct LedgerPast {
    ledger: Arc<Ledger>,
    attic: Attic,
    owner: u32,
}

impl LedgerPast {
    /// Reads the ledger's totals of every tenant into the attic.
    pub fn read(
        ledger: Arc<Ledger>,
        limits: &dyn Fn(&str) -> Limits,
        (owner, now): (u32, Timestamp),
    ) -> Result<Self, String> {
        let attic = Attic::open(ledger.folder()).map_err(|error| error.to_string())?;
        let told = |error: IndexError| format!("the ledger's index: {error}");
        // A budget may be for ever: the totals of all days are few beside the rows.
        let balances = ledger.books().map_err(told)?.balances(Day::from_days(0)).map_err(told)?;
        let today = now.utc_day();
        let tenants = balances.chunk_by(|one, next| one.tenant == next.tenant);
        let accounts = tenants.filter_map(|days| {
            let tenant = &*days.first()?.tenant;
            let limits = limits(tenant);
            Some((tenant, Account::seeded(&seed(days, &limits, today), &limits, now)))
        });
        attic.fill(accounts).map_err(|error| error.to_string())?;
        Ok(Self { ledger, attic, owner })
    }
}

impl Past for LedgerPast {
    fn get(&self, tenant: &str) -> Result<Option<Account>, StoreError> {
        self.attic.get(tenant).map_err(|_| StoreError::Broken)
    }

    fn put(&self, tenant: &str, account: &Account) -> bool {
        self.attic.put(tenant, account).is_ok()
    }

    fn again(
        &self,
        tenant: &str,
        before: &Account,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Account, StoreError> {
        let today = now.utc_day();
        let rids: Vec<RequestId> = before.records().iter().map(|record| record.rid).collect();
        // In this order: what ends in between is unknown to the account then, and read once more.
        let read = self.ledger.books().and_then(|mut books| {
            let found = books.seed(tenant, today, limits.period.from(today))?;
            Ok((found, books.told(&rids)?))
        });
        let (found, told) = read.map_err(|_| StoreError::Unseeded)?;
        // What has ended is counted; its own settlement is only on its way.
        let runs = before.records().iter().zip(told);
        let runs = runs.filter(|(_, told)| !matches!(told, Told::Ended(_)));
        let open = runs.map(|(record, _)| Open {
            rid: record.rid,
            amount: Usd::from_nano(record.amount),
            day: Day::from_days(record.day as i32),
            owner: self.owner,
            slice: record.is_slice(),
        });
        let header = before.header();
        let seed = Seed {
            epoch: EPOCH,
            version: header.version,
            tat_us: header.tat_us,
            day: today,
            day_spent: found.day_spent,
            prev_spent: found.prev_day_spent,
            budget_spent: found.budget_spent,
            open: open.collect(),
        };
        Ok(Account::seeded(&seed, limits, now))
    }
}

fn seed(days: &[Balance], limits: &Limits, today: Day) -> Seed {
    let since = limits.period.from(today);
    let sum = |wanted: &dyn Fn(Day) -> bool| {
        let found = days.iter().filter(|balance| wanted(balance.day));
        found.fold(Usd::ZERO, |sum, balance| sum.saturating_add(balance.spent))
    };
    let yesterday = Day::from_days(today.days() - 1);
    Seed {
        epoch: EPOCH,
        version: 0,
        tat_us: 0,
        day: today,
        day_spent: sum(&|day| day == today),
        prev_spent: sum(&|day| day == yesterday),
        budget_spent: sum(&|day| day >= since),
        // What an earlier process left open was ended when the ledger was opened.
        open: Vec::new(),
    }
}
