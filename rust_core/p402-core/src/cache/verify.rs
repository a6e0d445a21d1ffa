//! Decides how likely a pair that no veto refused means the same: boosted trees over pair features.
//! Does not learn (p402/verifier/train.py) and refuses nothing itself (judge.rs).

use super::veto::Reading;
use super::veto::matching::Both;
use super::veto::negation::only;
use super::veto::token::Token;

/// Raised when a feature or the trees change.
pub const VERSION: u32 = 1;
/// What is known of a pair, in the order of [`NAMES`].
pub const FEATURES: usize = NAMES.len();
pub const NAMES: [&str; 30] = [
    "cosine",
    "length_ratio",
    "words_min",
    "words_max",
    "content_min",
    "content_max",
    "equal_share",
    "synonyms",
    "alone_weak",
    "alone_strong",
    "turned",
    "same_wanted",
    "wanted_min",
    "wanted_max",
    "names",
    "quantities",
    "dates",
    "negators",
    "negators_differ",
    "modals",
    "modals_differ",
    "exact",
    "said_alone_min",
    "said_alone_max",
    "trigrams",
    "same_start",
    "same_end",
    "tense_differs",
    "marks_differ",
    "longest_alone",
];

/// The trees as `train.py` wrote them: head, then complete trees of this depth.
const TREES: &[u8] = include_bytes!("../../../../p402/verifier/trees.bin");
const DEPTH: u32 = 4;
const INNER: usize = (1 << DEPTH) - 1;
const LEAVES: usize = 1 << DEPTH;
/// A node is the number of a feature and the bound above which the way goes right.
const NODE_BYTES: usize = 5;
const TREE_BYTES: usize = INNER * NODE_BYTES + LEAVES * 4;
/// Threshold, then the score that an empty forest gives.
const HEAD_BYTES: usize = 8;

/// A pair as the trees see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair(pub [f32; FEATURES]);

/// The score from which a pair passes.
pub fn threshold() -> f32 {
    float(TREES, 0)
}

/// 0 … 1: how likely the two mean the same.
pub fn score(pair: &Pair) -> f32 {
    let trees = TREES.get(HEAD_BYTES..).unwrap_or_default();
    let sum: f32 = trees.chunks_exact(TREE_BYTES).map(|tree| leaf(tree, pair)).sum();
    1.0 / (1.0 + (-(float(TREES, 4) + sum)).exp())
}

/// Where a pair ends up in one tree.
fn leaf(tree: &[u8], pair: &Pair) -> f32 {
    let mut at = 0;
    for _ in 0..DEPTH {
        let feature = tree.get(at * NODE_BYTES).copied().unwrap_or_default();
        let value = pair.0.get(usize::from(feature)).copied().unwrap_or_default();
        at = 2 * at + 1 + usize::from(value > float(tree, at * NODE_BYTES + 1));
    }
    float(tree, INNER * NODE_BYTES + (at - INNER) * 4)
}

fn float(bytes: &[u8], at: usize) -> f32 {
    let four = bytes.get(at..).unwrap_or_default().first_chunk();
    f32::from_le_bytes(four.copied().unwrap_or_default())
}

impl Pair {
    /// Symmetric: it does not matter who asked first.
    pub fn of(a: &Reading<'_>, b: &Reading<'_>, cosine: f32) -> Self {
        Self::seen(&Both::of(a, b), cosine)
    }

    /// The same where the two are at hand together.
    pub(super) fn seen(both: &Both<'_>, cosine: f32) -> Self {
        let (a, b) = (both.a, both.b);
        let matched = Matched::of(both);
        let said = (only(&a.said, &b.said).count(), only(&b.said, &a.said).count());
        let (wanted_a, wanted_b) = (a.wanted as usize, b.wanted as usize);
        let differ = |one: usize, other: usize| one.abs_diff(other) as f32;
        Self([
            cosine,
            a.text.len().min(b.text.len()) as f32 / a.text.len().max(b.text.len()).max(1) as f32,
            a.said.len().min(b.said.len()) as f32,
            a.said.len().max(b.said.len()) as f32,
            a.content.len().min(b.content.len()) as f32,
            a.content.len().max(b.content.len()) as f32,
            matched.equal as f32 / a.content.len().max(b.content.len()).max(1) as f32,
            matched.synonyms as f32,
            matched.weak as f32,
            matched.strong as f32,
            turned(both.partners()) as f32,
            f32::from(a.wanted == b.wanted),
            wanted_a.min(wanted_b) as f32,
            wanted_a.max(wanted_b) as f32,
            a.names.len().max(b.names.len()) as f32,
            a.quantities.len().max(b.quantities.len()) as f32,
            a.dates.len().max(b.dates.len()) as f32,
            a.negators.max(b.negators) as f32,
            differ(a.negators, b.negators),
            a.modals.len().max(b.modals.len()) as f32,
            differ(a.modals.len(), b.modals.len()),
            a.exact.len().max(b.exact.len()) as f32,
            said.0.min(said.1) as f32,
            said.0.max(said.1) as f32,
            trigrams(a.text, b.text),
            shared(a.text.bytes(), b.text.bytes(), a.text.len().min(b.text.len())),
            shared(a.text.bytes().rev(), b.text.bytes().rev(), a.text.len().min(b.text.len())),
            f32::from(a.past != b.past),
            differ(marks(a.text), marks(b.text)),
            matched.longest as f32,
        ])
    }
}

/// How the content words of a pair found each other.
#[derive(Default)]
struct Matched {
    equal: usize,
    synonyms: usize,
    weak: usize,
    strong: usize,
    longest: usize,
}

impl Matched {
    fn of(both: &Both<'_>) -> Self {
        let mut matched = Self::default();
        for (word, partner) in both.a.content.iter().zip(both.partners()) {
            match partner.and_then(|at| both.b.content.get(at)) {
                Some(other) if other == word => matched.equal += 1,
                Some(_) => matched.synonyms += 1,
                None => {}
            }
        }
        both.alone().for_each(|word| matched.alone(word));
        matched
    }

    fn alone(&mut self, word: &Token) {
        self.longest = self.longest.max(word.len());
        if word.is_weak() {
            self.weak += 1;
        } else {
            self.strong += 1;
        }
    }
}

/// Neighbours that changed places.
fn turned(partners: &[Option<usize>]) -> usize {
    let places = partners.iter().flatten();
    places.clone().zip(places.skip(1)).filter(|(one, next)| next < one).count()
}

fn marks(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b'?' | b'.' | b'!')).count()
}

/// The share of equal bytes from one end.
fn shared(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>, least: usize) -> f32 {
    let same = a.zip(b).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    same as f32 / least.max(1) as f32
}

/// How many runs of three letters two texts have in common, of those in either.
fn trigrams(a: &str, b: &str) -> f32 {
    let (a, b) = (marked(a), marked(b));
    let count = |join: fn(u64, u64) -> u64| -> u32 {
        a.iter().zip(&b).map(|(a, b)| join(*a, *b).count_ones()).sum()
    };
    count(|a, b| a & b) as f32 / count(|a, b| a | b).max(1) as f32
}

/// One of 2,048 marks for each run of three letters.
fn marked(text: &str) -> [u64; 32] {
    let mut marks = [0; 32];
    for run in text.as_bytes().windows(3) {
        let mixed = run.iter().fold(0_u32, |mixed, byte| {
            (mixed ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        });
        let place = (mixed >> 21) as usize;
        if let Some(word) = marks.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }
    marks
}
