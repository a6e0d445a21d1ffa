//! Decides how a Messages answer becomes a chat completion: blocks, stop reasons, usage.
//! Does not stream (stream.rs), which ends in the same `usage` and `stop` functions.

use super::THOUGHTS;
use crate::chat::FinishReason;
use crate::dialect::openai::AnswerFault;
use crate::dialect::render::{Call, Completion};
use crate::dialect::thoughts::{sealed, signed};
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, items};
use crate::usage::{Usage, UsageShape, read_usage};

/// Reads a whole answer.
pub(super) fn answer(body: &[u8]) -> Result<Completion, AnswerFault> {
    let bad = |why: &str| AnswerFault::Malformed(why.to_owned());
    let top = Object::parse(body).filter(|_| std::str::from_utf8(body).is_ok());
    let top = top.ok_or_else(|| bad("the upstream's answer is not JSON"))?;
    if top.present("error").is_some() {
        return Err(AnswerFault::Upstream(Box::new(crate::dialect::openai::in_stream(body))));
    }
    let blocks = top.get("content").and_then(items);
    let blocks = blocks.ok_or_else(|| bad("the upstream's answer has no content"))?;
    let mut completion =
        Completion { id: top.name("id"), model: top.name("model"), ..Completion::default() };
    for block in blocks {
        let block = Object::parse(block).ok_or_else(|| bad("a block is not an object"))?;
        take(&mut completion, &block);
    }
    let word = top.text("stop_reason").unwrap_or_default();
    let stop = stop(&word).ok_or_else(|| bad("the answer did not come to an end"))?;
    completion.finish = Some(stop);
    let mut counts = Counts::default();
    counts.note(top.get("usage"));
    completion.usage = counts.usage();
    completion.refusal = refusal(&word, completion.usage.as_ref()).map(str::to_owned);
    completion.service_tier = counts.service_tier();
    Ok(completion)
}

fn take(completion: &mut Completion, block: &Object<'_>) {
    let text = |key: &str| block.text(key).unwrap_or_default().into_owned();
    match &*block.text("type").unwrap_or_default() {
        "text" => {
            let start = completion.text.chars().count();
            completion.text.push_str(&text("text"));
            let end = completion.text.chars().count();
            let cited = block.get("citations").and_then(items).unwrap_or_default();
            let made = cited.into_iter().filter_map(|raw| annotation(raw, Some((start, end))));
            completion.annotations.extend(made);
        }
        "thinking" => {
            let (thinking, index) = (text("thinking"), completion.details.len());
            completion.details.push(signed(&thinking, &text("signature"), THOUGHTS, index));
            completion.reasoning.push_str(&thinking);
        }
        "redacted_thinking" => {
            let index = completion.details.len();
            completion.details.push(sealed(&text("data"), THOUGHTS, index));
        }
        "tool_use" => completion.calls.push(Call {
            id: text("id"),
            name: text("name"),
            arguments: arguments(block.get("input")),
            extra: None,
        }),
        // Tools of the provider's own: their calls are not the client's to answer.
        _ => {}
    }
}

fn arguments(input: Option<&[u8]>) -> String {
    input.map_or_else(|| "{}".to_owned(), |json| String::from_utf8_lossy(json).into_owned())
}

/// A cited page as OpenAI's annotation; other citations have no word there.
pub(super) fn annotation(citation: &[u8], span: Option<(usize, usize)>) -> Option<Vec<u8>> {
    let citation = Object::parse(citation)?;
    let url = citation.name("url")?;
    let title = citation.name("title").unwrap_or_default();
    let mut inner = Object::default();
    inner.set("url", quoted(&url));
    inner.set("title", quoted(&title));
    if let Some((start, end)) = span {
        inner.set("start_index", start.to_string().into_bytes());
        inner.set("end_index", end.to_string().into_bytes());
    }
    Some([b"{\"type\":\"url_citation\",\"url_citation\":", &inner.write()[..], b"}"].concat())
}

/// Why it stopped; `None` where it has not: a pause is no end of an answer.
pub(super) fn stop(word: &str) -> Option<FinishReason> {
    match word {
        "" | "pause_turn" => None,
        "end_turn" | "stop_sequence" => Some(FinishReason::Stop),
        other => Some(FinishReason::from_vendor(other)),
    }
}

/// What stands for the words of a model that declined. Where it wrote nothing nothing is said for
/// it: a sentence of ours beside a count of zero would deny the count.
pub(super) fn refusal(word: &str, usage: Option<&Usage>) -> Option<&'static str> {
    let wrote = usage.is_none_or(|usage| usage.output > 0);
    (word == "refusal" && wrote).then_some("The model declined to answer.")
}

/// Counts as they come: a stream repeats them, and the last one that is not null holds.
#[derive(Debug, Default)]
pub(super) struct Counts(Object<'static>);

impl Counts {
    pub(super) fn note(&mut self, usage: Option<&[u8]>) {
        let Some(usage) = usage.and_then(Object::parse) else { return };
        for (key, value) in usage.iter() {
            if value != b"null" {
                self.0.put(key, value);
            }
        }
    }

    /// The counts, where they can be believed.
    pub(super) fn usage(&self) -> Option<Usage> {
        let read = read_usage(&self.0.write(), UsageShape::AnthropicExclCache);
        read.ok().map(|reported| reported.usage)
    }

    pub(super) fn service_tier(&self) -> Option<String> {
        let word = self.0.name("service_tier")?;
        Some(if word == "standard" { "default".to_owned() } else { word })
    }
}
