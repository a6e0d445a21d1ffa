//! Decides how a reply behaves, from the model's name alone: `mock-ttft20-n16-gap10`.
//! Deliberately refuses a token it does not know: a mistyped fault must not pass as health.

use std::time::Duration;

/// Frames of a stream that are not content: role, finish, usage, `[DONE]`.
pub const FRAMES_AROUND: u32 = 4;
const CONTENTS_DEFAULT: u32 = 16;
const CONTENTS_MAX: u32 = 10_000;
const SIZE_MAX: u32 = 16 << 20;
const DELAY_MAX_MS: u32 = 600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// An OpenAI-shaped error with this status.
    Status(u16),
    /// A TCP reset before the first byte of the answer.
    Reset,
    /// A TCP reset after this many content events (half of the body, where there is no stream).
    Cut(u32),
    /// The request is read and never answered.
    Hang,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    pub ttft: Duration,
    pub gap: Duration,
    pub contents: u32,
    /// Bytes of content in all; words of natural length where absent.
    pub size: Option<u32>,
    pub fault: Fault,
    /// How many requests in a hundred meet the fault.
    pub fault_percent: u32,
    /// The connection is closed after the reply.
    pub close: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ttft: Duration::ZERO,
            gap: Duration::ZERO,
            contents: CONTENTS_DEFAULT,
            size: None,
            fault: Fault::None,
            fault_percent: 100,
            close: false,
        }
    }
}

impl Behaviour {
    /// Reads a model name; the error says which token was not understood.
    pub fn parse(model: &str) -> Result<Self, String> {
        let mut tokens = model.split('-');
        if tokens.next() != Some("mock") {
            return Err(format!("model `{model}` does not begin with `mock`"));
        }
        let mut behaviour = Self::default();
        for token in tokens {
            behaviour
                .apply(token)
                .ok_or_else(|| format!("token `{token}` of model `{model}` is not understood"))?;
        }
        Ok(behaviour)
    }

    fn apply(&mut self, token: &str) -> Option<()> {
        let digits = token.find(|c: char| c.is_ascii_digit());
        let (word, number) = token.split_at(digits.unwrap_or(token.len()));
        let number: Option<u32> = if number.is_empty() { None } else { Some(number.parse().ok()?) };
        match (word, number) {
            ("ttft", Some(ms)) => self.ttft = delay(ms)?,
            ("gap", Some(ms)) => self.gap = delay(ms)?,
            ("n", Some(n)) if (1..=CONTENTS_MAX).contains(&n) => self.contents = n,
            ("burst", Some(n)) if (FRAMES_AROUND + 1..=CONTENTS_MAX).contains(&n) => {
                self.contents = n - FRAMES_AROUND;
                self.gap = Duration::ZERO;
            }
            ("size", Some(bytes)) if bytes <= SIZE_MAX => self.size = Some(bytes),
            ("close", None) => self.close = true,
            ("reset", None) => self.fault = Fault::Reset,
            ("cut", Some(n)) => self.fault = Fault::Cut(n),
            ("hang", None) => self.fault = Fault::Hang,
            ("p", Some(percent)) if percent <= 100 => self.fault_percent = percent,
            ("", Some(status @ (400 | 401 | 403 | 404 | 429 | 500 | 502 | 503))) => {
                self.fault = Fault::Status(u16::try_from(status).ok()?);
            }
            _ => return None,
        }
        Some(())
    }
}

fn delay(ms: u32) -> Option<Duration> {
    (ms <= DELAY_MAX_MS).then(|| Duration::from_millis(u64::from(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let got = Behaviour::parse("mock-ttft20-n16-gap10").unwrap();
        assert_eq!((got.ttft.as_millis(), got.contents, got.gap.as_millis()), (20, 16, 10));
        assert_eq!(Behaviour::parse("mock-burst20").unwrap().contents, 16);
        let faulty = Behaviour::parse("mock-500-p30").unwrap();
        assert_eq!((faulty.fault, faulty.fault_percent), (Fault::Status(500), 30));
    }

    #[test]
    fn unknown_tokens_are_refused() {
        for name in
            ["gpt-5.4", "mock-tfft20", "mock-n0", "mock-200", "mock-", "mock-p101", "mock-n"]
        {
            assert!(Behaviour::parse(name).is_err(), "{name}");
        }
    }
}
