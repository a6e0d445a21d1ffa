//! Decides what is JSON: one forward walk that validates every byte it passes and keeps spans.
//! Does not know what a chat request is (scan.rs) and builds no tree.

use super::text;
use super::types::{Span, TextBytes};
use std::borrow::Cow;

/// Containers open at once, the outermost one included.
pub const DEPTH_MAX: u16 = 128;

/// Why the bytes are not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

/// What kind of value begins here, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

/// A string as it stands: quotes inside the span, `escaped` where a backslash occurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) span: Span,
    pub(super) escaped: bool,
}

/// A position in the body. Invariant: `at` is never past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) body: &'a [u8],
    pub(super) at: usize,
    depth: u16,
}

impl Kind {
    /// The kind's name in sentences.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

impl Quoted {
    /// The text between the quotes, unescaped.
    pub(super) fn text<'a>(&self, body: &'a [u8]) -> Cow<'a, str> {
        let raw = self.span.of(body);
        if self.escaped {
            // The walk has validated the escapes, so this cannot fail.
            return Cow::Owned(serde_json::from_slice(raw).unwrap_or_default());
        }
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        Cow::Borrowed(std::str::from_utf8(inner).unwrap_or_default())
    }
}

impl<'a> Cursor<'a> {
    /// A cursor at the first byte of `body`, which must be UTF-8 without a byte order mark.
    pub(super) fn new(body: &'a [u8]) -> Result<Self, Fault> {
        if body.starts_with(b"\xEF\xBB\xBF") {
            return Err(Fault { what: "a byte order mark stands before the JSON", at: 0 });
        }
        match std::str::from_utf8(body) {
            Ok(_) => Ok(Self { body, at: 0, depth: 0 }),
            Err(error) => Err(Fault { what: "the bytes are not UTF-8", at: error.valid_up_to() }),
        }
    }

    /// A cursor at a value inside a body that has been walked before.
    pub(super) const fn inside(body: &'a [u8], at: usize) -> Self {
        Self { body, at, depth: 0 }
    }

    pub(super) const fn fault(&self, what: &'static str) -> Fault {
        Fault { what, at: self.at }
    }

    fn byte(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The kind of the value at the cursor; blanks before it are passed.
    pub(super) fn kind(&mut self) -> Result<Kind, Fault> {
        self.skip_space();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.fault("a value is expected here (NaN and Infinity are none)")),
            None => Err(self.fault("the body ends where a value is expected")),
        }
    }

    /// Nothing but blanks may follow the outermost value.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at < self.body.len() {
            return Err(self.fault("more data follows the JSON value"));
        }
        Ok(())
    }

    /// Steps into the container at the cursor.
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        if self.depth >= DEPTH_MAX {
            return Err(self.fault("the JSON is nested deeper than 128 levels"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
    }

    /// The next member's key; the cursor then stands at its value. `None`: the object has ended.
    /// `first` is true until the first call returns.
    pub(super) fn next_key(&mut self, first: &mut bool) -> Result<Option<Quoted>, Fault> {
        self.skip_space();
        match (self.byte(), *first) {
            (Some(b'}'), _) => {
                self.leave();
                return Ok(None);
            }
            (Some(b','), false) => {
                self.at += 1;
                self.skip_space();
            }
            (Some(_), true) => *first = false,
            (Some(_), false) => return Err(self.fault("`,` or `}` is expected here")),
            (None, _) => return Err(self.fault("the body ends inside an object")),
        }
        if self.byte() != Some(b'"') {
            return Err(self.fault("a key in double quotes is expected here"));
        }
        let key = self.string(None)?;
        self.skip_space();
        if self.byte() != Some(b':') {
            return Err(self.fault("`:` is expected after a key"));
        }
        self.at += 1;
        self.skip_space();
        Ok(Some(key))
    }

    /// Whether another element follows; the cursor then stands at it.
    pub(super) fn next_item(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.skip_space();
        match (self.byte(), *first) {
            (Some(b']'), _) => {
                self.leave();
                return Ok(false);
            }
            (Some(b','), false) => {
                self.at += 1;
                self.skip_space();
            }
            (Some(_), true) => *first = false,
            (Some(_), false) => return Err(self.fault("`,` or `]` is expected here")),
            (None, _) => return Err(self.fault("the body ends inside an array")),
        }
        Ok(true)
    }

    /// Walks one whole value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<Span, Fault> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Text => self.string(None).map(drop)?,
            Kind::Number => self.number().map(drop)?,
            Kind::Bool | Kind::Null => self.literal().map(drop)?,
            Kind::Object => {
                self.enter()?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.skip()?;
                }
            }
            Kind::Array => {
                self.enter()?;
                let mut first = true;
                while self.next_item(&mut first)? {
                    self.skip()?;
                }
            }
        }
        Ok(Span { start, end: self.at })
    }

    /// `true`, `false` or `null` (`None`).
    pub(super) fn literal(&mut self) -> Result<Option<bool>, Fault> {
        let (word, value): (&[u8], _) = match self.byte() {
            Some(b't') => (b"true", Some(true)),
            Some(b'f') => (b"false", Some(false)),
            _ => (b"null", None),
        };
        if !self.rest().starts_with(word) {
            return Err(self.fault("a value is expected here (NaN and Infinity are none)"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// A number by JSON's grammar.
    pub(super) fn number(&mut self) -> Result<Span, Fault> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.byte() == Some(b'0');
        let whole = self.digits()?;
        if leading_zero && whole > 1 {
            return Err(self.fault("a number has no leading zero"));
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Span { start, end: self.at })
    }

    fn digits(&mut self) -> Result<usize, Fault> {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.fault("a digit is expected here"));
        }
        self.at += count;
        Ok(count)
    }

    /// A string; its text is counted where a tally is handed in.
    pub(super) fn string(&mut self, mut tally: Option<&mut TextBytes>) -> Result<Quoted, Fault> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let short = text::stretch(self.rest());
            self.at += short.len;
            if let Some(tally) = tally.as_deref_mut() {
                tally.add_stretch(short);
            }
            if !short.stopped {
                self.long_run(tally.as_deref_mut())?;
            }
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Quoted { span: Span { start, end: self.at }, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    let unescaped = self.escape()?;
                    if let Some(tally) = tally.as_deref_mut() {
                        tally.add_char(unescaped);
                    }
                }
                Some(_) => {
                    return Err(self.fault("a control character stands bare inside a string"));
                }
                None => return Err(self.fault("the body ends inside a string")),
            }
        }
    }

    /// Passes everything up to the next quote or backslash.
    fn long_run(&mut self, tally: Option<&mut TextBytes>) -> Result<(), Fault> {
        let rest = self.rest();
        let plain = rest.get(..text::long_run(rest)).unwrap_or_default();
        let regular = match tally {
            Some(tally) => tally.add(plain),
            None => !text::has_control(plain),
        };
        if !regular {
            self.at += plain.iter().position(|b| *b < 0x20).unwrap_or_default();
            return Err(self.fault("a control character stands bare inside a string"));
        }
        self.at += plain.len();
        Ok(())
    }

    /// One escape, surrogate pairs taken together.
    fn escape(&mut self) -> Result<char, Fault> {
        let letter = self.body.get(self.at + 1).copied();
        let plain = match letter {
            Some(b'n') => '\n',
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault("this escape is none of JSON's")),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let unit = self.hex4(2)?;
        let (code, len) = match unit {
            0xD800..=0xDBFF => {
                let paired = self.body.get(self.at + 6..self.at + 8) == Some(b"\\u");
                let low = if paired { self.hex4(8)? } else { 0 };
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(self.fault("an escaped surrogate has no partner"));
                }
                (0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00), 12)
            }
            other => (other, 6),
        };
        let Some(character) = char::from_u32(code) else {
            return Err(self.fault("an escaped surrogate has no partner"));
        };
        self.at += len;
        Ok(character)
    }

    /// Four hex digits, `offset` bytes after the cursor.
    fn hex4(&self, offset: usize) -> Result<u32, Fault> {
        let digits = self.body.get(self.at + offset..self.at + offset + 4).unwrap_or_default();
        let value = digits.iter().try_fold(0u32, |sum, digit| {
            char::from(*digit).to_digit(16).map(|nibble| (sum << 4) | nibble)
        });
        match value {
            Some(value) if digits.len() == 4 => Ok(value),
            _ => Err(self.fault("`\\u` takes four hex digits")),
        }
    }
}
