//! Decides what the whole line costs without sockets: read, route, dispatch, settle over a script.
//! Deliberately one thread and 320 offers; the test beside it is p402-io's tests/line.rs.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use p402_benches::fixture;
use p402_core::time::{Ticks, Timestamp};
use p402_io::clock::{Clock, ManualClock};
use p402_io::gateway::{Call, Gateway};
use p402_io::home::Home;
use p402_io::outbox::Outbox;
use p402_io::transport::scripted::{Script, ScriptedTransport};
use p402_io::world::World;
use serde_json::json;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;

const OFFERS: usize = 320;

fn gateway(chunks: &[String], folder: &Path) -> Gateway {
    let steps: Vec<_> = chunks.iter().map(|chunk| json!({"chunk": chunk})).collect();
    let scripts: Vec<Script> =
        serde_json::from_value(json!([{"steps": steps}])).expect("a valid script");
    let catalog = fixture::catalog(OFFERS);
    let world = World::load(fixture::config().as_bytes(), &[catalog.as_bytes()]);
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_305_600)));
    let transport = Box::new(ScriptedTransport::new(scripts));
    let world = world.expect("a valid world");
    let limits = |tenant: &str| world.tenant(tenant).limits;
    let home = Home::open(&world.config, folder, &limits, clock.now()).expect("a folder");
    Gateway::new(world, transport, clock, Some(Arc::new(home)))
}

/// One request from its bytes to the last byte of its reply.
async fn serve(gateway: &Gateway, body: Bytes) -> usize {
    let outbox = Arc::new(Outbox::default());
    let call = Call {
        door: p402_core::door::Door::Chat,
        tenant: Arc::from("bench"),
        body,
        twins: Vec::new(),
        received: Ticks::from_micros(0),
        key: 0,
        idempotency_key: None,
        problem: false,
        read_timeout_ms: None,
        retry_count: 0,
        shadow: false,
    };
    tokio::spawn(gateway.clone().serve(call, Arc::clone(&outbox)));
    let head = poll_fn(|context| outbox.poll_head(context)).await;
    assert_eq!(head.status, 200);
    let mut bytes = head.body.map_or(0, |body| body.len());
    while let Some(chunk) = poll_fn(|context| outbox.poll_bytes(context)).await {
        bytes += chunk.len();
    }
    bytes
}

fn line(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = c.benchmark_group("line");
    let cases = [
        ("whole answer", false, vec![fixture::answer()]),
        ("stream of 20 events", true, fixture::events()),
    ];
    for (name, stream, chunks) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = gateway(&chunks, folder.path());
        let body = Bytes::from(fixture::request(stream, "balanced"));
        group.bench_function(name, |b| {
            b.iter(|| assert!(runtime.block_on(serve(&gateway, body.clone())) > 500));
        });
    }
    group.finish();
}

criterion_group!(benches, line);
criterion_main!(benches);
