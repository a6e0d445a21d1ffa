//! Decides what an upstream's answer costs on its way through: a whole one, a stream of 20 events.
//! Deliberately with the cut a socket gives, one event a read; the test is tests/dialect.rs.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use p402_benches::fixture;
use p402_core::catalog::UsageShape;
use p402_core::dialect::openai::{ChatStream, Seal, StreamAsk, read_answer};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use std::hint::black_box;

const METADATA: &[u8] = br#"{"request_id":"req_01a2008d74009f3c5b1e8a7d42c60f9b","cached":false}"#;

fn asked() -> StreamAsk {
    StreamAsk {
        n: 1,
        client_wants_usage: true,
        offer_model: fixture::MODEL.to_owned(),
        usage_shape: UsageShape::OpenAi,
        created: 1_795_305_600,
        request_id: RequestId::new(Timestamp::from_seconds(1_795_305_600), 1),
    }
}

fn dialect(c: &mut Criterion) {
    let usage = Usage { fresh: 42, output: 16, ..Usage::default() };
    let seal =
        Seal { metadata: METADATA, metadata_again: METADATA, cost: Usd::ZERO, usage: &usage };
    let (answer, events) = (fixture::answer(), fixture::events());

    let mut group = c.benchmark_group("dialect");
    group.bench_function("whole answer", |b| {
        let ask = asked();
        b.iter(|| {
            let answer = read_answer(black_box(answer.as_bytes()), &ask).expect("an answer");
            answer.seal(&seal)
        });
    });
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("stream of 20 events", |b| {
        b.iter_batched(
            || ChatStream::new(asked()),
            |mut stream| {
                let mut bytes = 0;
                for event in &events {
                    stream.push(black_box(event.as_bytes())).expect("an event");
                    bytes += stream.take_output().map_or(0, |out| out.len());
                }
                bytes + stream.seal(&seal).len()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, dialect);
criterion_main!(benches);
