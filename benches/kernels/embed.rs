//! Decides what a text's vector costs on one thread, by the text's length in word pieces.
//! Deliberately the shipped weights (`make embedder`); its test is p402-encoder's tests/encoder.rs.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use p402_io::embed::{Hands, Model};
use std::hint::black_box;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../p402/embedder");

fn embed(c: &mut Criterion) {
    let weights = std::fs::read(format!("{FOLDER}/minilm-l6-i8.bin")).expect("make embedder");
    let digest = include_str!("../../p402/embedder/minilm-l6-i8.sha256");
    let model = Model::new(&weights, digest).expect("the shipped weights");
    let mut group = c.benchmark_group("embed");
    for pieces in [12, 30, 60, 120, 256] {
        let text = "word ".repeat(pieces - 2);
        group.bench_function(BenchmarkId::from_parameter(pieces), |b| {
            let mut hands = Hands::default();
            b.iter(|| model.embed(&mut hands, black_box(&text)));
        });
    }
    group.finish();
}

criterion_group!(benches, embed);
criterion_main!(benches);
