//! Decides what each quirk flag of the catalogue means: `name` or `name=value` into `Quirks`.
//! Does not guess: an unknown flag or value is an error, since a typo must not weaken a request.

use super::types::{Quirks, ReasoningControl, StreamUsage, ToolChoiceSupport, UsageShape};

/// What a `drop` flag may name: request fields, and two shapes inside them.
const DROPPABLE: [&str; 19] = [
    "assistant_name",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "metadata",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "store",
    "strict",
    "temperature",
    "top_logprobs",
    "top_p",
    "unknown",
    "user",
];

/// Lays flags over quirks; later ones win, `drop` adds to what is there.
pub(super) fn apply(quirks: &mut Quirks, flags: &[Box<str>]) -> Result<(), String> {
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        let known = set_word(quirks, name, value) || set_switch(quirks, name, value);
        if !known {
            return Err(format!("unknown flag {flag:?}"));
        }
    }
    Ok(())
}

/// Flags that pick one of several words; false where name or value is unknown.
fn set_word(quirks: &mut Quirks, name: &str, value: &str) -> bool {
    match (name, value) {
        ("max_tokens_field", "max_tokens") => quirks.max_completion_tokens = false,
        ("max_tokens_field", "max_completion_tokens") => quirks.max_completion_tokens = true,
        ("system_role", "system") => quirks.developer_role = false,
        ("system_role", "developer") => quirks.developer_role = true,
        ("drop", fields) => return add_drops(&mut quirks.drop, fields),
        ("stream_usage", word) => return set(&mut quirks.stream_usage, stream_usage(word)),
        ("usage_shape", word) => return set(&mut quirks.usage_shape, usage_shape(word)),
        ("reasoning_control", word) => {
            return set(&mut quirks.reasoning_control, reasoning_control(word));
        }
        ("tool_choice", word) => return set(&mut quirks.tool_choice, tool_choice(word)),
        ("tool_id", "any") => quirks.tool_id_alnum9 = false,
        ("tool_id", "alnum9") => quirks.tool_id_alnum9 = true,
        ("temperature_max", "1") => quirks.temperature_max_tenths = Some(10),
        ("temperature_max", "2") => quirks.temperature_max_tenths = None,
        ("seed_field", "seed") => quirks.random_seed = false,
        ("seed_field", "random_seed") => quirks.random_seed = true,
        ("affinity_header", header) if is_header(header) => {
            quirks.affinity_header = Some(header.to_ascii_lowercase().into());
        }
        // The decoder accepts an empty choices list wherever it stands.
        ("empty_choices", "first" | "final") => {}
        _ => return false,
    }
    true
}

/// Flags that are on or off; false where the name is unknown.
fn set_switch(quirks: &mut Quirks, name: &str, value: &str) -> bool {
    let on = match value {
        "true" => true,
        "false" => false,
        _ => return false,
    };
    match name {
        "echo_reasoning" => quirks.echo_reasoning = on,
        "max_tokens_required" => quirks.max_tokens_required = on,
        "roles_alternate" => quirks.roles_alternate = on,
        "no_tools" => quirks.no_tools = on,
        "custom_tools" => quirks.custom_tools = on,
        "reported_cost" => quirks.reported_cost = on,
        // The decoder reads errors inside a stream and skips comments whoever sends them; what an
        // upstream calls a model, its deployment or backend, is the offer's own id.
        "error_in_stream" | "sse_comments" | "model_is_deployment" | "backend_suffix" => {}
        _ => return false,
    }
    true
}

fn set<T>(field: &mut T, value: Option<T>) -> bool {
    let known = value.is_some();
    if let Some(value) = value {
        *field = value;
    }
    known
}

fn add_drops(drop: &mut Vec<Box<str>>, fields: &str) -> bool {
    for field in fields.split('|') {
        if !DROPPABLE.contains(&field) {
            return false;
        }
        if !drop.iter().any(|known| **known == *field) {
            drop.push(field.into());
        }
    }
    true
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn stream_usage(word: &str) -> Option<StreamUsage> {
    Some(match word {
        "opt_in" => StreamUsage::OptIn,
        "always" => StreamUsage::Always,
        "never" => StreamUsage::Never,
        _ => return None,
    })
}

fn usage_shape(word: &str) -> Option<UsageShape> {
    Some(match word {
        "openai" => UsageShape::OpenAi,
        "anthropic_excl_cache" => UsageShape::AnthropicExclCache,
        "gemini_excl_thoughts" => UsageShape::GeminiExclThoughts,
        "xai_excl_reasoning" => UsageShape::XaiExclReasoning,
        "deepseek_hit_miss" => UsageShape::DeepseekHitMiss,
        "openrouter_cost" => UsageShape::OpenRouterCost,
        _ => return None,
    })
}

fn reasoning_control(word: &str) -> Option<ReasoningControl> {
    Some(match word {
        "effort" => ReasoningControl::Effort,
        "thinking_type" => ReasoningControl::ThinkingType,
        "enable_thinking" => ReasoningControl::EnableThinking,
        "thinking_budget" => ReasoningControl::ThinkingBudget,
        "reasoning_object" => ReasoningControl::ReasoningObject,
        "reasoning_enabled" => ReasoningControl::ReasoningEnabled,
        "chat_template_args" => ReasoningControl::ChatTemplateArgs,
        "adaptive_only" => ReasoningControl::AdaptiveOnly,
        _ => return None,
    })
}

fn tool_choice(word: &str) -> Option<ToolChoiceSupport> {
    Some(match word {
        "full" => ToolChoiceSupport::Full,
        "auto_none" => ToolChoiceSupport::AutoNone,
        "any_for_required" => ToolChoiceSupport::AnyForRequired,
        "no_required" => ToolChoiceSupport::NoRequired,
        _ => return None,
    })
}
