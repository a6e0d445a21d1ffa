//! Decides the inputs that several kernels share: a catalogue of n offers, a request, answers.
//! Deliberately only text: what the core makes of it is what the kernels measure.

use crate::mock::behaviour::Behaviour;
use crate::mock::shapes;
use serde_json::json;
use std::fmt::Write as _;

const PROVIDERS: usize = 16;
pub const MODEL: &str = "mock";

/// A catalogue in which n offers of 16 providers differ in price, quality and speed.
pub fn catalog(offers: usize) -> String {
    let header = json!({
        "t": "header", "schema": 1, "date": "2026-11-22", "inputs": {}, "attributions": []
    });
    let mut text = format!("{header}\n");
    for name in providers() {
        let provider = json!({
            "t": "provider", "id": name, "kind": "config", "dialect": "openai",
            "base_url": format!("http://{name}.test/v1"), "auth": "bearer", "env": [],
            "routable": true, "flags": []
        });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{provider}");
    }
    for i in 0..offers {
        let offer = json!({
            "t": "offer", "provider": format!("bench{}", i % PROVIDERS),
            "model": format!("bench-{i}"), "canonical": format!("bench-{i}"), "upstream_id": MODEL,
            "context": 200_000, "max_output": 32_000, "modalities": ["text", "image"],
            "tools": true, "structured": true, "efforts": [], "flags": [],
            "prices": [{"bands": [{
                "above": 0, "in": 50_000 + 30_000 * i, "out": 200_000 + 120_000 * i
            }]}],
            "capability": 30 + i * 37 % 60, "ttft_ms": 200 + i * 13 % 900,
            "tokens_per_s": 40 + i * 7 % 160,
            "source": "bench", "as_of": "2026-11", "n_agree": 1, "confidence": "config"
        });
        let _ = writeln!(text, "{offer}");
    }
    text
}

/// The gateway's configuration: one key for each provider of the catalogue, and limits so wide
/// that no request is refused (a clock that stands refills no bucket).
pub fn config() -> String {
    let keys: serde_json::Map<_, _> = providers().map(|name| (name, json!(["x"]))).collect();
    let guard = json!({
        "daily_cap_usd": "9000000", "in_flight_max": 256,
        "rate": {"limit": 1_000_000_000, "per_s": 1},
    });
    json!({"keys": keys, "guard": guard}).to_string()
}

pub fn request(stream: bool, mode: &str) -> String {
    json!({
        "model": "auto", "stream": stream, "p402": {"mode": mode}, "max_tokens": 400,
        "messages": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "How does the same question cost so much more elsewhere?"}
        ]
    })
    .to_string()
}

/// A whole answer as an upstream sends it.
pub fn answer() -> String {
    shapes::whole(MODEL, &Behaviour::default())
}

/// Twenty events as an upstream sends them, `[DONE]` included.
pub fn events() -> Vec<String> {
    shapes::frames(MODEL, &Behaviour::default(), true)
        .into_iter()
        .map(|(_, data)| format!("data: {data}\n\n"))
        .collect()
}

fn providers() -> impl Iterator<Item = String> {
    (0..PROVIDERS).map(|i| format!("bench{i}"))
}
