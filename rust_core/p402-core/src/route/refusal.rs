//! Decides what a routing refusal says.
//! Does not choose a status or write JSON (reply/).

/// Why no plan could be made. Nothing was written, charged or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: a value of the `p402` field that cannot be honoured.
    Invalid { code: &'static str, param: String, message: String },
    /// 404: a pinned name that nobody knows.
    ModelNotFound { name: String, near: Vec<String> },
    /// 400 `model_price_unknown`.
    PriceUnknown { name: String },
    /// 400 `no_eligible_model`; 504 `latency_exceeded` where `removed_last` is `over_latency`.
    NoEligible {
        /// (reason, how many offers), in order of the checks.
        reasons: Vec<(&'static str, u32)>,
        /// The nearest miss in words.
        nearest: Option<String>,
        /// The constraint that removed the last candidate.
        removed_last: &'static str,
    },
}
