//! Decides how Google's generateContent is spoken: address, and the rooms of the language.
//! Does not put the key anywhere but in its header: an address lands in logs.

mod decode;
mod encode;
mod stream;
mod turns;

use super::events::SseEvents;
use super::openai::{AnswerFault, StreamAsk};
use super::translate::{Codec, Decode, Encoded, Target, Translated, Unsaid};
use crate::chat::Request;

/// generateContent and streamGenerateContent.
#[derive(Clone, Copy, Debug)]
pub struct Gemini;

/// Who can read our `reasoning_details` back.
const THOUGHTS: &str = "google-gemini-v1";

impl Codec for Gemini {
    fn encode(&self, request: &Request<'_>, target: &Target<'_>) -> Result<Encoded, Unsaid> {
        let path = path(target)?;
        let (body, dropped) = encode::body(request, target)?;
        Ok(Encoded { path, body, dropped })
    }

    fn read(&self, body: &[u8], ask: &StreamAsk) -> Result<Translated, AnswerFault> {
        decode::answer(body, ask).map(|completion| completion.translated(ask))
    }

    fn decoder(&self, ask: &StreamAsk) -> Box<dyn Decode> {
        Box::new(SseEvents::new(stream::Pieces::new(ask)))
    }
}

/// The model stands in the address: it is one segment and nothing else.
fn path(target: &Target<'_>) -> Result<String, Unsaid> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let model = target.model;
    if model.is_empty() || !model.bytes().all(plain) || model.bytes().all(|byte| byte == b'.') {
        return Err(Unsaid::parameter("model", "the model's name is no part of an address"));
    }
    let verb = if target.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    Ok(format!("/models/{model}:{verb}"))
}
