//! Decides what of an upstream's stream leaves for the client, and when (compat.md §§ 3.3, 4).
//! Does not mend chunks (mend.rs), price usage or keep time: the I/O layer runs the clocks.

use super::choices::Choices;
use super::error::{UpstreamError, in_stream};
use super::glance::{Glance, glance};
use super::identity::Identity;
use super::mend::{Hopeless, Mender, PartKind, regular_finish};
use super::seal::{Seal, usage_chunk, usage_json, with_metadata};
use super::whole::as_chunks;
use super::{AnswerFault, StreamAsk};
use crate::chat::FinishReason;
use crate::dialect::wire::json::text_of;
use crate::dialect::wire::sse::{Frame, SseDecoder, SseFault};
use crate::usage::{ReportedUsage, UsageFault, read_usage};
use std::sync::OnceLock;

/// What is held before the first content; beyond either the stream commits.
const QUIET_BYTES_MAX: usize = 4 * 1024;
const QUIET_FRAMES_MAX: u32 = 64;
/// Longest body that is collected where JSON came although a stream was asked.
const WHOLE_BYTES_MAX: usize = 32 << 20;
/// Blanks before the first byte that says what the body is.
const LEAD_BYTES_MAX: usize = 1024;

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

/// A stream of chat chunks on its way from one upstream attempt to one client.
#[derive(Debug)]
pub struct ChatStream {
    form: Form,
    core: Core,
}

/// What the body turned out to be.
#[derive(Debug)]
enum Form {
    /// Nothing but blanks so far.
    Unknown(Vec<u8>),
    Events(SseDecoder),
    /// JSON (or HTML) although a stream was asked: collected to its end.
    Whole(Vec<u8>),
    Over,
}

#[derive(Debug)]
struct Core {
    ask: StreamAsk,
    identity: Identity,
    choices: Choices,
    out: Vec<u8>,
    quiet_frames: u32,
    held: Option<Held>,
    usage: Option<SeenUsage>,
    /// The upstream's chunk without choices that carried usage.
    usage_frame: Option<Vec<u8>>,
    service_tier: Option<String>,
    text_bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    committed: bool,
    /// `[DONE]` or the end of the body was seen, and nothing is missing.
    done: bool,
    sealed: bool,
}

/// The finish chunk that waits for usage.
#[derive(Debug)]
struct Held {
    json: Vec<u8>,
    choice: u32,
}

/// Usage as it came; read when somebody asks, since some upstreams send it on every chunk.
#[derive(Debug)]
struct SeenUsage {
    raw: Vec<u8>,
    read: OnceLock<Result<ReportedUsage, UsageFault>>,
}

impl ChatStream {
    pub fn new(ask: StreamAsk) -> Self {
        let core = Core {
            identity: Identity::new(&ask),
            choices: Choices::new(ask.request_id),
            ask,
            out: Vec::new(),
            quiet_frames: 0,
            held: None,
            usage: None,
            usage_frame: None,
            service_tier: None,
            text_bytes: 0,
            state: State::default(),
        };
        Self { form: Form::Unknown(Vec::new()), core }
    }

    /// Feeds upstream bytes. After an error nothing more is read; what was ready before it is
    /// still given out by `take_output` where the stream is committed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamFault> {
        let fed = self.feed(bytes);
        if fed.is_err() {
            self.form = Form::Over;
        }
        fed
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamFault> {
        match &mut self.form {
            Form::Over => Ok(()),
            Form::Events(decoder) => {
                decoder.push(bytes);
                self.core.drain(decoder)
            }
            Form::Whole(body) => {
                if body.len() + bytes.len() > WHOLE_BYTES_MAX {
                    return Err(StreamFault::TooLarge);
                }
                body.extend_from_slice(bytes);
                Ok(())
            }
            Form::Unknown(lead) => {
                lead.extend_from_slice(bytes);
                let lead = std::mem::take(lead);
                self.form = match form_of(&lead) {
                    None => Form::Unknown(lead),
                    Some(form) => {
                        self.form = form;
                        return self.feed(&lead);
                    }
                };
                Ok(())
            }
        }
    }

    /// The upstream's body ended: complete where every choice has finished, else cut.
    pub fn end(&mut self) -> Result<(), StreamFault> {
        if self.core.state.done || self.core.state.sealed {
            return Ok(());
        }
        match std::mem::replace(&mut self.form, Form::Over) {
            Form::Events(mut decoder) => {
                decoder.finish();
                match self.core.drain(&mut decoder) {
                    // The last frame stopped short: that is a cut, not a bad frame.
                    Err(StreamFault::Malformed(_)) => return Err(StreamFault::Cut),
                    drained => drained?,
                }
            }
            Form::Whole(body) => {
                let chunks = as_chunks(&body, &self.core.ask).map_err(|fault| match fault {
                    AnswerFault::Malformed(why) => StreamFault::Malformed(why),
                    AnswerFault::Upstream(error) => StreamFault::Upstream(error),
                })?;
                for chunk in chunks {
                    self.core.frame(&chunk)?;
                }
            }
            Form::Unknown(_) | Form::Over => {}
        }
        if self.core.choices.ended() {
            self.core.state.done = true;
        }
        if self.core.state.done { Ok(()) } else { Err(StreamFault::Cut) }
    }

    /// Bytes ready for the client; nothing before the stream is committed.
    pub fn take_output(&mut self) -> Option<Vec<u8>> {
        let ready = self.core.state.committed && !self.core.out.is_empty();
        ready.then(|| std::mem::take(&mut self.core.out))
    }

    /// The first content-bearing event was seen, or a finish without any content.
    pub const fn committed(&self) -> bool {
        self.core.state.committed
    }

    /// The finish chunk is held and the upstream has said all it will (`[DONE]`, or the end):
    /// price and seal. A usage chunk alone is not enough, since some upstreams send a second one
    /// and the last one counts.
    pub const fn ready(&self) -> bool {
        !self.core.state.sealed && self.core.held.is_some() && self.core.state.done
    }

    /// Every choice has finished, but the end has not come: the bound of 1 s runs. After it the
    /// stream may be sealed with what `reported` has by then.
    pub fn finishing(&self) -> bool {
        let state = self.core.state;
        !state.sealed
            && !state.done
            && self.core.held.is_some()
            && self.core.choices.finished(self.core.ask.n)
    }

    /// The last usage that was not null, where it is believable.
    pub fn reported(&self) -> Option<&ReportedUsage> {
        self.core.usage.as_ref().and_then(|seen| seen.read(&self.core.ask).as_ref().ok())
    }

    /// Usage was reported, but it cannot be right.
    pub fn usage_fault(&self) -> bool {
        self.core.usage.as_ref().is_some_and(|seen| seen.read(&self.core.ask).is_err())
    }

    /// Bytes of answer text, reasoning and tool arguments so far.
    pub const fn text_bytes(&self) -> u64 {
        self.core.text_bytes
    }

    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.core.choices.finish_reason()
    }

    pub fn service_tier(&self) -> Option<&str> {
        self.core.service_tier.as_deref()
    }

    /// The served model as the upstream names it, else the offer's.
    pub fn model(&self) -> &str {
        self.core.identity.model_text()
    }

    pub fn upstream_id(&self) -> Option<&str> {
        self.core.identity.upstream_id()
    }

    /// Finish words that nobody knows and that were passed on as `stop`.
    pub const fn unknown_finishes(&self) -> u32 {
        self.core.choices.unknown_finishes
    }

    /// What is still to be sent, to the end: pending output, the held finish chunk with the
    /// metadata, the usage chunk if the client asked, `[DONE]`. To be called once, when `ready`
    /// (or when the bound of `finishing` has passed); what the upstream sends later is ignored.
    pub fn seal(&mut self, seal: &Seal<'_>) -> Vec<u8> {
        let believed = self.reported().is_some();
        let core = &mut self.core;
        core.state.sealed = true;
        let mut out = std::mem::take(&mut core.out);
        if let Some(held) = core.held.take() {
            write_frame(&mut out, &with_metadata(&held.json, seal.metadata));
        }
        if core.ask.client_wants_usage {
            let raw = core.usage.as_ref().filter(|_| believed).map(|seen| seen.raw.as_slice());
            let usage = usage_json(raw, seal.usage, seal.cost);
            let chunk = usage_chunk(core.usage_frame.as_deref(), &core.identity, &usage);
            write_frame(&mut out, &with_metadata(&chunk, seal.metadata_again));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        out
    }

    /// Every chunk of a finished stream as frames, the held one too, and the usage as it came.
    pub(super) fn into_collected(self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut out = self.core.out;
        if let Some(held) = self.core.held {
            write_frame(&mut out, &held.json);
        }
        (out, self.core.usage.map(|seen| seen.raw))
    }

    /// An error frame (compat.md § 4.3): the body ends after it, without `[DONE]`.
    /// `error` is the object that stands under `error`; so is `metadata` under its own key.
    pub fn error_frame(error: &[u8], metadata: Option<&[u8]>) -> Vec<u8> {
        let mut json = b"{\"error\":".to_vec();
        json.extend_from_slice(error);
        if let Some(metadata) = metadata {
            json.extend_from_slice(b",\"p402_metadata\":");
            json.extend_from_slice(metadata);
        }
        json.push(b'}');
        let mut out = Vec::with_capacity(json.len() + 8);
        write_frame(&mut out, &json);
        out
    }
}

impl Core {
    fn drain(&mut self, decoder: &mut SseDecoder) -> Result<(), StreamFault> {
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

    fn frame(&mut self, data: &[u8]) -> Result<(), StreamFault> {
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
        if let Some(tier) = seen.service_tier.and_then(text_of) {
            self.service_tier = Some(tier.into_owned());
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
    fn read(&self, ask: &StreamAsk) -> &Result<ReportedUsage, UsageFault> {
        self.read.get_or_init(|| read_usage(&self.raw, ask.usage_shape))
    }
}

/// What a body is by its first byte that says anything.
fn form_of(lead: &[u8]) -> Option<Form> {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    if lead.len() < BOM.len() && BOM.starts_with(lead) {
        return None;
    }
    match lead.strip_prefix(BOM).unwrap_or(lead).trim_ascii_start().first() {
        Some(b'{' | b'[' | b'<') => Some(Form::Whole(Vec::new())),
        Some(_) => Some(Form::Events(SseDecoder::new())),
        None if lead.len() > LEAD_BYTES_MAX => Some(Form::Events(SseDecoder::new())),
        None => None,
    }
}

/// One frame on one line. A line break in JSON can only be a blank between tokens.
fn write_frame(out: &mut Vec<u8>, json: &[u8]) {
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
