//! Decides whether two texts that are near mean the same: the vetoes, in one place for all callers.
//! Does not measure nearness (similarity.rs) and does not search.

use super::verdict::Miss;
use super::veto::{self, Reading, veto};
use super::{canon, policy};

/// What speaks for a pair that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passed {
    /// What the verifier gave it, where there is one.
    pub score: Option<f32>,
}

/// Whether the answer to one may stand for the other's.
///
/// # Errors
/// Why not.
pub fn judge(asked: &Reading<'_>, kept: &Reading<'_>) -> Result<Passed, Miss> {
    match veto(asked, kept) {
        Some(veto) => Err(Miss::Veto(veto)),
        None => Ok(Passed::default()),
    }
}

/// The rules' versions: entries judged by others lie in scopes that nobody asks for.
pub fn versions() -> String {
    format!("{}.{}.{}", canon::VERSION, veto::VERSION, policy::VERSION)
}
