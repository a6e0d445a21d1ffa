//! Decides how a chat answer is read out, piece by piece, to whoever tells it in another language.
//! Does not know that language: a listener hears what was said, in the order it was said.

use super::Retell;
use super::ending::{Ending, choice};
use crate::dialect::wire::object::{Object, items};
use crate::dialect::wire::sse::{SseDecoder, SseFault};

const TOO_LONG: &str = concat!(
    r#"{"message":"one event of the answer is too long to be told","#,
    r#""type":"upstream_error","param":null,"code":"upstream_stream_malformed"}"#
);

/// Hears one answer. Texts come as JSON strings, quotes included.
pub(super) trait Listen: Send + Sync + std::fmt::Debug {
    fn text(&mut self, json: &[u8]);
    fn refusal(&mut self, json: &[u8]);
    /// How likely the tokens of the next text are, as items of a list; only Responses can say it.
    fn probabilities(&mut self, _items: &[u8]) {}
    /// Open thoughts, as they are written.
    fn reasoning(&mut self, json: &[u8]);
    /// A whole thought in the form of `reasoning_details`.
    fn thought(&mut self, detail: &Object<'_>);
    fn call(&mut self, index: u64, id: &[u8], name: &[u8]);
    /// More of a call's arguments.
    fn arguments(&mut self, index: u64, json: &[u8]);
    /// A call of a custom tool; nobody else is asked for one.
    fn custom(&mut self, _index: u64, _id: &[u8], _name: &[u8]) {}
    /// More of a custom tool's input.
    fn input(&mut self, _index: u64, _json: &[u8]) {}
    /// What the call's maker wants back with it; only Google's clients know where to keep it.
    fn signature(&mut self, _index: u64, _json: &[u8]) {}
}

/// Tells a stream event by event; what is to be sent is taken once its frames are heard.
pub(super) trait Tell: Listen {
    fn begin(&mut self, ending: &Ending);
    fn end(&mut self, ending: &Ending);
    /// The stream broke: the error object, and what is known of it.
    fn fail(&mut self, error: &[u8], ending: &Ending);
    fn take(&mut self) -> Vec<u8>;
    fn whole(&self, completion: &[u8]) -> Vec<u8>;
}

/// One answer on its way out.
#[derive(Debug)]
pub(super) struct Told<T> {
    sse: SseDecoder,
    telling: Telling<T>,
}

#[derive(Debug)]
struct Telling<T> {
    begun: bool,
    over: bool,
    ending: Ending,
    to: T,
}

impl<T: Tell> Told<T> {
    pub(super) fn new(to: T) -> Self {
        let telling = Telling { begun: false, over: false, ending: Ending::default(), to };
        Self { sse: SseDecoder::new(), telling }
    }
}

impl<T: Tell> Telling<T> {
    /// Ends it, once, by an error object.
    fn fail(&mut self, error: &[u8]) {
        if !std::mem::replace(&mut self.over, true) {
            self.to.fail(error, &self.ending);
        }
    }

    fn frame(&mut self, json: &[u8]) {
        if self.over {
            return;
        }
        if json == b"[DONE]" {
            self.over = true;
            return self.to.end(&self.ending);
        }
        let Some(top) = Object::parse(json) else { return };
        self.ending.note(&top);
        if let Some(error) = top.present("error") {
            return self.fail(error);
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.to.begin(&self.ending);
        }
        let Some(choice) = choice(&top) else { return };
        self.ending.note_choice(&choice);
        hear(&choice, "delta", &mut self.to);
    }
}

impl<T: Tell> Retell for Told<T> {
    fn whole(&mut self, completion: &[u8]) -> Vec<u8> {
        self.telling.to.whole(completion)
    }

    fn frames(&mut self, frames: &[u8]) -> Vec<u8> {
        self.sse.push(frames);
        while let Some(frame) = self.sse.next_frame() {
            match frame {
                Ok(frame) => self.telling.frame(frame.data),
                // The decoder has stopped for good.
                Err(SseFault::TooLong) => {
                    self.telling.fail(TOO_LONG.as_bytes());
                    break;
                }
            }
        }
        self.telling.to.take()
    }
}

/// Reads the message of a choice, or a delta of one, to a listener, and how likely it is.
pub(super) fn hear(choice: &Object<'_>, inner: &str, to: &mut dyn Listen) {
    let likely = choice.present("logprobs").and_then(Object::parse).unwrap_or_default();
    let list = likely.present("content").map(<[u8]>::trim_ascii).unwrap_or_default();
    let items = list.strip_prefix(b"[").and_then(|list| list.strip_suffix(b"]"));
    if let Some(items) = items.filter(|items| !items.trim_ascii().is_empty()) {
        to.probabilities(items);
    }
    if let Some(message) = choice.get(inner).and_then(Object::parse) {
        read_out(&message, to);
    }
}

/// Reads a message, or a delta of one, to a listener.
fn read_out(message: &Object<'_>, to: &mut dyn Listen) {
    let text =
        |key: &str| message.get(key).filter(|json| json.starts_with(b"\"") && *json != b"\"\"");
    if let Some(json) = text("reasoning_content").or_else(|| text("reasoning")) {
        to.reasoning(json);
    }
    for detail in message.get("reasoning_details").and_then(items).unwrap_or_default() {
        if let Some(detail) = Object::parse(detail) {
            to.thought(&detail);
        }
    }
    if let Some(json) = text("content") {
        to.text(json);
    }
    if let Some(json) = text("refusal") {
        to.refusal(json);
    }
    let calls = message.get("tool_calls").and_then(items).unwrap_or_default();
    for (at, call) in calls.into_iter().enumerate() {
        let Some(call) = Object::parse(call) else { continue };
        let index = call.whole("index").unwrap_or(at as u64);
        if let Some(custom) = call.get("custom").and_then(Object::parse) {
            if call.name("id").is_some() {
                to.custom(index, call.literal("id"), custom.literal("name"));
            }
            if custom.literal("input") != b"\"\"" {
                to.input(index, custom.literal("input"));
            }
            continue;
        }
        let function = call.get("function").and_then(Object::parse).unwrap_or_default();
        if call.name("id").is_some() {
            to.call(index, call.literal("id"), function.literal("name"));
        }
        let google = call.get("extra_content").and_then(Object::parse);
        if let Some(google) = google.as_ref().and_then(|extra| Object::parse(extra.get("google")?))
        {
            to.signature(index, google.literal("thought_signature"));
        }
        if function.literal("arguments") != b"\"\"" {
            to.arguments(index, function.literal("arguments"));
        }
    }
}
