//! Decides the form of a ledger row: 256 bytes, fixed places, a checksum, a version.
//! Does not say when a row is due, and holds neither prompt nor key.

use super::name::{MODEL_BYTES_MAX, PROVIDER_BYTES_MAX, TENANT_BYTES_MAX, short_name};
use crate::id::RequestId;
use crate::money::Usd;
use crate::route::Mode;
use crate::time::{Day, Timestamp};

/// Every row has this length: place and number of a row in a journal are one.
pub const ROW_BYTES: usize = 256;

const VERSION: u8 = 1;
const NO_MODE: u8 = u8::MAX;
/// Token counts are kept in five bytes: no request of this world holds more (`usage::TOKENS_MAX`).
const TOKENS_MAX: u64 = (1 << 40) - 1;
/// Names stand behind their four lengths at the row's end, one after the other.
const LENGTHS_AT: usize = 128;
const NAMES_AT: usize = LENGTHS_AT + 4;

/// What a row reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// About to ask a shared store for a hold.
    Intent = 1,
    /// An attempt is about to be sent under `held`.
    Dispatch = 2,
    /// The request has ended and this is its bill.
    Settle = 3,
    /// The request has ended without an answer to charge for.
    Release = 4,
    /// The hold has grown to `held`.
    Extend = 5,
    /// The money lease lapsed: still held, outcome unknown.
    Suspense = 6,
    /// A correction of an ended request, signed.
    Adjust = 7,
    /// A refusal, where `ledger.denials` wants it.
    Deny = 8,
}

/// What is special about a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

/// Where a row stands: the number of its segment, then its number within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

/// One row, its names borrowed: from the request when written, from the row's bytes when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub kind: Kind,
    /// Which of its kind within the request: the attempt of a dispatch, the ordinal of an extend
    /// or adjust. A request ends once: a row that says so always has zero.
    pub attempt: u8,
    pub rid: RequestId,
    /// Given by the journal.
    pub seq: Seq,
    pub at: Timestamp,
    /// The UTC day of admission: the day whose cap the money counts against.
    pub day: Day,
    pub tenant: &'a str,
    /// The first eight bytes of the API key's SHA-256; zero where there was none.
    pub key: u64,
    pub provider: &'a str,
    pub model: &'a str,
    pub provider_request_id: &'a str,
    /// `session_hash` of the session, zero without one.
    pub session: u64,
    pub mode: Option<Mode>,
    pub status: u16,
    pub flags: Flags,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// The digest of the catalogue that priced it.
    pub price_version: u32,
    pub latency_us: u32,
    pub provider_latency_us: u32,
    pub held: Usd,
    pub cost: Usd,
    pub wasted: Usd,
    pub direct: Usd,
}

/// Why bytes are not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFault {
    Checksum,
    /// Written by a release that knows more.
    Version(u8),
    /// The checksum holds and the content does not: it was written wrong.
    Content,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Intent,
        Self::Dispatch,
        Self::Settle,
        Self::Release,
        Self::Extend,
        Self::Suspense,
        Self::Adjust,
        Self::Deny,
    ];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Dispatch => "dispatch",
            Self::Settle => "settle",
            Self::Release => "release",
            Self::Extend => "extend",
            Self::Suspense => "suspense",
            Self::Adjust => "adjust",
            Self::Deny => "deny",
        }
    }
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
    /// The request has ended with this row.
    pub const fn closes(self) -> bool {
        matches!(self, Self::Settle | Self::Release)
    }
    /// Something new begins: the only rows that a full disk refuses while it can still take others.
    pub const fn opens(self) -> bool {
        matches!(self, Self::Intent | Self::Dispatch)
    }
}

impl Flags {
    pub const ESTIMATED: Self = Self(1);
    pub const DISCONNECTED: Self = Self(1 << 1);
    pub const DEGRADED: Self = Self(1 << 2);
    pub const LATE: Self = Self(1 << 3);
    pub const IMPLAUSIBLE: Self = Self(1 << 4);
    pub const UNPRICED: Self = Self(1 << 5);
    /// A node's share for an outage, not a request.
    pub const SLICE: Self = Self(1 << 6);
    /// Answered from the cache.
    pub const CACHED: Self = Self(1 << 7);
    pub const STREAM: Self = Self(1 << 8);
    /// `direct` is the price of the model that the client named, not of the served one.
    pub const DIRECT_REQUESTED: Self = Self(1 << 9);

    /// Nobody asked: it checked an answer of the cache.
    pub const SHADOW: Self = Self(1 << 10);

    /// Every one of them, in the order of the bits.
    pub const NAMES: [(Self, &'static str); 11] = [
        (Self::ESTIMATED, "estimated"),
        (Self::DISCONNECTED, "disconnected"),
        (Self::DEGRADED, "degraded"),
        (Self::LATE, "late"),
        (Self::IMPLAUSIBLE, "implausible"),
        (Self::UNPRICED, "unpriced"),
        (Self::SLICE, "slice"),
        (Self::CACHED, "cached"),
        (Self::STREAM, "stream"),
        (Self::DIRECT_REQUESTED, "direct_requested"),
        (Self::SHADOW, "shadow"),
    ];

    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
    pub const fn bits(self) -> u16 {
        self.0
    }
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// `self` where `wanted`, nothing else.
    #[must_use]
    pub const fn when(self, wanted: bool) -> Self {
        if wanted { self } else { Self(0) }
    }
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Names of what is set, in the order of the bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

impl Seq {
    pub const fn new(segment: u32, row: u32) -> Self {
        Self(((segment as u64) << 32) | row as u64)
    }
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
    pub const fn bits(self) -> u64 {
        self.0
    }
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }
    pub const fn row(self) -> u32 {
        self.0 as u32
    }
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl<'a> Row<'a> {
    /// A row that says no more than this; the rest is filled in by `Row { …, ..Row::new(…) }`.
    pub const fn new(kind: Kind, rid: RequestId, tenant: &'a str, day: Day, at: Timestamp) -> Self {
        Self {
            kind,
            attempt: 0,
            rid,
            seq: Seq(0),
            at,
            day,
            tenant,
            key: 0,
            provider: "",
            model: "",
            provider_request_id: "",
            session: 0,
            mode: None,
            status: 0,
            flags: Flags(0),
            input_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            price_version: 0,
            latency_us: 0,
            provider_latency_us: 0,
            held: Usd::ZERO,
            cost: Usd::ZERO,
            wasted: Usd::ZERO,
            direct: Usd::ZERO,
        }
    }

    /// What counts against the tenant's caps: nothing until a request ends, then all of it.
    pub const fn spent(&self) -> Usd {
        match self.kind {
            Kind::Settle | Kind::Release | Kind::Adjust => self.cost.saturating_add(self.wasted),
            _ => Usd::ZERO,
        }
    }

    /// What may stand in the ledger once: (request, kind, attempt), and one end per request.
    pub const fn identity(&self) -> (RequestId, u8, u8) {
        if self.kind.closes() {
            return (self.rid, Kind::Settle as u8, 0);
        }
        (self.rid, self.kind as u8, self.attempt)
    }

    /// The row as it is written. Of names that are too long the beginning and a hash are kept; the
    /// provider's request id takes what room is left and is cut there.
    pub fn encode(&self, seq: Seq) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[4] = VERSION;
        bytes[5] = self.kind as u8;
        bytes[6] = self.identity().2;
        bytes[7] = self.mode.map_or(NO_MODE, |mode| mode as u8);
        put(&mut bytes, 8, &self.flags.0.to_le_bytes());
        put(&mut bytes, 10, &self.status.to_le_bytes());
        put(&mut bytes, 12, &self.day.days().to_le_bytes());
        put(&mut bytes, 16, &self.rid.bits().to_be_bytes());
        put(&mut bytes, 32, &seq.0.to_le_bytes());
        put(&mut bytes, 40, &self.at.micros().to_le_bytes());
        for (index, amount) in
            [self.held, self.cost, self.wasted, self.direct].into_iter().enumerate()
        {
            put(&mut bytes, 48 + index * 8, &amount.nano().to_le_bytes());
        }
        for (index, tokens) in
            [self.input_tokens, self.cached_tokens, self.output_tokens, self.reasoning_tokens]
                .into_iter()
                .enumerate()
        {
            put(&mut bytes, 80 + index * 5, &tokens.min(TOKENS_MAX).to_le_bytes()[..5]);
        }
        put(&mut bytes, 100, &self.session.to_le_bytes());
        put(&mut bytes, 108, &self.key.to_le_bytes());
        put(&mut bytes, 116, &self.price_version.to_le_bytes());
        put(&mut bytes, 120, &self.latency_us.to_le_bytes());
        put(&mut bytes, 124, &self.provider_latency_us.to_le_bytes());
        self.encode_names(&mut bytes);
        let checksum = crc32c::crc32c(&bytes[4..]);
        put(&mut bytes, 0, &checksum.to_le_bytes());
        bytes
    }

    fn encode_names(&self, bytes: &mut [u8; ROW_BYTES]) {
        let names = [
            short_name(self.tenant, TENANT_BYTES_MAX),
            short_name(self.provider, PROVIDER_BYTES_MAX),
            short_name(self.model, MODEL_BYTES_MAX),
            self.provider_request_id.into(),
        ];
        let mut at = NAMES_AT;
        for (index, name) in names.iter().enumerate() {
            let kept = &name[..name.floor_char_boundary(ROW_BYTES - at)];
            bytes[LENGTHS_AT + index] = kept.len() as u8;
            put(bytes, at, kept.as_bytes());
            at += kept.len();
        }
    }

    /// Reads a row back; every byte counts.
    pub fn decode(bytes: &'a [u8; ROW_BYTES]) -> Result<Self, RowFault> {
        if crc32c::crc32c(&bytes[4..]).to_le_bytes() != bytes[..4] {
            return Err(RowFault::Checksum);
        }
        if bytes[4] != VERSION {
            return Err(RowFault::Version(bytes[4]));
        }
        let kind = Kind::from_code(bytes[5]).ok_or(RowFault::Content)?;
        let attempt = bytes[6];
        if kind.closes() && attempt != 0 {
            return Err(RowFault::Content);
        }
        let mode = match bytes[7] {
            NO_MODE => None,
            code => Some(*Mode::ALL.get(usize::from(code)).ok_or(RowFault::Content)?),
        };
        let amount = |at| Usd::from_nano(i64::from_le_bytes(take(bytes, at)));
        let [tenant, provider, model, provider_request_id] = decode_names(bytes)?;
        Ok(Self {
            kind,
            attempt,
            rid: RequestId::from_bits(u128::from_be_bytes(take(bytes, 16))),
            seq: Seq(u64::from_le_bytes(take(bytes, 32))),
            at: Timestamp::from_micros(i64::from_le_bytes(take(bytes, 40))),
            day: Day::from_days(i32::from_le_bytes(take(bytes, 12))),
            tenant,
            key: u64::from_le_bytes(take(bytes, 108)),
            provider,
            model,
            provider_request_id,
            session: u64::from_le_bytes(take(bytes, 100)),
            mode,
            status: u16::from_le_bytes(take(bytes, 10)),
            flags: Flags(u16::from_le_bytes(take(bytes, 8))),
            input_tokens: tokens(bytes, 80),
            cached_tokens: tokens(bytes, 85),
            output_tokens: tokens(bytes, 90),
            reasoning_tokens: tokens(bytes, 95),
            price_version: u32::from_le_bytes(take(bytes, 116)),
            latency_us: u32::from_le_bytes(take(bytes, 120)),
            provider_latency_us: u32::from_le_bytes(take(bytes, 124)),
            held: amount(48),
            cost: amount(56),
            wasted: amount(64),
            direct: amount(72),
        })
    }
}

fn put(bytes: &mut [u8; ROW_BYTES], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn take<const N: usize>(bytes: &[u8; ROW_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

fn tokens(bytes: &[u8; ROW_BYTES], at: usize) -> u64 {
    let five: [u8; 5] = take(bytes, at);
    five.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn decode_names(bytes: &[u8; ROW_BYTES]) -> Result<[&str; 4], RowFault> {
    let mut at = NAMES_AT;
    let mut names = [""; 4];
    for (name, length) in names.iter_mut().zip(&bytes[LENGTHS_AT..NAMES_AT]) {
        let end = at + usize::from(*length);
        let read = bytes.get(at..end).ok_or(RowFault::Content)?;
        *name = std::str::from_utf8(read).map_err(|_| RowFault::Content)?;
        at = end;
    }
    Ok(names)
}
