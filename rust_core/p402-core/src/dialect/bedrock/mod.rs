//! Decides how Bedrock's Converse API is spoken: address, and the rooms of the language.
//! Does not sign requests: that takes a secret and a clock (p402-io).

mod decode;
mod encode;
mod stream;
mod turns;

use super::openai::{AnswerFault, StreamAsk};
use super::translate::{Codec, Decode, Encoded, Target, Translated, Unsaid};
use crate::chat::Request;

/// Converse and ConverseStream.
#[derive(Clone, Copy, Debug)]
pub struct Bedrock;

/// Who can read our `reasoning_details` back.
const THOUGHTS: &str = "amazon-bedrock-v1";

impl Codec for Bedrock {
    fn encode(&self, request: &Request<'_>, target: &Target<'_>) -> Result<Encoded, Unsaid> {
        let (body, dropped) = encode::body(request, target)?;
        Ok(Encoded { path: path(target), body, dropped })
    }

    fn read(&self, body: &[u8], ask: &StreamAsk) -> Result<Translated, AnswerFault> {
        decode::answer(body).map(|completion| completion.translated(ask))
    }

    fn decoder(&self, ask: &StreamAsk) -> Box<dyn Decode> {
        Box::new(stream::Decoder::new(ask))
    }
}

/// Ids hold colons and, in ARNs, slashes: all of it is one segment.
fn path(target: &Target<'_>) -> String {
    let mut path = String::from("/model/");
    for byte in target.model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            let hex = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
            path.extend(['%', hex(byte >> 4), hex(byte & 15)].map(|c| c.to_ascii_uppercase()));
        }
    }
    path.push_str(if target.stream { "/converse-stream" } else { "/converse" });
    path
}
