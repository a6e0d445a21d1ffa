//! Decides what time alone does to an account: a day begins, leases lapse, a living owner renews.
//! Does not read a clock and needs no timer: whoever asks next makes the past happen.

use super::limits::{Limits, OnExpiry};
use super::state::{Account, Header, NEVER_MS, Record};
use super::{Fate, INSTANT_MAX};
use crate::id::RequestId;
use crate::time::Timestamp;

impl Record {
    /// Both leases anew; a slice has no slot.
    pub(super) fn lease(&mut self, now_ms: i64, limits: &Limits) {
        self.slot_expiry_ms = if self.is_slice() { 0 } else { now_ms + limits.slot_lease_ms };
        self.money_expiry_ms = now_ms + limits.hold_lease_ms;
    }

    /// The first of its leases to end.
    const fn ends_ms(&self) -> i64 {
        if self.has_slot() && self.slot_expiry_ms < self.money_expiry_ms {
            self.slot_expiry_ms
        } else {
            self.money_expiry_ms
        }
    }
}

impl Header {
    /// The next look comes no later than this record's first lease ends.
    pub(super) fn look_at(&mut self, record: &Record) {
        self.next_expiry_ms = self.next_expiry_ms.min(record.ends_ms());
    }
}

impl Account {
    /// Makes happen what happened since the last call; whether anything did.
    pub(super) fn pass_time(&mut self, limits: &Limits, now: Timestamp) -> bool {
        let began = self.header.begin_day(now, limits);
        let tat_us = limits.bucket().honest(self.header.tat_us, now.micros());
        let changed = began || tat_us != self.header.tat_us;
        self.header.tat_us = tat_us;
        let now_ms = now.millis();
        let next = self.header.next_expiry_ms;
        // A slot cannot end later than a new one would, unless the clock was set back.
        let set_back = self.header.in_flight > 0 && next > now_ms + limits.slot_lease_ms;
        if next > now_ms && !set_back {
            return changed;
        }
        self.lapse(now_ms, limits);
        true
    }

    /// One look at every record.
    fn lapse(&mut self, now_ms: i64, limits: &Limits) {
        let header = &mut self.header;
        header.next_expiry_ms = NEVER_MS;
        self.records.retain_mut(|record| {
            if record.lapse_slot(now_ms, limits) {
                header.in_flight -= 1;
            }
            // A hold may be suspended and have been so for a day, all since the last look.
            let mut stays =
                || record.money_expiry_ms > now_ms || header.lapse_money(record, limits);
            let stays = stays() && stays();
            if stays {
                header.look_at(record);
            }
            stays
        });
    }

    /// Both leases of one record anew. The owner lives: what was suspended is not any more, and
    /// a slot that lapsed is taken again, above the cap if need be.
    pub(super) fn renew_at(&mut self, at: usize, limits: &Limits, now: Timestamp) -> Fate {
        let Some(record) = self.records.get_mut(at) else { return Fate::Unknown };
        let header = &mut self.header;
        let lapsed = !record.is_slice() && record.slot_expiry_ms <= now.millis();
        header.in_flight += i64::from(!record.is_slice() && !record.has_slot());
        if record.is_suspended() {
            header.suspense -= record.amount;
            record.resume();
        }
        record.lease(now.millis(), limits);
        header.look_at(record);
        if lapsed { Fate::Retaken } else { Fate::Renewed }
    }

    pub(super) fn renew_all(
        &mut self,
        rids: &[RequestId],
        limits: &Limits,
        now: Timestamp,
    ) -> Vec<Fate> {
        let renew = |rid: &RequestId| {
            self.find(*rid).map_or(Fate::Unknown, |at| self.renew_at(at, limits, now))
        };
        rids.iter().map(renew).collect()
    }
}

impl Header {
    /// A money lease has ended; whether the record stays.
    fn lapse_money(&mut self, record: &mut Record, limits: &Limits) -> bool {
        let charge = record.is_suspended() || limits.on_expiry == OnExpiry::Charge;
        if !charge && limits.on_expiry == OnExpiry::Suspense {
            record.suspend();
            record.money_expiry_ms = (record.money_expiry_ms + limits.suspense_ms).min(INSTANT_MAX);
            self.suspense += record.amount;
            return true;
        }
        self.let_go(record);
        if charge {
            self.book(i64::from(record.day), record.amount);
        }
        false
    }
}
