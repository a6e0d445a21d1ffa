//! Decides which stored vectors of one partition are nearest: signs are scanned, the few rescored.
//! Does not judge whether near is same (veto/) and is never shared between scopes.

use super::similarity::{DIMENSIONS, Signs, Vector, cosine_of, hamming};
use crate::time::Timestamp;
use multiversion::multiversion;
use std::collections::HashMap;
use std::sync::Arc;

/// Entries that are copied together when a writer meets a reader.
pub const CHUNK: usize = 4_096;
/// Signs that may differ: on real vectors every neighbour at cosine ≥ .80 lies inside.
pub const RADIUS: u32 = 92;
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

#[derive(Clone, Debug, Default)]
struct Chunk {
    signs: Vec<Signs>,
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
            chunk.signs.push(vector.signs);
            chunk.values.push(vector.values);
            chunk.lengths.push(vector.length());
            chunk.marks.push(mark);
            self.places.insert(mark.id, place);
        }
    }

    /// The last entry takes the place of the one that goes.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        let Some(last) = self.chunks.last_mut().map(Arc::make_mut) else { return false };
        let (Some(signs), Some(values), Some(length), Some(mark)) =
            (last.signs.pop(), last.values.pop(), last.lengths.pop(), last.marks.pop())
        else {
            return false;
        };
        if last.marks.is_empty() {
            self.chunks.pop();
        }
        if mark.id != id {
            if let Some(chunk) = self.chunks.get_mut(place / CHUNK).map(Arc::make_mut) {
                chunk.put(place % CHUNK, signs, &values, (length, mark));
            }
            self.places.insert(mark.id, place);
        }
        true
    }
}

impl Chunk {
    fn put(&mut self, at: usize, signs: Signs, values: &[i8; DIMENSIONS], rest: (f32, Mark)) {
        if let (Some(old_signs), Some(old_values), Some(length), Some(mark)) = (
            self.signs.get_mut(at),
            self.values.get_mut(at),
            self.lengths.get_mut(at),
            self.marks.get_mut(at),
        ) {
            (*old_signs, *old_values) = (signs, *values);
            (*length, *mark) = rest;
        }
    }
}

impl View {
    /// The best live entries at or above the threshold, nearest first; ties go to the older id.
    pub fn nearest(&self, wish: &Wish<'_>) -> Vec<Candidate> {
        let mut best = Vec::with_capacity(BEST_MAX + 1);
        for chunk in &self.chunks {
            scan(chunk, wish, &mut best);
        }
        best
    }
}

/// In the widest registers the processor has: bits and small integers only.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512vl+avx512vpopcntdq",
    "x86_64+avx2+popcnt",
    "x86_64+popcnt"
))]
fn scan(chunk: &Chunk, wish: &Wish<'_>, best: &mut Vec<Candidate>) {
    for (at, signs) in chunk.signs.iter().enumerate() {
        if hamming(signs, &wish.vector.signs) > RADIUS {
            continue;
        }
        let (Some(values), Some(length), Some(mark)) =
            (chunk.values.get(at), chunk.lengths.get(at), chunk.marks.get(at))
        else {
            continue;
        };
        if mark.expires <= wish.now || mark.created < wish.not_before {
            continue;
        }
        let cosine = cosine_of(wish.vector, values, *length);
        if cosine < wish.threshold {
            continue;
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
}
