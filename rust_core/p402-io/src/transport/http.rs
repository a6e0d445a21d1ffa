//! Carries requests over pooled HTTP/1.1 connections, plain or TLS.
//! Does not follow redirects, does not send anything but what it was given.

use super::{BoxFuture, Transport, TransportError, WireBody, WireRequest, WireResponse};
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;

/// Below the idle time-outs of the providers (60 s and more), so that they never close on us first.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// Idle connections kept per upstream.
const POOL_IDLE_MAX: usize = 256;

/// The pool of connections to all upstreams. HTTP/1.1 alone: closing a connection is the one way to
/// stop an upstream that every provider understands, and no stream limit of a peer can queue us.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpTransport {
    /// A transport whose connections, TLS included, must stand within `connect`.
    pub fn new(connect: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // The host's own roots first (company authorities), Mozilla's where it has none.
        let tls = match HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(Arc::clone(&provider))
        {
            Ok(native) => native,
            Err(_) => HttpsConnectorBuilder::new().with_tls_config(mozilla_roots(provider)),
        };
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            .build(connector);
        Self { client }
    }
}

fn mozilla_roots(provider: Arc<rustls::crypto::CryptoProvider>) -> rustls::ClientConfig {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let versions = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS);
    match versions {
        Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
        Err(_) => {
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
        }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<Result<WireResponse, TransportError>> {
        let client = self.client.clone();
        Box::pin(async move {
            let mut wire = ::http::Request::new(Full::new(request.body));
            *wire.method_mut() = ::http::Method::POST;
            *wire.uri_mut() = request.uri;
            *wire.headers_mut() = request.headers;
            let response = client.request(wire).await.map_err(|error| classify(&error))?;
            let (head, body) = response.into_parts();
            Ok(WireResponse {
                status: head.status.as_u16(),
                headers: head.headers,
                body: WireBody::Http(body),
            })
        })
    }
}

fn classify(error: &Error) -> TransportError {
    let text = root_cause(error);
    if error.is_connect() { TransportError::Connect(text) } else { TransportError::Reset(text) }
}

/// The innermost cause: the outer layers only say "client error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
