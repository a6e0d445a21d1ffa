//! Decides what reading a request costs: one scan of a small body, of a long prompt, of many turns.
//! Deliberately no I/O and no routing; the test beside it is p402-core's tests/envelope.rs.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use p402_core::envelope::scan;
use serde_json::json;
use std::hint::black_box;

/// A conversation of so many turns that is about so many bytes long.
fn body(bytes: usize, turns: usize) -> Vec<u8> {
    let words = "how does the same question cost so much more elsewhere? ";
    let text: String = words.chars().cycle().take(bytes / turns).collect();
    let messages: Vec<_> = (0..turns)
        .map(|i| json!({"role": if i % 2 == 0 { "user" } else { "assistant" }, "content": text}))
        .collect();
    let request = json!({
        "model": "gpt-5.4", "messages": messages, "temperature": 0.2, "max_tokens": 400,
        "stream": true, "p402": {"mode": "cost"},
    });
    request.to_string().into_bytes()
}

fn envelope(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    let cases = [
        ("scan 210 B", 60, 1),
        ("scan 1 KB", 850, 2),
        ("scan 50 KB", 50_000, 1),
        ("scan 50 KB, 40 turns", 50_000, 40),
    ];
    for (name, bytes, turns) in cases {
        let body = body(bytes, turns);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| b.iter(|| scan(black_box(&body))));
    }
    group.finish();
}

criterion_group!(benches, envelope);
criterion_main!(benches);
