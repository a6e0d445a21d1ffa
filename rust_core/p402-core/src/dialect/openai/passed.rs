//! Decides how the answer of a path that is no chat is read: what it counted, in which unit.
//! Does not change it, but for vectors that a client wants packed.

use super::AnswerFault;
use super::answer::{Answer, Form};
use super::error::in_stream;
use crate::catalog::{OfferKind, UsageShape};
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array, items};
use crate::usage::{ReportedUsage, Usage, read_usage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How the answer was asked for.
#[derive(Clone, Copy, Debug)]
pub struct PassedAsk<'a> {
    pub kind: OfferKind,
    /// What the request comes to where its answer counts nothing itself.
    pub units: u64,
    /// Vectors are wanted as base64.
    pub packed: bool,
    pub content_type: Option<&'a str>,
    pub offer_model: &'a str,
}

/// Reads the body of a 200 that passes.
pub fn read_passed(body: &[u8], ask: &PassedAsk<'_>) -> Result<Answer, AnswerFault> {
    let kind = ask.content_type.unwrap_or("application/octet-stream");
    let is_json = kind.starts_with("application/json");
    if ask.kind == OfferKind::Speech && is_json {
        return Err(AnswerFault::Upstream(Box::new(in_stream(body))));
    }
    if ask.kind == OfferKind::Speech || (ask.kind == OfferKind::Transcription && !is_json) {
        // Subtitles say how far they reach; a bare text does not.
        let heard = if ask.kind == OfferKind::Speech { None } else { last_cue(body) };
        let told = (Form::Raw(kind.to_owned()), Some(counted(heard.unwrap_or(ask.units))));
        return Ok(Answer::passed(body.to_vec(), told, ask.offer_model));
    }
    let bad = || AnswerFault::Malformed("the upstream's answer is not JSON".to_owned());
    let top = Object::parse(body).filter(|_| std::str::from_utf8(body).is_ok());
    let mut top = top.ok_or_else(bad)?;
    if top.present("error").is_some() {
        return Err(AnswerFault::Upstream(Box::new(in_stream(body))));
    }
    top.remove("p402_metadata");
    let told = match ask.kind {
        OfferKind::Embedding => {
            let usage = top.present("usage").map(|json| read_usage(json, UsageShape::OpenAi));
            if ask.packed {
                pack(&mut top).ok_or_else(bad)?;
            }
            let reported = usage.and_then(Result::ok);
            (Form::Counted, reported.filter(|reported| reported.usage.input() > 0))
        }
        OfferKind::Image => {
            let pictures = top.get("data").and_then(items).map_or(0, |list| list.len() as u64);
            (Form::Uncounted, Some(counted(pictures)))
        }
        OfferKind::Transcription => {
            (Form::Uncounted, Some(counted(seconds(&top).unwrap_or(ask.units))))
        }
        _ => (Form::Uncounted, Some(counted(ask.units))),
    };
    Ok(Answer::passed(top.write(), told, ask.offer_model))
}

/// What was heard, begun seconds in full: `usage.seconds`, or the `duration` of an older answer.
fn seconds(top: &Object<'_>) -> Option<u64> {
    let usage = top.get("usage").and_then(Object::parse).unwrap_or_default();
    let said = usage.present("seconds").or_else(|| top.present("duration"))?;
    let text = std::str::from_utf8(said).ok()?.trim_matches('"');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let begun = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    whole.parse::<u64>().ok()?.checked_add(begun)
}

/// The end of the last line of subtitles, in begun seconds: `… --> 00:01:02,500`.
fn last_cue(subtitles: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(subtitles).ok()?;
    let (_, after) = text.rsplit_once("-->")?;
    let stamp = after.split_whitespace().next()?;
    let (clock, fraction) = stamp.split_once([',', '.'])?;
    let mut seconds = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    for (part, unit) in clock.rsplit(':').zip([1, 60, 3_600]) {
        seconds = part.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(seconds)?;
    }
    Some(seconds)
}

fn counted(units: u64) -> ReportedUsage {
    let usage = Usage { output: units, ..Usage::default() };
    ReportedUsage { usage, reported_cost: None }
}

/// Vectors that came as numbers become little-endian floats in base64.
fn pack(top: &mut Object<'_>) -> Option<()> {
    let list = top.share("data")?;
    let mut packed = Vec::new();
    for item in items(&list)? {
        let mut item = Object::parse(item)?;
        if let Some(numbers) = item.get("embedding").and_then(items) {
            let mut bytes = Vec::with_capacity(numbers.len() * 4);
            for number in numbers {
                let value: f32 = std::str::from_utf8(number).ok()?.parse().ok()?;
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            item.set("embedding", quoted(&STANDARD.encode(bytes)));
        }
        packed.push(item.write());
    }
    top.replace("data", array(packed.iter().map(Vec::as_slice)));
    Some(())
}
