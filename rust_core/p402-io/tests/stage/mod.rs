//! Decides how a line test sets its scene: three providers on a script, a clock that stands, a
//! ledger in a folder of its own. Does not assert anything.

#![expect(unreachable_pub, reason = "a module of several test binaries")]
#![allow(dead_code, reason = "each test file uses its own part of the stage")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use bytes::Bytes;
use p402_core::ledger::{Flags, Kind, ROW_BYTES, Row};
use p402_core::money::Usd;
use p402_core::time::{Now, Ticks, Timestamp};
use p402_io::clock::{Clock, ManualClock};
use p402_io::gateway::{Call, Gateway};
use p402_io::home::Home;
use p402_io::ledger::{Ledger, Options};
use p402_io::outbox::{Head, Outbox};
use p402_io::store::Store;
use p402_io::store::memory::Memory;
use p402_io::transport::scripted::{Script, ScriptedTransport};
use p402_io::world::World;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use tempfile::TempDir;

/// A journal of a test need not be large: 256 rows.
const SEGMENT_BYTES: u64 = 64 << 10;
pub const START: Timestamp = Timestamp::from_seconds(1_795_158_000);

/// A gateway, and the folder it keeps its ledger in.
pub struct Stage {
    pub gateway: Gateway,
    pub clock: Arc<ManualClock>,
    folder: TempDir,
}

impl Deref for Stage {
    type Target = Gateway;
    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

/// A row of the ledger, as far as tests look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Booked {
    pub kind: Kind,
    pub attempt: u8,
    pub tenant: String,
    pub provider: String,
    pub held: Usd,
    pub cost: Usd,
    pub wasted: Usd,
    pub flags: Flags,
}

impl Stage {
    /// Takes the ledger's folder away from under it: no segment can be begun any more.
    pub fn lose_disk(&self) {
        std::fs::remove_dir_all(self.folder.path()).unwrap();
    }

    /// What stands in the journal, in order.
    pub fn rows(&self) -> Vec<Booked> {
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path().join("journal"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let mut rows = Vec::new();
        for file in files {
            let bytes = std::fs::read(file).unwrap();
            for chunk in bytes.chunks_exact(ROW_BYTES) {
                let Ok(row) = Row::decode(chunk.try_into().unwrap()) else { continue };
                rows.push(Booked {
                    kind: row.kind,
                    attempt: row.attempt,
                    tenant: row.tenant.to_owned(),
                    provider: row.provider.to_owned(),
                    held: row.held,
                    cost: row.cost,
                    wasted: row.wasted,
                    flags: row.flags,
                });
            }
        }
        rows
    }

    /// The kinds of the rows, in order.
    pub fn kinds(&self) -> Vec<Kind> {
        self.rows().iter().map(|row| row.kind).collect()
    }
}

pub const HELLO: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"up-a","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1200,"completion_tokens":400,"total_tokens":1600}}"#;

pub fn records() -> String {
    let mut lines = Vec::new();
    for (name, price) in [("a", 1_000_000), ("b", 2_000_000), ("c", 3_000_000)] {
        lines.push(json!({"t": "provider", "id": name, "kind": "config", "dialect": "openai",
            "base_url": format!("http://{name}.test/v1"), "auth": "bearer", "env": [],
            "routable": true, "flags": []}));
        lines.push(json!({"t": "offer", "provider": name, "model": format!("m-{name}"),
            "canonical": format!("m-{name}"), "upstream_id": format!("up-{name}"),
            "context": 100_000, "max_output": 8_000, "modalities": ["text", "image"],
            "tools": true, "structured": true, "efforts": [], "flags": [],
            "prices": [{"bands": [{"above": 0, "in": price, "out": price}]}],
            "capability": 70, "ttft_ms": 300, "tokens_per_s": 100,
            "source": "test", "as_of": "2026-11", "n_agree": 1, "confidence": "config"}));
    }
    lines.push(json!({"t": "offer", "provider": "a", "model": "m-unpriced", "canonical": "m-unpriced",
        "upstream_id": "up-unpriced", "context": 100_000, "max_output": 8_000, "modalities": ["text"],
        "tools": true, "structured": true, "efforts": [], "flags": [], "prices": [],
        "capability": 70, "ttft_ms": 300, "tokens_per_s": 100,
        "source": "test", "as_of": "2026-11", "n_agree": 1, "confidence": "config"}));
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n"
}

pub fn header() -> String {
    let header = json!({"t": "header", "schema": 1, "date": "2026-11-22", "inputs": {},
        "attributions": []});
    format!("{header}\n")
}

pub fn world(config: &Value) -> World {
    let mut config = config.clone();
    if config["keys"].is_null() {
        config["keys"] = json!({"a": ["ka"], "b": ["kb"], "c": ["kc"]});
    }
    if config["cache"].is_null() {
        // Equal requests of a test are to be sent, each of them.
        config["cache"] = json!({"cost_mode_default": false});
    }
    let layer = records();
    World::load(config.to_string().as_bytes(), &[header().as_bytes(), layer.as_bytes()]).unwrap()
}

pub fn gateway(scripts: Value, config: &Value) -> Stage {
    let clock = Arc::new(ManualClock::at(START));
    staged(
        scripts,
        config,
        Arc::clone(&clock) as Arc<dyn Clock>,
        (clock, Box::new(Memory::default())),
    )
}

pub fn staged(
    scripts: Value,
    config: &Value,
    clock: Arc<dyn Clock>,
    (manual, store): (Arc<ManualClock>, Box<dyn Store>),
) -> Stage {
    let scripts: Vec<Script> = serde_json::from_value(scripts).unwrap();
    let transport = Box::new(ScriptedTransport::new(scripts));
    let (folder, home) = home(store);
    let gateway = Gateway::new(world(config), transport, clock, Some(home));
    Stage { gateway, clock: manual, folder }
}

/// Accounts in `store`, a ledger in a folder of its own.
pub fn home(store: Box<dyn Store>) -> (TempDir, Arc<Home>) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(folder.path()) };
    let begin = Now { utc: START, ticks: Ticks::default() };
    let home = Home::new(store, Arc::new(Ledger::open(&options, begin).unwrap()));
    (folder, Arc::new(home))
}

pub fn cost_ask(stream: bool) -> Value {
    json!({"model": "auto", "stream": stream, "p402": {"mode": "cost"},
        "messages": [{"role": "user", "content": "Summarise this."}]})
}

pub fn start(gateway: &Gateway, body: &Value) -> Arc<Outbox> {
    start_of("acme", gateway, body)
}

pub fn start_of(tenant: &str, gateway: &Gateway, body: &Value) -> Arc<Outbox> {
    let outbox = Arc::new(Outbox::default());
    let call = Call {
        door: p402_core::door::Door::Chat,
        tenant: Arc::from(tenant),
        body: Bytes::from(body.to_string()),
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
    outbox
}

pub async fn head(outbox: &Outbox) -> Head {
    poll_fn(|context| outbox.poll_head(context)).await
}

pub async fn rest(outbox: &Outbox) -> String {
    let mut all = Vec::new();
    while let Some(bytes) = poll_fn(|context| outbox.poll_bytes(context)).await {
        all.extend(bytes);
    }
    String::from_utf8(all).unwrap()
}

pub async fn answer(gateway: &Gateway, body: &Value) -> (u16, Value, Vec<(&'static str, String)>) {
    let head = head(&start(gateway, body)).await;
    let json = serde_json::from_slice(&head.body.unwrap()).unwrap();
    (head.status, json, head.headers)
}

pub fn named<'a>(headers: &'a [(&'static str, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

pub fn look_up(gateway: &Gateway, headers: &[(&'static str, String)]) -> Value {
    let id = named(headers, "x-p402-request-id");
    serde_json::from_slice(&gateway.look_up("acme", id).unwrap()).unwrap()
}

pub fn sse(events: &[&str]) -> String {
    format!("data: {}\n\n", events.join("\n\ndata: "))
}

pub const ROLE: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
pub const TEXT: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#;
pub const FINISH: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
pub const USAGE: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[],"usage":{"prompt_tokens":1200,"completion_tokens":400,"total_tokens":1600}}"#;
