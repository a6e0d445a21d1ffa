//! Decides which stored vectors of one partition are nearest: signs are scanned, the few rescored.
//! Does not judge whether near is same (veto/) and is never shared between scopes.

use super::signs::{self, Block, LANES};
use super::similarity::{DIMENSIONS, Signs, Vector, WORDS, cosine_of};
use crate::time::Timestamp;
use multiversion::multiversion;
use std::collections::HashMap;
use std::sync::Arc;

/// Entries that are copied together when a writer meets a reader.
pub const CHUNK: usize = 4_096;
/// Candidates that are worth a fetch.
pub const BEST_MAX: usize = 4;

/// What is known of an entry beside its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub id: u64,
    pub created: Timestamp,
    pub expires: Timestamp,
}

/// An entry and how near it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub id: u64,
    pub cosine: f32,
}

/// What is asked of a view.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub vector: &'a Vector,
    pub threshold: f32,
    pub now: Timestamp,
    /// Entries made before this do not exist for the request.
    pub not_before: Timestamp,
}

/// After so many words most entries have differed too often already.
const FIRST: usize = 3;
/// Chunks that are read side by side: while the memory fetches of one, the others are counted.
const STREAMS: usize = 4;
/// Signs that may differ beyond what is to be expected at the threshold, in standard deviations.
const SPREADS: f32 = 6.0;

#[derive(Clone, Debug, Default)]
struct Chunk {
    /// The last block may have room left; what stands there means nothing.
    first: Vec<Block<FIRST>>,
    /// Of the words that are rarely looked at, apart: a scan is as fast as the memory it reads.
    rest: Vec<Block<{ WORDS - FIRST }>>,
    values: Vec<[i8; DIMENSIONS]>,
    lengths: Vec<f32>,
    marks: Vec<Mark>,
}

/// The vectors of one scope. A writer appends; a reader holds a view that never changes.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    chunks: Vec<Arc<Chunk>>,
    places: HashMap<u64, usize>,
}

/// A partition as it was when it was asked for; cheap to take, scanned without any lock.
#[derive(Clone, Debug)]
pub struct View {
    chunks: Vec<Arc<Chunk>>,
}

impl Partition {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn view(&self) -> View {
        View { chunks: self.chunks.clone() }
    }

    /// Adds an entry; one of the same id is replaced.
    pub fn add(&mut self, mark: Mark, vector: &Vector) {
        self.remove(mark.id);
        let place = self.len();
        if place.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
        }
        if let Some(chunk) = self.chunks.last_mut().map(Arc::make_mut) {
            if chunk.marks.len().is_multiple_of(LANES) {
                push(&mut chunk.first, Block::default());
                push(&mut chunk.rest, Block::default());
            }
            chunk.sign(chunk.marks.len(), &vector.signs);
            push(&mut chunk.values, vector.values);
            push(&mut chunk.lengths, vector.length());
            push(&mut chunk.marks, mark);
            self.places.insert(mark.id, place);
        }
    }

    /// The last entry takes the place of the one that goes.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        let Some(last) = self.chunks.last_mut().map(Arc::make_mut) else { return false };
        let (Some(values), Some(length), Some(mark)) =
            (last.values.pop(), last.lengths.pop(), last.marks.pop())
        else {
            return false;
        };
        let signs = last.signs_at(last.marks.len());
        last.first.truncate(last.marks.len().div_ceil(LANES));
        last.rest.truncate(last.marks.len().div_ceil(LANES));
        if last.marks.is_empty() {
            self.chunks.pop();
        }
        if mark.id != id {
            if let Some(chunk) = self.chunks.get_mut(place / CHUNK).map(Arc::make_mut) {
                chunk.put(place % CHUNK, &signs, &values, (length, mark));
            }
            self.places.insert(mark.id, place);
        }
        true
    }
}

impl Chunk {
    fn sign(&mut self, at: usize, signs: &Signs) {
        let (first, rest) = (self.first.get_mut(at / LANES), self.rest.get_mut(at / LANES));
        let words = first.into_iter().flatten().chain(rest.into_iter().flatten());
        for (words, sign) in words.zip(signs) {
            if let Some(word) = words.get_mut(at % LANES) {
                *word = *sign;
            }
        }
    }

    fn signs_at(&self, at: usize) -> Signs {
        let (first, rest) = (self.first.get(at / LANES), self.rest.get(at / LANES));
        let mut words = first.into_iter().flatten().chain(rest.into_iter().flatten());
        std::array::from_fn(|_| {
            words.next().and_then(|words| words.get(at % LANES)).copied().unwrap_or_default()
        })
    }

    fn put(&mut self, at: usize, signs: &Signs, values: &[i8; DIMENSIONS], rest: (f32, Mark)) {
        self.sign(at, signs);
        if let (Some(old), Some(length), Some(mark)) =
            (self.values.get_mut(at), self.lengths.get_mut(at), self.marks.get_mut(at))
        {
            *old = *values;
            (*length, *mark) = rest;
        }
    }
}

/// Most scopes hold one question: room is made for one, then for twice as many.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len().max(1));
    }
    list.push(item);
}

impl View {
    /// The best live entries at or above the threshold, nearest first; ties go to the older id.
    pub fn nearest(&self, wish: &Wish<'_>) -> Vec<Candidate> {
        let radius = Radius::of(wish.threshold);
        let mut best = Vec::with_capacity(BEST_MAX + 1);
        for chunks in self.chunks.chunks(STREAMS) {
            scan(chunks, wish, radius, &mut best);
        }
        best
    }
}

/// How many signs of a neighbour may differ, of the first words and of all.
#[derive(Clone, Copy, Debug)]
struct Radius {
    first: u64,
    all: u64,
}

impl Radius {
    /// A sign differs as often as the angle is of a half turn.
    fn of(threshold: f32) -> Self {
        let share = threshold.clamp(-1.0, 1.0).acos() / std::f32::consts::PI;
        let within = |words: usize| {
            let signs = (64 * words) as f32;
            (signs * share + SPREADS * (signs * share * (1.0 - share)).sqrt()).ceil() as u64
        };
        Self { first: within(FIRST), all: within(WORDS) }
    }
}

/// In the widest registers the processor has: bits and small integers only.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq",
    "x86_64+avx2+popcnt",
    "x86_64+popcnt"
))]
fn scan(chunks: &[Arc<Chunk>], wish: &Wish<'_>, radius: Radius, best: &mut Vec<Candidate>) {
    let (Some(first), Some(rest)) =
        (wish.vector.signs.first_chunk(), wish.vector.signs.last_chunk())
    else {
        return;
    };
    let (first, rest): (&[u64; FIRST], &[u64; WORDS - FIRST]) = (first, rest);
    let blocks = chunks.iter().map(|chunk| chunk.first.len()).max().unwrap_or_default();
    for number in 0..blocks {
        for chunk in chunks {
            let Some(block) = chunk.first.get(number) else { continue };
            let near = multiversion::target::match_target! {
                "x86_64+avx512f+avx512vpopcntdq" => signs::wide::within(block, first, radius.first),
                _ => signs::within(block, first, radius.first),
            };
            if near == 0 {
                continue;
            }
            let Some(other) = chunk.rest.get(number) else { continue };
            let far = |lane: &usize| {
                let apart = differ(block, first, *lane) + differ(other, rest, *lane);
                near & (1 << lane) == 0 || apart > radius.all
            };
            for lane in (0..LANES).filter(|lane| !far(lane)) {
                look(chunk, number * LANES + lane, wish, best);
            }
        }
    }
}

/// In how many signs one of the entries differs.
fn differ(block: &[[u64; LANES]], wanted: &[u64], lane: usize) -> u64 {
    let words = block.iter().filter_map(|words| words.get(lane)).zip(wanted);
    words.map(|(word, wanted)| u64::from((word ^ wanted).count_ones())).sum()
}

/// A near one is compared exactly and takes its place among the best.
fn look(chunk: &Chunk, at: usize, wish: &Wish<'_>, best: &mut Vec<Candidate>) {
    let (Some(values), Some(length), Some(mark)) =
        (chunk.values.get(at), chunk.lengths.get(at), chunk.marks.get(at))
    else {
        return;
    };
    if mark.expires <= wish.now || mark.created < wish.not_before {
        return;
    }
    let cosine = cosine_of(wish.vector, values, *length);
    if cosine < wish.threshold {
        return;
    }
    let nearer = |other: &Candidate| {
        other.cosine.total_cmp(&cosine).reverse().then(other.id.cmp(&mark.id)).is_lt()
    };
    let place = best.iter().take_while(|other| nearer(other)).count();
    if place < BEST_MAX {
        best.insert(place, Candidate { id: mark.id, cosine });
        best.truncate(BEST_MAX);
    }
}
