//! Decides what of an upstream's stream leaves for the client, and when (compat.md §§ 3.3, 4).
//! Does not mend chunks (mend.rs), price usage or keep time: the I/O layer runs the clocks.

use super::flow::{Flow, StreamFault, write_frame};
use super::seal::{Seal, usage_chunk, usage_json, with_metadata};
use super::whole::as_chunks;
use super::{AnswerFault, StreamAsk};
use crate::chat::FinishReason;
use crate::dialect::translate::{Decode, Kept};
use crate::dialect::wire::sse::SseDecoder;
use crate::usage::ReportedUsage;

/// Longest body that is collected where JSON came although a stream was asked.
const WHOLE_BYTES_MAX: usize = 32 << 20;
/// Blanks before the first byte that says what the body is.
const LEAD_BYTES_MAX: usize = 1024;

/// A stream of chat chunks on its way from one upstream attempt to one client.
#[derive(Debug)]
pub struct ChatStream {
    form: Form,
    flow: Flow,
    /// Stands between a foreign language's bytes and the frames that are read here.
    decoder: Option<Box<dyn Decode>>,
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

impl ChatStream {
    pub fn new(ask: StreamAsk) -> Self {
        Self { form: Form::Unknown(Vec::new()), flow: Flow::new(ask), decoder: None }
    }

    /// A stream in another language: what its decoder says is what is read.
    pub fn decoded(ask: StreamAsk, decoder: Box<dyn Decode>) -> Self {
        Self { decoder: Some(decoder), ..Self::new(ask) }
    }

    /// Feeds upstream bytes. After an error nothing more is read; what was ready before it is
    /// still given out by `take_output` where the stream is committed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamFault> {
        let fed = match self.decoder.as_mut() {
            None => self.feed(bytes),
            Some(_) if matches!(self.form, Form::Over) => Ok(()),
            Some(decoder) => {
                let mut frames = Vec::new();
                let decoded = decoder.push(bytes, &mut frames);
                // What was said before a fault is still true.
                self.feed(&frames).and(decoded)
            }
        };
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
                self.flow.drain(decoder)
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
        if self.flow.state.done || self.flow.state.sealed {
            return Ok(());
        }
        if let Some(decoder) = &mut self.decoder {
            let mut frames = Vec::new();
            decoder.end(&mut frames)?;
            self.feed(&frames)?;
        }
        match std::mem::replace(&mut self.form, Form::Over) {
            Form::Events(mut decoder) => {
                decoder.finish();
                match self.flow.drain(&mut decoder) {
                    // The last frame stopped short: that is a cut, not a bad frame.
                    Err(StreamFault::Malformed(_)) => return Err(StreamFault::Cut),
                    drained => drained?,
                }
            }
            Form::Whole(body) => {
                let chunks = as_chunks(&body, &self.flow.ask).map_err(|fault| match fault {
                    AnswerFault::Malformed(why) => StreamFault::Malformed(why),
                    AnswerFault::Upstream(error) => StreamFault::Upstream(error),
                })?;
                for chunk in chunks {
                    self.flow.frame(&chunk)?;
                }
            }
            Form::Unknown(_) | Form::Over => {}
        }
        if self.flow.choices.ended() {
            self.flow.state.done = true;
        }
        if self.flow.state.done { Ok(()) } else { Err(StreamFault::Cut) }
    }

    /// Bytes ready for the client; nothing before the stream is committed.
    pub fn take_output(&mut self) -> Option<Vec<u8>> {
        let ready = self.flow.state.committed && !self.flow.out.is_empty();
        ready.then(|| std::mem::take(&mut self.flow.out))
    }

    /// The first content-bearing event was seen, or a finish without any content.
    pub const fn committed(&self) -> bool {
        self.flow.state.committed
    }

    /// The finish chunk is held and the upstream has said all it will (`[DONE]`, or the end):
    /// price and seal. A usage chunk alone is not enough, since some upstreams send a second one
    /// and the last one counts.
    pub const fn ready(&self) -> bool {
        !self.flow.state.sealed && self.flow.held.is_some() && self.flow.state.done
    }

    /// Every choice has finished, but the end has not come: the bound of 1 s runs. After it the
    /// stream may be sealed with what `reported` has by then.
    pub fn finishing(&self) -> bool {
        let state = self.flow.state;
        !state.sealed
            && !state.done
            && self.flow.held.is_some()
            && self.flow.choices.finished(self.flow.ask.n)
    }

    /// The last usage that was not null, where it is believable.
    pub fn reported(&self) -> Option<&ReportedUsage> {
        let said = self.flow.usage.as_ref()?.read(&self.flow.ask).as_ref().ok()?;
        (!said.denies(self.flow.text_bytes)).then_some(said)
    }

    /// Usage was reported, but it cannot be right.
    pub fn usage_fault(&self) -> bool {
        self.flow.usage.is_some() && self.reported().is_none()
    }

    /// Usage was reported that no request can have.
    pub fn usage_absurd(&self) -> bool {
        let read = self.flow.usage.as_ref().map(|seen| seen.read(&self.flow.ask));
        matches!(read, Some(Err(fault)) if fault.is_absurd())
    }

    /// Bytes of answer text, reasoning and tool arguments so far.
    pub const fn text_bytes(&self) -> u64 {
        self.flow.text_bytes
    }

    /// What is to be remembered of the answer; nothing where bytes pass.
    pub fn kept(&self) -> Option<Kept> {
        self.decoder.as_ref()?.kept()
    }

    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.flow.choices.finish_reason()
    }

    pub fn service_tier(&self) -> Option<&str> {
        self.flow.service_tier.as_deref()
    }

    /// The served model as the upstream names it, else the offer's.
    pub fn model(&self) -> &str {
        self.flow.identity.model_text()
    }

    pub fn upstream_id(&self) -> Option<&str> {
        self.flow.identity.upstream_id()
    }

    /// Finish words that nobody knows and that were passed on as `stop`.
    pub const fn unknown_finishes(&self) -> u32 {
        self.flow.choices.unknown_finishes
    }

    /// What is still to be sent, to the end: pending output, the held finish chunk with the
    /// metadata, the usage chunk if the client asked, `[DONE]`. To be called once, when `ready`
    /// (or when the bound of `finishing` has passed); what the upstream sends later is ignored.
    pub fn seal(&mut self, seal: &Seal<'_>) -> Vec<u8> {
        let believed = self.reported().is_some();
        let flow = &mut self.flow;
        flow.state.sealed = true;
        let mut out = std::mem::take(&mut flow.out);
        if let Some(held) = flow.held.take() {
            write_frame(&mut out, &with_metadata(&held.json, seal.metadata));
        }
        if flow.ask.client_wants_usage {
            let raw = flow.usage.as_ref().filter(|_| believed).map(|seen| seen.raw.as_slice());
            let usage = usage_json(raw, seal.usage, seal.cost);
            let chunk = usage_chunk(flow.usage_frame.as_deref(), &flow.identity, &usage);
            write_frame(&mut out, &with_metadata(&chunk, seal.metadata_again));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        out
    }

    /// Every chunk of a finished stream as frames, the held one too, and the usage as it came.
    pub(super) fn into_collected(self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut out = self.flow.out;
        if let Some(held) = self.flow.held {
            write_frame(&mut out, &held.json);
        }
        (out, self.flow.usage.map(|seen| seen.raw))
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
