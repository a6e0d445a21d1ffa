//! Decides the body of a Messages request: bounds, sampling, tools, format, thinking.
//! Does not lay out the transcript (turns.rs).

use super::turns::{Block, Transcript};
use crate::catalog::{Effort, ReasoningControl};
use crate::chat::{Request, ToolChoice};
use crate::dialect::ask::{
    ONLY_JSON, answer_schema, functions, one_choice, parameters, wants_json_object, written,
};
use crate::dialect::translate::{Dropped, Target, Unsaid};
use crate::dialect::turns::Written;
use serde::Serialize;
use serde_json::value::RawValue;

/// The least that may be asked for as a thinking budget.
const BUDGET_MIN: u64 = 1_024;
/// Stands where neither client, rules nor catalogue know a bound: every current model writes it.
const MAX_TOKENS_UNKNOWN: u64 = 32_000;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Written<Block<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Definition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(flatten)]
    sampling: Sampling,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
}

#[derive(Serialize)]
struct Definition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Choice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(Default, Serialize)]
struct Sampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<serde_json::Number>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Thinking {
    Adaptive,
    Enabled { budget_tokens: u64 },
    Disabled,
}

#[derive(Default, Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// How hard the model is asked to think.
#[derive(Default)]
struct Mind {
    thinking: Option<Thinking>,
    effort: Option<&'static str>,
}

/// The body and the names of what is not said.
pub(super) fn body(
    request: &Request<'_>,
    target: &Target<'_>,
) -> Result<(Vec<u8>, Vec<String>), Unsaid> {
    one_choice(request)?;
    let mut dropped = Dropped::default();
    let mut transcript = Transcript::read(request, target.recall)?;
    dropped.if_any("messages.system", transcript.system_moved);
    let tools = definitions(request)?;
    let tool_choice = tool_choice(request, !tools.is_empty());
    let known = target.max_output.unwrap_or(MAX_TOKENS_UNKNOWN);
    let max_tokens = target.bound(request).unwrap_or(known);
    let forced = tool_choice.as_ref().is_some_and(|choice| matches!(choice.r#type, "any" | "tool"));
    let silenced = forced || transcript.thoughts_lost;
    let mind = mind(request, target, (max_tokens, silenced), &mut dropped);
    let output_config = OutputConfig { effort: mind.effort, format: format(request)? };
    if wants_json_object(request) {
        transcript.system.push(Block::Text { text: ONLY_JSON.into(), cache_control: None });
    }
    let thinks = !matches!(mind.thinking, None | Some(Thinking::Disabled));
    let sampling = sampling(request, target, thinks, &mut dropped);
    let said = |text: &&str| !text.trim().is_empty();
    let stops: Vec<&str> = request.stop.iter().map(|text| &**text).filter(said).collect();
    dropped.if_any("stop", stops.len() < request.stop.len());
    dropped.if_any("seed", request.seed.is_some());
    dropped.if_any("frequency_penalty", request.frequency_penalty.is_some());
    dropped.if_any("presence_penalty", request.presence_penalty.is_some());
    request.rest.iter().for_each(|name| dropped.name(name));
    let body = Body {
        model: target.model,
        max_tokens,
        stream: target.stream,
        system: std::mem::take(&mut transcript.system),
        messages: transcript.messages()?,
        tools,
        tool_choice,
        sampling,
        stop_sequences: stops,
        thinking: mind.thinking,
        output_config,
        metadata: target.user.map(|user_id| Metadata { user_id }),
    };
    Ok((written(&body)?, dropped.0))
}

fn definitions<'a>(request: &'a Request<'_>) -> Result<Vec<Definition<'a>>, Unsaid> {
    let mut list = Vec::with_capacity(request.tools.len());
    for (tool, function) in functions(request)? {
        list.push(Definition {
            name: &function.name,
            description: function.description.as_deref(),
            input_schema: parameters(function)?,
            strict: function.strict,
            cache_control: tool.cache_control,
        });
    }
    Ok(list)
}

fn tool_choice<'a>(request: &'a Request<'_>, has_tools: bool) -> Option<Choice<'a>> {
    if !has_tools {
        return None;
    }
    let single = request.parallel_tool_calls == Some(false);
    let choice = |kind, name| {
        let disable_parallel_tool_use = single && kind != "none";
        Some(Choice { r#type: kind, name, disable_parallel_tool_use })
    };
    match &request.tool_choice {
        Some(ToolChoice::None) => choice("none", None),
        Some(ToolChoice::Required) => choice("any", None),
        Some(ToolChoice::Function(name)) => choice("tool", Some(name)),
        Some(ToolChoice::Auto) | None if single => choice("auto", None),
        Some(ToolChoice::Auto) | None => None,
    }
}

fn format<'a>(request: &'a Request<'_>) -> Result<Option<Format<'a>>, Unsaid> {
    let asked = answer_schema(request)?;
    Ok(asked.map(|(_, schema)| Format { r#type: "json_schema", schema }))
}

/// Thinking by effort where the model weighs for itself, by a budget where it counts.
fn mind(
    request: &Request<'_>,
    target: &Target<'_>,
    (max_tokens, silenced): (u64, bool),
    dropped: &mut Dropped,
) -> Mind {
    const FIELD: &str = "reasoning_effort";
    let Some(effort) = target.effort(request) else { return Mind::default() };
    let always = target.quirks.reasoning_control == ReasoningControl::AdaptiveOnly;
    if silenced || effort == Effort::None {
        dropped.if_any(FIELD, silenced && effort != Effort::None);
        if always {
            dropped.if_any(FIELD, effort == Effort::None);
            return Mind::default();
        }
        return Mind { thinking: Some(Thinking::Disabled), effort: None };
    }
    if always || !target.efforts.budget {
        let effort = Some(word(effort));
        return Mind { thinking: Some(Thinking::Adaptive), effort };
    }
    // An answer must still fit behind the thoughts.
    let budget_tokens = budget(effort).min(max_tokens / 4 * 3);
    if budget_tokens < BUDGET_MIN {
        dropped.name(FIELD);
        return Mind { thinking: Some(Thinking::Disabled), effort: None };
    }
    Mind { thinking: Some(Thinking::Enabled { budget_tokens }), effort: None }
}

const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::Default => "high",
        Effort::Max => "max",
    }
}

const fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => BUDGET_MIN,
        Effort::Medium | Effort::Default => 8_192,
        Effort::High => 16_384,
        Effort::Max => 32_768,
    }
}

/// Temperature runs from 0 to 1 there, and only one of it and `top_p` is taken; a model that
/// thinks, or that the catalogue marks, takes none.
fn sampling(
    request: &Request<'_>,
    target: &Target<'_>,
    thinks: bool,
    dropped: &mut Dropped,
) -> Sampling {
    let number = |raw: Option<&RawValue>| -> Option<serde_json::Number> {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
    };
    let mut sampling = Sampling {
        temperature: number(request.temperature),
        top_p: number(request.top_p),
        top_k: number(request.top_k),
    };
    if thinks || target.refuses("temperature") {
        dropped.if_any("temperature", sampling.temperature.is_some());
        dropped.if_any("top_p", sampling.top_p.is_some());
        dropped.if_any("top_k", sampling.top_k.is_some());
        return Sampling::default();
    }
    if sampling.temperature.is_some() && sampling.top_p.take().is_some() {
        dropped.name("top_p");
    }
    if sampling.temperature.as_ref().and_then(serde_json::Number::as_f64).is_some_and(|t| t > 1.0) {
        sampling.temperature = Some(1.into());
    }
    sampling
}

impl OutputConfig<'_> {
    const fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}
