//! Carries one attempt: the body that is sent, and the answer read until it holds or fails.
//! Does not choose what comes next (dispatch.rs) nor set deadlines.

use crate::thoughts::Memory;
use crate::transport::{TransportError, WireBody, WireRequest, WireResponse};
use crate::turn::Turn;
use crate::upstream::Upstream;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Uri};
use p402_core::catalog::{Offer, ProviderKind, UsageShape};
use p402_core::chat::Request;
use p402_core::dialect::openai::{
    self, Answer, AnswerFault, ChatStream, PassedAsk, StreamAsk, StreamFault, UpstreamError,
    UpstreamErrorKind,
};
use p402_core::dialect::{Codec, Kept, Target, Unsaid, customs};
use p402_core::door::Door;
use p402_core::envelope::{Scan, UpstreamBody, scan, upstream_body};
use p402_core::route::{Attempt, Permit};
use std::borrow::Cow;

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
    let content_type = text_header(&response, "content-type").map(str::to_owned);
    if response.status != 200 {
        return Err(refused(turn, response).await);
    }
    let codec = codec_of(turn, attempt);
    let ask = stream_ask(turn, attempt, codec.is_some());
    let answer = if turn.scan.stream {
        let stream = match codec {
            Some(codec) => ChatStream::decoded(ask.clone(), codec.decoder(&ask)),
            None => ChatStream::new(ask),
        };
        let (body, stream) = until_content(response.body, stream).await?;
        Begun::Streaming(body, Box::new(stream))
    } else {
        let bytes = read_all(response.body, turn.world.config.limits.answer_bytes).await?;
        let answer = match codec {
            Some(codec) => {
                let translated = codec.read(&bytes, &ask)?;
                remember(turn, translated.kept.as_ref());
                openai::read_answer(&translated.body, &ask)
            }
            None if turn.is_no_chat() => {
                let asked = passed_ask(turn, &ask, content_type.as_deref());
                openai::read_passed(&bytes, &asked)
            }
            None => openai::read_answer(&bytes, &ask),
        };
        Begun::Whole(Box::new(answer?))
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
    let Some((offer, upstream, credential)) = found else {
        return Err(Fault::internal("the offer's provider has no address"));
    };
    let mut headers = credential.headers.clone();
    let said = Said::of(turn, offer)?;
    let (uri, body, warnings) = if let Some(codec) = upstream.codec {
        translated(turn, (attempt, &said), offer, (upstream, codec))?
    } else if let Some(own) = &turn.passed {
        passing(turn, own, (offer, upstream), &mut headers)?
    } else {
        // What the claim covers is the bound, where one must be and nobody set one.
        let unbounded = offer.quirks.max_tokens_required && turn.scan.output_bound().is_none();
        let wish = UpstreamBody {
            model: &offer.upstream_id,
            stream_usage: turn.scan.stream,
            output_cap: attempt.output_cap.or(unbounded.then_some(attempt.output_bound)),
            effort: attempt.effort,
            quirks: &offer.quirks,
            told: told(turn, offer),
        };
        let (body, warnings) = upstream_body(&said.body, &said.scan, &wish);
        let uri = upstream.passing(&offer.upstream_id, None).ok_or_else(no_address)?;
        (uri, body, warnings)
    };
    let affinity = world.affinity.get(offer.provider).and_then(Option::as_ref);
    if let (Some(name), Some(session)) = (affinity, turn.options.session_id.as_deref())
        && let Ok(value) = HeaderValue::from_str(session)
    {
        headers.insert(name.clone(), value);
    }
    if let Some(signer) = &credential.signer {
        signer.sign(&uri, &body, turn.node.clock.now().utc, &mut headers);
    }
    let request = WireRequest { uri, headers, body: Bytes::from(body) };
    Ok((request, warnings))
}

/// The client's own bytes for this offer: address, body, and nothing that could not be said.
fn passing(
    turn: &Turn,
    own: &[u8],
    (offer, upstream): (&Offer, &Upstream),
    headers: &mut HeaderMap,
) -> Result<(Uri, Vec<u8>, Vec<String>), Fault> {
    let passed = turn.door.passed(own, &offer.upstream_id);
    if let Some(kind) = passed.content_type {
        let kind = HeaderValue::from_str(&kind).map_err(|_| Fault::internal("a bad boundary"))?;
        headers.insert(CONTENT_TYPE, kind);
    }
    let uri = upstream.passing(&offer.upstream_id, turn.door.passes_to());
    Ok((uri.ok_or_else(no_address)?, passed.body, Vec::new()))
}

/// What a request says to an upstream: the client's own bytes, or the same in everybody's words
/// where the upstream does not know all of the client's.
struct Said<'t> {
    body: Cow<'t, [u8]>,
    scan: Cow<'t, Scan>,
}

impl<'t> Said<'t> {
    fn of(turn: &'t Turn, offer: &Offer) -> Result<Self, Fault> {
        if !turn.scan.own_tools || offer.quirks.custom_tools {
            let (body, scan) = (Cow::Borrowed(&*turn.body), Cow::Borrowed(&turn.scan));
            return Ok(Self { body, scan });
        }
        let body = customs::plain(&turn.body).map_err(|unsaid| Fault::from(&unsaid))?;
        let scan = scan(&body).map_err(|_| Fault::internal("a plain request cannot be read"))?;
        Ok(Self { body: Cow::Owned(body), scan: Cow::Owned(scan) })
    }
}

/// Aggregators know the marks of all their vendors.
fn told(turn: &Turn, offer: &Offer) -> bool {
    let provider = turn.world.catalog.providers.get(offer.provider);
    let kind = provider.map(|provider| provider.kind);
    turn.door != Door::Chat && kind != Some(ProviderKind::Aggregator)
}

/// The request in the upstream's own language: address, body, and what could not be said.
fn translated(
    turn: &Turn,
    (attempt, said): (&Attempt, &Said<'_>),
    offer: &Offer,
    (upstream, codec): (&Upstream, &dyn Codec),
) -> Result<(Uri, Vec<u8>, Vec<String>), Fault> {
    let request = Request::read(&said.body, &said.scan).map_err(|member| {
        let message = format!("\"{member}\" does not have the form the API documents");
        Fault::from(&Unsaid { code: "invalid_type", param: member.to_owned(), message })
    })?;
    let now = turn.node.clock.now();
    let memory = Memory { thoughts: &turn.node.thoughts, tenant: &turn.tenant, now };
    let user = request.user.as_deref().map(|user| upstream.pseudonym(&turn.tenant, user));
    let target = Target {
        model: &offer.upstream_id,
        stream: turn.scan.stream,
        output_cap: attempt.output_cap,
        max_output: offer.max_output,
        effort: attempt.effort,
        efforts: offer.efforts,
        quirks: &offer.quirks,
        user: user.as_deref(),
        recall: &memory,
    };
    let encoded = codec.encode(&request, &target).map_err(|unsaid| Fault::from(&unsaid))?;
    let uri = upstream.endpoint(&offer.upstream_id, &encoded.path).ok_or_else(no_address)?;
    Ok((uri, encoded.body, encoded.dropped))
}

fn no_address() -> Fault {
    Fault::internal("the offer's model makes no address")
}

/// Keeps what the next turn's request may lack.
pub fn remember(turn: &Turn, kept: Option<&Kept>) {
    if let Some(kept) = kept {
        turn.node.thoughts.keep(&turn.tenant, kept, turn.node.clock.now());
    }
}

/// The codec of the attempt's provider; `None` where bytes pass.
fn codec_of(turn: &Turn, attempt: &Attempt) -> Option<&'static dyn Codec> {
    let provider = turn.world.catalog.offers.get(attempt.offer)?.provider;
    turn.world.upstreams.get(provider)?.as_ref()?.codec
}

fn stream_ask(turn: &Turn, attempt: &Attempt, translated: bool) -> StreamAsk {
    let offer = turn.world.catalog.offers.get(attempt.offer);
    let shape = offer.map_or(UsageShape::OpenAi, |offer| offer.quirks.usage_shape);
    StreamAsk {
        n: turn.scan.n.max(1),
        client_wants_usage: turn.scan.include_usage,
        offer_model: offer.map(|offer| offer.model.to_string()).unwrap_or_default(),
        usage_shape: if translated { UsageShape::Canonical } else { shape },
        created: turn.now.utc.seconds(),
        request_id: turn.id,
    }
}

fn passed_ask<'a>(turn: &Turn, ask: &'a StreamAsk, content_type: Option<&'a str>) -> PassedAsk<'a> {
    PassedAsk {
        kind: turn.door.kind(),
        units: turn.scan.output_bound().unwrap_or_default(),
        packed: turn.passed.as_deref().is_some_and(|own| turn.door.wants_packed(own)),
        content_type,
        offer_model: &ask.offer_model,
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

impl From<&Unsaid> for Fault {
    fn from(unsaid: &Unsaid) -> Self {
        Self { error: Box::new(unsaid.error()), text_bytes: 0 }
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
