//! Decides every admission and settlement of one tenant: the verbs of the guard's state machine.
//! Does no I/O and has one writer: a home holds it, in memory or inside the store.

use super::breaker::calendar_day;
use super::limits::{Limits, Period};
use super::state::{Account, Header, RECORDS_MAX, bounded, counted, within};
use super::{AMOUNT_MAX, ANYONE, Claim, Code, Fate, Fence, Kind, Op, RENEW_MAX, Reply};
use crate::id::RequestId;
use crate::money::Usd;
use crate::time::{Day, Timestamp};

/// A claim that only slices stand in the way of may come back this soon: they are called in.
const PARKED_RETRY_MS: i64 = 1_000;

/// What was refused, and the microseconds until it may be otherwise.
struct Refused {
    code: Code,
    wait_us: i64,
    day: i64,
    nano: i64,
}

impl Account {
    /// Executes one operation for a caller whose picture may be old: nothing happens unless its
    /// fence holds.
    pub fn call(&mut self, fence: &Fence, op: Op<'_>, limits: &Limits, now: Timestamp) -> Reply {
        if fence.epoch != self.header.epoch || fence.version > self.header.version {
            return self.reply(Code::Recover, now);
        }
        if fence.deadline.is_some_and(|deadline| now > deadline) {
            return self.reply(Code::Late, now);
        }
        self.apply(op, limits, now)
    }

    /// Executes one operation. Time alone may change the account too (a lease lapses, a day
    /// begins); a refusal changes nothing else.
    pub fn apply(&mut self, op: Op<'_>, limits: &Limits, now: Timestamp) -> Reply {
        let now = within(now);
        if (self.header.budget_from_day == 0) != (limits.period == Period::Total) {
            // What another period has spent is known to the ledger alone.
            return self.reply(Code::Recover, now);
        }
        match op {
            Op::Admit(claim) => self.admit(&claim, limits, now),
            Op::Extend { rid, amount } => self.extend((rid, bounded(amount)), limits, now),
            Op::Renew(rids) => self.renew(rids, limits, now),
            Op::Settle { rid, owner, actual } => self.settle((rid, owner), counted(actual), now),
            Op::Adjust { day, nano } => self.adjust(day, nano, limits, now),
        }
    }

    fn admit(&mut self, claim: &Claim, limits: &Limits, now: Timestamp) -> Reply {
        let passed = self.pass_time(limits, now);
        let known = match claim.kind {
            Kind::Closed => None,
            Kind::Request | Kind::Slice => self.find(claim.rid),
        };
        if let Some(record) = known.and_then(|at| self.records.get(at)) {
            let admitted = calendar_day(i64::from(record.day));
            let ours = record.node() == claim.owner;
            let code = if ours { Code::Done } else { Code::Taken };
            self.header.version += i64::from(passed);
            return Reply { replayed: ours, admitted, ..self.reply(code, now) };
        }
        match self.admissible(claim, limits, now) {
            Err(refused) => {
                self.header.version += i64::from(passed);
                self.refusal(&refused, limits, now)
            }
            Ok(tat_us) => {
                self.header.version += 1;
                self.header.tat_us = tat_us;
                if claim.kind != Kind::Closed {
                    self.keep(claim, self.header.day, now, limits);
                }
                let reply = self.reply(Code::Done, now);
                if claim.kind == Kind::Slice { self.with_parked(reply) } else { reply }
            }
        }
    }

    /// Layers 1, 2, 3, 6: the arrival time after this request, or who refuses it.
    fn admissible(&self, claim: &Claim, limits: &Limits, now: Timestamp) -> Result<i64, Refused> {
        let header = &self.header;
        let nano = if claim.kind == Kind::Closed { 0 } else { bounded(claim.amount) };
        let refused = |code, wait_us| Refused { code, wait_us, day: header.day, nano };
        let runs = claim.kind != Kind::Slice;
        let mut tat_us = header.tat_us;
        if runs {
            let taken = limits.bucket().take(tat_us, now.micros());
            tat_us = taken.map_err(|wait_us| refused(Code::Rate, wait_us))?;
        }
        if !header.fits_day(header.day, nano, limits) {
            return Err(refused(Code::DailyCap, header.day_left_us(now)));
        }
        let full = claim.kind != Kind::Closed && self.records.len() >= RECORDS_MAX;
        if full || (runs && header.in_flight >= limits.in_flight_max) {
            return Err(refused(Code::Concurrency, 0));
        }
        if !header.fits_budget(nano, limits) {
            return Err(refused(Code::Budget, 0));
        }
        Ok(tat_us)
    }

    fn extend(&mut self, to: (RequestId, i64), limits: &Limits, now: Timestamp) -> Reply {
        let passed = self.pass_time(limits, now);
        self.header.version += i64::from(passed);
        let (rid, amount) = to;
        let Some(at) = self.find(rid) else { return self.reply(Code::Unknown, now) };
        let (held, day) =
            self.records.get(at).map_or((0, 0), |record| (record.amount, i64::from(record.day)));
        let nano = (amount - held).max(0);
        if !self.header.fits_day(day, nano, limits) {
            let wait_us = self.header.day_left_us(now);
            let refused = Refused { code: Code::DailyCap, wait_us, day, nano };
            return self.refusal(&refused, limits, now);
        }
        if !self.header.fits_budget(nano, limits) {
            let refused = Refused { code: Code::Budget, wait_us: 0, day, nano };
            return self.refusal(&refused, limits, now);
        }
        self.renew_at(at, limits, now);
        if let Some(record) = self.records.get_mut(at) {
            record.amount += nano;
        }
        self.header.hold(day, nano);
        self.header.version += i64::from(!passed);
        let (replayed, admitted) = (nano == 0, calendar_day(day));
        Reply { replayed, admitted, ..self.reply(Code::Done, now) }
    }

    fn renew(&mut self, rids: &[RequestId], limits: &Limits, now: Timestamp) -> Reply {
        let rids = rids.get(..RENEW_MAX).unwrap_or(rids);
        let fates = self.renew_all(rids, limits, now);
        let any = fates.iter().any(|fate| *fate != Fate::Unknown);
        self.header.version += i64::from(any);
        Reply { fates, ..self.with_parked(self.reply(Code::Done, now)) }
    }

    fn settle(&mut self, of: (RequestId, u32), actual: i64, now: Timestamp) -> Reply {
        let (rid, owner) = of;
        let owned = |at: &usize| {
            self.records.get(*at).is_some_and(|found| [owner, ANYONE].contains(&found.node()))
        };
        let Some(at) = self.find(rid).filter(owned) else {
            return self.reply(Code::Unknown, now);
        };
        let record = self.close(at);
        self.header.book(i64::from(record.day), actual);
        self.header.version += 1;
        let late = record.is_suspended() || record.money_expiry_ms <= now.millis();
        let admitted = calendar_day(i64::from(record.day));
        Reply { late, admitted, ..self.reply(Code::Done, now) }
    }

    fn adjust(&mut self, day: Day, nano: i64, limits: &Limits, now: Timestamp) -> Reply {
        let passed = self.pass_time(limits, now);
        let day = i64::from(day.days());
        if day > self.header.day {
            self.header.version += i64::from(passed);
            return self.reply(Code::Unknown, now);
        }
        self.header.version += 1;
        self.header.book(day, nano.clamp(-AMOUNT_MAX, AMOUNT_MAX));
        self.reply(Code::Done, now)
    }

    /// A refusal with its wait; a claim that fits but for slices comes back once they are in.
    fn refusal(&self, refused: &Refused, limits: &Limits, now: Timestamp) -> Reply {
        let mut reply = self.reply(refused.code, now);
        reply.retry_ms = refused.wait_us / 1_000 + i64::from(refused.wait_us % 1_000 > 0);
        let (day, nano) = (refused.day, refused.nano);
        let fits: fn(&Header, i64, i64, &Limits) -> bool = match refused.code {
            Code::DailyCap => Header::fits_day,
            Code::Budget => |header, _, nano, limits| header.fits_budget(nano, limits),
            _ => return reply,
        };
        let mut without = self.header;
        for record in self.callable() {
            without.hold(i64::from(record.day), -record.amount);
        }
        reply.parked = Usd::from_nano(self.header.held - without.held);
        if fits(&without, day, nano, limits) {
            reply.retry_ms = PARKED_RETRY_MS;
        }
        reply
    }

    fn with_parked(&self, reply: Reply) -> Reply {
        let parked = self.callable().map(|record| record.amount).sum();
        Reply { parked: Usd::from_nano(parked), ..reply }
    }

    fn reply(&self, code: Code, now: Timestamp) -> Reply {
        let header = &self.header;
        Reply {
            code,
            replayed: false,
            late: false,
            retry_ms: 0,
            in_flight: header.in_flight,
            day: calendar_day(header.day),
            admitted: calendar_day(header.day),
            day_spent: Usd::from_nano(header.day_spent),
            day_held: Usd::from_nano(header.day_held),
            budget_spent: Usd::from_nano(header.budget_spent),
            held: Usd::from_nano(header.held),
            suspense: Usd::from_nano(header.suspense),
            parked: Usd::ZERO,
            tat_us: header.tat_us,
            version: header.version,
            now,
            fates: Vec::new(),
        }
    }
}
