//! Decides nothing of its own: asks the ledger about holds nobody works on, and says its answer.
//! Does not write a row, and leaves alone what the core's `Heir` leaves alone.

use super::address::Tag;
use super::home::{Asked, Home, Kind};
use super::link::Failure;
use super::peers::{BEAT, LOOK_BEATS};
use crate::store::{Former, Tenant};
use p402_core::guard::{Account, Heir, Limits, Op, Record, Rest};
use p402_core::id::RequestId;
use p402_core::ledger::Balance;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Clocks of gateways and of the store differ by less.
const SKEW_US: i64 = 60_000_000;

impl Home {
    /// Says how the requests of a former life ended, then looks for what it held beside them;
    /// whether the store has answered.
    pub(super) async fn take_up(self: &Arc<Self>, former: &Former) -> bool {
        let Former { tenant: id, limits, ended, recent } = former;
        let tag = Tag::of(id);
        self.seats.enter(&tag, id, limits, self.ways.ticks());
        let tenant = Tenant { id, limits };
        let Ok(found) = self.peek(&tag).await else { return false };
        let version = Account::decode(&found.value).map_or(0, |account| account.header().version);
        if recent.is_some_and(|row| version >= row.micros() - SKEW_US) {
            // It was seeded since: those rows may not have been read.
            self.seats.doubt(&tag);
        }
        for (rid, actual) in ended {
            let settle = Op::Settle { rid: *rid, owner: self.node, actual: *actual };
            // Without an answer it is owed.
            let _ = self.trip(&Asked::new(&tenant, settle)).await;
        }
        // The store's clock when this process began.
        let began = |now: Timestamp| now.micros() - self.ways.ticks().micros() as i64;
        self.look(&tag, |now| Timestamp::from_micros(began(now))).await.is_ok()
    }

    /// What an account in which nothing but slices is held counts too much, by these days.
    pub(super) async fn differs(
        self: &Arc<Self>,
        tag: &Tag,
        days: &[Balance],
    ) -> Option<(i64, Usd)> {
        let found = self.peek(tag).await.ok()?;
        let account = Account::decode(&found.value).ok()?;
        let header = account.header();
        let rests = account.records().iter().all(Record::is_slice);
        if header.epoch != found.epoch || !rests {
            return None;
        }
        let sum = |wanted: &dyn Fn(i64) -> bool| -> i64 {
            let days = days.iter().filter(|each| wanted(i64::from(each.day.days())));
            days.map(|each| each.spent.nano()).sum()
        };
        let over = [
            header.day_spent - sum(&|day| day == header.day),
            header.prev_spent - sum(&|day| day == header.prev_day),
            header.budget_spent - sum(&|day| day >= header.budget_from_day),
        ];
        let over = over.into_iter().find(|nano| *nano != 0)?;
        Some((header.version, Usd::from_nano(over)))
    }

    /// Looks at every account in which something is held that nobody renews.
    pub(super) async fn look_after(self: &Arc<Self>) {
        let Some(now) = self.instant(&self.commons) else { return };
        for tag in self.seats.left_alone(now) {
            // What is not answered now is looked at again.
            let _ = self.look(&tag, |_| Timestamp::default()).await;
        }
    }

    /// Reads the accounts anew that did not know what the ledger knows.
    pub(super) async fn reread_doubted(self: &Arc<Self>) {
        for tag in self.seats.doubted() {
            let seen = self.seats.with(&tag, |seat| (seat.tenant.clone(), seat.limits));
            let Some((tenant, limits)) = seen else { continue };
            if self.reread(&Asked::about(tag.clone(), tenant, &limits)).await {
                self.counters.rereads.fetch_add(1, Ordering::Relaxed);
            } else {
                self.seats.doubt(&tag);
            }
        }
    }

    /// One account: what the ledger has ended is settled. `since` makes the instant that a former
    /// life ended before of the store's clock.
    async fn look(
        self: &Arc<Self>,
        tag: &Tag,
        since: impl FnOnce(Timestamp) -> Timestamp,
    ) -> Result<(), Failure> {
        let seen = self.seats.with(tag, |seat| (seat.tenant.clone(), seat.limits));
        let Some((tenant, limits)) = seen else { return Ok(()) };
        let found = self.peek(tag).await?;
        let Ok(account) = Account::decode(&found.value) else { return Ok(()) };
        if account.header().epoch != found.epoch {
            // It is recovered by whoever asks it next.
            return Ok(());
        }
        let since = since(found.now);
        let every_ms = (BEAT.as_millis() as u64 * LOOK_BEATS) as i64;
        let heir = Heir { owner: self.node, since, now: found.now, every_ms };
        if account.records().iter().any(|record| heir.is_overdue(record)) {
            // Time passes where somebody asks: what is overdue is seen at the next look.
            let pass = Op::Adjust { day: found.now.utc_day(), nano: 0 };
            let _ = self.trip(&Asked::new(&Tenant { id: &tenant, limits: &limits }, pass)).await;
        }
        let doubtful: Vec<&Record> =
            account.records().iter().filter(|record| heir.doubts(record, &limits)).collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let rids: Vec<RequestId> = doubtful.iter().map(|record| record.rid).collect();
        let unread = |_| Failure::Unfit("LEDGER".to_owned());
        let told = self.truth.told(rids).await.map_err(unread)?;
        for (record, told) in doubtful.into_iter().zip(told) {
            self.lay_to_rest((tag, &tenant, &limits), record, heir.rest(record, told, &limits))
                .await;
        }
        Ok(())
    }

    async fn lay_to_rest(
        self: &Arc<Self>,
        (tag, id, limits): (&Tag, &Arc<str>, &Limits),
        record: &Record,
        rest: Rest,
    ) {
        match rest {
            Rest::Leave => {}
            Rest::Reread => self.seats.doubt(tag),
            Rest::Settle(actual) => {
                // Under its marks: one that its owner has renewed meanwhile stays.
                let settle = Op::Settle { rid: record.rid, owner: record.owner, actual };
                let asked = Asked::new(&Tenant { id, limits }, settle);
                // Another node may have looked at the same time: that is no surprise.
                let asked = Asked { kind: Kind::Settle(record.rid, false), ..asked };
                // Without an answer it is owed.
                let _ = self.trip(&asked).await;
                self.counters.orphans_settled.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
