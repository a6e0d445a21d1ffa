//! Decides the body of a Converse request: bounds, sampling, tools, format, thinking.
//! Does not lay out the transcript (turns.rs).

use super::turns::{Block, CachePoint, Transcript};
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    messages: Vec<Written<Block<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    inference_config: Inference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Tool<'a> {
    ToolSpec(Spec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Schema<'a> {
    json: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Any {},
    Tool { name: &'a str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    text_format: TextFormat<'a>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    r#type: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: NamedSchema<'a>,
}

/// The schema stands there as a string.
#[derive(Serialize)]
struct NamedSchema<'a> {
    schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// The body and the names of what is not said.
pub(super) fn body(
    request: &Request<'_>,
    target: &Target<'_>,
) -> Result<(Vec<u8>, Vec<String>), Unsaid> {
    one_choice(request)?;
    let mut dropped = Dropped::default();
    // There is no way to say "call nothing": tools that must not be called are not named.
    let withheld = request.tool_choice == Some(ToolChoice::None);
    let tools = if withheld { Vec::new() } else { specs(request)? };
    let as_text = tools.is_empty() && request.has_tool_turns();
    let mut transcript = Transcript::read(request, target.recall, (as_text, &mut dropped))?;
    if wants_json_object(request) {
        transcript.system.push(Block::Text(ONLY_JSON.into()));
    }
    let tool_choice = if tools.is_empty() { None } else { tool_choice(request) };
    let max_tokens = target.bound(request);
    let silenced = tool_choice.is_some() || transcript.thoughts_lost;
    let extra = thinking(request, target, (max_tokens, silenced), &mut dropped);
    let inference_config = inference(request, target, extra.is_some(), &mut dropped);
    let inference_config = Inference { max_tokens, ..inference_config };
    let one = request.parallel_tool_calls == Some(false) && !tools.is_empty();
    dropped.if_any("parallel_tool_calls", one);
    dropped.if_any("user", request.user.is_some());
    request.rest.iter().for_each(|name| dropped.name(name));
    let body = Body {
        system: std::mem::take(&mut transcript.system),
        messages: transcript.messages()?,
        inference_config,
        tool_config: (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice }),
        output_config: output_config(request)?,
        additional_model_request_fields: extra,
    };
    Ok((written(&body)?, dropped.0))
}

fn specs<'a>(request: &'a Request<'_>) -> Result<Vec<Tool<'a>>, Unsaid> {
    let mut list = Vec::with_capacity(request.tools.len());
    for (tool, function) in functions(request)? {
        let json = parameters(function)?;
        list.push(Tool::ToolSpec(Spec {
            name: &function.name,
            description: function.description.as_deref().filter(|text| !text.is_empty()),
            input_schema: Schema { json },
            strict: function.strict,
        }));
        list.extend(tool.cache_control.map(|_| Tool::CachePoint(CachePoint::default())));
    }
    Ok(list)
}

fn tool_choice<'a>(request: &'a Request<'_>) -> Option<Choice<'a>> {
    match request.tool_choice.as_ref()? {
        ToolChoice::Auto | ToolChoice::None => None,
        ToolChoice::Required => Some(Choice::Any {}),
        ToolChoice::Function(name) => Some(Choice::Tool { name }),
    }
}

fn output_config<'a>(request: &'a Request<'_>) -> Result<Option<OutputConfig<'a>>, Unsaid> {
    let Some((named, schema)) = answer_schema(request)? else { return Ok(None) };
    let json_schema = NamedSchema { schema: schema.get(), name: named.name.as_deref() };
    let text_format = TextFormat { r#type: "json_schema", structure: Structure { json_schema } };
    Ok(Some(OutputConfig { text_format }))
}

fn inference<'a>(
    request: &'a Request<'_>,
    target: &Target<'_>,
    thinks: bool,
    dropped: &mut Dropped,
) -> Inference<'a> {
    let number = |raw: Option<&RawValue>| -> Option<serde_json::Number> {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
    };
    let (mut temperature, mut top_p) = (number(request.temperature), number(request.top_p));
    if thinks || target.refuses("temperature") {
        dropped.if_any("temperature", temperature.take().is_some());
        dropped.if_any("top_p", top_p.take().is_some());
    }
    if temperature.as_ref().and_then(serde_json::Number::as_f64).is_some_and(|t| t > 1.0) {
        temperature = Some(1.into());
    }
    if temperature.is_some() && claude(target) && top_p.take().is_some() {
        dropped.name("top_p");
    }
    let said = |text: &&str| !text.trim().is_empty();
    let stop_sequences: Vec<&str> = request.stop.iter().map(|text| &**text).filter(said).collect();
    dropped.if_any("stop", stop_sequences.len() < request.stop.len());
    dropped.if_any("top_k", request.top_k.is_some());
    dropped.if_any("seed", request.seed.is_some());
    dropped.if_any("frequency_penalty", request.frequency_penalty.is_some());
    dropped.if_any("presence_penalty", request.presence_penalty.is_some());
    Inference { max_tokens: None, temperature, top_p, stop_sequences }
}

fn claude(target: &Target<'_>) -> bool {
    target.model.contains("anthropic.")
}

/// Converse has no word for thinking: each maker's own fields ride beside its request.
fn thinking(
    request: &Request<'_>,
    target: &Target<'_>,
    (max_tokens, silenced): (Option<u64>, bool),
    dropped: &mut Dropped,
) -> Option<serde_json::Value> {
    let effort = target.effort(request)?;
    let always = target.quirks.reasoning_control == ReasoningControl::AdaptiveOnly;
    let off = effort == Effort::None;
    let word = match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::Default => "high",
        Effort::Max => "max",
    };
    if claude(target) {
        if silenced || off {
            dropped.if_any("reasoning_effort", if off { always } else { silenced });
            return None;
        }
        if always || !target.efforts.budget {
            let fields = serde_json::json!({"thinking": {"type": "adaptive"},
                "output_config": {"effort": word}});
            return Some(fields);
        }
        let most = max_tokens.unwrap_or(u64::MAX) / 4 * 3;
        let budget = budget(effort).min(most);
        if budget < BUDGET_MIN {
            dropped.name("reasoning_effort");
            return None;
        }
        return Some(serde_json::json!({"thinking":
            {"type": "enabled", "budget_tokens": budget}}));
    }
    let word = if word == "max" { "high" } else { word };
    let model = target.model;
    if model.contains("amazon.nova-2") && !off {
        return Some(serde_json::json!({"reasoningConfig":
            {"type": "enabled", "maxReasoningEffort": word}}));
    }
    let worded = ["openai.gpt-oss", "moonshot", "zai.glm"];
    if worded.iter().any(|maker| model.contains(maker)) && !off {
        return Some(serde_json::json!({"reasoning_effort": word}));
    }
    dropped.name("reasoning_effort");
    None
}

const fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => BUDGET_MIN,
        Effort::Medium | Effort::Default => 8_192,
        Effort::High => 16_384,
        Effort::Max => 32_768,
    }
}
