//! Decides what the catalogue costs: loading the shipped file, finding a name, pricing a reply.
//! Deliberately the shipped file and no fixture; its test is p402-core's tests/catalog.rs.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{Criterion, criterion_group, criterion_main};
use p402_core::catalog::{Catalog, Charge};
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use std::hint::black_box;

const SHIPPED: &[u8] = include_bytes!("../../p402/catalog/catalog.jsonl");

fn catalog(c: &mut Criterion) {
    let catalog = Catalog::load(&[SHIPPED]).expect("the shipped catalogue loads");
    let at = Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").expect("a valid time");
    let usage = Usage { fresh: 1_200, cache_read: 300, output: 400, ..Usage::default() };
    let offer = catalog.home("claude-haiku-4-6").expect("a name of the product page");

    let mut group = c.benchmark_group("catalog");
    group.bench_function("price", |b| {
        b.iter(|| {
            let charge = Charge { usage: black_box(&usage), at, service: None, fee_ppm: 10_000 };
            catalog.price(black_box(offer), &charge)
        });
    });
    for (name, wanted) in [("resolve", "gpt-5.4"), ("resolve, unknown", "no-such-model")] {
        group.bench_function(name, |b| b.iter(|| catalog.resolve(black_box(wanted))));
    }
    group.sample_size(20);
    group.bench_function("load", |b| b.iter(|| Catalog::load(black_box(&[SHIPPED]))));
    group.finish();
}

criterion_group!(benches, catalog);
criterion_main!(benches);
