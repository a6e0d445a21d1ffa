//! Carries one attempt: the body that is sent, and the answer read until it holds or fails.
//! Does not choose what comes next (dispatch.rs) nor set deadlines.

use crate::transport::{TransportError, WireBody, WireRequest, WireResponse};
use crate::turn::Turn;
use bytes::Bytes;
use p402_core::catalog::UsageShape;
use p402_core::dialect::openai::{
    self, Answer, AnswerFault, ChatStream, StreamAsk, StreamFault, UpstreamError, UpstreamErrorKind,
};
use p402_core::envelope::{UpstreamBody, upstream_body};
use p402_core::route::{Attempt, Permit};

/// An error body is read up to here.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;

/// Why one attempt did not answer.
#[derive(Debug)]
pub struct Fault {
    pub error: Box<UpstreamError>,
    /// Text delivered by the upstream before it failed.
    pub text_bytes: u64,
}

/// An upstream's answer that holds: whole, or committed to by its first content.
#[derive(Debug)]
pub struct Exchanged {
    pub answer: Begun,
    pub request_id: Option<Box<str>>,
    pub warnings: Vec<String>,
}

/// Whole, or streaming from its first content on.
#[derive(Debug)]
pub enum Begun {
    Whole(Box<Answer>),
    Streaming(WireBody, Box<ChatStream>),
}

/// Sends one attempt and reads until it holds or fails; deadlines are the caller's.
pub async fn exchange(turn: &Turn, attempt: &Attempt, permit: &Permit) -> Result<Exchanged, Fault> {
    let (request, warnings) = wire_request(turn, attempt, permit)?;
    let response = turn.node.transport.send(request).await.map_err(Fault::from)?;
    let request_id = text_header(&response, "x-request-id").map(Into::into);
    if response.status != 200 {
        return Err(refused(turn, response).await);
    }
    let ask = stream_ask(turn, attempt);
    let answer = if turn.scan.stream {
        let (body, stream) = until_content(response.body, ChatStream::new(ask)).await?;
        Begun::Streaming(body, Box::new(stream))
    } else {
        let bytes = read_all(response.body, turn.world.config.limits.answer_bytes).await?;
        Begun::Whole(Box::new(openai::read_answer(&bytes, &ask).map_err(Fault::from)?))
    };
    Ok(Exchanged { answer, request_id, warnings })
}

fn wire_request(
    turn: &Turn,
    attempt: &Attempt,
    permit: &Permit,
) -> Result<(WireRequest, Vec<String>), Fault> {
    let world = &turn.world;
    let offer = world.catalog.offers.get(attempt.offer);
    let found = offer.and_then(|offer| {
        let upstream = world.upstreams.get(offer.provider)?.as_ref()?;
        Some((offer, upstream, upstream.keys.get(permit.key)?))
    });
    let Some((offer, upstream, headers)) = found else {
        return Err(Fault::internal("the offer's provider has no address"));
    };
    let wish = UpstreamBody {
        model: &offer.upstream_id,
        stream_usage: turn.scan.stream,
        output_cap: attempt.output_cap,
        effort: attempt.effort,
        quirks: &offer.quirks,
    };
    let (body, warnings) = upstream_body(&turn.body, &turn.scan, &wish);
    let mut headers = headers.clone();
    let affinity = world.affinity.get(offer.provider).and_then(Option::as_ref);
    if let (Some(name), Some(session)) = (affinity, turn.options.session_id.as_deref())
        && let Ok(value) = http::HeaderValue::from_str(session)
    {
        headers.insert(name.clone(), value);
    }
    let request = WireRequest { uri: upstream.chat.clone(), headers, body: Bytes::from(body) };
    Ok((request, warnings))
}

fn stream_ask(turn: &Turn, attempt: &Attempt) -> StreamAsk {
    let offer = turn.world.catalog.offers.get(attempt.offer);
    StreamAsk {
        n: turn.scan.n.max(1),
        client_wants_usage: turn.scan.include_usage,
        offer_model: offer.map(|offer| offer.model.to_string()).unwrap_or_default(),
        usage_shape: offer.map_or(UsageShape::OpenAi, |offer| offer.quirks.usage_shape),
        created: turn.now.utc.seconds(),
        request_id: turn.id,
    }
}

/// Reads until the first content-bearing event: only that commits the attempt.
async fn until_content(
    mut body: WireBody,
    mut stream: ChatStream,
) -> Result<(WireBody, ChatStream), Fault> {
    loop {
        let step = match body.chunk().await {
            Some(Ok(bytes)) => stream.push(&bytes),
            Some(Err(error)) => return Err(Fault::from(error)),
            None => stream.end(),
        };
        step.map_err(|fault| Fault::from_stream(fault, stream.text_bytes()))?;
        if stream.committed() || stream.ready() {
            return Ok((body, stream));
        }
    }
}

async fn read_all(mut body: WireBody, bytes_max: usize) -> Result<Bytes, Fault> {
    let Some(first) = body.chunk().await else { return Ok(Bytes::new()) };
    let first = first.map_err(Fault::from)?;
    let Some(second) = body.chunk().await else { return Ok(first) };
    let mut all = Vec::with_capacity(first.len() * 4);
    all.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk.map_err(Fault::from)?;
        if all.len() + chunk.len() > bytes_max {
            return Err(Fault::from(AnswerFault::Malformed("the answer is too large".to_owned())));
        }
        all.extend_from_slice(&chunk);
        next = body.chunk().await;
    }
    Ok(Bytes::from(all))
}

/// An upstream's error answer, read within bounds and classified.
async fn refused(turn: &Turn, response: WireResponse) -> Fault {
    let retry_ms = text_header(&response, "retry-after-ms").map(str::to_owned);
    let retry = text_header(&response, "retry-after").map(str::to_owned);
    let status = response.status;
    let body = read_all(response.body, ERROR_BODY_BYTES_MAX).await.unwrap_or_default();
    let now = turn.node.clock.now();
    let mut error = openai::classify(status, retry.as_deref(), &body, now.utc);
    if let Some(ms) = retry_ms.and_then(|text| text.parse().ok()) {
        error.retry_after_ms = Some(ms);
    }
    Fault { error: Box::new(error), text_bytes: 0 }
}

fn text_header<'a>(response: &'a WireResponse, name: &str) -> Option<&'a str> {
    response.headers.get(name).and_then(|value| value.to_str().ok())
}

impl Fault {
    fn of(kind: UpstreamErrorKind, message: &str, possibly_billed: bool) -> Self {
        let error = UpstreamError {
            kind,
            status: if kind == UpstreamErrorKind::Timeout { 504 } else { 502 },
            retryable: true,
            possibly_billed,
            retry_after_ms: None,
            message: message.to_owned(),
            code: None,
            param: None,
            body: Vec::new(),
        };
        Self { error: Box::new(error), text_bytes: 0 }
    }

    pub fn internal(message: &str) -> Self {
        Self::of(UpstreamErrorKind::Connect, message, false)
    }

    pub fn timeout() -> Self {
        Self::of(UpstreamErrorKind::Timeout, "no answer in time", true)
    }

    fn from_stream(fault: StreamFault, text_bytes: u64) -> Self {
        let mut own = match fault {
            StreamFault::Cut => Self::of(UpstreamErrorKind::Cut, "the stream was cut", true),
            StreamFault::Malformed(text) => Self::of(UpstreamErrorKind::Malformed, &text, true),
            StreamFault::TooLarge => {
                Self::of(UpstreamErrorKind::Malformed, "an event was too large", true)
            }
            StreamFault::Upstream(error) => Self { error, text_bytes: 0 },
        };
        own.text_bytes = text_bytes;
        own
    }
}

impl From<TransportError> for Fault {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Connect(text) => Self::of(UpstreamErrorKind::Connect, &text, false),
            TransportError::Reset(text) => Self::of(UpstreamErrorKind::Cut, &text, true),
        }
    }
}

impl From<AnswerFault> for Fault {
    fn from(fault: AnswerFault) -> Self {
        match fault {
            AnswerFault::Malformed(text) => Self::of(UpstreamErrorKind::Malformed, &text, true),
            AnswerFault::Upstream(error) => Self { error, text_bytes: 0 },
        }
    }
}
