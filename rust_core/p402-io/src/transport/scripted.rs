//! Answers from a script instead of a socket; ordinary shipped code, named by plain values.
//! Does not invent anything: what is not in the script is a refused connection.

use super::{BoxFuture, Transport, TransportError, WireBody, WireRequest, WireResponse};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Requests remembered for assertions.
const SEEN_MAX: usize = 1_024;

/// One scripted answer, used for every request whose URL contains `url`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Part of the URL this script answers; empty answers all.
    #[serde(default)]
    pub url: String,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How often this script answers before the next one of the same URL does; 0 = for ever.
    #[serde(default)]
    pub times: u32,
    /// Refuse the connection instead of answering.
    #[serde(default)]
    pub refuse: bool,
}

/// One move of a scripted body.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Chunk(String),
    WaitMs(u64),
    Reset,
}

/// A body that plays its steps.
#[derive(Debug)]
pub struct ScriptedBody {
    steps: VecDeque<Step>,
    /// A wait that has begun; it goes on where a cancelled `chunk` left it.
    until: Option<Instant>,
}

/// A transport that plays scripts in order.
#[derive(Debug)]
pub struct ScriptedTransport {
    scripts: Mutex<Vec<(Script, u32)>>,
    seen: Mutex<VecDeque<(String, Bytes)>>,
}

const fn ok() -> u16 {
    200
}

impl ScriptedTransport {
    pub fn new(scripts: Vec<Script>) -> Self {
        Self {
            scripts: Mutex::new(scripts.into_iter().map(|script| (script, 0)).collect()),
            seen: Mutex::new(VecDeque::new()),
        }
    }

    /// The last requests sent: (URL, body), oldest first.
    pub fn seen(&self) -> Vec<(String, Bytes)> {
        self.seen.lock().iter().cloned().collect()
    }

    fn next(&self, url: &str) -> Option<Script> {
        let mut scripts = self.scripts.lock();
        let fitting = scripts.iter_mut().find(|(script, used)| {
            url.contains(&script.url) && (script.times == 0 || *used < script.times)
        })?;
        fitting.1 += 1;
        Some(fitting.0.clone())
    }
}

impl ScriptedBody {
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            if let Some(until) = self.until {
                tokio::time::sleep_until(until).await;
                self.until = None;
            }
            match self.steps.pop_front()? {
                Step::Chunk(text) => return Some(Ok(Bytes::from(text))),
                Step::WaitMs(ms) => self.until = Some(Instant::now() + Duration::from_millis(ms)),
                Step::Reset => {
                    return Some(Err(TransportError::Reset("scripted reset".to_owned())));
                }
            }
        }
    }
}

impl Transport for ScriptedTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<Result<WireResponse, TransportError>> {
        let url = request.uri.to_string();
        let script = self.next(&url);
        let mut seen = self.seen.lock();
        if seen.len() == SEEN_MAX {
            seen.pop_front();
        }
        seen.push_back((url, request.body));
        Box::pin(async move {
            let script = script.filter(|script| !script.refuse);
            let Some(script) = script else {
                return Err(TransportError::Connect("no script answers".to_owned()));
            };
            let mut headers = ::http::HeaderMap::new();
            for (name, value) in &script.headers {
                if let (Ok(name), Ok(value)) = (
                    ::http::HeaderName::try_from(name.as_str()),
                    ::http::HeaderValue::try_from(value.as_str()),
                ) {
                    headers.append(name, value);
                }
            }
            let body = ScriptedBody { steps: script.steps.into(), until: None };
            Ok(WireResponse { status: script.status, headers, body: WireBody::Scripted(body) })
        })
    }
}
