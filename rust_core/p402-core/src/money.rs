//! Decides how money is held, read and written: `Usd` in nano-dollars, `Rate` in pico-dollars.
//! Does not price anything (catalog/price.rs) and knows no float.

/// An amount of US dollars as a signed integer of nano-dollars (10⁻⁹ $).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i64);

/// A price per token in pico-dollars (10⁻¹² $): $1 per million tokens is 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i64);

impl Usd {
    pub const ZERO: Self = Self(0);
    pub const fn from_nano(nano: i64) -> Self {
        Self(nano)
    }
    pub const fn nano(self) -> i64 {
        self.0
    }
}

impl Rate {
    pub const fn from_pico(pico: i64) -> Self {
        Self(pico)
    }
    pub const fn pico(self) -> i64 {
        self.0
    }
}
