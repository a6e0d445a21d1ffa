//! Decides which headers a reply leaves with, whole, streamed or refused.
//! Does not word errors (core's reply/) and does not send anything.

use crate::outbox::Head;
use crate::settling::Settling;
use crate::turn::Served;
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::reply::{ApiError, ReplyHeaders, anomaly_header, dropped_warning};

/// A reply's headers before they are bytes.
pub type Headers = Vec<(&'static str, String)>;

/// An error as a whole reply; `problem`: the client accepts `application/problem+json`.
pub fn refusal(error: &ApiError, id: RequestId, problem: bool) -> Head {
    let (kind, body) = if problem {
        ("application/problem+json", error.problem(id))
    } else {
        ("application/json", error.body(id))
    };
    let mut headers = error.headers();
    headers.push(("content-type", kind.to_owned()));
    headers.push(("x-request-id", id.to_string()));
    headers.push(("x-p402-request-id", id.to_string()));
    Head { status: error.status(), headers, body: Some(body) }
}

/// The head of a stream.
pub fn stream_head(mut headers: Headers) -> Head {
    headers.push(("content-type", "text/event-stream; charset=utf-8".to_owned()));
    headers.push(("cache-control", "no-cache".to_owned()));
    headers.push(("x-accel-buffering", "no".to_owned()));
    Head { status: 200, headers, body: None }
}

/// What is known of a request when its head leaves.
pub fn headers(
    settling: &Settling,
    served: Option<&Served>,
    dropped: &[String],
    cost: Option<Usd>,
) -> Headers {
    let turn = &settling.turn;
    let catalog = &turn.world.catalog;
    let attempt = served.and_then(|served| turn.plan.attempts.get(served.attempt));
    let offer = attempt.and_then(|attempt| catalog.offers.get(attempt.offer));
    let mut warnings = turn.plan.warnings.clone();
    warnings.extend(dropped_warning(&[&turn.dropped, dropped].concat()));
    let (task, confidence) = turn.plan.typing.top_with_confidence();
    let mut out = ReplyHeaders {
        provider: attempt.map(|attempt| &*catalog.provider(attempt.offer).id),
        model: offer.map(|offer| &*offer.model),
        effort: attempt.and_then(|attempt| attempt.effort),
        mode: Some(turn.plan.mode),
        task: Some(task),
        confidence,
        attempts: &attempts_header(settling),
        session: turn.plan.session,
        cache: turn.looked.word(),
        weights: &catalog.digest,
        cost,
        warnings: &warnings,
        ..ReplyHeaders::new(turn.id)
    }
    .build();
    guard_headers(settling, &mut out);
    out
}

/// What the guard has to say of a request that it admitted.
pub fn guard_headers(settling: &Settling, out: &mut Headers) {
    if let Some(standing) = &settling.standing {
        standing.headers(out);
    }
    out.extend(degraded_header(settling.degraded));
    if let Some((flag, series)) = &settling.anomaly {
        out.push(("x-p402-guard-anomaly", anomaly_header(flag, series.name())));
    }
}

/// The account was not asked, or did not answer.
pub fn degraded_header(degraded: bool) -> Option<(&'static str, String)> {
    degraded.then(|| ("x-p402-guard", "degraded".to_owned()))
}

/// `1`, or `2;groq=429`: how many were tried, and how the failed ones failed.
fn attempts_header(settling: &Settling) -> String {
    use std::fmt::Write;
    let mut text = settling.tried.len().to_string();
    for tried in settling.tried.iter().filter(|tried| tried.outcome != "ok") {
        let provider = &settling.turn.world.catalog.provider(tried.offer).id;
        // Writing into a String cannot fail.
        match tried.status {
            502 | 504 => write!(text, ";{provider}={}", tried.outcome).unwrap_or_default(),
            status => write!(text, ";{provider}={status}").unwrap_or_default(),
        }
    }
    text
}
