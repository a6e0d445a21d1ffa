//! Decides into which pieces of its vocabulary the encoder's text falls, as BERT's tokenizer does.
//! Does not decide how much text is too much (model.rs).

use std::collections::HashMap;
use unicode_categories::UnicodeCategories;
use unicode_normalization::UnicodeNormalization;

const UNKNOWN: u32 = 100;
const CLASSIFY: u32 = 101;
const SEPARATE: u32 = 102;
/// A longer run of letters is no word: it is unknown as a whole.
const WORD_CHARS_MAX: usize = 100;

/// Pieces by their text; pieces inside a word stand apart from those that begin one.
#[derive(Debug)]
pub struct WordPiece {
    begins: HashMap<Box<str>, u32>,
    inside: HashMap<Box<str>, u32>,
}

impl WordPiece {
    /// From one piece per line, in the order of their ids; `##` marks a piece inside a word.
    pub fn new(vocabulary: &str) -> Self {
        let mut pieces = Self { begins: HashMap::new(), inside: HashMap::new() };
        for (id, piece) in (0..).zip(vocabulary.split('\n')) {
            match piece.strip_prefix("##") {
                Some(inner) if !inner.is_empty() => pieces.inside.insert(inner.into(), id),
                _ => pieces.begins.insert(piece.into(), id),
            };
        }
        pieces
    }

    /// How many pieces the vocabulary has.
    pub fn len(&self) -> usize {
        self.begins.len() + self.inside.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text's pieces between the two marks; `None` where they are more than `max`.
    pub fn encode(&self, text: &str, max: usize) -> Option<Vec<u32>> {
        let mut ids = vec![CLASSIFY];
        let plain = plain(text);
        let mut word = String::new();
        for c in plain.chars() {
            if c.is_whitespace() || is_punctuation(c) {
                self.word(&word, &mut ids);
                word.clear();
                if !c.is_whitespace() {
                    self.word(c.encode_utf8(&mut [0; 4]), &mut ids);
                }
            } else {
                word.push(c);
            }
            if ids.len() >= max {
                return None;
            }
        }
        self.word(&word, &mut ids);
        ids.push(SEPARATE);
        (ids.len() <= max).then_some(ids)
    }

    /// The longest known piece first, again and again; one unknown piece makes the word unknown.
    fn word(&self, word: &str, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let before = ids.len();
        if word.chars().count() > WORD_CHARS_MAX {
            ids.push(UNKNOWN);
            return;
        }
        let mut rest = word;
        while !rest.is_empty() {
            let known = if rest.len() == word.len() { &self.begins } else { &self.inside };
            let mut ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            let found = ends.find_map(|end| Some((end, known.get(rest.get(..end)?)?)));
            let Some((end, id)) = found else {
                ids.truncate(before);
                ids.push(UNKNOWN);
                return;
            };
            ids.push(*id);
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// Clean, with each Chinese character a word, without accents, in lower case.
fn plain(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' | '\u{fffd}' => {}
            '\t' | '\n' | '\r' => spaced.push(' '),
            c if c.is_other() => {}
            c if c.is_whitespace() => spaced.push(' '),
            c if is_chinese(c) => spaced.extend([' ', c, ' ']),
            c => spaced.push(c),
        }
    }
    let bare = spaced.nfd().filter(|c| !c.is_mark_nonspacing());
    bare.flat_map(char::to_lowercase).collect()
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_punctuation()
}

fn is_chinese(c: char) -> bool {
    matches!(
        c as u32,
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x2_0000..=0x2_A6DF
            | 0x2_A700..=0x2_B73F
            | 0x2_B740..=0x2_B81F
            | 0x2_B920..=0x2_CEAF
            | 0xF900..=0xFAFF
            | 0x2_F800..=0x2_FA1F
    )
}
