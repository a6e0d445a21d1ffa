//! Decides whether one reply was right, and when its first content, its gaps and its end came.
//! Deliberately does not parse JSON: what a reply must contain is settled by the probe beforehand.

use super::plan::Target;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::time::Instant;
use tokio::net::TcpStream;

/// Everything of a request that is the same each time.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    address: String,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    pub(super) stream: bool,
    /// The bytes each plain reply must contain (the content as JSON).
    marker: Option<Vec<u8>>,
    /// How many content events each stream must contain.
    pub(super) events: Option<usize>,
}

/// One right answer.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) started: Instant,
    /// When each content event came; empty where there is no stream.
    pub(super) contents: Vec<Instant>,
    pub(super) done: Instant,
    pub(super) tally: Option<String>,
}

/// A wrong one: the word under which it is counted, and whether the connection is still usable.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) tally: Option<String>,
}

impl Failure {
    pub(super) fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), tally: None }
    }
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) sender: SendRequest<Full<Bytes>>,
}

impl Prepared {
    pub(super) fn new(target: &Target) -> Result<Self, String> {
        let uri: Uri = target.url.parse().map_err(|e| format!("url: {e}"))?;
        if uri.scheme_str() != Some("http") {
            return Err("url: only http, on loopback; TLS is not measured here".to_owned());
        }
        let host = uri.host().ok_or("url: a host is missing")?;
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let value = |text: &str| HeaderValue::from_str(text).map_err(|e| e.to_string());
        let mut headers = vec![
            (HOST, value(&address)?),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, HeaderValue::from(target.body.len())),
        ];
        for (name, text) in &target.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("header name {name}"))?;
            headers.push((name, value(text)?));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let marker = target.content.as_deref().map(|text| {
            // The content as JSON, without its quotes: servers differ in blanks, not in this.
            let quoted = serde_json::Value::from(text).to_string();
            quoted.trim_matches('"').as_bytes().to_vec()
        });
        Ok(Self {
            address,
            uri: path.parse().map_err(|e| format!("url: {e}"))?,
            headers,
            body: Bytes::from(target.body.clone()),
            stream: target.stream,
            marker: if target.stream { None } else { marker },
            events: None,
        })
    }

    pub(super) async fn connect(&self) -> Result<Seat, Failure> {
        let refused = |e: std::io::Error| Failure::new(format!("connect: {}", e.kind()));
        let socket = TcpStream::connect(&self.address).await.map_err(refused)?;
        socket.set_nodelay(true).map_err(refused)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|e| Failure::new(format!("handshake: {e}")))?;
        // Its errors reach the request that was under way.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Seat { sender })
    }

    pub(super) async fn send(&self, seat: &mut Seat) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().extend(self.headers.iter().cloned());
        seat.sender.send_request(request).await.map_err(|e| Failure::new(wire_kind(&e)))
    }

    /// One request and its whole reply, judged.
    pub(super) async fn exchange(
        &self,
        seat: &mut Seat,
        tally: Option<&HeaderName>,
    ) -> Result<Sample, Failure> {
        let started = Instant::now();
        let response = self.send(seat).await?;
        let tally = tally.and_then(|name| response.headers().get(name));
        let tally = tally.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let judged = self.judge(response, started).await;
        match judged {
            Ok(sample) => Ok(Sample { tally, ..sample }),
            Err(failure) => Err(Failure { tally, ..failure }),
        }
    }

    async fn judge(
        &self,
        response: Response<Incoming>,
        started: Instant,
    ) -> Result<Sample, Failure> {
        let status = response.status();
        let mut body = response.into_body();
        let mut frames = Frames::default();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Failure::new(wire_kind(&e)))?;
            let Some(bytes) = frame.data_ref() else { continue };
            if self.stream && status.is_success() {
                frames.push(bytes, Instant::now());
            } else {
                whole.extend_from_slice(bytes);
            }
        }
        let done = Instant::now();
        if !status.is_success() {
            return Err(Failure::new(format!("status {}", status.as_u16())));
        }
        if self.stream {
            if !frames.ended {
                return Err(Failure::new("stream without [DONE]"));
            }
            if self.events.is_some_and(|events| events != frames.contents.len()) {
                return Err(Failure::new("content events lost or added"));
            }
        } else if let Some(marker) = &self.marker
            && memmem::find(&whole, marker).is_none()
        {
            return Err(Failure::new("content differs"));
        }
        Ok(Sample { started, contents: frames.contents, done, tally: None })
    }
}

/// The events of a stream as they arrive, however the bytes are cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    rest: Vec<u8>,
    pub(super) contents: Vec<Instant>,
    pub(super) ended: bool,
    /// The data of each frame, kept only for the probe.
    pub(super) kept: Option<Vec<String>>,
}

impl Frames {
    pub(super) fn keeping() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(end) = memmem::find(self.rest.get(start..).unwrap_or_default(), b"\n\n") {
            let frame = self.rest.get(start..start + end).unwrap_or_default();
            start += end + 2;
            let Some(data) = frame.strip_prefix(b"data:") else { continue };
            let data = data.trim_ascii();
            if data == b"[DONE]" {
                self.ended = true;
            } else if bears_content(data) {
                self.contents.push(now);
            }
            if let Some(kept) = &mut self.kept {
                kept.push(String::from_utf8_lossy(data).into_owned());
            }
        }
        self.rest.drain(..start);
    }
}

/// A non-empty `content` in the delta, whatever blanks the server's JSON writer leaves.
fn bears_content(data: &[u8]) -> bool {
    let Some(at) = memmem::find(data, b"\"content\":") else { return false };
    let value = data.get(at + 10..).unwrap_or_default().trim_ascii_start();
    value.starts_with(b"\"") && !value.starts_with(b"\"\"")
}

fn wire_kind(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "cut".to_owned()
    } else if error.is_closed() || error.is_canceled() {
        "closed".to_owned()
    } else {
        format!("wire: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_at_every_cut() {
        let text: &[u8] = b": ping\n\ndata: {\"delta\":{\"content\":\"\"}}\n\n\
            data: {\"delta\":{\"content\": \"a\"}}\n\ndata: {\"content\":null}\n\ndata: [DONE]\n\n";
        for cut in 0..text.len() {
            let mut frames = Frames::default();
            let (head, tail) = text.split_at(cut);
            frames.push(head, Instant::now());
            frames.push(tail, Instant::now());
            assert_eq!((frames.contents.len(), frames.ended), (1, true), "cut at {cut}");
        }
    }
}
