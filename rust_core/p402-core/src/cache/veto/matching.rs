//! Decides which content word of one text stands for which of the other.
//! Does not judge what is left over (diff.rs) or moved (order.rs).

use super::reading::Reading;
use super::token::Token;
use std::cell::OnceCell;

/// Words that may be left after equal ones are paired; more is another text anyway.
const LEFT_MAX: usize = 16;

/// Two texts, in an order that does not depend on who asked first.
#[derive(Debug)]
pub(in crate::cache) struct Both<'a> {
    pub(in crate::cache) a: &'a Reading<'a>,
    pub(in crate::cache) b: &'a Reading<'a>,
    partners: OnceCell<Vec<Option<usize>>>,
}

impl<'a> Both<'a> {
    pub(in crate::cache) fn of(a: &'a Reading<'a>, b: &'a Reading<'a>) -> Self {
        let (a, b) = if a.text <= b.text { (a, b) } else { (b, a) };
        Self { a, b, partners: OnceCell::new() }
    }

    /// For each content word of `a` its partner's place in `b`: a search, made once for all rules.
    pub(in crate::cache) fn partners(&self) -> &[Option<usize>] {
        self.partners.get_or_init(|| partners(self.a, self.b))
    }

    /// The content words that have no partner, of either side.
    pub(in crate::cache) fn alone(&self) -> impl Iterator<Item = &Token> {
        let mut taken = vec![false; self.b.content.len()];
        for at in self.partners().iter().flatten() {
            taken.get_mut(*at).into_iter().for_each(|slot| *slot = true);
        }
        let left = |(word, paired): (&'a Token, bool)| (!paired).then_some(word);
        let paired_a = self.partners().iter().map(Option::is_some);
        let alone_a = self.a.content.iter().zip(paired_a).filter_map(left);
        alone_a.chain(self.b.content.iter().zip(taken).filter_map(left))
    }
}

fn partners(a: &Reading<'_>, b: &Reading<'_>) -> Vec<Option<usize>> {
    let mut partners: Vec<Option<usize>> = vec![None; a.content.len()];
    let mut left_b = Vec::new();
    let mut others = b.sorted.iter().copied().peekable();
    for at in &a.sorted {
        let word = a.content.get(*at);
        let before = |other: &usize| b.content.get(*other) < word;
        left_b.extend(std::iter::from_fn(|| others.next_if(before)));
        if let Some(slot) = partners.get_mut(*at) {
            *slot = others.next_if(|other| b.content.get(*other) == word);
        }
    }
    left_b.extend(others);
    left_b.sort_unstable();
    let left_a = partners.iter().enumerate().filter(|(_, partner)| partner.is_none());
    let left_a: Vec<usize> = left_a.map(|(at, _)| at).collect();
    if left_a.len().max(left_b.len()) > LEFT_MAX {
        return partners;
    }
    let synonyms = |one: usize, other: usize| {
        let pair = a.content.get(one).zip(b.content.get(other));
        pair.is_some_and(|(one, other)| one.is_synonym_of(other))
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
