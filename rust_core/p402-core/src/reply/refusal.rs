//! Decides how a routing refusal reads on the wire: code, status, and what to do about it.
//! Does not decide when to refuse (route/).

use super::code::Code;
use super::error::ApiError;
use crate::route::Refusal;
use serde_json::{Map, Value, json};

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { code, param, message } => {
                let code = Code::parse(code).unwrap_or(Code::P402FieldInvalid);
                Self::new(code, message).with_param(param)
            }
            Refusal::ModelNotFound { name, near } => {
                let hint = if near.is_empty() {
                    "GET /models lists them all".to_owned()
                } else {
                    format!("near names: {}", near.join(", "))
                };
                let text = format!("no model is called `{name}`; {hint}");
                Self::new(Code::ModelNotFound, text).with_param("model").with_extra("near", near)
            }
            Refusal::PriceUnknown { name } => {
                let text = format!(
                    "`{name}` has no price in the catalogue, so its cost cannot be bounded; \
                     give it one in the configuration or name another model"
                );
                Self::new(Code::ModelPriceUnknown, text).with_param("model")
            }
            Refusal::NoEligible { reasons, nearest, removed_last } => {
                no_eligible(&reasons, nearest.as_deref(), removed_last)
            }
        }
    }
}

fn no_eligible(
    reasons: &[(&'static str, u32)],
    nearest: Option<&str>,
    removed_last: &'static str,
) -> ApiError {
    let mut text = format!(
        "no model can serve this request: `{removed_last}` removed the last candidate ({})",
        advice(removed_last)
    );
    if let Some(nearest) = nearest {
        text.push_str("; nearest: ");
        text.push_str(nearest);
    }
    let counts: Map<String, Value> =
        reasons.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count))).collect();
    let code =
        if removed_last == "over_latency" { Code::LatencyExceeded } else { Code::NoEligibleModel };
    ApiError::new(code, text)
        .with_extra("rejected", counts)
        .with_extra("removed_last", removed_last)
        .with_extra("nearest", nearest.map_or(Value::Null, Value::from))
}

/// What the caller, or the operator, can do about a constraint.
fn advice(reason: &str) -> &'static str {
    match reason {
        "no_key" | "disabled" => "set a provider's key, or start with the sandbox",
        "not_allowed" | "denied" => "widen p402.models or p402.providers, or the tenant's lists",
        "not_pinned" => "leave p402.pin out",
        "kind" => "name a model of the kind that this path serves",
        "unpriced" | "stale" => "name provider/model, or give the model a price",
        "context" => "shorten the input or lower max_tokens",
        "max_output" => "lower max_tokens",
        "over_max_cost" => "raise p402.max_cost_usd, shorten the input or lower max_tokens",
        "over_latency" => "raise p402.max_latency_ms",
        "cooling" | "breaker_open" => "try again shortly",
        "local_url" => "send the file inline: the link points into a private network",
        "link" => "send the file inline: no candidate takes links",
        "prefill" => "end with the user's message: no candidate continues the assistant's",
        _ => "no candidate supports what the request asks for",
    }
}
