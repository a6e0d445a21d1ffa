//! Decides how an answer in the wrong form becomes one in the right form: a body as chunks,
//! chunks as a body. Does not mend: both ways end in the code that reads the right form.

use super::StreamAsk;
use super::answer::{AnswerFault, read_answer};
use super::flow::StreamFault;
use super::stream::ChatStream;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array, items};
use crate::dialect::wire::sse::SseDecoder;

/// The chunks of a whole body: per choice its content and its finish, then usage.
pub(super) fn as_chunks(body: &[u8], ask: &StreamAsk) -> Result<Vec<Vec<u8>>, AnswerFault> {
    let answer = read_answer(body, ask)?;
    let bad = || AnswerFault::Malformed("the upstream's answer is not JSON".to_owned());
    let mut top = Object::parse(&answer.body).ok_or_else(bad)?;
    let list = top.remove("choices").unwrap_or_default();
    let usage = top.remove("usage").filter(|usage| usage.as_ref() != b"null");
    top.set("object", b"\"chat.completion.chunk\"".as_slice());
    let mut chunks = Vec::new();
    for item in items(&list).ok_or_else(bad)? {
        let mut choice = Object::parse(item).ok_or_else(bad)?;
        let message = choice.remove("message").unwrap_or_default();
        let mut delta = Object::parse(&message).ok_or_else(bad)?;
        delta.retain(|key| key != "annotations" || !message_is_plain(&message));
        if delta.get("refusal") == Some(b"null") {
            delta.remove("refusal");
        }
        let finish = choice.remove("finish_reason").unwrap_or_default().into_owned();
        choice.set("delta", delta.write());
        choice.set("finish_reason", b"null".as_slice());
        chunks.push(chunk(&top, &choice.write()));
        let mut last = Object::default();
        last.set("index", choice.get("index").unwrap_or(b"0").to_vec());
        last.set("delta", b"{}".as_slice());
        last.set("logprobs", b"null".as_slice());
        last.set("finish_reason", finish);
        chunks.push(chunk(&top, &last.write()));
    }
    if let Some(usage) = usage {
        let mut last = top.clone();
        last.set("choices", b"[]".as_slice());
        last.set("usage", usage);
        chunks.push(last.write());
    }
    Ok(chunks)
}

/// True where the message has no annotations but the empty list.
fn message_is_plain(message: &[u8]) -> bool {
    let message = Object::parse(message).unwrap_or_default();
    message.get("annotations").and_then(items).is_none_or(|list| list.is_empty())
}

fn chunk(top: &Object<'_>, choice: &[u8]) -> Vec<u8> {
    let mut out = top.clone();
    out.set("choices", array([choice]));
    out.write()
}

/// One choice while its chunks are collected.
#[derive(Debug, Default)]
struct Gathered {
    index: u64,
    content: Option<String>,
    reasoning: Option<String>,
    refusal: Option<String>,
    calls: Vec<Call>,
    logprobs: Vec<Vec<u8>>,
    finish: Option<String>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// The body that a stream adds up to.
pub(super) fn collect(body: &[u8], ask: &StreamAsk) -> Result<Vec<u8>, AnswerFault> {
    let mut stream = ChatStream::new(ask.clone());
    let ended = stream.push(body).and_then(|()| stream.end());
    ended.map_err(|fault| match fault {
        StreamFault::Upstream(error) => AnswerFault::Upstream(error),
        StreamFault::Malformed(why) => AnswerFault::Malformed(why),
        StreamFault::Cut => AnswerFault::Malformed("the upstream's stream stopped short".into()),
        StreamFault::TooLarge => {
            AnswerFault::Malformed("the upstream's answer is too large".into())
        }
    })?;
    let mut top = Object::default();
    let mut choices: Vec<Gathered> = Vec::new();
    let mut decoder = SseDecoder::new();
    let (frames, usage) = stream.into_collected();
    decoder.push(&frames);
    while let Some(Ok(frame)) = decoder.next_frame() {
        if let Some(chunk) = Object::parse(frame.data) {
            top.append_missing(&chunk.clone().into_owned());
            for choice in chunk.get("choices").and_then(items).unwrap_or_default() {
                gather(choice, &mut choices);
            }
        }
    }
    choices.sort_by_key(|choice| choice.index);
    let list: Vec<Vec<u8>> = choices.iter().map(Gathered::write).collect();
    top.set("object", b"\"chat.completion\"".as_slice());
    top.set("choices", array(list.iter().map(Vec::as_slice)));
    top.remove("usage");
    if let Some(usage) = usage {
        top.set("usage", usage);
    }
    Ok(top.write())
}

fn gather(choice: &[u8], choices: &mut Vec<Gathered>) {
    let choice = Object::parse(choice).unwrap_or_default();
    let index = choice.whole("index").unwrap_or_default();
    let at = choices.iter().position(|known| known.index == index).unwrap_or_else(|| {
        choices.push(Gathered { index, ..Gathered::default() });
        choices.len() - 1
    });
    let Some(known) = choices.get_mut(at) else { return };
    let delta = choice.get("delta").and_then(Object::parse).unwrap_or_default();
    join(&mut known.content, &delta, "content");
    join(&mut known.refusal, &delta, "refusal");
    let reasoning =
        if delta.text("reasoning_content").is_some() { "reasoning_content" } else { "reasoning" };
    join(&mut known.reasoning, &delta, reasoning);
    for item in delta.get("tool_calls").and_then(items).unwrap_or_default() {
        gather_call(item, &mut known.calls);
    }
    let logprobs = choice.get("logprobs").and_then(Object::parse).unwrap_or_default();
    let tokens = logprobs.get("content").and_then(items).unwrap_or_default();
    known.logprobs.extend(tokens.into_iter().map(<[u8]>::to_vec));
    known.finish = choice.name("finish_reason").or(known.finish.take());
}

fn gather_call(item: &[u8], calls: &mut Vec<Call>) {
    let item = Object::parse(item).unwrap_or_default();
    // Indices are dense by now: a new one is always the next.
    let at = item.whole("index").and_then(|at| usize::try_from(at).ok()).unwrap_or_default();
    if at >= calls.len() {
        calls.push(Call::default());
    }
    let Some(call) = calls.get_mut(at) else { return };
    let function = item.get("function").and_then(Object::parse).unwrap_or_default();
    call.id.push_str(&item.text("id").unwrap_or_default());
    call.name.push_str(&function.text("name").unwrap_or_default());
    call.arguments.push_str(&function.text("arguments").unwrap_or_default());
}

fn join(text: &mut Option<String>, delta: &Object<'_>, key: &str) {
    if let Some(more) = delta.text(key) {
        text.get_or_insert_default().push_str(&more);
    }
}

impl Gathered {
    fn write(&self) -> Vec<u8> {
        let null = || b"null".to_vec();
        let text = |text: &Option<String>| text.as_deref().map_or_else(null, quoted);
        let mut message = Object::default();
        message.set("role", b"\"assistant\"".as_slice());
        let silent = self.content.as_deref().is_none_or(str::is_empty) && !self.calls.is_empty();
        message.set("content", if silent { null() } else { text(&self.content) });
        if self.reasoning.is_some() {
            message.set("reasoning_content", text(&self.reasoning));
        }
        message.set("refusal", text(&self.refusal));
        if !self.calls.is_empty() {
            let calls: Vec<Vec<u8>> = self.calls.iter().map(Call::write).collect();
            message.set("tool_calls", array(calls.iter().map(Vec::as_slice)));
        }
        let mut choice = Object::default();
        choice.set("index", self.index.to_string().into_bytes());
        choice.set("message", message.write());
        if !self.logprobs.is_empty() {
            let list = array(self.logprobs.iter().map(Vec::as_slice));
            choice.set("logprobs", [b"{\"content\":", list.as_slice(), b"}"].concat());
        }
        choice.set("finish_reason", quoted(self.finish.as_deref().unwrap_or("stop")));
        choice.write()
    }
}

impl Call {
    fn write(&self) -> Vec<u8> {
        let mut function = Object::default();
        function.set("name", quoted(&self.name));
        function.set("arguments", quoted(&self.arguments));
        let mut call = Object::default();
        call.set("id", quoted(&self.id));
        call.set("type", b"\"function\"".as_slice());
        call.set("function", function.write());
        call.write()
    }
}
