//! Decides what was used: token counts normalised once, whatever shape an upstream reports.
//! Does not price them (catalog/price.rs).

/// Tokens of one request, in the six classes that prices know. Reasoning is inside `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that no cache served.
    pub fresh: u64,
    pub cache_read: u64,
    /// Five-minute cache writes.
    pub cache_write: u64,
    /// One-hour cache writes.
    pub cache_write_1h: u64,
    /// All billed output, reasoning inside.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// All prompt tokens: what `input_tokens` of `p402_metadata` says.
    pub const fn input(&self) -> u64 {
        self.fresh + self.cache_read + self.cache_write + self.cache_write_1h
    }
}
