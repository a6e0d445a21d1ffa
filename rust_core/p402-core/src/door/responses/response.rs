//! Decides how the response object reads: what was asked, what came, what it counted.
//! Does not know when it is sent (events.rs).

use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array, items};
use crate::door::ending::Ending;

/// What a response repeats of its request; each with what stands where the client said nothing.
const REPEATED: [(&str, &str); 18] = [
    ("frequency_penalty", "0"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("presence_penalty", "0"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];
const SEALED: &str = "reasoning.encrypted_content";
/// How likely each token was.
pub(super) const LIKELY: &str = "message.output_text.logprobs";

/// What is kept of a request until its answer is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Echo {
    members: Object<'static>,
    /// Thoughts are handed to the client in a form that it sends back.
    pub(super) seals: bool,
}

impl Echo {
    pub(super) fn of(top: &Object<'_>) -> Self {
        let mut members = Object::default();
        for (name, otherwise) in REPEATED {
            members.put(name, top.present(name).unwrap_or(otherwise.as_bytes()));
        }
        members.put("tools", &tools(top.present("tools").unwrap_or(b"[]")));
        let seals = wants(top.get("include").unwrap_or_default(), SEALED);
        Self { members, seals }
    }

    /// The response in this state, with the items that are whole.
    pub(super) fn response(&self, ending: &Ending, (status, items): (&str, &[Vec<u8>])) -> Vec<u8> {
        let mut response = Object::default();
        response.set("id", quoted(&ending.named("resp_")));
        response.set("object", b"\"response\"".as_slice());
        response.set("created_at", ending.created.to_string().into_bytes());
        // Nobody looks at a clock here; the metadata says how long it took.
        response.set("completed_at", b"null".as_slice());
        response.set("status", quoted(status));
        response.set("background", b"false".as_slice());
        response.set("error", b"null".as_slice());
        response.set("incomplete_details", why_incomplete(&ending.finish));
        response.set("model", quoted(&ending.model));
        response.set("output", array(items.iter().map(Vec::as_slice)));
        response.append_missing(&self.members);
        response.set("previous_response_id", b"null".as_slice());
        response.set("store", b"false".as_slice());
        let tier = ending.service_tier.as_deref().unwrap_or("default");
        response.set("service_tier", quoted(tier));
        let ended = !ending.finish.is_empty();
        response.set("usage", if ended { usage(ending) } else { b"null".to_vec() });
        if let Some(metadata) = &ending.metadata {
            response.set("p402_metadata", metadata.as_slice());
        }
        response.write()
    }
}

/// The client wants this included.
pub(super) fn wants(include: &[u8], what: &str) -> bool {
    include.windows(what.len()).any(|window| window == what.as_bytes())
}

/// Tools, functions among them with everything that is always there.
fn tools(json: &[u8]) -> Vec<u8> {
    let whole = |tool: &[u8]| {
        let mut tool = Object::parse(tool)?;
        if tool.text("type").as_deref() != Some("function") {
            return Some(tool.write());
        }
        for name in ["description", "parameters", "strict"] {
            tool.ensure(name, b"null");
        }
        Some(tool.write())
    };
    let list: Vec<Vec<u8>> =
        items(json).unwrap_or_default().into_iter().filter_map(whole).collect();
    array(list.iter().map(Vec::as_slice))
}

/// The status of an answer that ended with this finish word.
pub(super) fn status(finish: &str) -> &'static str {
    if matches!(finish, "length" | "content_filter") { "incomplete" } else { "completed" }
}

fn why_incomplete(finish: &str) -> &'static [u8] {
    match finish {
        "length" => br#"{"reason":"max_output_tokens"}"#,
        "content_filter" => br#"{"reason":"content_filter"}"#,
        _ => b"null",
    }
}

fn usage(ending: &Ending) -> Vec<u8> {
    let usage = &ending.usage;
    let (input, total) = (usage.input(), usage.input().saturating_add(usage.output));
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    format!(
        "{{\"input_tokens\":{input},\"input_tokens_details\":\
         {{\"cached_tokens\":{},\"cache_write_tokens\":{written}}},\
         \"output_tokens\":{},\"output_tokens_details\":{{\"reasoning_tokens\":{}}},\
         \"total_tokens\":{total}}}",
        usage.cache_read, usage.output, usage.reasoning
    )
    .into_bytes()
}
