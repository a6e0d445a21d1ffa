//! Decides whether two texts that are near mean the same: vetoes, then the verifier, in one place.
//! Does not measure nearness (similarity.rs) and does not search.

use super::verdict::Miss;
use super::verify::{self, Pair};
use super::veto::matching::Both;
use super::veto::{self, Reading};
use super::{canon, policy};

/// What speaks for a pair that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passed {
    /// What the verifier gave it, where there is one.
    pub score: Option<f32>,
}

/// Whether the answer to one may stand for the other's, `cosine` being how near they are.
///
/// # Errors
/// Why not.
pub fn judge(asked: &Reading<'_>, kept: &Reading<'_>, cosine: f32) -> Result<Passed, Miss> {
    let both = Both::of(asked, kept);
    if let Some(veto) = veto::found(&both) {
        return Err(Miss::Veto(veto));
    }
    let score = verify::score(&Pair::seen(&both, cosine));
    if score < verify::threshold() {
        return Err(Miss::Verifier);
    }
    Ok(Passed { score: Some(score) })
}

/// The rules' versions: entries judged by others lie in scopes that nobody asks for.
pub fn versions() -> String {
    format!("{}.{}.{}.{}", canon::VERSION, veto::VERSION, verify::VERSION, policy::VERSION)
}
