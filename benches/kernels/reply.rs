//! Decides what the metadata of a reply costs to write.
//! Deliberately the thirteen keys alone; the test beside it is p402-core's tests/reply.rs.

use criterion::{Criterion, criterion_group, criterion_main};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::reply::Metadata;
use p402_core::route::Mode;
use p402_core::time::Timestamp;
use std::hint::black_box;

fn reply(c: &mut Criterion) {
    let metadata = Metadata {
        request_id: RequestId::new(Timestamp::from_seconds(1_795_305_600), 7),
        tenant_id: "acme",
        provider: "anthropic",
        model: "claude-haiku-4-6",
        cost: Usd::ZERO,
        direct: Usd::ZERO,
        input_tokens: 1_200,
        output_tokens: 400,
        latency_us: 1_843_217,
        provider_latency_us: 1_842_604,
        cached: false,
        mode: Mode::Cost,
        cost_details: None,
        routing: None,
        guard: None,
        cache: None,
    };
    c.bench_function("reply/metadata", |b| {
        let mut out = Vec::with_capacity(1_024);
        b.iter(|| {
            out.clear();
            black_box(&metadata).write(&mut out);
            out.len()
        });
    });
}

criterion_group!(benches, reply);
criterion_main!(benches);
