//! Decides how a kept answer is told again: as one body, or as a stream of the same words.
//! Does not decide who may hear it, and does not act as if it were still being written.

use super::flow::write_frame;
use super::seal::{append_metadata, usage_json, with_metadata};
use crate::dialect::wire::json::quoted;
use crate::id::RequestId;
use crate::money::Usd;
use crate::usage::Usage;

/// Text of one chunk; chunks are cut between characters.
const CHUNK_BYTES_MAX: usize = 256;

/// A kept answer on its way to a new request.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// Of the new request: an answer is never told twice under one id.
    pub request_id: RequestId,
    pub created: i64,
    pub model: &'a str,
    pub content: &'a str,
    /// The key it came under, and the text.
    pub reasoning: Option<(&'a str, &'a str)>,
    pub usage: &'a Usage,
    pub metadata: &'a [u8],
}

impl Replay<'_> {
    /// As one body.
    pub fn whole(&self) -> Vec<u8> {
        let mut out = self.head("chat.completion");
        out.extend_from_slice(b",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"");
        member(&mut out, "content", self.content);
        if let Some((key, text)) = self.reasoning {
            member(&mut out, key, text);
        }
        out.extend_from_slice(b",\"refusal\":null,\"annotations\":[]},");
        out.extend_from_slice(b"\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":");
        out.extend_from_slice(&self.usage_json());
        out.push(b'}');
        append_metadata(&mut out, self.metadata);
        out
    }

    /// As a stream, to its `[DONE]`.
    pub fn stream(&self, wants_usage: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * self.content.len() + 2_048);
        self.chunk(&mut out, b"{\"role\":\"assistant\",\"content\":\"\"}", b"null", None);
        if let Some((key, text)) = self.reasoning {
            self.texts(&mut out, key, text);
        }
        self.texts(&mut out, "content", self.content);
        self.chunk(&mut out, b"{}", b"\"stop\"", Some(self.metadata));
        if wants_usage {
            let mut last = self.head("chat.completion.chunk");
            last.extend_from_slice(b",\"choices\":[],\"usage\":");
            last.extend_from_slice(&self.usage_json());
            last.push(b'}');
            write_frame(&mut out, &with_metadata(&last, self.metadata));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        out
    }

    fn texts(&self, out: &mut Vec<u8>, key: &str, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(CHUNK_BYTES_MAX));
            let delta = [b"{", &*quoted(key), b":", &*quoted(piece), b"}"].concat();
            self.chunk(out, &delta, b"null", None);
            rest = after;
        }
    }

    fn chunk(&self, out: &mut Vec<u8>, delta: &[u8], finish: &[u8], metadata: Option<&[u8]>) {
        let mut json = self.head("chat.completion.chunk");
        json.extend_from_slice(b",\"choices\":[{\"index\":0,\"delta\":");
        json.extend_from_slice(delta);
        json.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        json.extend_from_slice(finish);
        json.extend_from_slice(b"}]}");
        match metadata {
            Some(metadata) => write_frame(out, &with_metadata(&json, metadata)),
            None => write_frame(out, &json),
        }
    }

    fn head(&self, object: &str) -> Vec<u8> {
        let id = format!("{{\"id\":\"chatcmpl-{:032x}\"", self.request_id.bits());
        let rest = format!(",\"object\":\"{object}\",\"created\":{}", self.created);
        let mut out = (id + &rest).into_bytes();
        member(&mut out, "model", self.model);
        out
    }

    fn usage_json(&self) -> Vec<u8> {
        usage_json(None, self.usage, Usd::ZERO)
    }
}

/// One more text member.
fn member(out: &mut Vec<u8>, key: &str, text: &str) {
    out.push(b',');
    out.extend_from_slice(&quoted(key));
    out.push(b':');
    out.extend_from_slice(&quoted(text));
}
