//! Decides how server-sent events of a foreign language are fed to whoever reads them one by one.
//! Does not know the language, nor any other framing.

use super::openai::StreamFault;
use super::translate::{Decode, Kept};
use super::wire::sse::{SseDecoder, SseFault};

/// Reads one language's events.
pub(super) trait Events: Send + Sync + std::fmt::Debug {
    fn event(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), StreamFault>;
    /// The bytes have ended, all events were read.
    fn ended(&mut self, _out: &mut Vec<u8>) {}
    fn kept(&self) -> Option<Kept>;
}

/// A decoder of a language that comes as server-sent events.
#[derive(Debug)]
pub(super) struct SseEvents<E> {
    sse: SseDecoder,
    events: E,
}

impl<E: Events> SseEvents<E> {
    pub(super) fn new(events: E) -> Self {
        Self { sse: SseDecoder::new(), events }
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        while let Some(frame) = self.sse.next_frame() {
            let frame = frame.map_err(|SseFault::TooLong| StreamFault::TooLarge)?;
            self.events.event(frame.data, out)?;
        }
        Ok(())
    }
}

impl<E: Events> Decode for SseEvents<E> {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StreamFault> {
        self.sse.push(bytes);
        self.drain(out)
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        self.sse.finish();
        match self.drain(out) {
            // The last event stopped short: that is a cut, not a bad event.
            Err(StreamFault::Malformed(_)) => return Err(StreamFault::Cut),
            drained => drained?,
        }
        self.events.ended(out);
        Ok(())
    }

    fn kept(&self) -> Option<Kept> {
        self.events.kept()
    }
}

pub(super) fn malformed(why: &str) -> StreamFault {
    StreamFault::Malformed(why.to_owned())
}
