//! Decides the row that ends or corrects a request as a person says.
//! Does not judge the amount: whoever says it has the provider's bill.

use super::replay::Replay;
use super::row::{Flags, Kind, Row, Seq};
use crate::money::Usd;
use crate::time::Timestamp;
use std::fmt;

/// Why there is nothing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHandFault {
    /// No row tells of this request.
    Unknown,
    /// It has ended: a correction needs the true cost.
    Ended,
    /// It stands at this cost already.
    Same,
}

/// The row that makes a request count `cost` in all, given its rows: an end where it is open (at
/// its hold where no cost is given), a signed correction where it has ended.
pub fn by_hand<'a>(
    rows: &[Row<'a>],
    cost: Option<Usd>,
    now: Timestamp,
) -> Result<Row<'a>, ByHandFault> {
    let opened = rows.iter().rev().find(|row| row.kind.opens());
    let ended = rows.iter().find(|row| row.kind.closes());
    let known = *ended.or(opened).ok_or(ByHandFault::Unknown)?;
    let base = Row { seq: Seq::default(), at: now, attempt: 0, ..known };
    if ended.is_none() {
        let held = rows.iter().rev().find(|row| row.kind.opens() || row.kind == Kind::Extend);
        let held = held.map_or(Usd::ZERO, |row| row.held);
        let flags = base.flags.with(Flags::LATE).with(Flags::ESTIMATED.when(cost.is_none()));
        let wasted = if cost.is_none() { held } else { Usd::ZERO };
        let cost = cost.unwrap_or(Usd::ZERO);
        return Ok(Row { kind: Kind::Settle, held, cost, wasted, flags, ..base });
    }
    let cost = cost.ok_or(ByHandFault::Ended)?;
    let mut replay = Replay::default();
    for row in rows {
        replay.push(row);
    }
    let more = cost.saturating_sub(replay.spent(known.tenant, known.day, known.day));
    if more == Usd::ZERO {
        return Err(ByHandFault::Same);
    }
    let next = rows
        .iter()
        .filter(|row| row.kind == Kind::Adjust)
        .map(|row| row.attempt.saturating_add(1))
        .max();
    let correction = Row::new(Kind::Adjust, known.rid, known.tenant, known.day, now);
    let Row { key, provider, model, session, mode, .. } = known;
    let attempt = next.unwrap_or(0);
    Ok(Row { attempt, key, provider, model, session, mode, cost: more, ..correction })
}

impl fmt::Display for ByHandFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the ledger knows no request with this id",
            Self::Ended => "the request has ended; say its true cost to correct it",
            Self::Same => "the request stands at this cost already",
        })
    }
}

impl std::error::Error for ByHandFault {}
