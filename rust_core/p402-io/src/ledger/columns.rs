//! Decides how a row stands in a table: which columns, in which order, in both databases alike.
//! Does not speak SQL to anyone.

use p402_core::id::RequestId;
use p402_core::ledger::{Flags, Kind, Row, Seq};
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::{Day, Timestamp};

/// Integers of a row: all are eight signed bytes in a table, bit for bit.
pub(super) const INTEGERS: [&str; 22] = [
    "slot",
    "attempt",
    "kind",
    "seq",
    "at_us",
    "day",
    "mode",
    "status",
    "flags",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "session",
    "api_key",
    "price_version",
    "latency_us",
    "provider_latency_us",
    "held_nano",
    "cost_nano",
    "wasted_nano",
    "direct_nano",
];
/// Names of a row.
pub(super) const TEXTS: [&str; 4] = ["tenant", "provider", "model", "provider_request_id"];

const NO_MODE: i64 = -1;

/// A row taken apart, in the order of the columns; `rid` stands before them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'a> {
    pub(super) rid: [u8; 16],
    pub(super) integers: [i64; INTEGERS.len()],
    pub(super) texts: [&'a str; TEXTS.len()],
}

impl<'a> Cells<'a> {
    pub(super) fn of(row: &Row<'a>) -> Self {
        let (rid, slot, attempt) = row.identity();
        let integers = [
            i64::from(slot),
            i64::from(attempt),
            row.kind as i64,
            row.seq.bits() as i64,
            row.at.micros(),
            i64::from(row.day.days()),
            row.mode.map_or(NO_MODE, |mode| mode as i64),
            i64::from(row.status),
            i64::from(row.flags.bits()),
            row.input_tokens as i64,
            row.cached_tokens as i64,
            row.output_tokens as i64,
            row.reasoning_tokens as i64,
            row.session as i64,
            row.key as i64,
            i64::from(row.price_version),
            i64::from(row.latency_us),
            i64::from(row.provider_latency_us),
            row.held.nano(),
            row.cost.nano(),
            row.wasted.nano(),
            row.direct.nano(),
        ];
        let texts = [row.tenant, row.provider, row.model, row.provider_request_id];
        Self { rid: rid.bits().to_be_bytes(), integers, texts }
    }

    /// The row again; `None` for what no row of ours looks like.
    pub(super) fn row(&self) -> Option<Row<'a>> {
        let int = |index: usize| self.integers[index];
        let kind = Kind::from_code(u8::try_from(int(2)).ok()?)?;
        let rid = RequestId::from_bits(u128::from_be_bytes(self.rid));
        let day = Day::from_days(i32::try_from(int(5)).ok()?);
        let mode = match int(6) {
            NO_MODE => None,
            code => Some(*Mode::ALL.get(usize::try_from(code).ok()?)?),
        };
        let [tenant, provider, model, provider_request_id] = self.texts;
        Some(Row {
            attempt: u8::try_from(int(1)).ok()?,
            seq: Seq::from_bits(int(3) as u64),
            mode,
            provider,
            model,
            provider_request_id,
            status: u16::try_from(int(7)).ok()?,
            flags: Flags::from_bits(u16::try_from(int(8)).ok()?),
            input_tokens: int(9) as u64,
            cached_tokens: int(10) as u64,
            output_tokens: int(11) as u64,
            reasoning_tokens: int(12) as u64,
            session: int(13) as u64,
            key: int(14) as u64,
            price_version: u32::try_from(int(15)).ok()?,
            latency_us: u32::try_from(int(16)).ok()?,
            provider_latency_us: u32::try_from(int(17)).ok()?,
            held: Usd::from_nano(int(18)),
            cost: Usd::from_nano(int(19)),
            wasted: Usd::from_nano(int(20)),
            direct: Usd::from_nano(int(21)),
            ..Row::new(kind, rid, tenant, day, Timestamp::from_micros(int(4)))
        })
    }
}
