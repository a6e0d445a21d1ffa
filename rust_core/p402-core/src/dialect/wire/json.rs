//! Decides where the parts of a JSON text begin and end, in one pass and without a tree.
//! Does not build values: what it gives out are slices of the text, checked to be JSON.

use std::borrow::Cow;

/// Deepest nesting that is walked.
const DEPTH_MAX: u32 = 128;

/// A cursor over one JSON text. Every method gives `None` where the text is not JSON.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

/// A string literal: its bytes between the quotes, and whether any of them is an escape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Literal<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

impl<'a> Walk<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// How many bytes are consumed.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is not a blank, 0 at the end; it is not consumed.
    pub(crate) fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// True where nothing but blanks is left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.peek() == 0 && self.at >= self.text.len()
    }

    /// Consumes this byte, blanks before it included.
    pub(crate) fn eat(&mut self, wanted: u8) -> Option<()> {
        (self.peek() == wanted).then(|| self.at += 1)
    }

    /// The next key of the object whose `{` was eaten; `Some(None)` where it closes.
    pub(crate) fn key(&mut self, first: &mut bool) -> Option<Option<Literal<'a>>> {
        if !self.more(first, b'}')? {
            return Some(None);
        }
        let key = self.string()?;
        self.eat(b':')?;
        Some(Some(key))
    }

    /// True where the array whose `[` was eaten has one more item.
    pub(crate) fn item(&mut self, first: &mut bool) -> Option<bool> {
        self.more(first, b']')
    }

    fn more(&mut self, first: &mut bool, close: u8) -> Option<bool> {
        let next = self.peek();
        if next == close {
            self.at += 1;
            return Some(false);
        }
        if !std::mem::take(first) {
            self.eat(b',')?;
        }
        Some(true)
    }

    /// A string literal.
    pub(crate) fn string(&mut self) -> Option<Literal<'a>> {
        self.eat(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..=0x1f => return None,
                _ => {}
            }
        }
        Some(Literal { raw: self.text.get(start..self.at - 1)?, escaped })
    }

    fn escape(&mut self) -> Option<()> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Any value, whole; gives its text.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        let first = self.peek();
        let start = self.at;
        match first {
            b'"' => self.string().map(|_| ())?,
            b'{' | b'[' => self.container(first)?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        self.text.get(start..self.at)
    }

    fn container(&mut self, open: u8) -> Option<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.at += 1;
        let mut first = true;
        if open == b'{' {
            while self.key(&mut first)?.is_some() {
                self.value()?;
            }
        } else {
            while self.item(&mut first)? {
                self.value()?;
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let here = self.text.get(self.at..)?;
        here.starts_with(word).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let whole = self.at;
        let digits = self.digits()?;
        if digits > 1 && self.text.get(whole) == Some(&b'0') {
            return None;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Consumes at least one digit; gives how many.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }
}

impl<'a> Literal<'a> {
    /// The text with its escapes resolved; a lone surrogate becomes U+FFFD.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            String::from_utf8_lossy(self.raw)
        }
    }

    /// How many bytes of UTF-8 the text has.
    pub(crate) fn text_bytes(&self) -> u64 {
        let bytes = if self.escaped { self.text().len() } else { self.raw.len() };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

fn unescape(raw: &[u8]) -> String {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    // serde_json refuses lone surrogates: the escapes then stay as they are written.
    serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(raw).into_owned())
}

/// The text of a value that is a string, `None` for any other value.
pub(crate) fn text_of(value: &[u8]) -> Option<Cow<'_, str>> {
    let mut walk = Walk::new(value);
    let literal = walk.string()?;
    walk.at_end().then(|| literal.text())
}

/// The value of a whole number without sign.
pub(crate) fn whole_of(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A string as JSON, quotes included.
pub(crate) fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\x1f' => {
                out.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes())
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
    out
}
