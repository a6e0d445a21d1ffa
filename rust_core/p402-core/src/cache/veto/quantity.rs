//! Decides what numbers, units, dates and times a text names.
//! Does not convert units: `1 km` and `1000 m` are two quantities, which costs a miss.

use super::lexicon::Lexicon;
use crate::text::words::{Kind, Word};

/// A value as it is written, without its spelling, and its unit (empty: none).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cache) struct Quantity {
    pub(super) value: String,
    pub(super) unit: String,
}

/// What stands at a place, and how many words that took.
pub(super) enum Found {
    Quantity(Quantity, usize),
    Date(String, usize),
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const ONES: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: &[&str] =
    &["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const MULTIPLES: &[(&str, u64)] =
    &[("hundred", 100), ("thousand", 1_000), ("million", 1_000_000), ("billion", 1_000_000_000)];
const ORDINALS: &[&str] = &[
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
];
/// Units that are ordinary words when they stand alone.
const NEVER_ALONE: &[&str] = &["in", "a", "us", "d", "n", "min", "second", "point", "people"];

/// Every word that one of the lists above begins with.
pub(super) fn counting() -> impl Iterator<Item = &'static str> {
    let short = MONTHS.iter().filter_map(|name| name.get(..3));
    let multiples = MULTIPLES.iter().map(|(name, _)| *name);
    let names = MONTHS.iter().chain(ONES).chain(TENS).chain(ORDINALS).copied();
    names.chain(short).chain(multiples).chain(["sept"])
}

/// The quantity or date that begins at `at`.
pub(super) fn found(words: &[Word<'_>], at: usize, lexicon: &Lexicon) -> Option<Found> {
    let word = words.get(at)?;
    // Most words are none: one look for all lists.
    if word.kind == Kind::Plain && !lexicon.counts(&word.folded) {
        return None;
    }
    if let Some(found) = month_date(words, at) {
        return Some(found);
    }
    match word.kind {
        Kind::Number => Some(number(words, at, lexicon)),
        Kind::Plain => named(words, at, lexicon),
        _ => None,
    }
}

fn folded<'a>(words: &'a [Word<'_>], at: usize) -> &'a str {
    words.get(at).map_or("", |word| &*word.folded)
}

fn month(word: &str) -> Option<usize> {
    let short = |name: &str| word.len() == 3 && name.starts_with(word) || word == "sept";
    let full = MONTHS.iter().position(|name| *name == word);
    full.or_else(|| MONTHS.iter().position(|name| short(name) && *name != "may"))
}

fn day(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}

fn year(word: &str) -> Option<u32> {
    word.parse().ok().filter(|year| (1_000..3_000).contains(year))
}

/// `5 January 2024`, `Jan 5th, 2024`, `March 2024`.
fn month_date(words: &[Word<'_>], at: usize) -> Option<Found> {
    let (day_of, month_of, mut next) = match (day(folded(words, at)), month(folded(words, at))) {
        (Some(day), None) => (Some(day), month(folded(words, at + 1))?, at + 2),
        (None, Some(month)) => match day(folded(words, at + 1)) {
            Some(day) => (Some(day), month, at + 2),
            None => (None, month, at + 1),
        },
        _ => return None,
    };
    let skipped = next + usize::from(folded(words, next) == ",");
    let year_of = year(folded(words, skipped));
    if year_of.is_some() {
        next = skipped + 1;
    }
    if day_of.is_none() && year_of.is_none() {
        return None;
    }
    let date =
        format!("{}-{}-{}", year_of.unwrap_or_default(), month_of + 1, day_of.unwrap_or_default());
    Some(Found::Date(date, next - at))
}

/// A word that begins with a digit, a sign or a currency mark.
fn number(words: &[Word<'_>], at: usize, lexicon: &Lexicon) -> Found {
    let word = folded(words, at);
    if let Some((time, taken)) = clock(word, folded(words, at + 1)) {
        return Found::Quantity(Quantity { value: time, unit: "o'clock".to_owned() }, taken);
    }
    let date: Vec<&str> = word.split(['-', '/']).collect();
    if let [one, two, three] = date.as_slice() {
        let all = [one, two, three].map(|part| part.parse::<u32>().ok());
        if let [Some(one), Some(two), Some(three)] = all {
            return Found::Date(format!("{one}-{two}-{three}"), 1);
        }
    }
    let mark = word.trim_start_matches(['-', '+', '.']);
    let currency = mark.chars().next().filter(|c| !c.is_numeric());
    let bare = mark.trim_start_matches(|c: char| !c.is_numeric());
    let end = bare.find(|c: char| !c.is_numeric() && !matches!(c, '.' | ',')).unwrap_or(bare.len());
    let (digits, suffix) = bare.split_at(end);
    let prefix = word.get(..word.len() - mark.len()).unwrap_or_default();
    let mut value = format!("{prefix}{}", digits.trim_end_matches(['.', ',']).replace(',', ""));
    let (unit, taken) = match (currency, suffix) {
        (Some(mark), _) => (format!("{}{suffix}", spelled(lexicon, &mark.to_string())), 1),
        (None, "") => match lexicon.unit(folded(words, at + 1)) {
            Some(unit) if stands_alone(folded(words, at + 1)) => (unit.to_owned(), 2),
            _ => (String::new(), 1),
        },
        (None, suffix) => (spelled(lexicon, suffix.trim_start_matches('-')), 1),
    };
    if !unit.is_empty() && value.contains('.') {
        value = value.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    Found::Quantity(Quantity { value, unit }, taken)
}

fn stands_alone(word: &str) -> bool {
    !NEVER_ALONE.contains(&word)
}

fn spelled(lexicon: &Lexicon, unit: &str) -> String {
    match unit {
        "st" | "nd" | "rd" | "th" => "th".to_owned(),
        other => lexicon.unit(other).unwrap_or(other).to_owned(),
    }
}

/// `twenty five kilograms`, `two hundred`, `third`.
fn named(words: &[Word<'_>], at: usize, lexicon: &Lexicon) -> Option<Found> {
    if let Some(rank) = ORDINALS.iter().position(|name| *name == folded(words, at)) {
        let quantity = Quantity { value: (rank + 1).to_string(), unit: "th".to_owned() };
        return Some(Found::Quantity(quantity, 1));
    }
    let (mut total, mut part, mut next) = (0_u64, None::<u64>, at);
    loop {
        let word = folded(words, next);
        if let Some(ones) = ONES.iter().position(|name| *name == word) {
            part = Some(part.unwrap_or_default() + ones as u64);
        } else if let Some(tens) = TENS.iter().position(|name| *name == word) {
            part = Some(part.unwrap_or_default() + 10 * (tens as u64 + 2));
        } else if let Some((_, times)) = MULTIPLES.iter().find(|(name, _)| *name == word) {
            let whole = part.filter(|part| *part > 0).unwrap_or(1).saturating_mul(*times);
            if *times == 100 {
                part = Some(whole);
            } else {
                total = total.saturating_add(whole);
                part = Some(0);
            }
        } else {
            break;
        }
        next += 1;
    }
    // A lone `one` is more often a pronoun.
    let value = total.saturating_add(part?);
    if next == at + 1 && value == 1 {
        return None;
    }
    let unit = lexicon.unit(folded(words, next)).filter(|_| stands_alone(folded(words, next)));
    let taken = next - at + usize::from(unit.is_some());
    let quantity = Quantity { value: value.to_string(), unit: unit.unwrap_or_default().to_owned() };
    Some(Found::Quantity(quantity, taken))
}

/// `3pm`, `3:30 pm`, `15:30` as minutes of the day.
fn clock(word: &str, next: &str) -> Option<(String, usize)> {
    let half = ["am", "pm"].into_iter().find(|half| word.ends_with(half));
    let time = half.map_or(word, |half| word.trim_end_matches(half));
    let after = ["am", "pm"].into_iter().find(|half| half.trim() == next && time == word);
    let (hour, minute) = match time.split_once(':') {
        Some((hour, minute)) => (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?),
        None if half.or(after).is_some() => (time.parse().ok()?, 0),
        None => return None,
    };
    let hour = match half.or(after) {
        Some("pm") => hour % 12 + 12,
        Some(_) => hour % 12,
        None => hour,
    };
    Some((format!("{hour}:{minute:02}"), 1 + usize::from(after.is_some())))
}
