//! Decides how a decision is told afterwards: `p402_metadata.routing` and the words of `why`.
//! Does not decide it, and never tells a key, an address or another tenant's data.

use super::explain::names;
use super::observation::AttemptSeen;
use super::plan::{Weighed, World};
use super::rules::Rules;
use super::table::Table;
use super::types::{Attempt, Mode, Plan, Why};
use crate::catalog::{Catalog, Effort, Task};
use crate::money::Usd;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Dollars as a JSON number written from the integer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Money(pub(super) Usd);

#[derive(Serialize)]
struct Routing<'a> {
    task: &'static str,
    confidence: f64,
    difficulty: f64,
    score: f64,
    why: String,
    plan: Vec<String>,
    attempts: Vec<AttemptTold<'a>>,
    considered: u32,
    rejected: BTreeMap<&'static str, u32>,
    runner_up: Option<RunnerUpTold>,
    session: &'static str,
    explored: bool,
    propensity: f64,
    hedge: Hedge,
    output_cap: Option<u64>,
    weights: &'static str,
    catalog: &'a str,
}

#[derive(Serialize)]
struct AttemptTold<'a> {
    provider: &'a str,
    model: &'a str,
    outcome: &'static str,
    status: u16,
    ms: u64,
}

#[derive(Serialize)]
struct RunnerUpTold {
    model: String,
    score: f64,
    why_not: String,
}

#[derive(Serialize)]
struct Hedge {
    sent: bool,
    won: bool,
    wasted_usd: u8,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.to_string());
        number.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// Four decimals: what a reader can use.
pub(super) fn figure(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
pub(super) fn figure32(value: f32) -> f64 {
    figure(f64::from(value))
}
pub(super) fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

impl Plan {
    /// The object of routing.md § 2.5 for a finished request.
    pub fn routing_json(
        &self,
        catalog: &Catalog,
        table: &Table,
        attempts: &[AttemptSeen],
    ) -> Vec<u8> {
        let rules = Rules::default();
        let world = World { catalog, table, rules: &rules };
        let (task, confidence) = self.typing.top_with_confidence();
        let first = self.attempts.first();
        let told = Routing {
            task: task.name(),
            confidence: figure32(confidence),
            difficulty: figure32(self.typing.difficulty),
            score: figure(first.map_or(0.0, |first| first.score)),
            why: first.map(|first| self.why(first)).unwrap_or_default(),
            plan: self.attempts.iter().map(|attempt| at_effort(&world, attempt)).collect(),
            attempts: attempts.iter().map(|seen| attempt(&world, seen)).collect(),
            considered: self.considered,
            rejected: self.rejected.iter().copied().collect(),
            runner_up: self.runner_up.as_ref().map(|other| RunnerUpTold {
                model: catalog.offer_name(other.offer),
                score: figure(other.score),
                why_not: why_not(other.quality_under, other.dearer_percent),
            }),
            session: self.session.name(),
            explored: false,
            propensity: 1.0,
            hedge: Hedge { sent: false, won: false, wasted_usd: 0 },
            output_cap: first.and_then(|first| first.output_cap),
            weights: "prior",
            catalog: &catalog.digest,
        };
        serde_json::to_vec(&told).unwrap_or_default()
    }

    /// One sentence on why an attempt stands where it stands.
    pub fn why(&self, attempt: &Attempt) -> String {
        let reasons = Reasons {
            mode: self.mode,
            task: self.typing.top(),
            considered: self.considered,
            floor: self.floor,
            pinned: self.pinned,
            panic: self.panic,
        };
        reasons.sentence(attempt)
    }
}

impl Weighed<'_> {
    pub(super) fn why(&self, attempt: &Attempt) -> String {
        let reasons = Reasons {
            mode: self.wish.mode,
            task: self.typing.top(),
            considered: self.survey.considered,
            floor: self.order.floor,
            pinned: self.wish.is_pinned(),
            panic: self.survey.panic,
        };
        reasons.sentence(attempt)
    }
}

/// The figures that a sentence is built from.
struct Reasons {
    mode: Mode,
    task: Task,
    considered: u32,
    floor: f32,
    pinned: bool,
    panic: bool,
}

impl Reasons {
    fn sentence(&self, attempt: &Attempt) -> String {
        let (task, of) = (self.task.name(), self.considered);
        let text = match attempt.why {
            Why::HeldHard => "the session's model: inside a tool loop or its reasoning".to_owned(),
            Why::Held => "the session's model: moving would cost more than it gains".to_owned(),
            Why::SameModel => "the same model at another provider".to_owned(),
            Why::Next => format!("next in {} order, at another provider", self.mode.name()),
            Why::First | Why::Drawn if self.pinned => "pinned to the named model".to_owned(),
            Why::First | Why::Drawn => match self.mode {
                Mode::Cost => format!("cheapest of {of} with {task} ≥ {:.1}", self.floor),
                Mode::Quality => format!("best {task} of {of}: {:.1}", attempt.quality),
                Mode::Speed => format!(
                    "fastest of {of}: about {} ms to the first token, {} ms in all",
                    attempt.expected_ttft_ms, attempt.expected_ms
                ),
                Mode::Balanced => format!(
                    "best balance of quality and cost of {of}: {task} {:.1} at {} USD",
                    attempt.quality, attempt.expected
                ),
            },
        };
        let drawn = if attempt.why == Why::Drawn { "; endpoint drawn by load" } else { "" };
        let panic = if self.panic { "; breakers ignored, too few endpoints left" } else { "" };
        format!("{text}{drawn}{panic}")
    }
}

fn why_not(quality_under: f32, dearer_percent: f64) -> String {
    let quality = if quality_under >= 0.05 {
        format!("{quality_under:.1} points under")
    } else if quality_under <= -0.05 {
        format!("{:.1} points over", -quality_under)
    } else {
        "as good".to_owned()
    };
    format!("{quality}, {}", percent_words(dearer_percent))
}

fn at_effort(world: &World<'_>, attempt: &Attempt) -> String {
    let (provider, model) = names(world, attempt.offer);
    match attempt.effort {
        Some(effort) => format!("{provider}/{model}@{}", Effort::name(effort)),
        None => format!("{provider}/{model}"),
    }
}

fn attempt<'a>(world: &World<'a>, seen: &AttemptSeen) -> AttemptTold<'a> {
    let (provider, model) = names(world, seen.offer);
    AttemptTold { provider, model, outcome: seen.outcome, status: seen.status, ms: seen.ms }
}

fn percent_words(dearer: f64) -> String {
    if dearer.abs() < 0.5 {
        "at the same cost".to_owned()
    } else if dearer > 0.0 {
        format!("{dearer:.0} % dearer")
    } else {
        format!("{:.0} % cheaper", -dearer)
    }
}
