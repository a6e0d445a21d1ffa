//! Admits a request or refuses it: layers 5 and 4 here, 1, 2, 3 and 6 in one trip to its account.
//! Holds the whole outage policy, so that no store needs to know one.

use crate::booking;
use crate::meter::{count, sum};
use crate::reservation::{Backing, Reservation};
use crate::settling::Settling;
use crate::store::Tenant;
use crate::turn::Turn;
use p402_core::guard::{
    CapRefusal, Claim, Code, Kind, Limits, Op, OutagePolicy, Reply, Stage, request_cap,
    tokens_within,
};
use p402_core::money::Usd;
use p402_core::reply::{ApiError, guard_unavailable, ledger_unavailable, request_in_progress};
use p402_core::route::Refusal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// From `Ok` on exactly one settlement is owed; a refusal has written nothing, but for a row of
/// its own where the operator wants one.
pub async fn admit(turn: Arc<Turn>) -> Result<Settling, ApiError> {
    let began = Instant::now();
    let outcome = decide(Arc::clone(&turn)).await;
    turn.node.meter.decision.observe(began.elapsed());
    if let (Err(error), true) = (&outcome, turn.world.config.ledger.denials) {
        let row = booking::denial(&turn, error.status());
        if turn.home.ledger.append(&row).is_err() {
            count(&turn.node.meter.ledger_failed);
        }
    }
    outcome
}

/// A cache hit: layers 1 and 3 are checked and a token is taken; nothing is held, so nothing is to
/// be settled. The second is whether the account's home was away.
pub async fn admit_closed(turn: &Turn) -> Result<(Reply, bool), ApiError> {
    let closed = turn.claimed(Usd::ZERO, Kind::Closed);
    let (reply, backing) = ask(turn, closed).await?;
    if reply.code != Code::Done {
        return Err(denied(turn, Usd::ZERO, &reply));
    }
    Ok((reply, backing != Backing::Store))
}

async fn decide(turn: Arc<Turn>) -> Result<Settling, ApiError> {
    let claim = claim(&turn)?;
    unlike_the_past(&turn, claim)?;
    let (reply, backing) = ask(&turn, turn.claimed(claim, Kind::Request)).await?;
    // The same id is on its way: here, or from another node.
    let taken = reply.code == Code::Taken || reply.replayed;
    if reply.code != Code::Done && !taken {
        return Err(denied(&turn, claim, &reply));
    }
    if taken {
        return Err(request_in_progress(turn.id));
    }
    sum(&turn.node.meter.held_nano, claim.nano());
    let hold = Reservation::new(turn.id, claim, &reply, (backing, turn.now));
    let hold = hold.of_generation(turn.home.store.generation(&turn.place().tenant));
    let mut settling = Settling::new(turn, hold);
    settling.admitted(claim, &reply);
    Ok(settling)
}

/// Layers 1, 2, 3 and 6, by the account or by whoever stands in for it.
async fn ask(turn: &Turn, claim: Claim) -> Result<(Reply, Backing), ApiError> {
    if turn.home.ledger.is_refusing() {
        count(&turn.node.meter.ledger_refused);
        return Err(ledger_unavailable());
    }
    let began = Instant::now();
    let trip = turn.home.store.call(&turn.place().tenant, Op::Admit(claim), turn.now.utc);
    let answer = trip.answer().await;
    turn.node.meter.trip.observe(began.elapsed());
    let (reply, backing) = match answer {
        Ok(reply) => {
            ashore(turn);
            (reply, Backing::Store)
        }
        Err(_) => outage(turn, claim)?,
    };
    turn.node.meter.decided(reply.code);
    Ok((reply, backing))
}

/// Layer 5: what the plan claims, or why one request may not cost that.
fn claim(turn: &Turn) -> Result<Usd, ApiError> {
    let limits = &turn.rules().limits;
    let terms = turn.terms();
    request_cap(terms.of_plan(&turn.plan), limits).map_err(|refused| {
        count(&turn.node.meter.request_cap);
        match refused {
            CapRefusal::PriceUnknown => {
                ApiError::from(Refusal::PriceUnknown { name: turn.model().to_owned() })
            }
            CapRefusal::OverCap { claim, cap } => {
                let bounds = turn.plan.attempts.iter().map(|attempt| terms.output_bound(attempt));
                let most = bounds.max().unwrap_or_default() / terms.choices.max(1);
                let writes_cache = turn.writes_cache();
                let at = |tokens| terms.at(&turn.plan, tokens, writes_cache);
                let allowed = tokens_within(cap, most, at);
                turn.denied(claim).by_request_cap(turn.model(), allowed)
            }
        }
    })
}

/// Layer 4, where it blocks.
fn unlike_the_past(turn: &Turn, claim: Usd) -> Result<(), ApiError> {
    let limits = &turn.rules().limits;
    if !limits.anomaly.block {
        return Ok(());
    }
    let (key, now) = (turn.series(Stage::Estimate), turn.now.utc);
    let seen = &turn.node.watches;
    let Some(flag) = seen.with(&turn.tenant, now, |seen| seen.judge(key, claim, limits)) else {
        return Ok(());
    };
    count(&turn.node.meter.anomaly_blocked);
    Err(turn.denied(claim).by_anomaly(&flag))
}

/// What the account refused; the first time in a day that its breaker does, it is an alarm.
fn denied(turn: &Turn, claim: Usd, reply: &Reply) -> ApiError {
    let seen = &turn.node.watches;
    if seen.with(&turn.tenant, turn.now.utc, |seen| seen.refused(reply)) {
        let told = vec![
            ("limit_usd", turn.rules().limits.daily_cap.to_string()),
            ("spent_usd", reply.day_spent.to_string()),
            ("held_usd", reply.day_held.to_string()),
        ];
        turn.alarm("daily_breaker", told);
    }
    turn.denied(claim).by_account(reply)
}

/// While the store is away layers 1, 2 and 3 are kept by an account in this process, with this
/// node's part of the limits, on top of what was last seen. Layer 6 is a slice that was leased
/// before, nothing, or the operator's own risk: then the overdraft is that account's budget.
fn outage(turn: &Turn, claim: Claim) -> Result<(Reply, Backing), ApiError> {
    turn.node.adrift.store(true, Ordering::Release);
    let (home, own, now) = (&turn.home, &turn.rules().limits, turn.now.utc);
    let overdraft = Some(own.outage_overdraft);
    let budget = overdraft.filter(|_| own.outage == OutagePolicy::FailOpen);
    let part = own.shared_among(home.store.nodes());
    let limits = Limits { budget, ..part };
    let tenant = Tenant { id: &turn.tenant, limits: &limits };
    if let Some(seed) = turn.node.watches.with(&turn.tenant, now, |seen| seen.seed()) {
        home.local.seed(&tenant, &seed, now);
    }
    let local = home.local.apply(&tenant, Op::Admit(claim), now);
    let reply = local.map_err(|_| guard_unavailable(own.outage.name()))?;
    if reply.code != Code::Done || claim.kind == Kind::Closed {
        return Ok((reply, Backing::Overdraft));
    }
    let backing = match own.outage {
        OutagePolicy::Escrow
            if home.store.draw(&turn.place().tenant, turn.id, claim.amount, now) =>
        {
            Backing::Slice
        }
        OutagePolicy::FailOpen => Backing::Overdraft,
        OutagePolicy::Escrow | OutagePolicy::FailClosed => {
            let release = Op::Settle { rid: turn.id, owner: home.owner, actual: Usd::ZERO };
            let _released = home.local.apply(&tenant, release, now);
            turn.node.meter.decided(Code::Late);
            return Err(guard_unavailable(own.outage.name()));
        }
    };
    count(&turn.node.meter.degraded);
    Ok((reply, backing))
}

/// The store answers again: what this process counted by itself is of no use any more.
fn ashore(turn: &Turn) {
    let adrift = &turn.node.adrift;
    if adrift.load(Ordering::Relaxed) && adrift.swap(false, Ordering::AcqRel) {
        turn.home.local.forget_idle();
    }
}
