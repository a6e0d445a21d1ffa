//! Decides how a stream of questions fares: each is looked up, and stored where it was a miss.
//! Deliberately without answers: what is counted is whose question was served.

use crate::{Asked, Pair};
use bytes::Bytes;
use p402_core::cache::bound::Checked;
use p402_core::cache::canon::canonical;
use p402_core::cache::index::Wish;
use p402_core::cache::judge::judge;
use p402_core::cache::key::{Digest, Parts};
use p402_core::cache::policy::THRESHOLD;
use p402_core::cache::shelf::{Bounds, Entry, Shelf};
use p402_core::cache::similarity::Vector;
use p402_core::cache::veto::Reading;
use p402_core::time::Timestamp;
use p402_io::embed::{Hands, Model};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;

/// Roomy: what is measured is judgement, not eviction.
const ROOM: Bounds = Bounds { entries: usize::MAX, bytes: usize::MAX };
const NOW: Timestamp = Timestamp::from_seconds(1);
const LATER: Timestamp = Timestamp::from_seconds(2);

/// Questions that the pairs say mean the same, joined pair by pair. Of two that no pair joins
/// nobody has said so: to serve one for the other counts as wrong.
#[derive(Default)]
struct Meanings(HashMap<Digest, Digest>);

impl Meanings {
    fn told(pairs: &[Pair]) -> Self {
        let mut told = Self::default();
        for pair in pairs.iter().filter(|pair| pair.should_hit) {
            let (a, b) = (told.of(&pair.a), told.of(&pair.b));
            if a != b {
                told.0.insert(a, b);
            }
        }
        told
    }

    fn of(&self, asked: &Asked) -> Digest {
        let mut at = exact(asked);
        while let Some(next) = self.0.get(&at) {
            at = *next;
        }
        at
    }
}

/// What matches byte for byte, whatever is asked last.
fn scope(asked: &Asked) -> Digest {
    let parts = asked.earlier().iter().fold(Parts::new("scope"), |parts, message| {
        parts.with("role", message.role.as_bytes()).with("content", message.content.as_bytes())
    });
    parts.sum()
}

fn exact(asked: &Asked) -> Digest {
    let parts = Parts::new("exact").with("scope", &scope(asked).0);
    parts.with("last", asked.text().as_bytes()).sum()
}

fn spelling(asked: &Asked) -> Digest {
    let parts = Parts::new("canonical").with("scope", &scope(asked).0);
    parts.with("form", canonical(asked.text()).as_bytes()).sum()
}

/// The stored question whose answer this one gets, by the steps that serve.
fn look(shelf: &mut Shelf, asked: &Asked, vector: Option<&Vector>) -> Option<u64> {
    if let Some(id) = shelf.find(&spelling(asked), NOW) {
        return Some(id);
    }
    let wish = Wish { vector: vector?, threshold: THRESHOLD, now: NOW, not_before: NOW };
    let reading = Reading::of(asked.text());
    let near = shelf.view(&scope(asked))?.nearest(&wish);
    let passes = |id, cosine| {
        let kept = shelf.get(id).and_then(|entry| entry.asked.as_ref());
        kept.is_some_and(|(kept, _)| judge(&reading, &Reading::of(kept), cosine).is_ok())
    };
    near.iter().find(|near| passes(near.id, near.cosine)).map(|near| near.id)
}

fn entry(id: u64, asked: &Asked, vector: Option<Vector>) -> Entry {
    Entry {
        id,
        tenant: "stream".into(),
        scope: scope(asked),
        exact: exact(asked),
        asked: Some((asked.text().into(), spelling(asked))),
        vector: vector.map(Arc::new),
        model: "m".into(),
        answer: Bytes::new(),
        created: NOW,
        expires: LATER,
    }
}

/// Replays the questions of the pairs in their order, a before b.
pub(crate) fn replay(model: &Model, pairs: &[Pair], out: &mut impl Write) -> std::io::Result<()> {
    let meanings = Meanings::told(pairs);
    let (mut hands, mut shelf) = (Hands::default(), Shelf::new(ROOM));
    let asked: Vec<&Asked> = pairs.iter().flat_map(|pair| [&pair.a, &pair.b]).collect();
    let (mut met, mut known, mut hits, mut wrong) = (HashSet::new(), 0, 0, 0);
    for (number, one) in asked.iter().enumerate() {
        let meaning = meanings.of(one);
        known += u32::from(!met.insert(meaning));
        let vector = model.embed(&mut hands, one.text()).ok();
        match look(&mut shelf, one, vector.as_ref()) {
            None => drop(shelf.keep(entry(number as u64, one, vector), NOW)),
            Some(id) => {
                hits += 1;
                let served = asked.get(id as usize).map(|kept| meanings.of(kept));
                wrong += u32::from(served != Some(meaning));
            }
        }
    }
    let (low, high) = Checked { checks: hits, wrong }.interval();
    let share = |some: u32, of: u32| 100.0 * f64::from(some) / f64::from(of.max(1));
    let count = asked.len() as u32;
    writeln!(out, "{count} questions, {:.1} % of a meaning met before", share(known, count))?;
    writeln!(out, "hit rate {:.1} % ({hits})", share(hits, count))?;
    let (low, high) = (100.0 * low, 100.0 * high);
    writeln!(out, "wrong per hit {:.1} % ({low:.1}–{high:.1}; {wrong})", share(wrong, hits))
}
