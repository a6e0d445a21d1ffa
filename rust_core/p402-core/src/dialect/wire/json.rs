//! Decides where the parts of a JSON text begin and end, in one pass and without a tree.
//! Does not build values: what it gives out are slices of the text, checked to be JSON.

use std::borrow::Cow;

/// Deepest nesting that is walked.
const DEPTH_MAX: u32 = 128;

/// Bytes that end a run of plain string bytes: the quote, the backslash, control characters.
static ENDS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// A cursor over one JSON text. Every method gives `None` where the text is not JSON.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
    /// Some control character stands somewhere: strings must be searched for it.
    controls: bool,
}

/// A string literal: its bytes between the quotes, and whether any of them is an escape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Literal<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        // Over the whole text at once this is a few vector instructions.
        let below = |some: &[u8]| some.iter().fold(0, |found, byte| found | u8::from(*byte < 0x20));
        let controls = text.chunks(64).any(|some| below(some) != 0);
        Self { text, at: 0, depth: 0, controls }
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
    #[expect(clippy::option_option, reason = "the outer one is `?` on bad JSON")]
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
            let rest = self.text.get(self.at..)?;
            let plain = memchr::memchr2(b'"', b'\\', rest)?;
            if self.controls && rest.get(..plain)?.iter().any(|byte| *byte < 0x20) {
                return None;
            }
            self.at += plain + 1;
            if rest.get(plain) == Some(&b'"') {
                break;
            }
            escaped = true;
            self.escape()?;
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
            return Cow::Owned(unescape(self.raw));
        }
        // Frames are checked to be UTF-8 as a whole; nothing is lost here.
        std::str::from_utf8(self.raw)
            .map_or_else(|_| String::from_utf8_lossy(self.raw), Cow::Borrowed)
    }

    /// How many bytes of UTF-8 the text has; half a surrogate pair counts two.
    pub(crate) fn text_bytes(&self) -> u64 {
        let mut bytes = self.raw.len();
        let mut rest = self.raw;
        while self.escaped
            && let Some(at) = memchr::memchr(b'\\', rest)
        {
            let escape = rest.get(at..).unwrap_or_default();
            let (written, means) = match escape {
                [_, b'u', b'0', b'0', b'0'..=b'7', ..] => (6, 1),
                [_, b'u', b'0', b'0'..=b'7', ..]
                | [_, b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => (6, 2),
                [_, b'u', ..] => (6, 3),
                _ => (2, 1),
            };
            bytes = bytes.saturating_sub(written - means);
            rest = escape.get(written..).unwrap_or_default();
        }
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
    write_quoted(&mut out, text);
    out
}

/// Appends a string as JSON, quotes included.
pub(crate) fn write_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| ENDS_PLAIN[usize::from(*byte)]) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        match special.first() {
            Some(b'"') => out.extend_from_slice(b"\\\""),
            Some(b'\\') => out.extend_from_slice(b"\\\\"),
            Some(b'\n') => out.extend_from_slice(b"\\n"),
            Some(b'\r') => out.extend_from_slice(b"\\r"),
            Some(b'\t') => out.extend_from_slice(b"\\t"),
            Some(byte) => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            None => {}
        }
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_long_as_it_is_counted() {
        let raws = [
            "plain",
            "",
            r#"a\nb\\\""#,
            r"\u0000\u007f\u0080\u07ff\u0800\uffff",
            r"\ud83d\ude00 ü",
            r"\uD83D\uDE00",
            r"\\u0041",
        ];
        for raw in raws {
            let quoted = format!("\"{raw}\"");
            let literal = Walk::new(quoted.as_bytes()).string().unwrap();
            let text: String = serde_json::from_str(&quoted).unwrap();
            assert_eq!(literal.text_bytes(), text.len() as u64, "{raw}");
            assert_eq!(literal.text(), text, "{raw}");
            assert_eq!(text_of(&super::quoted(&text)).unwrap(), text, "{raw}");
        }
    }

    #[test]
    fn what_is_json_is_what_serde_says() {
        let texts = [
            "0",
            "-0",
            "01",
            "1.",
            ".5",
            "1e5",
            "1E+",
            "-",
            "+1",
            "tru",
            "true",
            "nul",
            "[1,]",
            "[,1]",
            "[]",
            "{}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[1 2]",
            "{\"a\":[{\"b\":null}]} ",
            " 1 2",
            "\"",
            "[",
            "{\"a\":",
            "1e400",
            "[[[[]]]]",
            "",
        ];
        for text in texts {
            let mut walk = Walk::new(text.as_bytes());
            let ours = walk.value().is_some() && walk.at_end();
            let raw: Result<&serde_json::value::RawValue, _> = serde_json::from_str(text);
            assert_eq!(ours, raw.is_ok(), "{text:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(Walk::new(deep.as_bytes()).value().is_none(), "depth has a bound");
    }
}
