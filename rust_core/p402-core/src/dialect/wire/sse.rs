//! Decides where one server-sent event ends and the next begins, whatever way the bytes are cut.
//! Does not look inside the data: `[DONE]`, JSON and errors are the dialect's business.

use memchr::memchr2;
use std::ops::Range;

/// Longest line, and longest joined data of one event, that is read.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Longest event name that is kept; a longer one is cut.
const NAME_BYTES_MAX: usize = 64;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event that carried data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// All data lines, joined with `\n`; never empty.
    pub data: &'a [u8],
    /// The `event:` name, empty where there was none.
    pub event: &'a [u8],
}

/// Why no more frames can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseFault {
    /// A line (or an event's joined data) is longer than `LINE_BYTES_MAX`.
    TooLong,
}

/// Bytes in, frames out. Every byte is looked at once, so one-byte chunks stay linear.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "five independent facts, no states")]
pub struct SseDecoder {
    buffer: Vec<u8>,
    /// Everything before this is consumed.
    start: usize,
    /// No line end lies between `start` and this.
    scanned: usize,
    /// The last line ended in CR: an LF that follows belongs to it.
    skip_lf: bool,
    past_bom: bool,
    ended: bool,
    too_long: bool,
    pending: Pending,
    /// Data of several lines, or data that had to outlive its buffer.
    joined: Vec<u8>,
    event: Vec<u8>,
    /// The event was handed out: its data and name go before the next line is read.
    handed_out: bool,
}

/// Where the data of the event being read lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    /// One line, still in the buffer.
    InBuffer(Range<usize>),
    Joined,
}

impl SseDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes. Call `next_frame` until it gives `None` before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.forget_handed_out();
        self.detach();
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            self.scanned = 0;
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The bytes have ended: an unfinished last line and an unfinished last event count too.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// The next whole event, `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Result<Frame<'_>, SseFault>> {
        self.forget_handed_out();
        let complete = self.advance();
        if self.too_long {
            return Some(Err(SseFault::TooLong));
        }
        if !complete {
            return None;
        }
        self.handed_out = true;
        let data = match &self.pending {
            Pending::InBuffer(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            Pending::Joined | Pending::Nothing => self.joined.as_slice(),
        };
        Some(Ok(Frame { data, event: &self.event }))
    }

    /// Reads lines until an event with data is complete.
    fn advance(&mut self) -> bool {
        while let Some(line) = self.line() {
            if line.is_empty() {
                if self.has_data() {
                    return true;
                }
                self.forget_event();
            } else {
                self.field(line);
            }
            if self.too_long {
                return false;
            }
        }
        self.ended && self.has_data()
    }

    /// The next line's range without its end, `None` where it is not whole yet.
    fn line(&mut self) -> Option<Range<usize>> {
        if !self.past_bom && !self.skip_bom() {
            return None;
        }
        if self.skip_lf && self.start < self.buffer.len() {
            self.skip_lf = false;
            if self.buffer.get(self.start) == Some(&b'\n') {
                self.start += 1;
            }
            self.scanned = self.scanned.max(self.start);
        }
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr2(b'\n', b'\r', unseen) else {
            self.scanned = self.buffer.len();
            return self.last_line();
        };
        let end = self.scanned + found;
        self.skip_lf = self.buffer.get(end) == Some(&b'\r');
        let line = self.start..end;
        self.start = end + 1;
        self.scanned = self.start;
        self.too_long |= line.len() > LINE_BYTES_MAX;
        Some(line)
    }

    /// What is left when no line end is in sight: a line only once the bytes have ended.
    fn last_line(&mut self) -> Option<Range<usize>> {
        let line = self.start..self.buffer.len();
        self.too_long |= line.len() > LINE_BYTES_MAX;
        if !self.ended || line.is_empty() {
            return None;
        }
        self.start = line.end;
        Some(line)
    }

    /// False while the first bytes may still turn out to be a byte order mark.
    fn skip_bom(&mut self) -> bool {
        if !self.ended && self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
            return false;
        }
        self.past_bom = true;
        if self.buffer.starts_with(BOM) {
            self.start = BOM.len();
            self.scanned = self.start;
        }
        true
    }

    fn field(&mut self, line: Range<usize>) {
        let text = self.buffer.get(line.clone()).unwrap_or_default();
        let colon = memchr::memchr(b':', text).unwrap_or(text.len());
        let name = text.get(..colon).unwrap_or_default();
        let mut value = line.start + (colon + 1).min(text.len())..line.end;
        if self.buffer.get(value.start) == Some(&b' ') && !value.is_empty() {
            value.start += 1;
        }
        match name {
            b"data" => self.data(value),
            b"event" => {
                value.end = value.end.min(value.start + NAME_BYTES_MAX);
                self.event.clear();
                self.event.extend_from_slice(self.buffer.get(value).unwrap_or_default());
            }
            // Comments, `id`, `retry` and unknown fields say nothing to anybody here.
            _ => {}
        }
    }

    fn data(&mut self, value: Range<usize>) {
        if self.pending == Pending::Nothing {
            self.pending = Pending::InBuffer(value);
            return;
        }
        self.detach();
        self.joined.push(b'\n');
        self.joined.extend_from_slice(self.buffer.get(value).unwrap_or_default());
        self.too_long |= self.joined.len() > LINE_BYTES_MAX;
    }

    /// Copies the data line out of the buffer, which is about to move or to be joined.
    fn detach(&mut self) {
        if let Pending::InBuffer(range) = &self.pending {
            self.joined.clear();
            self.joined.extend_from_slice(self.buffer.get(range.clone()).unwrap_or_default());
            self.pending = Pending::Joined;
        }
    }

    fn has_data(&self) -> bool {
        match &self.pending {
            Pending::Nothing => false,
            Pending::InBuffer(range) => !range.is_empty(),
            Pending::Joined => !self.joined.is_empty(),
        }
    }

    fn forget_handed_out(&mut self) {
        if self.handed_out {
            self.handed_out = false;
            self.forget_event();
        }
    }

    fn forget_event(&mut self) {
        self.pending = Pending::Nothing;
        self.joined.clear();
        self.event.clear();
    }
}
