//! Decides what each frame of a stream does: pass, be mended, be held, or end it.
//! Does not see bytes before they are frames (wire/sse.rs) and does not seal (stream.rs).

use super::StreamAsk;
use super::choices::Choices;
use super::error::{UpstreamError, in_stream};
use super::finish::regular_finish;
use super::glance::{Glance, glance};
use super::identity::Identity;
use super::mend::{Hopeless, Mender, PartKind};
use crate::dialect::wire::json::text_of;
use crate::dialect::wire::sse::{Frame, SseDecoder, SseFault};
use crate::usage::{ReportedUsage, UsageFault, read_usage};
use std::borrow::Cow;
use std::sync::OnceLock;

/// What is held before the first content; beyond either the stream commits.
const QUIET_BYTES_MAX: usize = 4 * 1024;
const QUIET_FRAMES_MAX: u32 = 64;
/// Why a stream ended badly.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamFault {
    /// The bytes ended, or `[DONE]` came, before every choice had finished.
    Cut,
    /// What was wrong, in words that hold nothing of the answer.
    Malformed(String),
    /// The upstream said so itself, inside the stream.
    Upstream(Box<UpstreamError>),
    /// A line above 1 MiB, or a whole answer above 32 MiB.
    TooLarge,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ask: StreamAsk,
    pub(super) identity: Identity,
    pub(super) choices: Choices,
    pub(super) out: Vec<u8>,
    quiet_frames: u32,
    pub(super) held: Option<Held>,
    pub(super) usage: Option<SeenUsage>,
    /// The upstream's chunk without choices that carried usage.
    pub(super) usage_frame: Option<Vec<u8>>,
    pub(super) service_tier: Option<String>,
    /// As it last came, so that the same word is read once.
    service_tier_raw: Vec<u8>,
    pub(super) text_bytes: u64,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) committed: bool,
    /// `[DONE]` or the end of the body was seen, and nothing is missing.
    pub(super) done: bool,
    pub(super) sealed: bool,
}

/// The finish chunk that waits for usage.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) json: Vec<u8>,
    choice: u32,
}

/// Usage as it came; read when somebody asks, since some upstreams send it on every chunk.
#[derive(Debug)]
pub(super) struct SeenUsage {
    pub(super) raw: Vec<u8>,
    read: OnceLock<Result<ReportedUsage, UsageFault>>,
}

impl Flow {
    pub(super) fn new(ask: StreamAsk) -> Self {
        Self {
            identity: Identity::new(&ask),
            choices: Choices::new(ask.request_id),
            ask,
            out: Vec::new(),
            quiet_frames: 0,
            held: None,
            usage: None,
            usage_frame: None,
            service_tier: None,
            service_tier_raw: Vec::new(),
            text_bytes: 0,
            state: State::default(),
        }
    }

    pub(super) fn drain(&mut self, decoder: &mut SseDecoder) -> Result<(), StreamFault> {
        while let Some(frame) = decoder.next_frame() {
            let Frame { data, event } = frame.map_err(|SseFault::TooLong| StreamFault::TooLarge)?;
            if self.state.done || self.state.sealed {
                return Ok(());
            }
            match event {
                b"error" => return Err(StreamFault::Upstream(Box::new(in_stream(data)))),
                b"ping" | b"keepalive" | b"heartbeat" => {}
                _ => self.frame(data.trim_ascii())?,
            }
        }
        Ok(())
    }

    pub(super) fn frame(&mut self, data: &[u8]) -> Result<(), StreamFault> {
        if data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.state.done = self.choices.complete();
            return if self.state.done { Ok(()) } else { Err(StreamFault::Cut) };
        }
        let Some(seen) = glance(data) else {
            let why = format!("an event of {} bytes is not a JSON object", data.len());
            return Err(StreamFault::Malformed(why));
        };
        if seen.error {
            return Err(StreamFault::Upstream(Box::new(in_stream(data))));
        }
        self.identity.note(seen.id, seen.created, seen.model);
        if let Some(raw) = seen.service_tier
            && self.service_tier_raw != raw
        {
            self.service_tier_raw = raw.to_vec();
            self.service_tier = text_of(raw).map(Cow::into_owned).or(self.service_tier.take());
        }
        if seen.choices > 0 {
            match self.regular(&seen) {
                Some(kind) => self.pass(data, &seen, kind),
                None => self.mend(data)?,
            }
        } else if seen.usage.is_some() {
            self.usage_frame = Some(data.to_vec());
        }
        if let Some(raw) = seen.usage {
            self.usage = Some(SeenUsage { raw: raw.to_vec(), read: OnceLock::new() });
        }
        Ok(())
    }

    /// What a chunk is, where it may leave as it came.
    fn regular(&mut self, seen: &Glance<'_>) -> Option<PartKind> {
        let same = self.identity.matches(seen.id, seen.created, seen.model);
        if seen.odd || !seen.named || !same {
            return None;
        }
        let choice = self.choices.slot(seen.choice.index?)?;
        if seen.choice.role == choice.role_sent {
            return None;
        }
        if seen.choice.tool.is_some_and(|tool| !choice.regular(&tool)) {
            return None;
        }
        let bears = seen.choice.bears_content();
        let Some(word) = seen.choice.finish else {
            return Some(if bears { PartKind::Content } else { PartKind::Quiet });
        };
        if bears || seen.choice.role || word.escaped || choice.bare_call() {
            return None;
        }
        regular_finish(word.raw, !choice.calls.is_empty()).map(PartKind::Finish)
    }

    fn pass(&mut self, data: &[u8], seen: &Glance<'_>, kind: PartKind) {
        let index = seen.choice.index.unwrap_or_default();
        if let Some(choice) = self.choices.slot(index) {
            choice.role_sent = true;
            if let Some(tool) = &seen.choice.tool {
                choice.take(tool);
            }
        }
        self.text_bytes += seen.choice.text_bytes;
        self.emit(data, index, kind);
    }

    fn mend(&mut self, data: &[u8]) -> Result<(), StreamFault> {
        let mut mender =
            Mender { identity: &self.identity, choices: &mut self.choices, text_bytes: 0 };
        let mended = mender.mend(data);
        self.text_bytes += mender.text_bytes;
        let parts = mended.map_err(|hopeless| match hopeless {
            Hopeless::Malformed(why) => StreamFault::Malformed(why.to_owned()),
            Hopeless::Error => StreamFault::Upstream(Box::new(in_stream(data))),
        })?;
        for part in parts {
            self.emit(&part.json, part.choice, part.kind);
        }
        Ok(())
    }

    /// Sends a chunk on its way: a finish is held, anything after it of the same choice either
    /// opens the choice again (content) or says nothing.
    fn emit(&mut self, json: &[u8], index: u32, kind: PartKind) {
        let Some(choice) = self.choices.slot(index) else { return };
        if choice.done && kind != PartKind::Content {
            return;
        }
        match kind {
            PartKind::Finish(reason) => {
                choice.done = true;
                choice.finish = Some(reason);
            }
            PartKind::Content => choice.done = false,
            PartKind::Quiet => {}
        }
        self.identity.fix();
        self.release_other(index);
        if let PartKind::Finish(_) = kind {
            self.held = Some(Held { json: json.to_vec(), choice: index });
            self.state.committed = true;
            return;
        }
        write_frame(&mut self.out, json);
        self.quiet_frames += 1;
        self.state.committed |= kind == PartKind::Content
            || self.out.len() > QUIET_BYTES_MAX
            || self.quiet_frames > QUIET_FRAMES_MAX;
    }

    /// Another choice goes on, so the held finish was not the last one.
    fn release_other(&mut self, index: u32) {
        if let Some(held) = self.held.take_if(|held| held.choice != index) {
            write_frame(&mut self.out, &held.json);
        }
    }
}

impl SeenUsage {
    pub(super) fn read(&self, ask: &StreamAsk) -> &Result<ReportedUsage, UsageFault> {
        self.read.get_or_init(|| read_usage(&self.raw, ask.usage_shape))
    }
}

/// One frame on one line. A line break in JSON can only be a blank between tokens.
pub(super) fn write_frame(out: &mut Vec<u8>, json: &[u8]) {
    out.reserve(json.len() + 8);
    out.extend_from_slice(b"data: ");
    let start = out.len();
    out.extend_from_slice(json);
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        let breaks = out.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r'));
        breaks.for_each(|byte| *byte = b' ');
    }
    out.extend_from_slice(b"\n\n");
}
