//! Decides whether a tenant may spend: six layers, one state machine, integers only.
//! Does no I/O: a home (memory, Redis) holds the account, a clock's reading comes in.
//!
//! Every number an account keeps lies between 0 and [`AMOUNT_MAX`], below 2⁵³, so that a twin that
//! counts in doubles keeps the same ones to the last bit. A sum that is only compared with a cap
//! may be greater: no rounding brings it back under one.

mod account;
mod anomaly;
mod breaker;
mod bucket;
mod expiry;
mod inflight;
mod layout;
mod limits;
mod orphan;
mod reservation;
mod series;
mod slice;
mod snapshot;
mod state;
mod written;

pub use anomaly::Anomaly;
pub use bucket::Bucket;
pub use inflight::slot_retry_ms;
pub use layout::{HEADER_BYTES, LAYOUT, LayoutError, RECORD_BYTES, REPLY_BYTES};
pub use limits::{IN_FLIGHT_MAX, Limits, OnExpiry, OutagePolicy, Period, Rate, UnknownPrice};
pub use orphan::{Heir, Rest, Told, is_reseeded};
pub use reservation::{CapRefusal, request_cap, tokens_within};
pub use series::{Flag, Pool, SERIES_MAX, Series, SeriesKey, Stage, Watch};
pub use slice::Slice;
pub use snapshot::{Snapshot, SnapshotError};
pub use state::{Account, Header, Open, RECORDS_MAX, Record, Seed};
pub use written::{LimitError, Why};

use crate::id::RequestId;
use crate::money::Usd;
use crate::time::{Day, Timestamp};

/// No counter, cap or instant of an account is larger: $9,000,000 in nano-dollars, below 2⁵³.
pub const AMOUNT_MAX: i64 = 9_000_000_000_000_000;
/// No instant is later (the year 2112): a lease or a rate added to it stays below [`AMOUNT_MAX`].
pub const INSTANT_MAX: i64 = AMOUNT_MAX / 2;
/// Requests renewed in one call.
pub const RENEW_MAX: usize = 256;

/// What is asked of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Layers 1, 2, 3, 6 in this order; a refusal takes no token, slot or hold.
    Admit(Claim),
    /// The hold grows *to* `amount` (asking twice is asking once) and is renewed.
    Extend { rid: RequestId, amount: Usd },
    /// Both leases anew, for at most [`RENEW_MAX`] requests of one node.
    Renew(&'a [RequestId]),
    /// The hold goes, `actual` is booked on the admission day. At zero this is a release. Only
    /// the owner settles: a node that gave an admission up must not free another node's hold of
    /// the same request. Named with the record's marks it counts only as long as they are those:
    /// whoever ends a suspended hold must not free one that its owner has just renewed.
    Settle { rid: RequestId, owner: u32, actual: Usd },
    /// Corrects what was booked on a day, by signed nano-dollars; always beside a ledger row.
    Adjust { day: Day, nano: i64 },
}

/// A request to spend at most `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub rid: RequestId,
    pub amount: Usd,
    /// The node that answers for it, below [`NODES_MAX`].
    pub owner: u32,
    pub kind: Kind,
}

/// Owners are numbered below this: the bits above it are the record's own marks.
pub const NODES_MAX: u32 = 1 << 30;

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that will be dispatched: token, slot, hold.
    Request,
    /// A cache hit: layers 1 and 3 are checked, a token is taken, no record is kept.
    Closed,
    /// A node's share for an outage: layers 2 and 6, a hold without a slot.
    Slice,
}

/// What an account answered; the numbers are those of the store's wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    Done = 0,
    /// Layer 1.
    Rate = 1,
    /// Layer 2.
    DailyCap = 2,
    /// Layer 3.
    Concurrency = 3,
    /// Layer 6.
    Budget = 6,
    /// The state is not the one the caller knew: read the ledger, seed anew.
    Recover = 7,
    /// There is no state: an error to seed from, never zero.
    Cold = 8,
    /// The call came after its own deadline; nothing was written.
    Late = 9,
    /// No such request: settled before, recovered away or never admitted.
    Unknown = 10,
    /// Another node runs this request.
    Taken = 11,
}

/// What became of one request in a batch of renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Unknown = 0,
    Renewed = 1,
    /// Its slot had lapsed and was taken again, above the cap if need be: it is really running.
    Retaken = 2,
}

/// The answer to one operation and the balances after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: Code,
    /// The request was admitted (or its hold extended) before: nothing changed.
    pub replayed: bool,
    /// The money lease had lapsed when the settlement came.
    pub late: bool,
    /// When asking again may help; 0 where the account cannot know.
    pub retry_ms: i64,
    pub in_flight: i64,
    /// The day that `day_spent` and `day_held` belong to.
    pub day: Day,
    /// The day the request of this operation was admitted on: its ledger rows carry it.
    pub admitted: Day,
    pub day_spent: Usd,
    pub day_held: Usd,
    pub budget_spent: Usd,
    pub held: Usd,
    pub suspense: Usd,
    /// Held by slices that can be called in; counted on refusals of layers 2 and 6, on
    /// slices and on renewals, else zero.
    pub parked: Usd,
    pub tat_us: i64,
    pub version: i64,
    pub now: Timestamp,
    /// One entry per request of a renewal, in its order.
    pub fates: Vec<Fate>,
}

/// What a caller knew when it sent its call: checked before anything is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// 52-bit hash of the identity of the server that the caller is connected to.
    pub epoch: i64,
    /// The last version seen before sending; a lower one in the store means lost writes.
    pub version: i64,
    /// Past this instant of the store's clock nothing may be executed any more.
    pub deadline: Option<Timestamp>,
}

impl Code {
    /// The code with this number on the wire.
    pub fn from_wire(number: i64) -> Option<Self> {
        const ALL: [Code; 10] = [
            Code::Done,
            Code::Rate,
            Code::DailyCap,
            Code::Concurrency,
            Code::Budget,
            Code::Recover,
            Code::Cold,
            Code::Late,
            Code::Unknown,
            Code::Taken,
        ];
        ALL.into_iter().find(|code| *code as i64 == number)
    }
    /// The layer that refused, if one did.
    pub const fn layer(self) -> Option<u8> {
        match self {
            Self::Rate => Some(1),
            Self::DailyCap => Some(2),
            Self::Concurrency => Some(3),
            Self::Budget => Some(6),
            _ => None,
        }
    }
}
