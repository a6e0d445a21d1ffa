//! Decides what of a text the vetoes compare: quantities, names, turns, content words in order.
//! Does not compare; a reading is made once per text and used for every pair.

use super::frame::{self, Wanted};
use super::lexicon::{self, Lexicon, lexicon};
use super::phrase::Phrase;
use super::quantity::{self, Found, Quantity};
use super::token::Token;
use crate::text::words::{Kind, Word, split};

/// Words beyond this are not read; a longer text has the exact tiers.
pub(super) const WORDS_MAX: usize = 1_024;
const DAYS: &[&str] = &[
    "today",
    "tomorrow",
    "yesterday",
    "tonight",
    "now",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "weekend",
];
/// Between two words these make a pair whose order says nothing.
const JOINING: &[&str] = &["and", "or", "vs", "versus"];

/// Courtesies, which carry no content of their own.
const COURTESIES: &[&str] = &["please", "kindly", "hi", "hello", "hey", "thanks", "thank"];
/// After these a courtesy is what is asked about: "How do you say thanks?"
const MENTIONING: &[&str] = &["say", "spell", "write", "pronounce", "translate", "word"];
/// Between these and those any word is: "What does just mean?" (and not "the mean of 1 and 3").
const ASKING: &[&str] = &["does", "do", "did"];
const MEANING: &[&str] = &["mean", "means"];

/// A text as the vetoes see it.
#[derive(Debug)]
pub struct Reading<'a> {
    pub(in crate::cache) text: &'a str,
    pub(in crate::cache) whole: bool,
    pub(in crate::cache) wanted: Wanted,
    pub(in crate::cache) quantities: Vec<Quantity>,
    pub(in crate::cache) dates: Vec<String>,
    /// Negators, as often as they stand.
    pub(in crate::cache) negators: usize,
    pub(in crate::cache) past: bool,
    pub(in crate::cache) present: bool,
    /// Words of possibility and quantity outside the question's frame.
    pub(in crate::cache) modals: Vec<String>,
    /// Words that ask, wherever they stand.
    pub(in crate::cache) asking: Vec<&'static str>,
    /// Code, links and quotations: equal byte for byte or not equal.
    pub(in crate::cache) exact: Vec<&'a str>,
    /// Capitalised inside a sentence, or an identifier.
    pub(in crate::cache) names: Vec<Token>,
    /// What carries content, in order.
    pub(in crate::cache) content: Vec<Token>,
    /// The places of the content words, sorted by what stands there.
    pub(in crate::cache) sorted: Vec<usize>,
    /// All plain words outside the frame, sorted: `on` carries no content, but `off` excludes it.
    pub(in crate::cache) said: Vec<Token>,
}

impl<'a> Reading<'a> {
    pub fn of(text: &'a str) -> Self {
        let mut words = split(text);
        let whole = words.len() <= WORDS_MAX;
        words.truncate(WORDS_MAX);
        frame::unfronted(&mut words);
        let (wanted, from) = frame::wanted(&words);
        let mut reading = Self {
            text,
            whole,
            wanted,
            quantities: Vec::new(),
            dates: Vec::new(),
            negators: 0,
            past: words.iter().any(|word| lexicon::is_past(&word.folded)),
            present: words.iter().any(|word| lexicon::is_present(&word.folded)),
            modals: Vec::new(),
            asking: words.iter().filter_map(|word| lexicon::asking(&word.folded)).collect(),
            exact: Vec::new(),
            names: Vec::new(),
            content: Vec::new(),
            sorted: Vec::new(),
            said: Vec::new(),
        };
        reading.read(words.get(from..).unwrap_or_default());
        reading
    }

    fn read(&mut self, words: &[Word<'a>]) {
        let lexicon = lexicon();
        // A content word that stands alone before `and`, with its place.
        let mut before: Option<(usize, usize)> = None;
        let mut phrase = Phrase::new(matches!(self.wanted, Wanted::Bare | Wanted::What));
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let place = self.content.len();
            let taken = self.quantity(words, at, lexicon);
            if taken == 0 {
                self.word(word, (words, at), lexicon);
            }
            let added = self.content.len() > place;
            if phrase.passes(&word.folded, added, &mut self.content) {
                before = None;
            }
            if added && taken == 0 {
                let joined = before.is_some_and(|(_, end)| at == end + 2)
                    && words.get(at - 1).is_some_and(|w| JOINING.contains(&&*w.folded));
                let swapped = |earlier: &usize| {
                    joined && self.content.get(*earlier) > self.content.get(place)
                };
                if let Some(earlier) = before.map(|(earlier, _)| earlier).filter(swapped) {
                    self.content.swap(earlier, place);
                }
                before = Some((place, at));
            }
            at += taken.max(1);
        }
        phrase.ends(&mut self.content);
        self.sorted = (0..self.content.len()).collect();
        self.sorted.sort_by_key(|at| self.content.get(*at));
        self.said.sort_unstable();
    }

    /// The quantity or date at a place; how many words it took.
    fn quantity(&mut self, words: &[Word<'a>], at: usize, lexicon: &Lexicon) -> usize {
        match quantity::found(words, at, lexicon) {
            Some(Found::Quantity(quantity, taken)) => {
                self.content
                    .push(Token::verbatim(format!("#{} {}", quantity.value, quantity.unit)));
                self.quantities.push(quantity);
                taken
            }
            Some(Found::Date(date, taken)) => {
                self.content.push(Token::verbatim(format!("#{date}")));
                self.dates.push(date);
                taken
            }
            None => 0,
        }
    }

    fn word(&mut self, word: &Word<'a>, (words, at): (&[Word<'a>], usize), lexicon: &Lexicon) {
        match word.kind {
            Kind::Mark => return,
            Kind::Code | Kind::Link | Kind::Quoted => {
                self.exact.push(word.raw);
                self.content.push(Token::verbatim(word.raw));
                return;
            }
            Kind::Identifier => {
                let token = Token::verbatim(&*word.folded);
                self.names.push(token.clone());
                self.content.push(token);
                return;
            }
            Kind::Plain | Kind::Number => {}
        }
        let folded = &*word.folded;
        if lexicon.is_negator(folded) {
            self.negators += 1;
            if lexicon::is_bound(folded) {
                self.content.push(Token::verbatim("!without"));
            }
            return;
        }
        if lexicon.is_modal(folded) {
            // `It won't start` is `it does not start`; what is possible can be.
            let next = words.get(at + 1);
            let will_not = folded == "will" && next.is_some_and(|next| next.folded == "not");
            let modal = if folded == "possible" { "can" } else { folded };
            self.modals.extend((!will_not).then(|| modal.to_owned()));
            return;
        }
        let base = Token::of(folded);
        self.said.push(base.clone());
        let capital = word.raw.starts_with(char::is_uppercase);
        let shouted = word.raw.chars().count() > 1 && !word.raw.contains(char::is_lowercase);
        // `IT` is not `it`, and the vitamin is not the article.
        let letter = word.raw == "A" && !word.opens;
        if base.is_light() && !(capital && (shouted || letter)) {
            if is_mentioned(words, at) {
                self.content.push(Token::verbatim(format!("={folded}")));
            }
            return;
        }
        if DAYS.contains(&folded) {
            self.dates.push(folded.to_owned());
        }
        if capital && !word.opens {
            self.names.push(base.clone());
        }
        self.content.push(base);
    }
}

/// Whether a word is spoken of, and not spoken.
fn is_mentioned(words: &[Word<'_>], at: usize) -> bool {
    let among =
        |at: usize, list: &[&str]| words.get(at).is_some_and(|word| list.contains(&&*word.folded));
    let Some(before) = at.checked_sub(1) else { return false };
    among(before, ASKING) && among(at + 1, MEANING)
        || among(before, MENTIONING) && among(at, COURTESIES)
}
