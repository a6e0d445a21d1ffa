//! Carries one request to one upstream and its answer back; no retries, no opinions.
//! Does not know what the bytes mean (core's dialect/) nor where to go next (dispatch.rs).

pub mod http;
pub mod scripted;

use bytes::Bytes;
use http_body_util::BodyExt;
use std::future::Future;
use std::pin::Pin;

/// A future that owns what it needs and may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One request, ready to be written.
#[derive(Debug)]
pub struct WireRequest {
    pub uri: ::http::Uri,
    pub headers: ::http::HeaderMap,
    pub body: Bytes,
}

/// An upstream's head; the body follows chunk by chunk.
#[derive(Debug)]
pub struct WireResponse {
    pub status: u16,
    pub headers: ::http::HeaderMap,
    pub body: WireBody,
}

/// A response body of either transport. Dropping it aborts the upstream's answer.
#[derive(Debug)]
pub enum WireBody {
    Http(hyper::body::Incoming),
    Scripted(scripted::ScriptedBody),
}

/// Why no answer, or no more of it, came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Name resolution, TCP or TLS failed: nothing was written, nothing can be billed.
    Connect(String),
    /// The connection died after the request may have been written: possibly billed.
    Reset(String),
}

/// The way to the providers.
pub trait Transport: Send + Sync {
    fn send(&self, request: WireRequest) -> BoxFuture<Result<WireResponse, TransportError>>;
}

impl WireBody {
    /// The next piece of the body; `None` at its regular end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, TransportError>> {
        match self {
            Self::Scripted(body) => body.chunk().await,
            Self::Http(body) => loop {
                match body.frame().await? {
                    Err(error) => return Some(Err(TransportError::Reset(error.to_string()))),
                    Ok(frame) => match frame.into_data() {
                        Ok(bytes) if bytes.is_empty() => {}
                        Ok(bytes) => return Some(Ok(bytes)),
                        Err(_trailers) => {}
                    },
                }
            },
        }
    }
}
