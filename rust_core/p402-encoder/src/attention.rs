//! Decides how much each piece of a text looks at each other piece: twelve heads, one by one.
//! Does not know where queries, keys and values come from (model.rs).

use crate::float::{LANES, exp};
use multiversion::multiversion;
use p402_core::cache::similarity::DIMENSIONS;

const HEADS: usize = 12;
const HEAD: usize = DIMENSIONS / HEADS;
/// Queries that read keys and values together.
const QUERIES: usize = 8;

type Head = [f32; HEAD];
const NOTHING: Head = [0.0; HEAD];

/// One number for each of sixteen keys, on a cache line of its own.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Lanes([f32; LANES]);

/// Room for one head: its keys, turned (`[block][dimension][key]`), and the queries' weights.
#[derive(Debug, Default)]
pub(crate) struct Room {
    keys: Vec<Lanes>,
    values: Vec<[Lanes; HEAD / LANES]>,
    weights: Vec<[Lanes; QUERIES]>,
}

/// `rows` hold queries, keys and values side by side; `out` gets one row for each.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+fma", "x86_64+avx2+fma"))]
pub(crate) fn attend(rows: &[f32], room: &mut Room, out: &mut [f32]) {
    let parts = rows.as_chunks::<HEAD>().0;
    let count = parts.len() / (3 * HEADS);
    let part = |at: usize, place: usize| {
        if at < count { parts.get(at * 3 * HEADS + place).unwrap_or(&NOTHING) } else { &NOTHING }
    };
    let outs = out.as_chunks_mut::<HEAD>().0;
    for head in 0..HEADS {
        room.turn(count, |at| part(at, HEADS + head), |at| part(at, 2 * HEADS + head));
        for from in (0..count).step_by(QUERIES) {
            let queries: [&Head; QUERIES] = std::array::from_fn(|at| part(from + at, head));
            room.weights.clear();
            for keys in room.keys.as_chunks::<HEAD>().0 {
                room.weights.push(multiversion::target::match_target! {
                    "x86_64+avx512f+fma" => wide::products(&queries, keys),
                    _ => products(&queries, keys),
                });
            }
            let sums = soften(count, &mut room.weights);
            let mixed = multiversion::target::match_target! {
                "x86_64+avx512f+fma" => wide::mixed(&room.weights, &room.values),
                _ => mixed(&room.weights, &room.values),
            };
            for (at, (mixed, sum)) in (from..count).zip(mixed.iter().zip(sums)) {
                if let Some(out) = outs.get_mut(at * HEADS + head) {
                    *out = mixed.map(|value| value / sum);
                }
            }
        }
    }
}

impl Room {
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "only inlined code is compiled for the processor found"
    )]
    fn turn<'a>(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> &'a Head,
        value: impl Fn(usize) -> &'a Head,
    ) {
        self.keys.clear();
        for block in (0..count).step_by(LANES) {
            let own: [&Head; LANES] = std::array::from_fn(|at| key(block + at));
            self.keys.extend((0..HEAD).map(|dimension| Lanes(own.map(|key| key[dimension]))));
        }
        self.values.clear();
        self.values.extend((0..count.next_multiple_of(LANES)).map(|at| {
            let (halves, _) = value(at).as_chunks::<LANES>();
            std::array::from_fn(|half| Lanes(halves.get(half).copied().unwrap_or([0.0; LANES])))
        }));
    }
}

/// Products become softmax weights, not yet divided by the sums that come back.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
fn soften(count: usize, weights: &mut [[Lanes; QUERIES]]) -> [f32; QUERIES] {
    let scale = (HEAD as f32).sqrt().recip();
    // Beyond the last piece there is nothing to look at.
    for Lanes(lanes) in weights.last_mut().into_iter().flatten() {
        lanes.iter_mut().skip((count - 1) % LANES + 1).for_each(|product| *product = f32::MIN);
    }
    let mut told = [0.0; QUERIES];
    for (query, told) in told.iter_mut().enumerate() {
        let mut most = [f32::MIN; LANES];
        for block in &*weights {
            for (most, product) in most.iter_mut().zip(block[query].0) {
                *most = if product > *most { product } else { *most };
            }
        }
        let most = most.into_iter().fold(f32::MIN, f32::max);
        let mut sums = [0.0; LANES];
        for block in &mut *weights {
            for (weight, sum) in block[query].0.iter_mut().zip(&mut sums) {
                *weight = exp((*weight - most) * scale);
                *sum += *weight;
            }
        }
        *told = sums.iter().sum();
    }
    told
}

/// Each query with each of sixteen keys.
#[inline]
fn products(queries: &[&Head; QUERIES], keys: &[Lanes; HEAD]) -> [Lanes; QUERIES] {
    queries.map(|query| {
        let mut products = [0.0; LANES];
        for (own, keys) in query.iter().zip(keys) {
            for (product, key) in products.iter_mut().zip(keys.0) {
                *product += own * key;
            }
        }
        Lanes(products)
    })
}

/// Each query's values, by their weights.
#[inline]
fn mixed(weights: &[[Lanes; QUERIES]], values: &[[Lanes; HEAD / LANES]]) -> [Head; QUERIES] {
    std::array::from_fn(|query| {
        let mut mixed = NOTHING;
        for (block, values) in weights.iter().zip(values.as_chunks::<LANES>().0) {
            for (weight, value) in block[query].0.iter().zip(values) {
                for (mixed, value) in mixed.iter_mut().zip(value.iter().flat_map(|half| half.0)) {
                    *mixed += weight * value;
                }
            }
        }
        mixed
    })
}

/// The same with sixteen floats in one instruction.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{HEAD, Head, LANES, Lanes, NOTHING, QUERIES};
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps};

    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    pub(super) fn products(queries: &[&Head; QUERIES], keys: &[Lanes; HEAD]) -> [Lanes; QUERIES] {
        let mut sums = [_mm512_setzero_ps(); QUERIES];
        for (dimension, keys) in keys.iter().enumerate() {
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum =
                    _mm512_fmadd_ps(_mm512_set1_ps(query[dimension]), bytemuck::cast(keys.0), *sum);
            }
        }
        sums.map(|sum| Lanes(bytemuck::cast(sum)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,fma")]
    pub(super) fn mixed(
        weights: &[[Lanes; QUERIES]],
        values: &[[Lanes; HEAD / LANES]],
    ) -> [Head; QUERIES] {
        let mut sums = [[_mm512_setzero_ps(); HEAD / LANES]; QUERIES];
        for (block, values) in weights.iter().zip(values.as_chunks::<LANES>().0) {
            for (at, value) in values.iter().enumerate() {
                for (sums, weights) in sums.iter_mut().zip(block) {
                    let weight = _mm512_set1_ps(weights.0[at]);
                    for (sum, half) in sums.iter_mut().zip(value) {
                        *sum = _mm512_fmadd_ps(weight, bytemuck::cast(half.0), *sum);
                    }
                }
            }
        }
        let mut all = [NOTHING; QUERIES];
        for (all, sums) in all.iter_mut().zip(sums) {
            for (half, sum) in all.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
                *half = bytemuck::cast(sum);
            }
        }
        all
    }
}
