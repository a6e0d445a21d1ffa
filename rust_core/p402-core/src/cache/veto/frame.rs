//! Decides what kind of answer a text asks for, and which words merely dress the question.
//! Does not look at what the question is about.

use crate::text::words::{Kind, Word};

/// What kind of answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Wanted {
    /// An order, a statement or a few key words: what is asked for is left open.
    Bare,
    What,
    How,
    /// Steps towards something.
    HowTo,
    HowMany,
    HowMuch,
    Why,
    When,
    Where,
    Who,
    YesNo,
}

impl Wanted {
    /// A bare order may ask for steps, a thing or yes or no; other kinds exclude each other.
    pub(super) fn fits(self, other: Self) -> bool {
        let open = |kind| matches!(kind, Self::HowTo | Self::What | Self::YesNo);
        self == other || self == Self::Bare && open(other) || other == Self::Bare && open(self)
    }
}

/// Dress before the question itself; articles and `is` are not looked at.
const POLITE: &[&str] = &[
    "please",
    "kindly",
    "hi",
    "hello",
    "hey",
    "ok",
    "can you",
    "could you",
    "would you",
    "would you mind",
    "will you",
    "can someone",
    "can anyone",
    "could someone",
    "do you have any idea",
    "any idea",
    "i have question",
    "i have quick question",
    "quick question",
    "question",
    "i was wondering",
    "i am wondering",
    "i am trying to",
    "i am looking to",
    "i'd like to",
    "i'd like to know",
    "let me know",
    "give me",
    "i want to know",
    "i would like to know",
    "i need to know",
    "i want to",
    "i need to",
    "i would like to",
    "i wonder",
    "do you know",
    "tell me",
    "explain to me",
    "explain",
    "describe",
    "help me",
    "help me to",
    "show me",
];
const ASKS: &[(&str, Wanted)] = &[
    ("how to", Wanted::HowTo),
    ("how do i", Wanted::HowTo),
    ("how do you", Wanted::HowTo),
    ("how do we", Wanted::HowTo),
    ("how can i", Wanted::HowTo),
    ("how can you", Wanted::HowTo),
    ("how can we", Wanted::HowTo),
    ("how could i", Wanted::HowTo),
    ("how would i", Wanted::HowTo),
    ("how would you", Wanted::HowTo),
    ("how should i", Wanted::HowTo),
    ("how i can", Wanted::HowTo),
    ("how might i", Wanted::HowTo),
    ("how does one", Wanted::HowTo),
    ("what way to", Wanted::HowTo),
    ("what best way to", Wanted::HowTo),
    ("what way of", Wanted::HowTo),
    ("what good way to", Wanted::HowTo),
    ("what steps to", Wanted::HowTo),
    ("what ways to", Wanted::HowTo),
    ("what some ways to", Wanted::HowTo),
    ("what do i need to do to", Wanted::HowTo),
    ("what should i do to", Wanted::HowTo),
    ("what can i do to", Wanted::HowTo),
    ("what process for", Wanted::HowTo),
    ("there way to", Wanted::HowTo),
    ("any way to", Wanted::HowTo),
    ("best way to", Wanted::HowTo),
    ("way to", Wanted::HowTo),
    ("ways to", Wanted::HowTo),
    ("steps to", Wanted::HowTo),
    ("how many", Wanted::HowMany),
    ("what number of", Wanted::HowMany),
    ("how much", Wanted::HowMuch),
    ("what amount of", Wanted::HowMuch),
    ("how come", Wanted::Why),
    ("how", Wanted::How),
    ("how can", Wanted::How),
    ("how could", Wanted::How),
    ("how will", Wanted::How),
    ("what", Wanted::What),
    ("what to", Wanted::What),
    ("what should i", Wanted::What),
    ("what will", Wanted::What),
    ("which", Wanted::What),
    ("why", Wanted::Why),
    ("what reason for", Wanted::Why),
    ("what reason", Wanted::Why),
    ("for what reason", Wanted::Why),
    ("when", Wanted::When),
    ("when can", Wanted::When),
    ("when will", Wanted::When),
    ("when best time", Wanted::When),
    ("what best time", Wanted::When),
    ("what year", Wanted::When),
    ("in what year", Wanted::When),
    ("in which year", Wanted::When),
    ("on what date", Wanted::When),
    ("what date", Wanted::When),
    ("what time", Wanted::When),
    ("at what time", Wanted::When),
    ("where", Wanted::Where),
    ("where can", Wanted::Where),
    ("where could", Wanted::Where),
    ("where will", Wanted::Where),
    ("who", Wanted::Who),
    ("whose", Wanted::Who),
    ("which person", Wanted::Who),
    ("what person", Wanted::Who),
];
/// A question that begins so wants yes or no.
const VERBS_FIRST: &[&str] = &[
    "is", "are", "am", "was", "were", "do", "does", "did", "can", "could", "should", "will",
    "would", "must", "may", "has", "have", "had",
];
const NOT_LOOKED_AT: &[&str] = &["is", "are", "was", "were", "the", "a", "an"];
const FRONTED: &[&str] = &["in", "for", "with", "on", "using", "as", "at", "from", "within"];
/// Words of a place or a tool that stand before the question itself.
const FRONTED_MAX: usize = 6;
/// A single word before a colon.
const NAMED_MAX: usize = 2;

/// What is wanted, and how many words at the front say only that.
pub(super) fn wanted(words: &[Word<'_>]) -> (Wanted, usize) {
    let mut from = 0;
    while let Some(taken) = longest(words, from, POLITE.iter().copied()) {
        from += taken;
    }
    let taken = |text: &str| matches(words, from, text);
    let found = ASKS.iter().filter_map(|(text, wanted)| Some((taken(text)?, *wanted)));
    if let Some((taken, wanted)) = found.max_by_key(|(taken, _)| *taken) {
        return (wanted, from + taken);
    }
    let first = words.get(from).map_or("", |word| &*word.folded);
    if VERBS_FIRST.contains(&first) {
        return (Wanted::YesNo, from);
    }
    (Wanted::Bare, from)
}

/// `In Rust, how …` and `Rust: how …` are `how … in Rust`.
pub(super) fn unfronted(words: &mut [Word<'_>]) {
    let fronted = words.first().is_some_and(|word| FRONTED.contains(&&*word.folded));
    let mark = if fronted { "," } else { ":" };
    let place = |most: usize| words.iter().take(most).position(|word| word.raw == mark);
    if let Some(comma) = place(if fronted { FRONTED_MAX } else { NAMED_MAX }) {
        words.rotate_left(comma + 1);
    }
}

fn longest<'a>(
    words: &[Word<'_>],
    from: usize,
    texts: impl Iterator<Item = &'a str>,
) -> Option<usize> {
    texts.filter_map(|text| matches(words, from, text)).max()
}

/// How many words at `from` say this text.
fn matches(words: &[Word<'_>], from: usize, text: &str) -> Option<usize> {
    let mut at = from;
    for (index, wanted) in text.split(' ').enumerate() {
        loop {
            let word = words.get(at)?;
            at += 1;
            if word.folded == wanted {
                break;
            }
            let passed = word.kind == Kind::Mark || NOT_LOOKED_AT.contains(&&*word.folded);
            if !passed || index == 0 && word.kind != Kind::Mark {
                return None;
            }
        }
    }
    Some(at - from)
}
