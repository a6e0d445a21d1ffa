//! Decides how a turn's steps read in the ledger: one row before each attempt, one at the end.
//! Does not write them (ledger/) and does not price.

use crate::records::{self, RowState};
use crate::reservation::Reservation;
use crate::turn::Turn;
use p402_core::bill::DirectBasis;
use p402_core::ledger::{Flags, Kind, Row, session_hash};
use p402_core::time::{Day, Now};

/// Before an attempt is sent: `number` counts the attempts of a request from 1.
pub fn dispatch<'a>(
    turn: &'a Turn,
    hold: &Reservation,
    (number, offer): (u8, usize),
    now: Now,
) -> Row<'a> {
    let catalog = &turn.world.catalog;
    let model = catalog.offers.get(offer).map_or("", |offer| &*offer.model);
    Row {
        attempt: number,
        provider: &catalog.provider(offer).id,
        model,
        held: hold.held,
        flags: facts(turn, hold),
        ..row(turn, Kind::Dispatch, hold.day, now)
    }
}

/// A hold has grown; `number` counts the extensions of a request from 1.
pub fn extension<'a>(turn: &'a Turn, hold: &Reservation, number: u8, now: Now) -> Row<'a> {
    Row { attempt: number, held: hold.held, ..row(turn, Kind::Extend, hold.day, now) }
}

/// A request that was not admitted: it holds and costs nothing.
pub fn denial(turn: &Turn, status: u16) -> Row<'_> {
    let (now, model) = (turn.now, turn.model());
    Row { status, model, ..row(turn, Kind::Deny, now.utc.utc_day(), now) }
}

/// The end of a request, as its look-up tells it.
pub fn closing<'a>(turn: &'a Turn, told: &'a records::Row, day: Day, now: Now) -> Row<'a> {
    let kind = match told.state {
        RowState::Settled => Kind::Settle,
        RowState::InFlight | RowState::Released => Kind::Release,
    };
    let usage = &told.usage;
    let last = told.attempts.last().and_then(|attempt| attempt.provider_request_id.as_deref());
    Row {
        provider: &told.provider,
        model: &told.model,
        provider_request_id: last.unwrap_or_default(),
        status: told.http_status,
        flags: told.flags,
        input_tokens: usage.input(),
        cached_tokens: usage.cache_read,
        output_tokens: usage.output,
        reasoning_tokens: usage.reasoning,
        latency_us: u32::try_from(told.latency_us).unwrap_or(u32::MAX),
        provider_latency_us: u32::try_from(told.provider_latency_us).unwrap_or(u32::MAX),
        cost: told.bill.cost,
        wasted: told.bill.wasted,
        direct: told.bill.direct,
        ..row(turn, kind, day, now)
    }
}

/// What every row of a turn is marked with.
pub fn facts(turn: &Turn, hold: &Reservation) -> Flags {
    let unpriced = turn.terms().of_plan(&turn.plan).is_none();
    Flags::STREAM
        .when(turn.scan.stream)
        .with(Flags::DEGRADED.when(hold.degraded()))
        .with(Flags::UNPRICED.when(unpriced))
        .with(Flags::SHADOW.when(turn.shadow))
}

/// What a bill adds to the marks.
pub fn priced(basis: DirectBasis) -> Flags {
    Flags::DIRECT_REQUESTED.when(basis == DirectBasis::RequestedModel)
}

fn row(turn: &Turn, kind: Kind, day: Day, now: Now) -> Row<'_> {
    let session = turn.options.session_id.as_deref().map_or(0, session_hash);
    Row {
        key: turn.key,
        session,
        mode: Some(turn.plan.mode),
        price_version: turn.world.price_version,
        ..Row::new(kind, turn.id, &turn.tenant, day, now.utc)
    }
}
