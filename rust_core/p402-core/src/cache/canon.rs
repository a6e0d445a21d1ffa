//! Decides which spellings of one question are the same question without any judgement of meaning.
//! Does not touch code, links or words whose capitals or digits carry meaning.

use unicode_normalization::UnicodeNormalization;

/// Raised when a rule of this file changes.
pub const VERSION: u32 = 1;
/// Rounds until a form no longer changes; two are enough for every text met in tests.
const ROUNDS_MAX: usize = 4;
const FENCE: &str = "```";

const NUMBER_WORDS: &[(&str, &str)] = &[
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
    ("thirteen", "13"),
    ("fourteen", "14"),
    ("fifteen", "15"),
    ("sixteen", "16"),
    ("seventeen", "17"),
    ("eighteen", "18"),
    ("nineteen", "19"),
    ("twenty", "20"),
    ("thirty", "30"),
    ("forty", "40"),
    ("fifty", "50"),
    ("sixty", "60"),
    ("seventy", "70"),
    ("eighty", "80"),
    ("ninety", "90"),
];
/// Beside one of these a number word is part of a larger number, which is left as it is.
const MULTIPLES: &[&str] = &["hundred", "thousand", "million", "billion", "trillion", "dozen"];
/// Endings that stand for one word and no other.
const CONTRACTED: &[(&str, &str)] = &[("'re", "are"), ("'ve", "have"), ("'ll", "will")];
/// Words after which `'s` is `is`.
const ASKING: &[&str] =
    &["what", "where", "who", "how", "when", "why", "that", "there", "here", "it"];

/// The one form of a text. Applying it twice changes nothing.
pub fn canonical(text: &str) -> String {
    let mut form = round(text);
    for _ in 1..ROUNDS_MAX {
        let next = round(&form);
        if next == form {
            break;
        }
        form = next;
    }
    form
}

/// Code stays byte for byte; what stands between is prose.
fn round(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('`') {
        let (before, code) = rest.split_at(at);
        prose(before, &mut out);
        let mark = if code.starts_with(FENCE) { FENCE } else { "`" };
        let end = code.get(mark.len()..).and_then(|inner| inner.find(mark));
        let end = end.map_or(code.len(), |end| end + 2 * mark.len());
        let (code, after) = code.split_at(end);
        out.push_str(code);
        rest = after;
    }
    prose(rest, &mut out);
    if !rest.is_empty() {
        let open = without_closing(&out).len();
        out.truncate(open);
    }
    out
}

/// Words with what parts them: a blank, or the end of a line with the next one's indentation,
/// since without a fence it may still be code.
fn prose(text: &str, out: &mut String) {
    let composed: String = text.chars().map(width).nfc().collect();
    let mut list: Vec<(&str, String)> = Vec::new();
    let mut rest = composed.as_str();
    loop {
        let word = rest.trim_start();
        let (gap, word) = rest.split_at(rest.len() - word.len());
        let gap = match gap.rfind('\n') {
            Some(at) => gap.get(at..).unwrap_or_default(),
            None if gap.is_empty() => "",
            None => " ",
        };
        let (word, after) = word.split_at(word.find(char::is_whitespace).unwrap_or(word.len()));
        let mut parts = spelled_out(word).into_iter();
        list.push((gap, parts.next().unwrap_or_default()));
        list.extend(parts.map(|part| (" ", part)));
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    words(&list, out);
}

fn words(list: &[(&str, String)], out: &mut String) {
    let word_at = |at: usize| list.get(at).map_or("", |(_, word)| word.as_str());
    let mut at = 0;
    while let Some((gap, word)) = list.get(at) {
        if !out.is_empty() {
            out.push_str(gap);
        }
        let next = word_at(at + 1);
        if let Some((time, taken)) = clock(word, next) {
            out.push_str(&time);
            at += taken;
            continue;
        }
        let before = if at == 0 { "" } else { word_at(at - 1) };
        out.push_str(&digits(word, before, next).unwrap_or_else(|| word.clone()));
        at += 1;
    }
}

/// Full and half width forms are a matter of keyboards. Other compatibility forms are not folded:
/// `2⁵` is not `25`.
fn width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\r' => '\n',
        _ => c,
    }
}

/// Folds a word's case where its capitals carry nothing, and opens what is contracted.
fn spelled_out(word: &str) -> Vec<String> {
    if is_verbatim(word) {
        return vec![word.to_owned()];
    }
    let word = fold(word);
    if word == "i'm" {
        return vec!["i".to_owned(), "am".to_owned()];
    }
    match word.as_str() {
        "can't" | "cannot" => return vec!["can".to_owned(), "not".to_owned()],
        "won't" => return vec!["will".to_owned(), "not".to_owned()],
        "shan't" => return vec!["shall".to_owned(), "not".to_owned()],
        "ain't" => return vec![word],
        _ => {}
    }
    if let Some(verb) = word.strip_suffix("n't").filter(|verb| !verb.is_empty()) {
        return vec![verb.to_owned(), "not".to_owned()];
    }
    for (ending, full) in CONTRACTED {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            return vec![stem.to_owned(), (*full).to_owned()];
        }
    }
    if let Some(stem) = word.strip_suffix("'s").filter(|stem| ASKING.contains(stem)) {
        return vec![stem.to_owned(), "is".to_owned()];
    }
    vec![word]
}

/// Links, names with digits, and words with a capital beyond their first letter.
fn is_verbatim(word: &str) -> bool {
    let letters = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    word.contains("://")
        || word.starts_with("www.")
        || word.contains(char::is_numeric)
        || letters.chars().skip(1).any(char::is_uppercase)
        || word.contains(['_', '/', '\\', '=', '<', '>', '{', '}', '(', ')', '@', '#', '+', '$'])
}

/// Case folding by way of the capital, so that `ß` meets `SS`; the dotless `ı` is a letter of its
/// own and stays.
fn fold(word: &str) -> String {
    let folded = word.chars().flat_map(|c| {
        let upper: Vec<char> = if c == 'ı' { vec![c] } else { c.to_uppercase().collect() };
        upper.into_iter().flat_map(|c| if c == 'ı' { vec![c] } else { c.to_lowercase().collect() })
    });
    folded.nfc().collect()
}

/// A lone number word as digits.
fn digits(word: &str, before: &str, next: &str) -> Option<String> {
    let part_of_more = |other: &str| {
        let bare = other.trim_matches(|c: char| !c.is_alphanumeric());
        MULTIPLES.contains(&bare)
            || NUMBER_WORDS.iter().any(|(name, _)| bare == *name)
            || bare.contains(char::is_numeric)
    };
    if part_of_more(before) || part_of_more(next) {
        return None;
    }
    let value = |name: &str| NUMBER_WORDS.iter().find(|(word, _)| *word == name).map(|(_, d)| *d);
    if let Some((tens, ones)) = word.split_once('-') {
        let (tens, ones) = (value(tens)?, value(ones)?);
        let whole = tens.len() == 2 && tens.ends_with('0') && tens != "10" && ones.len() == 1;
        return (whole && ones != "0").then(|| format!("{}{ones}", tens.trim_end_matches('0')));
    }
    value(word).map(str::to_owned)
}

/// `3pm`, `3:30 PM` and how many words that took, in 24 hours.
fn clock(word: &str, next: &str) -> Option<(String, usize)> {
    let lower = word.to_ascii_lowercase();
    let halves = ["am", "pm"];
    let (time, half, taken) = if let Some(half) = halves.iter().find(|h| lower.ends_with(**h)) {
        (lower.trim_end_matches(half).to_owned(), *half, 1)
    } else {
        let follows = next.to_ascii_lowercase();
        (lower, *halves.iter().find(|half| follows == **half)?, 2)
    };
    let (hour, minute) = time.split_once(':').unwrap_or((&time, "00"));
    let two =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !two(hour) || !two(minute) || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    if !(1..=12).contains(&hour) || minute > 59 {
        return None;
    }
    let hour = hour % 12 + if half == "pm" { 12 } else { 0 };
    Some((format!("{hour}:{minute:02}"), taken))
}

/// Cuts what ends a sentence. After a digit or a single letter a mark can be an operator: `5!`.
fn without_closing(text: &str) -> &str {
    let open = text.trim_end().trim_end_matches(['?', '.', '!', '。', '…', '¿', '¡', ' ']);
    let word = open.rsplit(char::is_whitespace).next().unwrap_or_default();
    let plain = word.chars().count() > 1 && word.chars().all(|c| c.is_alphabetic() || c == '\'');
    let marks = text.trim_end().get(open.len()..).unwrap_or_default();
    if plain || !marks.contains('!') && !word.is_empty() { open } else { text.trim_end() }
}
