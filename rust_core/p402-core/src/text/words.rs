//! Decides where words begin and end, and what kind of thing each one is.
//! Does not know synonyms, grammar or which words matter.

use std::borrow::Cow;

/// What a word is, told by its look alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Plain,
    /// Begins with a digit, a sign or a currency mark before one.
    Number,
    /// Letters with digits, inner capitals or marks inside: `iPhone`, `C#`, `a_b`, `np.sum`.
    Identifier,
    /// What stands between back-ticks.
    Code,
    Link,
    /// What stands between double quotes.
    Quoted,
    /// A comma, a stop, a bracket.
    Mark,
}

/// A word as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    pub raw: &'a str,
    pub kind: Kind,
    /// Lower case; contractions are opened (`don't` gives two words).
    pub folded: Cow<'a, str>,
    /// The first of its sentence: its capital says nothing.
    pub opens: bool,
}

/// A quotation longer than this is prose, not a name.
const QUOTED_BYTES_MAX: usize = 200;
/// Words after which `'s` is `is`.
const ASKING: &[&str] =
    &["what", "where", "who", "how", "when", "why", "that", "there", "here", "it", "he", "she"];
const CURRENCY: [char; 4] = ['$', '€', '£', '¥'];

/// Splits a text into its words.
pub fn split(text: &str) -> Vec<Word<'_>> {
    let mut list = List { words: Vec::new(), opens: true };
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '`' => code(rest).inspect(|len| list.push(rest, *len, Kind::Code)),
            '"' | '“' | '”' => quoted(rest).inspect(|len| list.push(rest, *len, Kind::Quoted)),
            _ => None,
        };
        let len = taken.unwrap_or_else(|| {
            let len = chunk_len(rest);
            list.chunk(rest.get(..len).unwrap_or_default());
            len
        });
        rest = rest.get(len..).unwrap_or_default().trim_start();
    }
    list.words
}

/// Bytes up to white space, a back-tick or a quote; at least one character.
fn chunk_len(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '`' | '"' | '“' | '”');
    let mut chars = text.char_indices();
    chars.next();
    chars.find(|(_, c)| ends(*c)).map_or(text.len(), |(at, _)| at)
}

fn code(text: &str) -> Option<usize> {
    let mark = if text.starts_with("```") { "```" } else { "`" };
    let inner = text.get(mark.len()..)?;
    Some(inner.find(mark).map_or(text.len(), |end| end + 2 * mark.len()))
}

fn quoted(text: &str) -> Option<usize> {
    let open = text.chars().next()?.len_utf8();
    let close = text.get(open..)?.char_indices().find(|(_, c)| matches!(c, '"' | '“' | '”'))?;
    let len = open + close.0 + close.1.len_utf8();
    (close.0 > 0 && len <= QUOTED_BYTES_MAX).then_some(len)
}

struct List<'a> {
    words: Vec<Word<'a>>,
    opens: bool,
}

impl<'a> List<'a> {
    fn push(&mut self, text: &'a str, len: usize, kind: Kind) {
        let raw = text.get(..len).unwrap_or_default();
        let folded = match kind {
            Kind::Code | Kind::Link => Cow::Borrowed(raw),
            _ if is_folded(raw) => Cow::Borrowed(raw),
            _ => Cow::Owned(raw.to_lowercase()),
        };
        self.add(raw, kind, folded);
    }

    fn add(&mut self, raw: &'a str, kind: Kind, folded: Cow<'a, str>) {
        self.words.push(Word { raw, kind, folded, opens: self.opens });
        if kind != Kind::Mark {
            self.opens = false;
        }
    }

    /// A run without white space: marks at its edges, a word inside.
    fn chunk(&mut self, chunk: &'a str) {
        if chunk.contains("://") || chunk.starts_with("www.") {
            let link = chunk.trim_end_matches(['.', ',', ')', '?', '!', ';']);
            return self.push(link, link.len(), Kind::Link);
        }
        let inner = chunk.trim_start_matches(|c: char| is_edge(c) && c != '-' && c != '.');
        let inner = inner.strip_prefix(['-', '.']).filter(|s| !digit_first(s)).unwrap_or(inner);
        let (before, inner) = chunk.split_at(chunk.len() - inner.len());
        let core = inner.trim_end_matches(|c: char| is_edge(c) && c != '%' && c != '!');
        let core = match core.trim_end_matches('!') {
            word if word.chars().count() > 1 && word.chars().all(char::is_alphabetic) => word,
            _ => core,
        };
        let (core, after) = inner.split_at(core.len());
        for mark in before.split_inclusive(|_| true) {
            self.push(mark, mark.len(), Kind::Mark);
        }
        if !core.is_empty() {
            self.word(core);
        }
        for mark in after.split_inclusive(|_| true) {
            self.push(mark, mark.len(), Kind::Mark);
            self.opens |= matches!(mark, "." | "!" | "?" | ":" | "。" | "？" | "！");
        }
    }

    fn word(&mut self, core: &'a str) {
        let bare = core.trim_start_matches(['-', '+', '.']).trim_start_matches(CURRENCY);
        if digit_first(bare) {
            return self.push(core, core.len(), Kind::Number);
        }
        if core.contains(['-', '/', '—', '–']) && !core.contains(char::is_numeric) {
            let parts: Vec<&str> = core.split(['-', '/', '—', '–']).collect();
            if parts.len() < 4 && parts.iter().all(|part| part.chars().all(is_wordy)) {
                for part in parts.into_iter().filter(|part| !part.is_empty()) {
                    self.word(part);
                }
                return;
            }
        }
        let letters = core.chars().skip(1).filter(|c| c.is_alphabetic());
        let (upper, lower): (Vec<char>, Vec<char>) = letters.partition(|c| c.is_uppercase());
        let mixed = !upper.is_empty() && !lower.is_empty();
        let marked = core.contains(|c: char| !is_wordy(c));
        if mixed || marked {
            return self.push(core, core.len(), Kind::Identifier);
        }
        self.opened(core);
    }

    /// A plain word, its contraction opened.
    fn opened(&mut self, core: &'a str) {
        if is_folded(core) && core != "cannot" && !core.contains('\'') {
            return self.add(core, Kind::Plain, Cow::Borrowed(core));
        }
        let folded = core.to_lowercase().replace(['’', '‘'], "'");
        let both = match folded.as_str() {
            "cannot" | "can't" => Some(("can", "not")),
            "won't" => Some(("will", "not")),
            "let's" => Some(("let", "us")),
            _ => None,
        };
        let both = both.or_else(|| folded.strip_suffix("n't").map(|verb| (verb, "not")));
        let both = both.or_else(|| {
            let endings = [("'m", "am"), ("'re", "are"), ("'ve", "have"), ("'ll", "will")];
            let full = |(short, full)| folded.strip_suffix(short).map(|stem| (stem, full));
            endings.into_iter().find_map(full)
        });
        let both = both.or_else(|| {
            let asking = folded.strip_suffix("'s").filter(|stem| ASKING.contains(stem));
            asking.map(|stem| (stem, "is"))
        });
        let Some((first, second)) = both.filter(|(first, _)| !first.is_empty()) else {
            let stem = folded.strip_suffix("'s").or(folded.strip_suffix('\'')).unwrap_or(&folded);
            return self.add(core, Kind::Plain, Cow::Owned(stem.to_owned()));
        };
        self.add(core, Kind::Plain, Cow::Owned(first.to_owned()));
        self.add(core, Kind::Plain, Cow::Owned(second.to_owned()));
    }
}

/// Most words are as they are typed: in small letters, without an accent.
fn is_folded(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}

fn digit_first(text: &str) -> bool {
    text.starts_with(|c: char| c.is_numeric())
}

fn is_wordy(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '\'' | '’' | '‘') || is_joiner(c)
}

/// Accents that are characters of their own.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}')
}

fn is_edge(c: char) -> bool {
    let kept = matches!(c, '#' | '+' | '_' | '@' | '$' | '€' | '£' | '¥' | '\\') || is_joiner(c);
    !c.is_alphanumeric() && !kept
}
