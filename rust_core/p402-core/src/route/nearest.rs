//! Decides what a refusal says: counts, the constraint that removed the last offer, and the offer
//! that came nearest.
//! Does not decide eligibility (eligible.rs).

use super::eligible::{self, Gatekeeper};
use super::plan::World;
use super::reason::Reason;
use super::refusal::Refusal;
use super::survey::{Sight, Survey};
use super::table::Facts;
use super::wish::Wish;

/// The refusal of a request that no offer may run.
pub(super) fn refuse(sight: &Sight<'_>, survey: &Survey, gate: &Gatekeeper<'_>) -> Refusal {
    let last = survey.tally.last();
    let (removed_last, nearest) = match last {
        // All others fell to the pin: what stood in the pinned offers' own way is the answer.
        Some(Reason::NotPinned) => pinned(sight, gate),
        Some(reason) => (reason, nearest(sight, gate, reason)),
        None => (Reason::NoKey, None),
    };
    Refusal::NoEligible {
        reasons: survey.tally.counts(),
        nearest,
        removed_last: removed_last.name(),
    }
}

/// Why the offers that the pin names may not run.
fn pinned(sight: &Sight<'_>, gate: &Gatekeeper<'_>) -> (Reason, Option<String>) {
    let (world, table) = (sight.world, sight.world.table);
    let named = (0..world.catalog.offers.len()).filter(|at| sight.wish.pin_allows(world, *at));
    let own = named.map(|at| {
        let facts = table.facts().iter().find(|facts| facts.offer as usize == at);
        let judged = facts.and_then(|facts| eligible::judge(world, sight.wish, gate, facts).err());
        // Laid out and fit, yet refused: every key of its provider rests.
        let reason = table.absent_of(at).or(judged).unwrap_or(Reason::NoKey);
        let words = facts
            .map_or(in_words(reason).to_owned(), |facts| detail(world, sight.wish, facts, reason));
        (reason, Some(format!("`{}`: {words}", world.catalog.offer_name(at))))
    });
    // The one that came furthest.
    own.max_by_key(|(reason, _)| *reason as usize).unwrap_or((Reason::NotPinned, None))
}

/// The offer that failed at the last constraint by the least, in words.
fn nearest(sight: &Sight<'_>, gate: &Gatekeeper<'_>, last: Reason) -> Option<String> {
    let table = sight.world.table;
    let at_last =
        |facts: &&Facts| eligible::judge(sight.world, sight.wish, gate, facts).err() == Some(last);
    let near = table.facts().iter().filter(at_last).min_by_key(|facts| match last {
        Reason::Context => eligible::needed_input(sight.wish, facts)
            .saturating_sub(u64::from(facts.context.min(facts.max_input))),
        Reason::MaxOutput => u64::from(u32::MAX - facts.max_output),
        Reason::OverMaxCost => lowest_claim(sight, facts),
        _ => u64::from(facts.offer),
    })?;
    Some(format!("`{}`: {}", name(sight, near), detail(sight.world, sight.wish, near, last)))
}

fn lowest_claim(sight: &Sight<'_>, facts: &Facts) -> u64 {
    let tokens = sight.wish.max_tokens.unwrap_or(super::wish::CAP_MIN);
    u64::try_from(eligible::claim(sight.world, sight.wish, facts, tokens).nano()).unwrap_or(0)
}

pub(super) fn name(sight: &Sight<'_>, facts: &Facts) -> String {
    sight.world.catalog.offer_name(facts.offer as usize)
}

/// One rejection in words, with the figures that decided it.
pub(super) fn detail(world: &World<'_>, wish: &Wish<'_>, facts: &Facts, reason: Reason) -> String {
    match reason {
        Reason::Context => {
            let input = eligible::needed_input(wish, facts);
            let output = wish.max_tokens.unwrap_or_default();
            let short = input > u64::from(facts.max_input);
            let has = u64::from(if short { facts.max_input } else { facts.context });
            format!(
                "needs {} tokens, has {}",
                thousands(input.saturating_add(output)),
                thousands(has)
            )
        }
        Reason::MaxOutput => format!(
            "max_tokens is {}, its maximum output is {}",
            thousands(wish.max_tokens.unwrap_or_default()),
            thousands(u64::from(facts.max_output))
        ),
        Reason::OverMaxCost => {
            let tokens = wish.max_tokens.unwrap_or(super::wish::CAP_MIN);
            let claim = eligible::claim(world, wish, facts, tokens);
            let max = wish.max_cost.unwrap_or_default();
            format!("may cost {claim} USD, the limit is {max}")
        }
        Reason::OverLatency => format!(
            "expected above {} ms at its 95th percentile",
            wish.max_latency_ms.unwrap_or_default()
        ),
        _ => in_words(reason).to_owned(),
    }
}

/// A reason without figures.
pub(super) const fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::NoKey => "no usable key of this provider",
        Reason::Disabled => "not routed: its dialect, its authentication, or gone upstream",
        Reason::NotAllowed => "not in an allow list",
        Reason::Denied => "in a deny list",
        Reason::NotPinned => "the request is pinned to another model",
        Reason::Kind => "a model of another kind was named",
        Reason::Unpriced => "has no price",
        Reason::Stale => "its facts are stale: name provider/model to use it",
        Reason::Unmeasured => "no evidence of its quality: pin it or allow it by exact name",
        Reason::Context => "too long for its context",
        Reason::MaxOutput => "max_tokens above its maximum output",
        Reason::Tools => "no tools",
        Reason::ToolChoice => "does not take this tool_choice",
        Reason::Grammar => "cannot keep a custom tool's input to a grammar",
        Reason::JsonSchema => "no JSON schema output",
        Reason::Logprobs => "no logprobs",
        Reason::N => "one choice only",
        Reason::Reasoning => "does not reason",
        Reason::Effort => "does not list this reasoning_effort",
        Reason::Vision => "no image input",
        Reason::Audio => "no audio input",
        Reason::File => "no file input",
        Reason::LocalUrl => "would fetch a private link for the caller: send the file inline",
        Reason::Link => "takes files as bytes, not as links: send the file inline",
        Reason::Prefill => "does not continue an assistant message: end with the user's",
        Reason::ModalityOut => "text output only",
        Reason::OverMaxCost => "its claim exceeds max_cost_usd",
        Reason::OverLatency => "slower than max_latency_ms",
        Reason::Cooling => "rate limited, waiting",
        Reason::BreakerOpen => "failing, its breaker is open",
    }
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
