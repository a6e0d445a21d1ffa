//! Decides the body of a generateContent request: bounds, sampling, tools, format, thinking.
//! Does not lay out the transcript (turns.rs).

use super::turns::{Piece, Transcript, Turn};
use crate::catalog::Effort;
use crate::chat::{Request, ToolChoice};
use crate::dialect::ask::{answer_schema, functions, one_choice, written};
use crate::dialect::translate::{Dropped, Target, Unsaid};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Instruction<'a>>,
    contents: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: Generation<'a>,
}

#[derive(Serialize)]
struct Instruction<'a> {
    parts: Vec<Piece<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_function_names: Vec<&'a str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Mind>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mind {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_thoughts: bool,
}

/// The body and the names of what is not said.
pub(super) fn body(
    request: &Request<'_>,
    target: &Target<'_>,
) -> Result<(Vec<u8>, Vec<String>), Unsaid> {
    one_choice(request)?;
    let mut dropped = Dropped::default();
    let mut transcript = Transcript::read(request, target, &mut dropped)?;
    let declarations = declarations(request)?;
    let generation_config = generation(request, target, &mut dropped)?;
    let tool_config = (!declarations.is_empty()).then(|| tool_config(request)).flatten();
    let single = request.parallel_tool_calls == Some(false) && !declarations.is_empty();
    dropped.if_any("parallel_tool_calls", single);
    dropped.if_any("user", request.user.is_some());
    dropped.if_any("cache_control", request.marks_caches());
    request.rest.iter().for_each(|name| dropped.name(name));
    let system = Some(std::mem::take(&mut transcript.system)).filter(|parts| !parts.is_empty());
    let function_declarations = Some(declarations).filter(|list| !list.is_empty());
    let body = Body {
        system_instruction: system.map(|parts| Instruction { parts }),
        contents: transcript.contents()?,
        tools: function_declarations
            .map(|function_declarations| Tools { function_declarations })
            .into_iter()
            .collect(),
        tool_config,
        generation_config,
    };
    Ok((written(&body)?, dropped.0))
}

fn declarations<'a>(request: &'a Request<'_>) -> Result<Vec<Declaration<'a>>, Unsaid> {
    let mut list = Vec::with_capacity(request.tools.len());
    for (_, function) in functions(request)? {
        list.push(Declaration {
            name: &function.name,
            description: function.description.as_deref(),
            parameters_json_schema: function.parameters,
        });
    }
    Ok(list)
}

fn tool_config<'a>(request: &'a Request<'_>) -> Option<ToolConfig<'a>> {
    let calling = |mode, allowed_function_names| ToolConfig {
        function_calling_config: Calling { mode, allowed_function_names },
    };
    match request.tool_choice.as_ref()? {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(calling("NONE", Vec::new())),
        ToolChoice::Required => Some(calling("ANY", Vec::new())),
        ToolChoice::Function(name) => Some(calling("ANY", vec![name])),
    }
}

fn generation<'a>(
    request: &'a Request<'_>,
    target: &Target<'_>,
    dropped: &mut Dropped,
) -> Result<Generation<'a>, Unsaid> {
    let said = |text: &&str| !text.is_empty();
    let stop_sequences: Vec<&str> = request.stop.iter().map(|text| &**text).filter(said).collect();
    dropped.if_any("stop", stop_sequences.len() < request.stop.len());
    let kind = request.response_format.as_ref().map_or("text", |format| &*format.kind);
    let schema = answer_schema(request)?.map(|(_, schema)| schema);
    let keeps = !target.refuses("temperature");
    dropped.if_any("temperature", request.temperature.is_some() && !keeps);
    let thinking_config = thinking(request, target, dropped);
    // Thoughts count as output there: a bound that was meant for the answer is raised by them.
    let thoughts = thinking_config.as_ref().and_then(|thinking| thinking.thinking_budget);
    let most = target.max_output.unwrap_or(u64::MAX);
    let raised = |bound: u64| bound.saturating_add(thoughts.unwrap_or(0)).min(most.max(bound));
    Ok(Generation {
        max_output_tokens: target.bound(request).map(raised),
        temperature: request.temperature.filter(|_| keeps),
        top_p: request.top_p,
        top_k: request.top_k,
        seed: request.seed,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        stop_sequences,
        response_mime_type: kind.starts_with("json").then_some("application/json"),
        response_json_schema: schema,
        thinking_config,
    })
}

/// A budget where the model counts, a level where it weighs; not every model can do without.
fn thinking(request: &Request<'_>, target: &Target<'_>, dropped: &mut Dropped) -> Option<Mind> {
    let effort = target.effort(request)?;
    let off = effort == Effort::None;
    let include_thoughts = !off;
    if let Some(budget) = target.efforts.thought_budget(effort) {
        dropped.if_any("reasoning_effort", off && budget > 0);
        let thinking_budget = Some(budget);
        return Some(Mind { thinking_budget, include_thoughts, ..Mind::default() });
    }
    let minimal = target.efforts.words & (1 << Effort::Minimal as u8) != 0;
    dropped.if_any("reasoning_effort", off);
    let level = match effort {
        Effort::None | Effort::Minimal if minimal => "minimal",
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::Max | Effort::Default => "high",
    };
    Some(Mind { thinking_level: Some(level), include_thoughts, ..Mind::default() })
}
