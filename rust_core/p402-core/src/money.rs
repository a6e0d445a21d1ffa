//! Decides how money is held, read and written: `Usd` in nano-dollars, `Rate` in pico-dollars.
//! Does not price anything (catalog/price.rs) and knows no float.

use std::fmt;

/// An amount of US dollars as a signed integer of nano-dollars (10⁻⁹ $).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i64);

/// A price per token in pico-dollars (10⁻¹² $): $1 per million tokens is 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i64);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// Not a decimal number.
    NotANumber,
    Negative,
    /// More decimals than the unit holds.
    TooFine,
    TooLarge,
}

/// What happens to digits finer than the unit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finer {
    Refuse,
    RoundUp,
}

/// Longest text read as a number: no honest amount is longer.
const TEXT_BYTES_MAX: usize = 64;
/// Decimals of a dollar in `Usd`.
const USD_PLACES: i32 = 9;
/// Decimals of dollars per million tokens in `Rate`.
const RATE_PLACES: i32 = 6;

impl Usd {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_nano(nano: i64) -> Self {
        Self(nano)
    }
    pub const fn nano(self) -> i64 {
        self.0
    }

    /// Reads dollars from decimal text or the text of a JSON number: not negative, exact in nano.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        scaled(text, USD_PLACES, Finer::Refuse).map(Self)
    }

    /// Reads an upstream's own figure: digits below a nano-dollar round up, never away.
    pub fn parse_rounding_up(text: &str) -> Result<Self, MoneyError> {
        scaled(text, USD_PLACES, Finer::RoundUp).map(Self)
    }

    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Rate {
    pub const fn from_pico(pico: i64) -> Self {
        Self(pico)
    }
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// Reads dollars per million tokens: not negative, at most six decimals.
    pub fn parse_per_mtok(text: &str) -> Result<Self, MoneyError> {
        scaled(text, RATE_PLACES, Finer::Refuse).map(Self)
    }
}

/// Dollars as a plain JSON number: no exponent, at most nine decimals, no trailing zeros.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plain(f, self.0, USD_PLACES as u32)
    }
}

/// Dollars per million tokens as a plain JSON number.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plain(f, self.0, RATE_PLACES as u32)
    }
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a decimal number",
            Self::Negative => "negative",
            Self::TooFine => "more decimals than the unit holds",
            Self::TooLarge => "too large",
        })
    }
}

impl std::error::Error for MoneyError {}

fn plain(f: &mut fmt::Formatter<'_>, amount: i64, places: u32) -> fmt::Result {
    let unit = 10_u64.pow(places);
    let whole = amount.unsigned_abs() / unit;
    let mut fraction = amount.unsigned_abs() % unit;
    let sign = if amount < 0 { "-" } else { "" };
    if fraction == 0 {
        return write!(f, "{sign}{whole}");
    }
    let mut width = places as usize;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    write!(f, "{sign}{whole}.{fraction:0width$}")
}

/// `text` × 10^places as an integer; digits beyond are refused or rounded up.
fn scaled(text: &str, places: i32, finer: Finer) -> Result<i64, MoneyError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(MoneyError::NotANumber);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = split_exponent(unsigned)?;
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(MoneyError::NotANumber),
        Some(halves) => halves,
        None => (mantissa, ""),
    };
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !digits().all(|b| b.is_ascii_digit()) {
        return Err(MoneyError::NotANumber);
    }
    if negative && digits().any(|b| b != b'0') {
        return Err(MoneyError::Negative);
    }
    // How many of the digits stand before the unit's own decimal point.
    let kept = i64::from(exponent) + i64::from(places) + whole.len() as i64;
    let mut amount: i64 = 0;
    let mut lost = false;
    for (index, digit) in digits().enumerate() {
        if (index as i64) < kept {
            amount = push_digit(amount, i64::from(digit - b'0'))?;
        } else {
            lost |= digit != b'0';
        }
    }
    let missing = kept - (whole.len() + fraction.len()) as i64;
    for _ in 0..missing.max(0) {
        if amount == 0 {
            break;
        }
        amount = push_digit(amount, 0)?;
    }
    match (lost, finer) {
        (false, _) => Ok(amount),
        (true, Finer::Refuse) => Err(MoneyError::TooFine),
        (true, Finer::RoundUp) => amount.checked_add(1).ok_or(MoneyError::TooLarge),
    }
}

fn push_digit(amount: i64, digit: i64) -> Result<i64, MoneyError> {
    amount.checked_mul(10).and_then(|tens| tens.checked_add(digit)).ok_or(MoneyError::TooLarge)
}

/// Splits `1.5e-3` into its mantissa and exponent; no exponent is zero.
fn split_exponent(text: &str) -> Result<(&str, i32), MoneyError> {
    let Some(at) = text.find(['e', 'E']) else { return Ok((text, 0)) };
    let (mantissa, rest) = text.split_at(at);
    let exponent = &rest[1..];
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(MoneyError::NotANumber);
    }
    exponent.parse().map(|exponent| (mantissa, exponent)).map_err(|_| MoneyError::NotANumber)
}
