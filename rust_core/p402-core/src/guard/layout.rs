//! Decides the stored form of an account and the wire form of a reply: packed, little-endian.
//! Does not know where the bytes are kept; a hostile blob is refused, never repaired.
//!
//! An account: 16 doubles (the header's fields in their order, then [`LAYOUT`]), then 48 bytes a
//! record: rid 16 bytes big-endian · `slot_expiry_ms`, `money_expiry_ms`, `amount` as doubles ·
//! `day`, `owner` as u32. A reply: 16 doubles (code · replayed · late · `retry_ms` · `in_flight` ·
//! day · admitted · `day_spent` · `day_held` · `budget_spent` · held · suspense · parked · `tat_us`
//! · version · `now_us`), then a byte per fate.

use super::state::{Account, Header, RECORDS_MAX, Record};
use super::{AMOUNT_MAX, Code, Fate, INSTANT_MAX, RENEW_MAX, Reply};
use crate::id::RequestId;
use crate::money::Usd;
use crate::time::{Day, Timestamp};

/// The number of this form; another form is another number, and read by another release.
pub const LAYOUT: i64 = 1;
pub const HEADER_BYTES: usize = 128;
pub const RECORD_BYTES: usize = 48;
/// A reply without fates.
pub const REPLY_BYTES: usize = 128;

/// Why bytes are not an account (or a reply).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// Not a header and whole records, or more of them than there may be.
    Length,
    /// A form of another release.
    Version,
    /// A number that is no integer, or out of its range.
    Number,
    /// The balances are not the sums of the records.
    Sums,
}

impl Account {
    /// The stored form: depends on nothing but the account.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.records.len() * RECORD_BYTES);
        for number in self.header.numbers() {
            out.extend((number as f64).to_le_bytes());
        }
        for record in &self.records {
            out.extend(record.rid.bits().to_be_bytes());
            for number in [record.slot_expiry_ms, record.money_expiry_ms, record.amount] {
                out.extend((number as f64).to_le_bytes());
            }
            out.extend(record.day.to_le_bytes());
            out.extend(record.owner.to_le_bytes());
        }
        out
    }

    /// Reads the stored form; what no account can be is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let (header, records) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or(LayoutError::Length)?;
        let header = Header::from_numbers(&mut Doubles(header))?;
        let chunks = records.chunks_exact(RECORD_BYTES);
        if !chunks.remainder().is_empty() || chunks.len() > RECORDS_MAX {
            return Err(LayoutError::Length);
        }
        let records = chunks.map(Record::decode).collect::<Result<Vec<_>, _>>()?;
        let account = Self { header, records };
        if account.adds_up() { Ok(account) } else { Err(LayoutError::Sums) }
    }

    /// Whether the balances are the sums of the records (I3).
    fn adds_up(&self) -> bool {
        let mut sums = Header { held: 0, day_held: 0, prev_held: 0, ..self.header };
        (sums.suspense, sums.in_flight) = (0, 0);
        for record in &self.records {
            if i64::from(record.day) > self.header.day || sums.held > AMOUNT_MAX - record.amount {
                return false;
            }
            sums.hold(i64::from(record.day), record.amount);
            sums.in_flight += i64::from(record.has_slot());
            sums.suspense += if record.is_suspended() { record.amount } else { 0 };
            sums.look_at(record);
        }
        sums == self.header
    }
}

impl Header {
    fn numbers(&self) -> [i64; 16] {
        [
            self.epoch,
            self.version,
            self.tat_us,
            self.day,
            self.day_spent,
            self.day_held,
            self.prev_day,
            self.prev_spent,
            self.prev_held,
            self.budget_from_day,
            self.budget_spent,
            self.held,
            self.suspense,
            self.next_expiry_ms,
            self.in_flight,
            LAYOUT,
        ]
    }

    fn from_numbers(from: &mut Doubles<'_>) -> Result<Self, LayoutError> {
        let header = Self {
            epoch: from.number()?,
            version: from.number()?,
            tat_us: from.number()?,
            day: from.number()?,
            day_spent: from.number()?,
            day_held: from.number()?,
            prev_day: from.number()?,
            prev_spent: from.number()?,
            prev_held: from.number()?,
            budget_from_day: from.number()?,
            budget_spent: from.number()?,
            held: from.number()?,
            suspense: from.number()?,
            next_expiry_ms: from.number()?,
            in_flight: from.number()?,
        };
        if from.number()? != LAYOUT {
            return Err(LayoutError::Version);
        }
        let last_day = i64::from(Timestamp::from_micros(INSTANT_MAX).utc_day().days());
        let ordered = header.prev_day <= header.day
            && header.budget_from_day <= header.day
            && header.day <= last_day;
        if ordered { Ok(header) } else { Err(LayoutError::Number) }
    }
}

impl Record {
    fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let (rid, rest) = bytes.split_first_chunk::<16>().ok_or(LayoutError::Length)?;
        let (numbers, marks) = rest.split_first_chunk::<24>().ok_or(LayoutError::Length)?;
        let (day, owner) = marks.split_first_chunk::<4>().ok_or(LayoutError::Length)?;
        let owner = owner.try_into().map_err(|_| LayoutError::Length)?;
        let mut from = Doubles(numbers);
        let record = Self {
            rid: RequestId::from_bits(u128::from_be_bytes(*rid)),
            slot_expiry_ms: from.number()?,
            money_expiry_ms: from.number()?,
            amount: from.number()?,
            day: u32::from_le_bytes(*day),
            owner: u32::from_le_bytes(owner),
        };
        let slotted_slice = record.is_slice() && record.has_slot();
        if slotted_slice { Err(LayoutError::Number) } else { Ok(record) }
    }
}

impl Reply {
    /// The wire form of a reply.
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.code as i64,
            i64::from(self.replayed),
            i64::from(self.late),
            self.retry_ms,
            self.in_flight,
            i64::from(self.day.days()),
            i64::from(self.admitted.days()),
            self.day_spent.nano(),
            self.day_held.nano(),
            self.budget_spent.nano(),
            self.held.nano(),
            self.suspense.nano(),
            self.parked.nano(),
            self.tat_us,
            self.version,
            self.now.micros(),
        ];
        let mut out = Vec::with_capacity(REPLY_BYTES + self.fates.len());
        for number in numbers {
            out.extend((number as f64).to_le_bytes());
        }
        out.extend(self.fates.iter().map(|fate| *fate as u8));
        out
    }

    /// Reads the wire form.
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let (numbers, fates) =
            bytes.split_first_chunk::<REPLY_BYTES>().ok_or(LayoutError::Length)?;
        let mut from = Doubles(numbers);
        let mut reply = Self {
            code: Code::from_wire(from.number()?).ok_or(LayoutError::Number)?,
            replayed: from.flag()?,
            late: from.flag()?,
            retry_ms: from.number()?,
            in_flight: from.number()?,
            day: from.day()?,
            admitted: from.day()?,
            day_spent: from.amount()?,
            day_held: from.amount()?,
            budget_spent: from.amount()?,
            held: from.amount()?,
            suspense: from.amount()?,
            parked: from.amount()?,
            tat_us: from.number()?,
            version: from.number()?,
            now: Timestamp::from_micros(from.number()?),
            fates: Vec::new(),
        };
        if fates.len() > RENEW_MAX {
            return Err(LayoutError::Length);
        }
        let fate = |byte: &u8| Fate::from_wire(*byte).ok_or(LayoutError::Number);
        reply.fates = fates.iter().map(fate).collect::<Result<_, _>>()?;
        Ok(reply)
    }
}

impl Fate {
    fn from_wire(byte: u8) -> Option<Self> {
        [Self::Unknown, Self::Renewed, Self::Retaken].into_iter().find(|fate| *fate as u8 == byte)
    }
}

/// Doubles that must be integers from 0 to `AMOUNT_MAX`, taken from the front.
struct Doubles<'a>(&'a [u8]);

impl Doubles<'_> {
    fn number(&mut self) -> Result<i64, LayoutError> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(LayoutError::Length)?;
        self.0 = rest;
        let value = f64::from_le_bytes(*bytes);
        let whole = value as i64;
        // The same bits again: no fraction, no sign on zero, no NaN.
        let exact = (whole as f64).to_bits() == value.to_bits();
        if exact && (0..=AMOUNT_MAX).contains(&whole) {
            Ok(whole)
        } else {
            Err(LayoutError::Number)
        }
    }
    fn flag(&mut self) -> Result<bool, LayoutError> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(LayoutError::Number),
        }
    }
    fn amount(&mut self) -> Result<Usd, LayoutError> {
        self.number().map(Usd::from_nano)
    }
    fn day(&mut self) -> Result<Day, LayoutError> {
        let day = i32::try_from(self.number()?).map_err(|_| LayoutError::Number)?;
        Ok(Day::from_days(day))
    }
}
