//! Decides what a search costs by the size of a scope, and what the judgement of one pair costs.
//! Deliberately without the encoder (embed.rs); its test is p402-core's tests/lookup.rs.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use p402_core::cache::index::{Mark, Partition, Wish};
use p402_core::cache::judge::judge;
use p402_core::cache::similarity::Vector;
use p402_core::cache::veto::Reading;
use p402_core::time::Timestamp;
use std::hint::black_box;

/// Vectors as far apart as unrelated questions are.
fn vector(seed: &mut u64) -> Vector {
    Vector::of(&std::array::from_fn(|_: usize| {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed >> 40) as f32 - 8_388_608.0
    }))
}

fn search(c: &mut Criterion) {
    let mut group = c.benchmark_group("nearest");
    for size in [10_000_u64, 100_000, 1_000_000] {
        let mut seed = 402;
        let mut partition = Partition::default();
        let (created, expires) = (Timestamp::from_seconds(0), Timestamp::from_seconds(9));
        for id in 0..size {
            partition.add(Mark { id, created, expires }, &vector(&mut seed));
        }
        let wanted = vector(&mut seed);
        let now = Timestamp::from_seconds(1);
        let wish = Wish { vector: &wanted, threshold: 0.92, now, not_before: created };
        group.sample_size(20);
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| partition.view().nearest(black_box(&wish)));
        });
    }
    group.finish();
}

fn judged(c: &mut Criterion) {
    let (a, b) = (
        "In Python, how do I merge two dictionaries with more than 5 keys, please?",
        "How can I combine two dictionaries with more than 5 keys in Python?",
    );
    c.bench_function("judgement of a pair", |bench| {
        bench.iter(|| judge(&Reading::of(black_box(a)), &Reading::of(black_box(b)), 0.95));
    });
    let (a, b) = (a.repeat(10), b.repeat(10));
    c.bench_function("judgement of a long pair", |bench| {
        bench.iter(|| judge(&Reading::of(black_box(&a)), &Reading::of(black_box(&b)), 0.95));
    });
}

criterion_group!(benches, search, judged);
criterion_main!(benches);
