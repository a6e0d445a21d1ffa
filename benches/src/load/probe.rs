//! Decides whether a target may be measured: content equal, `[DONE]` seen, the connection reused.
//! Deliberately runs before the clock does: a fast wrong answer must never become a figure.

use super::exchange::{Frames, Prepared, Seat};
use super::plan::Target;
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Instant;

/// What the probe saw, for the report.
#[derive(Debug, serde::Serialize)]
pub(super) struct Seen {
    pub(super) content: String,
    pub(super) events: usize,
    pub(super) reply_bytes: usize,
    pub(super) keys: Vec<String>,
}

/// Two requests over one connection; the second proves that it is kept.
pub(super) async fn probe(prepared: &mut Prepared, target: &Target) -> Result<Seen, String> {
    let mut seat = prepared.connect().await.map_err(|failure| failure.kind)?;
    let seen = ask(prepared, &mut seat).await?;
    seat.sender
        .ready()
        .await
        .map_err(|_| "the connection was not kept after a reply".to_owned())?;
    let again = ask(prepared, &mut seat).await?;
    if again.content != seen.content {
        return Err("two equal requests were answered differently".to_owned());
    }
    if let Some(wanted) = &target.content
        && *wanted != seen.content
    {
        return Err(format!("content is {:?}, expected {wanted:?}", seen.content));
    }
    if prepared.stream {
        prepared.events = Some(seen.events);
    }
    Ok(seen)
}

async fn ask(prepared: &Prepared, seat: &mut Seat) -> Result<Seen, String> {
    let response = prepared.send(seat).await.map_err(|failure| failure.kind)?;
    let status = response.status();
    let whole = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    if !status.is_success() {
        let text = String::from_utf8_lossy(whole.get(..whole.len().min(300)).unwrap_or_default());
        return Err(format!("status {}: {text}", status.as_u16()));
    }
    if prepared.stream { seen_in_stream(&whole) } else { seen_in_body(&whole) }
}

fn seen_in_body(whole: &[u8]) -> Result<Seen, String> {
    let body: Value = serde_json::from_slice(whole).map_err(|e| format!("reply: {e}"))?;
    let content = body.pointer("/choices/0/message/content").and_then(Value::as_str);
    let content = content.ok_or("reply: no content")?.to_owned();
    Ok(Seen { content, events: 0, reply_bytes: whole.len(), keys: keys(&body) })
}

fn seen_in_stream(whole: &[u8]) -> Result<Seen, String> {
    let mut frames = Frames::keeping();
    frames.push(whole, Instant::now());
    let mut seen =
        Seen { content: String::new(), events: 0, reply_bytes: whole.len(), keys: Vec::new() };
    let (mut ended, mut finished) = (false, false);
    for data in frames.kept.unwrap_or_default() {
        if ended {
            return Err("stream: data after [DONE]".to_owned());
        }
        if data == "[DONE]" {
            ended = true;
            continue;
        }
        let frame: Value = serde_json::from_str(&data).map_err(|e| format!("frame: {e}"))?;
        let delta = frame.pointer("/choices/0/delta/content").and_then(Value::as_str);
        seen.content.push_str(delta.unwrap_or_default());
        finished |= frame.pointer("/choices/0/finish_reason").is_some_and(Value::is_string);
        for key in keys(&frame) {
            if !seen.keys.contains(&key) {
                seen.keys.push(key);
            }
        }
    }
    if !ended || !finished {
        return Err("stream: no finish reason or no [DONE]".to_owned());
    }
    seen.events = frames.contents.len();
    Ok(seen)
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}
