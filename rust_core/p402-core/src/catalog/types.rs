//! Decides the shape of the catalogue in memory: providers, offers, prices, capability.
//! Does not parse (load.rs), price (price.rs) or resolve names (resolve.rs).

use super::kind::OfferKind;
use super::resolve::Names;
use super::task::Effort;
use crate::money::{Rate, Usd};
use crate::time::{Day, Timestamp};
pub use crate::usage::UsageShape;
use std::sync::Arc;

/// What kind of hardware an offer runs on; the first three are dedicated inference hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hardware {
    Lpu,
    Wse,
    Rdu,
    /// `hardware = "inference"` of an operator's config.
    Inference,
    Tpu,
    GpuTuned,
    Mixed,
    #[default]
    Unknown,
}

impl Hardware {
    pub const fn dedicated(self) -> bool {
        matches!(self, Self::Lpu | Self::Wse | Self::Rdu | Self::Inference)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    FirstParty,
    Hyperscaler,
    InferenceHardware,
    InferenceHost,
    Aggregator,
    Subscription,
    Local,
    Sandbox,
    /// Declared by the operator's config.
    Config,
}

/// The wire language of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectName {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
    None,
}

impl DialectName {
    /// Whether P402 speaks it: its bytes pass, or a codec translates.
    pub const fn is_spoken(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// How a key is shown to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    Bearer,
    BearerOptional,
    None,
    /// A header of this name holds the bare key (`x-api-key`, `api-key`, …).
    Header(&'static str),
    /// Signed with Amazon's signature version 4, or a bearer token in its place.
    SigV4,
    /// oauth2, exchange: not routed in this release.
    Unsupported,
}

/// Vendor quirks as typed data (catalog.md § 6); defaults are OpenAI's own behaviour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Quirks {
    /// Sends `max_completion_tokens` where true, `max_tokens` where false.
    pub max_completion_tokens: bool,
    /// `developer` instead of `system` is the upstream's own role name (both are accepted there).
    pub developer_role: bool,
    /// Top-level request fields the upstream refuses and that are cut (`store`, `logprobs`, …).
    pub drop: Vec<Box<str>>,
    pub stream_usage: StreamUsage,
    pub usage_shape: UsageShape,
    pub reasoning_control: ReasoningControl,
    /// Calls are taken back with the thoughts before them alone.
    pub echo_reasoning: bool,
    pub tool_choice: ToolChoiceSupport,
    pub tool_id_alnum9: bool,
    /// Highest temperature in tenths (20 = 2.0).
    pub temperature_max_tenths: Option<u8>,
    /// `random_seed` instead of `seed`.
    pub random_seed: bool,
    /// A request without an output bound is refused.
    pub max_tokens_required: bool,
    /// Two messages of one role in a row are refused.
    pub roles_alternate: bool,
    pub no_tools: bool,
    /// Knows custom tools and a choice among some tools.
    pub custom_tools: bool,
    pub affinity_header: Option<Box<str>>,
    pub reported_cost: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamUsage {
    #[default]
    OptIn,
    Always,
    Never,
}

/// Which request field steers thinking (catalog.md § 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningControl {
    #[default]
    Effort,
    ThinkingType,
    EnableThinking,
    ThinkingBudget,
    ReasoningObject,
    ReasoningEnabled,
    ChatTemplateArgs,
    AdaptiveOnly,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolChoiceSupport {
    #[default]
    Full,
    AutoNone,
    AnyForRequired,
    NoRequired,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub id: Arc<str>,
    pub kind: ProviderKind,
    pub dialect: DialectName,
    /// Without trailing slash; the chat address is this + `/chat/completions`.
    pub base_url: Box<str>,
    pub auth: Auth,
    /// Environment variables that may hold the key (any one of them, or all with `env_all`).
    pub env: Vec<Box<str>>,
    pub env_all: bool,
    pub hardware: Hardware,
    pub routable: bool,
    pub quirks: Quirks,
}

/// A set of input kinds; text is always understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Modalities {
    pub image: bool,
    pub audio: bool,
    pub file: bool,
    pub video: bool,
}

/// Rates of one band, per token. `above` is strict: the band holds for totals greater than it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Band {
    pub above: u64,
    pub input: Rate,
    pub output: Rate,
    pub cache_read: Option<Rate>,
    pub cache_write: Option<Rate>,
    pub cache_write_1h: Option<Rate>,
    pub reasoning: Option<Rate>,
}

/// Prices valid from an instant on, until a later row begins.
#[derive(Clone, Debug, Default)]
pub struct PriceRow {
    /// `Timestamp::BEGINNING` where the file says nothing.
    pub from: Timestamp,
    /// Sorted by `above`, the first one at 0.
    pub bands: Vec<Band>,
    /// Rates outside the peak of the offer's window.
    pub off: Vec<Band>,
    /// A flat fee per request.
    pub per_request: Usd,
    /// (service tier, bands): flex, priority, fast.
    pub service: Vec<(Box<str>, Vec<Band>)>,
}

/// Hours of peak price and the calendar they follow (price_windows).
#[derive(Clone, Debug)]
pub struct Window {
    pub id: Box<str>,
    pub periods: Vec<WindowPeriod>,
}

#[derive(Clone, Debug)]
pub struct WindowPeriod {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    /// UTC minutes of day, start inclusive, end exclusive.
    pub peak: Vec<(u16, u16)>,
    /// ISO weekdays 1–7 as a bit set (bit 1 = Monday) on the calendar at `offset_min`.
    pub days: u8,
    pub offset_min: i32,
    /// Days on that calendar without a peak.
    pub holidays: Vec<Day>,
    /// Last day the holiday table covers.
    pub covers_to: Option<Day>,
}

/// One row of measured quality: scores on LiveBench's scale and the share of evidence present.
#[derive(Clone, Debug)]
pub struct Capability {
    pub model: Box<str>,
    pub effort: CapabilityEffort,
    pub scores: [f32; 9],
    pub conf: [f32; 9],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CapabilityEffort {
    /// The strongest measured variant.
    Best,
    At(Effort),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityMatch {
    Exact,
    Variant,
    Family,
    PriceBand,
    /// `capability = 80` of an operator's config: counts as measured.
    Config,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    Agree,
    Single,
    Disputed,
    Stale,
    Config,
}

/// Which efforts an offer accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Efforts {
    /// Bit `1 << Effort as u8` for each accepted effort word.
    pub words: u8,
    /// Thinking can be switched on and off.
    pub toggle: bool,
    /// A token budget is accepted.
    pub budget: bool,
}

/// A provider's model: the unit of price, eligibility and dispatch.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Offer {
    /// Index into `Catalog::providers`.
    pub provider: usize,
    pub kind: OfferKind,
    /// The id P402 shows and resolves (`provider/model`).
    pub model: Arc<str>,
    /// The id the upstream is asked for.
    pub upstream_id: Box<str>,
    /// The model whatever the host.
    pub canonical: Box<str>,
    /// First-party home of its canonical model.
    pub home: bool,
    pub context: u64,
    pub max_input: Option<u64>,
    pub max_output: Option<u64>,
    pub input: Modalities,
    pub tools: bool,
    pub structured: bool,
    pub reasoning: bool,
    pub efforts: Efforts,
    /// Provider quirks with the offer's own flags laid over them.
    pub quirks: Quirks,
    pub prices: Vec<PriceRow>,
    /// Index into `Catalog::windows`.
    pub window: Option<usize>,
    /// Indices into `Catalog::capabilities`: every row of its capability model, `best` first.
    pub capability: Vec<usize>,
    pub capability_effort: Option<Effort>,
    pub capability_match: Option<CapabilityMatch>,
    /// Priors of speed (catalog.md § 8), without thinking: `Effort::thinking_ms` comes on top.
    pub ttft_ms: u32,
    pub tokens_per_s: u32,
    /// Declared free by the operator's config.
    pub free: bool,
    pub deprecates: Option<Box<str>>,
    pub source: Box<str>,
    pub as_of: Arc<str>,
    pub n_agree: u32,
    pub confidence: Confidence,
    /// Factor family of the token estimate (catalog.md § 10).
    pub tokenizer: Tokenizer,
}

/// Rows of the factor table of catalog.md § 10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    OpenAi,
    ClaudeTo46,
    ClaudeFrom47,
    Gemini,
    DeepSeek,
    #[default]
    Unknown,
}

/// Another name for an offer.
#[derive(Clone, Debug)]
pub struct Alias {
    pub name: Box<str>,
    /// Index into `Catalog::offers`.
    pub to: usize,
    pub next: Vec<usize>,
}

/// The whole catalogue. Offers are sorted by (provider id, model); indices are stable for its life.
#[derive(Debug, Default)]
pub struct Catalog {
    pub date: Box<str>,
    /// Eight hex digits naming this content (snapshot id in replies).
    pub digest: Box<str>,
    pub attributions: Vec<Box<str>>,
    pub providers: Vec<Provider>,
    pub windows: Vec<Window>,
    pub capabilities: Vec<Capability>,
    pub offers: Vec<Offer>,
    pub aliases: Vec<Alias>,
    /// The build date as an instant: list prices are those in force then or later.
    pub(super) built: Timestamp,
    pub(super) names: Names,
}

impl Confidence {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::Single => "single",
            Self::Disputed => "disputed",
            Self::Stale => "stale",
            Self::Config => "config",
        }
    }
}
