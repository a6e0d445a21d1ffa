//! Decides how Anthropic's Messages API is spoken: address, version, and the rooms of the language.
//! Does not know the models: what differs between them is said by quirks and efforts.

mod decode;
mod encode;
mod stream;
mod turns;

use super::events::SseEvents;
use super::openai::{AnswerFault, StreamAsk};
use super::translate::{Codec, Decode, Encoded, Target, Translated, Unsaid};
use crate::chat::Request;

/// The Messages API.
#[derive(Clone, Copy, Debug)]
pub struct Anthropic;

/// The one version that is spoken; what the client names is not passed on, since later ones
/// refuse fields that this one takes.
const HEADERS: [(&str, &str); 1] = [("anthropic-version", "2023-06-01")];
const PATH: &str = "/messages";
/// Who can read our `reasoning_details` back.
const THOUGHTS: &str = "anthropic-claude-v1";

impl Codec for Anthropic {
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &HEADERS
    }

    fn encode(&self, request: &Request<'_>, target: &Target<'_>) -> Result<Encoded, Unsaid> {
        let (body, dropped) = encode::body(request, target)?;
        Ok(Encoded { path: PATH.to_owned(), body, dropped })
    }

    fn read(&self, body: &[u8], ask: &StreamAsk) -> Result<Translated, AnswerFault> {
        decode::answer(body).map(|completion| completion.translated(ask))
    }

    fn decoder(&self, ask: &StreamAsk) -> Box<dyn Decode> {
        Box::new(SseEvents::new(stream::Messages::new(ask)))
    }
}
