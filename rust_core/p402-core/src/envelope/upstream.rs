//! Decides the bytes that a same-language upstream gets: the client's, but for what is named here.
//! Does not translate to another language (dialect/) and does not choose model, cap or effort.

use super::edits::{Edits, elements, inner, quoted};
use super::history;
use super::types::{Bound, Scan, Span, ToolChoice};
use crate::catalog::{Effort, Quirks, ReasoningControl, StreamUsage, ToolChoiceSupport};

/// What one attempt changes in the body.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamBody<'a> {
    /// The offer's own id.
    pub model: &'a str,
    /// Ask a stream for its usage.
    pub stream_usage: bool,
    /// Output bound that P402 sets or clamps to.
    pub output_cap: Option<u64>,
    /// Effort that P402 chose; `None` leaves the client's.
    pub effort: Option<Effort>,
    pub quirks: &'a Quirks,
    /// The body was told by a door of another language, and its marks mean nothing here.
    pub told: bool,
}

/// Request fields that OpenAI's own API documents; `drop=unknown` cuts the others.
const KNOWN: [&str; 38] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "p402",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
const TEMPERATURE: &str = "temperature";
const EFFORT: &str = "reasoning_effort";

/// The edits of one attempt, and the fields the upstream will not be told.
struct Draft<'a> {
    body: &'a [u8],
    scan: &'a Scan,
    to: &'a UpstreamBody<'a>,
    edits: Edits<'a>,
    dropped: Vec<String>,
}

/// The upstream's body and the names of dropped fields, for `x-p402-warnings`.
pub fn upstream_body(body: &[u8], scan: &Scan, to: &UpstreamBody<'_>) -> (Vec<u8>, Vec<String>) {
    let edits = Edits::new(body, scan);
    let mut draft = Draft { body, scan, to, edits, dropped: Vec::new() };
    draft.edits.replace(scan.model_field.value, quoted(to.model));
    draft.cut("p402");
    draft.stream_options();
    draft.bounds();
    draft.effort();
    draft.tool_choice();
    draft.sampling();
    draft.drops();
    if to.told {
        draft.marks();
    }
    if to.quirks.tool_id_alnum9 {
        super::ids::shorten(body, scan, &mut draft.edits);
    }
    if to.quirks.echo_reasoning {
        history::echo(body, scan, &mut draft.edits);
    }
    if !to.quirks.developer_role {
        for role in &scan.developer_roles {
            draft.edits.replace(*role, *b"\"system\"");
        }
    }
    let told = draft.edits.apply();
    let told = if to.quirks.roles_alternate { history::alternate(told) } else { told };
    (told, draft.dropped)
}

impl Draft<'_> {
    /// Cuts a member, null or not, in silence.
    fn cut(&mut self, name: &str) {
        if let Some(field) = self.scan.field(name) {
            self.edits.cut(field);
        }
    }

    /// Gives a member this value, wherever it stands or not.
    fn set(&mut self, name: &str, json: &[u8]) {
        match self.scan.field(name) {
            Some(field) => self.edits.replace(field.value, json),
            None => self.edits.append(name, json),
        };
    }

    /// Whether the client sent this member with a value.
    fn given(&self, name: &str) -> bool {
        self.scan.field(name).is_some_and(|field| field.value.of(self.body) != b"null")
    }

    fn stream_options(&mut self) {
        match self.to.quirks.stream_usage {
            StreamUsage::Never => return self.cut("stream_options"),
            StreamUsage::Always => return,
            StreamUsage::OptIn => {}
        }
        if !self.scan.stream || !self.to.stream_usage || self.scan.include_usage {
            return;
        }
        let Some(options) = self.scan.stream_options else {
            return self.set("stream_options", b"{\"include_usage\":true}");
        };
        if let Some(asked) = inner(self.body, options.value.start, "include_usage") {
            self.edits.replace(asked.value, *b"true");
            return;
        }
        let start = options.value.start + 1;
        let inside = options.value.of(self.body).get(1..).unwrap_or_default();
        let empty = inside.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'}');
        let comma = if empty { "" } else { "," };
        let member = format!("\"include_usage\":true{comma}");
        self.edits.replace(Span { start, end: start }, member);
    }

    /// One output bound under the upstream's name for it, clamped to the cap.
    fn bounds(&mut self) {
        let (modern, older) = (self.scan.max_completion_tokens, self.scan.max_tokens);
        let (name, ours, other_name, other) = if self.to.quirks.max_completion_tokens {
            ("max_completion_tokens", modern, "max_tokens", older)
        } else {
            ("max_tokens", older, "max_completion_tokens", modern)
        };
        let cap = self.to.output_cap;
        let asked = self.scan.output_bound();
        let bound = asked.map(|asked| asked.min(cap.unwrap_or(u64::MAX))).or(cap);
        match (ours, other) {
            (Some(kept), _) => {
                self.clamp(kept, bound);
                self.cut(other_name);
            }
            (None, Some(kept)) => {
                self.cut(name);
                self.edits.rename(kept.field, name);
                self.clamp(kept, bound);
            }
            (None, None) => {
                self.cut(other_name);
                if let Some(bound) = bound {
                    self.set(name, bound.to_string().as_bytes());
                }
            }
        }
    }

    fn clamp(&mut self, kept: Bound, bound: Option<u64>) {
        if let Some(bound) = bound.filter(|bound| *bound != kept.value) {
            self.edits.replace(kept.field.value, bound.to_string());
        }
    }

    /// P402's effort in the upstream's own words; the client's, where it needs other words.
    fn effort(&mut self) {
        let control = self.to.quirks.reasoning_control;
        let worded = matches!(control, ReasoningControl::Effort | ReasoningControl::AdaptiveOnly);
        let own = self.scan.reasoning_effort.filter(|_| !worded);
        let Some(effort) = self.to.effort.or(own) else { return };
        if effort == Effort::Default {
            return self.cut(EFFORT);
        }
        let on = effort != Effort::None;
        if worded {
            let endless = control == ReasoningControl::AdaptiveOnly && !on;
            let word = quoted(self.word(effort));
            return if endless { self.cut(EFFORT) } else { self.set(EFFORT, &word) };
        }
        let (field, json) = match control {
            ReasoningControl::ThinkingType if on => ("thinking", r#"{"type":"enabled"}"#.into()),
            ReasoningControl::ThinkingType => ("thinking", r#"{"type":"disabled"}"#.into()),
            ReasoningControl::EnableThinking => ("enable_thinking", on.to_string()),
            ReasoningControl::ThinkingBudget => ("thinking_budget", budget(effort).to_string()),
            ReasoningControl::ReasoningEnabled => ("reasoning", format!(r#"{{"enabled":{on}}}"#)),
            ReasoningControl::ChatTemplateArgs => {
                ("chat_template_args", format!(r#"{{"enable_thinking":{on}}}"#))
            }
            ReasoningControl::ReasoningObject
            | ReasoningControl::Effort
            | ReasoningControl::AdaptiveOnly => {
                ("reasoning", format!(r#"{{"effort":"{}"}}"#, self.word(effort)))
            }
        };
        // What the client wrote in the vendor's own words is not overruled by its effort.
        if self.to.effort.is_some() || !self.given(field) {
            self.set(field, json.as_bytes());
        }
        // A toggle has said it all when it says no; the object replaces the word altogether.
        let said = !on || control == ReasoningControl::ReasoningObject || self.to.effort.is_some();
        if said {
            self.cut(EFFORT);
        }
    }

    /// OpenAI and OpenRouter say `xhigh` where the others say `max`.
    fn word(&self, effort: Effort) -> &'static str {
        let quirks = self.to.quirks;
        let object = quirks.reasoning_control == ReasoningControl::ReasoningObject;
        match effort {
            Effort::Max if quirks.max_completion_tokens || object => "xhigh",
            _ => effort.name(),
        }
    }

    fn tool_choice(&mut self) {
        let Some(field) = self.scan.tool_choice_field else { return };
        let forced = matches!(self.scan.tool_choice, ToolChoice::Required | ToolChoice::Function);
        let required = self.scan.tool_choice == ToolChoice::Required;
        match self.to.quirks.tool_choice {
            ToolChoiceSupport::AnyForRequired if required => {
                self.edits.replace(field.value, *b"\"any\"");
            }
            ToolChoiceSupport::NoRequired if required => {
                self.edits.replace(field.value, *b"\"auto\"");
                self.dropped.push("tool_choice".to_owned());
            }
            ToolChoiceSupport::AutoNone if forced => {
                self.edits.cut(field);
                self.dropped.push("tool_choice".to_owned());
            }
            _ => {}
        }
    }

    fn sampling(&mut self) {
        let quirks = self.to.quirks;
        if let (Some(max), Some(field)) =
            (quirks.temperature_max_tenths, self.scan.field(TEMPERATURE))
        {
            let text = std::str::from_utf8(field.value.of(self.body)).unwrap_or_default();
            let limit = f64::from(max) / 10.0;
            if text.parse::<f64>().is_ok_and(|asked| asked > limit) {
                self.edits.replace(field.value, limit.to_string());
            }
        }
        if quirks.random_seed
            && let Some(seed) = self.scan.field("seed")
        {
            self.cut("random_seed");
            self.edits.rename(seed, "random_seed");
        }
    }

    /// Fields the upstream refuses; those with a value are named.
    fn drops(&mut self) {
        for name in &self.to.quirks.drop {
            match &**name {
                "unknown" => self.drop_unknown(),
                "strict" => self.drop_strict(),
                "assistant_name" => self.drop_assistant_names(),
                name => self.drop_field(name),
            }
        }
    }

    fn drop_field(&mut self, name: &str) {
        if self.given(name) && !self.dropped.iter().any(|known| known == name) {
            self.dropped.push(name.to_owned());
        }
        self.cut(name);
    }

    fn drop_unknown(&mut self) {
        for (name, _) in &self.scan.fields {
            if !KNOWN.contains(&name.as_str()) {
                self.drop_field(name);
            }
        }
    }

    /// Marks for one vendor's cache, and thoughts that only their maker takes back.
    fn marks(&mut self) {
        let starts = |name: &str| {
            let list = self.scan.field(name).map(|field| elements(self.body, field.value.start));
            list.unwrap_or_default()
        };
        let messages = starts("messages");
        let parts = messages.iter().filter_map(|at| inner(self.body, *at, "content"));
        let parts = parts.flat_map(|content| elements(self.body, content.value.start));
        let marked = starts("tools").into_iter().chain(parts).map(|at| (at, "cache_control"));
        let thoughts = messages.iter().map(|at| (*at, "reasoning_details"));
        let calls = messages.iter().filter_map(|at| inner(self.body, *at, "tool_calls"));
        let calls = calls.flat_map(|calls| elements(self.body, calls.value.start));
        let signed = calls.map(|at| (at, "extra_content"));
        let cuts: Vec<Span> = marked
            .chain(thoughts)
            .chain(signed)
            .filter_map(|(at, name)| inner(self.body, at, name))
            .map(|found| found.cut)
            .collect();
        for cut in cuts {
            self.edits.replace(cut, Vec::new());
        }
        self.drop_field("top_k");
    }

    fn drop_strict(&mut self) {
        let tools = self.scan.tools_field.map(|field| elements(self.body, field.value.start));
        let functions = tools.unwrap_or_default().into_iter().map(|tool| (tool, "function"));
        let format = self.scan.field("response_format");
        let schema = format.map(|field| (field.value.start, "json_schema"));
        let mut found = false;
        for (at, parent) in functions.chain(schema) {
            let holder = inner(self.body, at, parent);
            let strict = holder.and_then(|holder| inner(self.body, holder.value.start, "strict"));
            if let Some(strict) = strict {
                self.edits.replace(strict.cut, Vec::new());
                found = true;
            }
        }
        if found {
            self.dropped.push("strict".to_owned());
        }
    }

    fn drop_assistant_names(&mut self) {
        let messages = self.scan.field("messages").map(|field| field.value.start);
        let mut found = false;
        for at in messages.map(|at| elements(self.body, at)).unwrap_or_default() {
            let role = inner(self.body, at, "role").map(|role| role.value);
            let assistant = role.is_some_and(|role| role.of(self.body) == b"\"assistant\"");
            if let Some(name) = inner(self.body, at, "name").filter(|_| assistant) {
                self.edits.replace(name.cut, Vec::new());
                found = true;
            }
        }
        if found {
            self.dropped.push("messages.name".to_owned());
        }
    }
}

/// Thinking tokens for upstreams that count instead of naming.
const fn budget(effort: Effort) -> u32 {
    match effort {
        Effort::None | Effort::Default => 0,
        Effort::Minimal => 512,
        Effort::Low => 1_024,
        Effort::Medium => 8_192,
        Effort::High => 16_384,
        Effort::Max => 32_768,
    }
}
