//! Decides where one message of Amazon's binary event stream ends, and that its bytes are whole.
//! Does not read payloads.

/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Two lengths and their checksum.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// One message: what it is called, and what it holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Sent in place of an event where the service failed.
    pub(crate) exception: bool,
    /// The event's name, or the exception's.
    pub(crate) name: String,
    pub(crate) payload: Vec<u8>,
}

/// Why no more messages can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventFault {
    /// A checksum does not hold, or lengths and headers contradict each other.
    Damaged,
    TooLong,
}

/// Bytes in, messages out.
#[derive(Debug, Default)]
pub(crate) struct EventDecoder {
    buffer: Vec<u8>,
    start: usize,
}

impl EventDecoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, `None` until more bytes come.
    pub(crate) fn next_message(&mut self) -> Option<Result<Message, EventFault>> {
        let rest = self.buffer.get(self.start..)?;
        let prelude = rest.get(..PRELUDE)?;
        let (total, headers) = match lengths(prelude) {
            Ok(lengths) => lengths,
            Err(fault) => return Some(Err(fault)),
        };
        let message = rest.get(..total)?;
        let read = read(message, headers);
        self.start += total;
        Some(read.ok_or(EventFault::Damaged))
    }

    /// Bytes of a message that is not whole are left.
    pub(crate) fn is_amid(&self) -> bool {
        self.start < self.buffer.len()
    }
}

/// (the whole message, its headers): believed only with their own checksum.
fn lengths(prelude: &[u8]) -> Result<(usize, usize), EventFault> {
    let total = word(prelude, 0).ok_or(EventFault::Damaged)? as usize;
    let headers = word(prelude, 4).ok_or(EventFault::Damaged)? as usize;
    let summed = crc32fast::hash(prelude.get(..8).unwrap_or_default());
    if word(prelude, 8) != Some(summed) || total < PRELUDE + headers + CHECKSUM {
        return Err(EventFault::Damaged);
    }
    if total > MESSAGE_BYTES_MAX {
        return Err(EventFault::TooLong);
    }
    Ok((total, headers))
}

fn read(message: &[u8], headers: usize) -> Option<Message> {
    let end = message.len().checked_sub(CHECKSUM)?;
    if word(message, end)? != crc32fast::hash(message.get(..end)?) {
        return None;
    }
    let mut rest = message.get(PRELUDE..PRELUDE + headers)?;
    let payload = message.get(PRELUDE + headers..end)?.to_vec();
    let (mut exception, mut name) = (false, String::new());
    while !rest.is_empty() {
        let (key, value, after) = header(rest)?;
        rest = after;
        match key {
            b":message-type" => exception = value != b"event",
            b":event-type" | b":exception-type" | b":error-code" => {
                name = String::from_utf8_lossy(value).into_owned();
            }
            _ => {}
        }
    }
    Some(Message { exception, name, payload })
}

/// (name, value, what follows) of the first header.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (size, rest) = match kind {
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        9 => (16, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(size)?;
    Some((key, value, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let (word, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u32::from_be_bytes(*word))
}
