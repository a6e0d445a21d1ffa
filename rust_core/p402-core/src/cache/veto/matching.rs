//! Decides which content word of one text stands for which of the other.
//! Does not judge what is left over (diff.rs) or moved (order.rs).

use super::lexicon::lexicon;
use super::reading::Reading;

/// Words that may be left after equal ones are paired; more is another text anyway.
const LEFT_MAX: usize = 16;

/// For each content word of `a` its partner's place in `b`.
pub(in crate::cache) fn partners(a: &Reading<'_>, b: &Reading<'_>) -> Vec<Option<usize>> {
    let mut taken = vec![false; b.content.len()];
    let mut partners: Vec<Option<usize>> = a
        .content
        .iter()
        .map(|word| {
            let free = |(at, other): (usize, &String)| {
                (!taken.get(at).copied().unwrap_or(true) && other == word).then_some(at)
            };
            let found = b.content.iter().enumerate().find_map(free);
            if let Some(slot) = found.and_then(|at| taken.get_mut(at)) {
                *slot = true;
            }
            found
        })
        .collect();
    let open = |list: Vec<bool>| -> Vec<usize> {
        list.iter().enumerate().filter(|(_, taken)| !**taken).map(|(at, _)| at).collect()
    };
    let left_a = open(partners.iter().map(Option::is_some).collect());
    let left_b = open(taken);
    if left_a.len().max(left_b.len()) > LEFT_MAX {
        return partners;
    }
    let synonyms = |one: usize, other: usize| {
        let pair = a.content.get(one).zip(b.content.get(other));
        pair.is_some_and(|(one, other)| lexicon().are_synonyms(one, other))
    };
    // Kuhn's augmenting paths: the most pairs there can be, whichever order they are tried in.
    let mut held: Vec<Option<usize>> = vec![None; left_b.len()];
    for one in &left_a {
        augment(*one, &left_b, &mut held, &mut vec![false; left_b.len()], &synonyms);
    }
    for (slot, one) in held.into_iter().enumerate() {
        if let Some(place) = one.and_then(|one| partners.get_mut(one)) {
            *place = left_b.get(slot).copied();
        }
    }
    partners
}

fn augment(
    one: usize,
    left_b: &[usize],
    held: &mut Vec<Option<usize>>,
    seen: &mut Vec<bool>,
    synonyms: &dyn Fn(usize, usize) -> bool,
) -> bool {
    for (slot, other) in left_b.iter().enumerate() {
        if seen.get(slot).copied().unwrap_or(true) || !synonyms(one, *other) {
            continue;
        }
        if let Some(mark) = seen.get_mut(slot) {
            *mark = true;
        }
        let holder = held.get(slot).copied().flatten();
        if holder.is_none_or(|holder| augment(holder, left_b, held, seen, synonyms)) {
            if let Some(place) = held.get_mut(slot) {
                *place = Some(one);
            }
            return true;
        }
    }
    false
}
