//! Decides the words in which an offer is turned down, and their order.
//! Does not judge an offer (eligible.rs).

/// Why an offer may not run; the first one found, in this order, is the one reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    NoKey,
    Disabled,
    NotAllowed,
    Denied,
    NotPinned,
    Kind,
    Unpriced,
    Stale,
    Unmeasured,
    Context,
    MaxOutput,
    Tools,
    ToolChoice,
    Grammar,
    JsonSchema,
    Logprobs,
    N,
    Reasoning,
    Effort,
    Vision,
    Audio,
    File,
    LocalUrl,
    Link,
    Prefill,
    ModalityOut,
    OverMaxCost,
    OverLatency,
    Cooling,
    BreakerOpen,
}

/// How many offers each reason turned down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally([u32; Reason::ALL.len()]);

impl Reason {
    pub const ALL: [Self; 30] = [
        Self::NoKey,
        Self::Disabled,
        Self::NotAllowed,
        Self::Denied,
        Self::NotPinned,
        Self::Kind,
        Self::Unpriced,
        Self::Stale,
        Self::Unmeasured,
        Self::Context,
        Self::MaxOutput,
        Self::Tools,
        Self::ToolChoice,
        Self::Grammar,
        Self::JsonSchema,
        Self::Logprobs,
        Self::N,
        Self::Reasoning,
        Self::Effort,
        Self::Vision,
        Self::Audio,
        Self::File,
        Self::LocalUrl,
        Self::Link,
        Self::Prefill,
        Self::ModalityOut,
        Self::OverMaxCost,
        Self::OverLatency,
        Self::Cooling,
        Self::BreakerOpen,
    ];

    /// The stable word of the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Disabled => "disabled",
            Self::NotAllowed => "not_allowed",
            Self::Denied => "denied",
            Self::NotPinned => "not_pinned",
            Self::Kind => "kind",
            Self::Unpriced => "unpriced",
            Self::Stale => "stale",
            Self::Unmeasured => "unmeasured",
            Self::Context => "context",
            Self::MaxOutput => "max_output",
            Self::Tools => "tools",
            Self::ToolChoice => "tool_choice",
            Self::Grammar => "grammar",
            Self::JsonSchema => "json_schema",
            Self::Logprobs => "logprobs",
            Self::N => "n",
            Self::Reasoning => "reasoning",
            Self::Effort => "effort",
            Self::Vision => "vision",
            Self::Audio => "audio",
            Self::File => "file",
            Self::LocalUrl => "local_url",
            Self::Link => "link",
            Self::Prefill => "prefill",
            Self::ModalityOut => "modality_out",
            Self::OverMaxCost => "over_max_cost",
            Self::OverLatency => "over_latency",
            Self::Cooling => "cooling",
            Self::BreakerOpen => "breaker_open",
        }
    }

    /// True for the two that panic mode lifts.
    pub const fn passing(self) -> bool {
        matches!(self, Self::Cooling | Self::BreakerOpen)
    }
}

impl Tally {
    pub(super) fn add(&mut self, reason: Reason, count: u32) {
        if let Some(cell) = self.0.get_mut(reason as usize) {
            *cell = cell.saturating_add(count);
        }
    }
    pub(super) fn join(&mut self, other: &Self) {
        for (cell, more) in self.0.iter_mut().zip(other.0) {
            *cell = cell.saturating_add(more);
        }
    }
    pub(super) fn of(&self, reason: Reason) -> u32 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }
    /// The reasons that occurred, in their order.
    pub(super) fn counts(&self) -> Vec<(&'static str, u32)> {
        Reason::ALL.into_iter().map(|r| (r.name(), self.of(r))).filter(|(_, n)| *n > 0).collect()
    }
    /// The latest reason in order: the constraint that removed the last candidate.
    pub(super) fn last(&self) -> Option<Reason> {
        Reason::ALL.into_iter().rev().find(|reason| self.of(*reason) > 0)
    }
}
