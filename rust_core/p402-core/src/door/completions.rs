//! Decides how a chat's answer reads as an older text completion, whole or chunk by chunk.
//! Does not ask for it (passing.rs).

use super::Retell;
use crate::dialect::wire::object::{Object, array, items};
use crate::dialect::wire::sse::SseDecoder;

/// One answer on its way out.
#[derive(Debug, Default)]
pub(super) struct Text {
    sse: SseDecoder,
}

impl Retell for Text {
    fn whole(&mut self, completion: &[u8]) -> Vec<u8> {
        told(completion)
    }

    fn frames(&mut self, frames: &[u8]) -> Vec<u8> {
        self.sse.push(frames);
        let mut out = Vec::new();
        while let Some(Ok(frame)) = self.sse.next_frame() {
            out.extend_from_slice(b"data: ");
            if frame.data == b"[DONE]" {
                out.extend_from_slice(frame.data);
            } else {
                out.extend(told(frame.data));
            }
            out.extend_from_slice(b"\n\n");
        }
        out
    }
}

/// A completion, or a chunk of one; an error has the same shape in both.
fn told(json: &[u8]) -> Vec<u8> {
    let mut top = Object::parse(json).unwrap_or_default();
    let Some(choices) = top.share("choices") else { return json.to_vec() };
    let choices: Vec<Vec<u8>> =
        items(&choices).unwrap_or_default().into_iter().filter_map(choice).collect();
    top.replace("object", b"\"text_completion\"".to_vec());
    top.replace("choices", array(choices.iter().map(Vec::as_slice)));
    top.write()
}

/// The text stands where a message, or a delta of one, stood.
fn choice(json: &[u8]) -> Option<Vec<u8>> {
    let mut choice = Object::parse(json)?;
    let message = choice.remove("message").or_else(|| choice.remove("delta"))?;
    let message = Object::parse_taken(message)?;
    choice.set_first("text", message.literal("content").to_vec());
    Some(choice.write())
}
