//! Decides the shape of a routing question and of its answer.
//! Does not score (score.rs) or order (rank.rs).

use crate::catalog::{Effort, OfferKind, Script, Task};
use crate::envelope::Scan;
use crate::id::RequestId;
use crate::money::Usd;

/// What a request is optimised for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    Cost,
    Quality,
    Speed,
    #[default]
    Balanced,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Cost, Self::Quality, Self::Speed, Self::Balanced];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Quality => "quality",
            Self::Speed => "speed",
            Self::Balanced => "balanced",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Allow and deny patterns: exact name, alias, `provider/model`, or one trailing `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

/// The `p402` field and its header twins, checked (routing.md § 2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the door asks for; not the client's to say.
    pub kind: OfferKind,
    pub mode: Option<Mode>,
    /// `None` = auto.
    pub task: Option<Task>,
    pub models: Lists,
    pub providers: Lists,
    pub pin: bool,
    pub max_cost: Option<Usd>,
    pub max_latency_ms: Option<u64>,
    pub explain: bool,
    pub session_id: Option<String>,
    /// As it was written: `cache::wish` reads it.
    pub cache: Option<Said>,
    pub cost_details: bool,
}

/// A key's value that routing does not read itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Raw JSON.
    Body(String),
    Header(String),
}

/// One routing question: a scanned body, its options and its tenant.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub request: RequestId,
    pub tenant: &'a str,
    pub body: &'a [u8],
    pub scan: &'a Scan,
    pub options: &'a Options,
}

/// One step of a plan: an offer at an effort, with everything dispatch and settle need.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Index into `Catalog::offers`.
    pub offer: usize,
    /// The effort P402 sends; `None` leaves the request's own (or nothing).
    pub effort: Option<Effort>,
    /// Index of the arm in the `Table` this plan was made with.
    pub arm: u32,
    /// What the mode ranked it by: quality points, or the balanced score.
    pub score: f64,
    /// Expected quality on the request's mix of tasks, 0–100.
    pub quality: f32,
    /// Estimated input in this offer's own tokens, before calibration.
    pub input_tokens: u64,
    /// The bound of it that the claim uses.
    pub input_bound: u64,
    pub expected: Usd,
    /// Bound of this attempt's bill: input bound + output bound at the dearest reading.
    pub claim: Usd,
    pub expected_ttft_ms: u64,
    pub expected_ms: u64,
    /// To the first content byte (stream) or to the whole answer (not stream).
    pub deadline_ms: u64,
    /// Output tokens of one choice that the claim covers.
    pub output_bound: u64,
    /// Output tokens sent upstream as the bound, where P402 sets or clamps it.
    pub output_cap: Option<u64>,
    /// Why it stands at this place; `Why::sentence` puts it into words on demand.
    pub why: Why,
}

/// Why an attempt stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The mode's first choice.
    First,
    /// The session's model: inside a tool loop or bound to its reasoning state.
    HeldHard,
    /// The session's model: moving would cost more than it gains.
    Held,
    /// Drawn by load among the endpoints of one model.
    Drawn,
    /// The same model at another provider.
    SameModel,
    /// The next one in the mode's order.
    Next,
}

/// What the task reader said.
#[derive(Clone, Debug, PartialEq)]
pub struct Typing {
    pub probabilities: [f32; 9],
    pub difficulty: f32,
    pub source: TypingSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypingSource {
    Field,
    Structure,
    Model,
    Session,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    None,
    New,
    Held,
    Moved,
}

/// An ordered, bounded list of attempts and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub mode: Mode,
    pub pinned: bool,
    pub typing: Typing,
    pub session: SessionState,
    /// Why the session moved or was held, in words.
    pub session_why: &'static str,
    /// What served the session's previous turn: its offer, and how many input tokens are warm.
    pub warm: Option<(usize, u64)>,
    pub attempts: Vec<Attempt>,
    /// What the name resolved to: the baseline of `direct_cost`; `None` = the served offer.
    pub baseline: Option<usize>,
    /// The client's model name is known to the catalogue (or free: `auto`, empty).
    pub requested_known: bool,
    pub considered: u32,
    /// (reason, how many offers), first reason found per offer.
    pub rejected: Vec<(&'static str, u32)>,
    pub runner_up: Option<RunnerUp>,
    /// Estimated input tokens, and the bound used for claims.
    pub input_tokens: u64,
    pub input_bound: u64,
    /// What kind of text the request is, for the estimate.
    pub script: Script,
    /// Counts reloads: what a plan of an older catalogue meets is not this one's business.
    pub epoch: u32,
    /// Breakers were ignored because too few endpoints were left.
    pub panic: bool,
    /// Cost mode's quality floor for this mix of tasks.
    pub floor: f32,
    /// Notes for `x-p402-warnings`.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RunnerUp {
    pub offer: usize,
    pub score: f64,
    /// Points of quality it is under (positive) or over the first attempt.
    pub quality_under: f32,
    /// Percent it is dearer than the first attempt; negative = cheaper.
    pub dearer_percent: f64,
}

impl Typing {
    /// The most probable task and its probability.
    pub fn top_with_confidence(&self) -> (Task, f32) {
        let mut best = (Task::Chat, f32::NEG_INFINITY);
        for (task, p) in Task::ALL.into_iter().zip(self.probabilities) {
            if p > best.1 {
                best = (task, p);
            }
        }
        best
    }
    pub fn top(&self) -> Task {
        self.top_with_confidence().0
    }
    /// The header's value: `coding;c=0.82`.
    pub fn header(&self) -> String {
        let (task, confidence) = self.top_with_confidence();
        format!("{};c={confidence:.2}", task.name())
    }
}

impl TypingSource {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Structure => "structure",
            Self::Model => "model",
            Self::Session => "session",
        }
    }
}

impl SessionState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::New => "new",
            Self::Held => "held",
            Self::Moved => "moved",
        }
    }
}
