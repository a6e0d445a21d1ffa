//! Decides that two texts ask for answers of another kind, length or script.
//! Does not understand the questions.

use super::Veto;
use super::reading::Reading;

/// One text may be this many tenths as long as the other.
const LENGTH_TENTHS_MAX: usize = 25;

pub(super) fn shape(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    if a.text == b.text {
        return None;
    }
    let (short, long) = (a.text.len().min(b.text.len()), a.text.len().max(b.text.len()));
    let only =
        |a: &Reading<'_>, b: &Reading<'_>| a.asking.iter().any(|word| !b.asking.contains(word));
    let same = a.wanted.fits(b.wanted)
        // One side may ask without such a word, but not each with another one.
        && !(only(a, b) && only(b, a))
        && a.whole
        && b.whole
        && long * 10 <= short.max(1) * LENGTH_TENTHS_MAX
        && is_latin(a.text) == is_latin(b.text);
    (!same).then_some(Veto::Shape)
}

/// Whether the letters are mostly Latin ones.
fn is_latin(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    let (latin, all) = letters.fold((0, 0), |(latin, all), letter| {
        (latin + usize::from((letter as u32) < 0x250), all + 1_usize)
    });
    latin * 2 >= all
}
