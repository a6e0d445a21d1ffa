//! Decides what was used: token counts normalised once, whatever shape an upstream reports.
//! Does not price them (catalog/price.rs).

use crate::money::Usd;
use serde::Deserialize;
use serde_json::value::RawValue;

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

/// How an upstream counts (catalog.md § 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageShape {
    #[default]
    OpenAi,
    AnthropicExclCache,
    GeminiExclThoughts,
    XaiExclReasoning,
    DeepseekHitMiss,
    OpenRouterCost,
    /// A codec's own rendering of `Usage`: OpenAI's object, both classes of cache writes named.
    Canonical,
}

/// What an upstream's `usage` object says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportedUsage {
    pub usage: Usage,
    /// The upstream's own bill, rounded up to the nano-dollar; whether it counts is settled later.
    pub reported_cost: Option<Usd>,
}

impl ReportedUsage {
    /// Zeros where counts were due: no prompt at all, or no output beside text that was delivered.
    pub const fn denies(&self, text_bytes: u64) -> bool {
        self.usage.input() == 0 || (self.usage.output == 0 && text_bytes > 0)
    }
}

/// Why a usage report is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageFault {
    /// Not a JSON object of the expected form.
    Malformed,
    /// Neither input nor output is stated.
    Absent,
    /// A count is negative, fractional, not a number or absurdly large.
    NotACount,
    /// Parts exceed their whole: cached tokens above the prompt.
    Contradiction,
}

impl UsageFault {
    /// Counts were stated that no request can have; the others state none.
    pub const fn is_absurd(self) -> bool {
        matches!(self, Self::NotACount | Self::Contradiction)
    }
}

/// No request of this world holds more tokens.
const TOKENS_MAX: u64 = 1_000_000_000_000;
/// xAI reports its bill in ticks of 10⁻¹⁰ dollars.
const TICKS_PER_NANO: u64 = 10;

impl Usage {
    /// All prompt tokens: what `input_tokens` of `p402_metadata` says.
    pub const fn input(&self) -> u64 {
        self.fresh
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
            .saturating_add(self.cache_write_1h)
    }

    /// Both together, class by class.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            fresh: self.fresh.saturating_add(other.fresh),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }
}

/// Reads the bytes of a `usage` object in the shape its provider speaks.
pub fn read_usage(json: &[u8], shape: UsageShape) -> Result<ReportedUsage, UsageFault> {
    let usage = match shape {
        UsageShape::AnthropicExclCache => anthropic(&parse(json)?)?,
        UsageShape::GeminiExclThoughts => gemini(&parse(json)?)?,
        UsageShape::OpenAi
        | UsageShape::XaiExclReasoning
        | UsageShape::DeepseekHitMiss
        | UsageShape::OpenRouterCost
        | UsageShape::Canonical => {
            let report: OpenAi = parse(json)?;
            let usage = openai(&report, shape)?;
            return Ok(ReportedUsage { usage, reported_cost: report.cost() });
        }
    };
    Ok(ReportedUsage { usage, reported_cost: None })
}

type Count<'a> = Option<&'a RawValue>;

/// The OpenAI object with the fields its look-alikes add.
#[derive(Deserialize)]
struct OpenAi<'a> {
    #[serde(borrow)]
    prompt_tokens: Count<'a>,
    #[serde(borrow)]
    completion_tokens: Count<'a>,
    #[serde(borrow)]
    total_tokens: Count<'a>,
    #[serde(borrow)]
    prompt_tokens_details: Option<PromptDetails<'a>>,
    #[serde(borrow)]
    completion_tokens_details: Option<CompletionDetails<'a>>,
    /// Moonshot states the cached part here.
    #[serde(borrow)]
    cached_tokens: Count<'a>,
    #[serde(borrow)]
    prompt_cache_hit_tokens: Count<'a>,
    #[serde(borrow)]
    prompt_cache_miss_tokens: Count<'a>,
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
    #[serde(borrow)]
    cost_in_usd_ticks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the wire's own names")]
struct PromptDetails<'a> {
    #[serde(borrow)]
    cached_tokens: Count<'a>,
    #[serde(borrow)]
    cache_write_tokens: Count<'a>,
    #[serde(borrow)]
    cache_write_1h_tokens: Count<'a>,
}

#[derive(Deserialize)]
struct CompletionDetails<'a> {
    #[serde(borrow)]
    reasoning_tokens: Count<'a>,
}

/// Perplexity's bill is an object.
#[derive(Deserialize)]
struct CostObject<'a> {
    #[serde(borrow)]
    total_cost: &'a RawValue,
}

#[derive(Deserialize)]
struct Anthropic<'a> {
    #[serde(borrow)]
    input_tokens: Count<'a>,
    #[serde(borrow)]
    output_tokens: Count<'a>,
    #[serde(borrow)]
    cache_read_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation_input_tokens: Count<'a>,
    #[serde(borrow)]
    cache_creation: Option<CacheCreation<'a>>,
    /// The passes that made up the answer; the counts beside them leave out some that are billed.
    #[serde(borrow)]
    iterations: Option<Vec<Anthropic<'a>>>,
}

#[derive(Deserialize)]
struct CacheCreation<'a> {
    #[serde(borrow)]
    ephemeral_1h_input_tokens: Count<'a>,
    #[serde(borrow)]
    ephemeral_5m_input_tokens: Count<'a>,
}

#[derive(Deserialize)]
struct Gemini<'a> {
    #[serde(borrow, rename = "promptTokenCount")]
    prompt: Count<'a>,
    #[serde(borrow, rename = "cachedContentTokenCount")]
    cached: Count<'a>,
    #[serde(borrow, rename = "candidatesTokenCount")]
    candidates: Count<'a>,
    #[serde(borrow, rename = "thoughtsTokenCount")]
    thoughts: Count<'a>,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, UsageFault> {
    serde_json::from_slice(json).map_err(|_| UsageFault::Malformed)
}

/// A whole number; `None` where absent or null.
fn count(raw: Count) -> Result<Option<u64>, UsageFault> {
    let Some(raw) = raw else { return Ok(None) };
    let read = raw.get().parse::<u64>().ok().filter(|tokens| *tokens <= TOKENS_MAX);
    read.map(Some).ok_or(UsageFault::NotACount)
}

/// The prompt and completion counts; a report that has neither reports nothing.
fn both(input: Count, output: Count) -> Result<(u64, u64), UsageFault> {
    match (count(input)?, count(output)?) {
        (None, None) => Err(UsageFault::Absent),
        (input, output) => Ok((input.unwrap_or(0), output.unwrap_or(0))),
    }
}

fn openai(report: &OpenAi, shape: UsageShape) -> Result<Usage, UsageFault> {
    let prompt = match (report.prompt_tokens, shape) {
        // DeepSeek's hits and misses are the prompt.
        (None, UsageShape::DeepseekHitMiss) => None,
        (raw, _) => Some(both(raw, report.completion_tokens)?.0),
    };
    let completion = count(report.completion_tokens)?.unwrap_or(0);
    let details = report.prompt_tokens_details.as_ref();
    let nested = count(details.and_then(|details| details.cached_tokens))?;
    let beside = count(report.cached_tokens)?;
    let hit = count(report.prompt_cache_hit_tokens)?;
    let miss = count(report.prompt_cache_miss_tokens)?;
    let cache_read = match shape {
        UsageShape::DeepseekHitMiss => hit.or(nested),
        _ => nested.or(beside),
    }
    .unwrap_or(0);
    let (cache_write, cache_write_1h) = written(details, shape)?;
    let fresh = match (prompt, miss) {
        (Some(prompt), _) => prompt
            .checked_sub(cache_read)
            .and_then(|rest| rest.checked_sub(cache_write))
            .and_then(|rest| rest.checked_sub(cache_write_1h))
            .ok_or(UsageFault::Contradiction)?,
        (None, Some(miss)) => miss,
        (None, None) if hit.is_none() && report.completion_tokens.is_none() => {
            return Err(UsageFault::Absent);
        }
        (None, None) => 0,
    };
    let (output, reasoning) = output(report, shape, completion)?;
    Ok(Usage { fresh, cache_read, cache_write, cache_write_1h, output, reasoning })
}

/// Cache writes for five minutes and for an hour, where the shape names them.
fn written(details: Option<&PromptDetails>, shape: UsageShape) -> Result<(u64, u64), UsageFault> {
    if !matches!(shape, UsageShape::OpenRouterCost | UsageShape::Canonical) {
        return Ok((0, 0));
    }
    let short = count(details.and_then(|details| details.cache_write_tokens))?.unwrap_or(0);
    let long = count(details.and_then(|details| details.cache_write_1h_tokens))?.unwrap_or(0);
    Ok((short, long))
}

/// (all output, its reasoning part). Where reasoning may stand beside the completion, the total
/// tells; a completion smaller than its own reasoning cannot hold it.
fn output(report: &OpenAi, shape: UsageShape, completion: u64) -> Result<(u64, u64), UsageFault> {
    let details = report.completion_tokens_details.as_ref();
    let reasoning = count(details.and_then(|details| details.reasoning_tokens))?.unwrap_or(0);
    let prompt = count(report.prompt_tokens)?.unwrap_or(0);
    let total = count(report.total_tokens)?;
    let beside = match (shape, total) {
        (UsageShape::XaiExclReasoning, Some(total)) => total != prompt + completion,
        (UsageShape::XaiExclReasoning, None) => true,
        (_, Some(total)) => reasoning > completion && total == prompt + completion + reasoning,
        (_, None) => false,
    };
    let all = if beside { completion + reasoning } else { completion };
    Ok((all, reasoning.min(all)))
}

impl OpenAi<'_> {
    /// The bill the upstream states; one that does not read is no bill.
    fn cost(&self) -> Option<Usd> {
        if let Some(ticks) = self.cost_in_usd_ticks {
            let ticks = ticks.get().parse::<u64>().ok()?;
            return i64::try_from(ticks.div_ceil(TICKS_PER_NANO)).ok().map(Usd::from_nano);
        }
        let text = self.cost?.get();
        let nested: Option<CostObject> = serde_json::from_str(text).ok();
        let text = nested.map_or(text, |cost| cost.total_cost.get());
        Usd::parse_rounding_up(text.trim_matches('"')).ok()
    }
}

fn anthropic(report: &Anthropic) -> Result<Usage, UsageFault> {
    match report.iterations.as_deref() {
        None | Some([]) => anthropic_pass(report),
        Some(passes) => passes.iter().try_fold(Usage::default(), |sum, pass| {
            anthropic_pass(pass).map(|usage| sum.plus(&usage))
        }),
    }
}

fn anthropic_pass(report: &Anthropic) -> Result<Usage, UsageFault> {
    let (fresh, output) = both(report.input_tokens, report.output_tokens)?;
    let cache_read = count(report.cache_read_input_tokens)?.unwrap_or(0);
    let written = count(report.cache_creation_input_tokens)?;
    let split = report.cache_creation.as_ref();
    let short = count(split.and_then(|split| split.ephemeral_5m_input_tokens))?.unwrap_or(0);
    let cache_write_1h =
        count(split.and_then(|split| split.ephemeral_1h_input_tokens))?.unwrap_or(0);
    let written = written.unwrap_or(short + cache_write_1h);
    if short + cache_write_1h > written {
        return Err(UsageFault::Contradiction);
    }
    // Whatever the split does not name was written for five minutes.
    let cache_write = written - cache_write_1h;
    Ok(Usage { fresh, cache_read, cache_write, cache_write_1h, output, reasoning: 0 })
}

fn gemini(report: &Gemini) -> Result<Usage, UsageFault> {
    let (prompt, answer) = both(report.prompt, report.candidates)?;
    let cache_read = count(report.cached)?.unwrap_or(0);
    let reasoning = count(report.thoughts)?.unwrap_or(0);
    let fresh = prompt.checked_sub(cache_read).ok_or(UsageFault::Contradiction)?;
    Ok(Usage { fresh, cache_read, output: answer + reasoning, reasoning, ..Usage::default() })
}
