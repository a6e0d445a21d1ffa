//! Decides how many tokens of thought go with an effort where a provider counts them as output.
//! Does not decide the effort (route/).

use super::task::Effort;
use super::types::{Catalog, DialectName, Efforts};

/// The least budget of a model that always thinks.
const BUDGET_MIN: u64 = 128;

impl Efforts {
    /// The budget that says this effort; `None` where the model takes none.
    pub const fn thought_budget(self, effort: Effort) -> Option<u64> {
        if !self.budget {
            return None;
        }
        Some(match effort {
            Effort::None if self.toggle => 0,
            Effort::None => BUDGET_MIN,
            Effort::Minimal => 512,
            Effort::Low => 1_024,
            Effort::Medium | Effort::Default => 8_192,
            Effort::High => 16_384,
            Effort::Max => 24_576,
        })
    }
}

impl Catalog {
    /// What an offer's language adds to the output bound that was asked for: Gemini's thoughts
    /// count inside it, and would leave no room for the answer.
    pub fn thoughts_in_bound(&self, offer: usize, effort: Option<Effort>) -> u64 {
        let effort = effort.filter(|effort| *effort != Effort::Default);
        let (Some(found), Some(effort)) = (self.offers.get(offer), effort) else { return 0 };
        let house = self.providers.get(found.provider);
        if house.is_none_or(|house| house.dialect != DialectName::Gemini) {
            return 0;
        }
        found.efforts.thought_budget(effort).unwrap_or(0)
    }
}
