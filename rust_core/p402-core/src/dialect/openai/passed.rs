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
    if ask.kind == OfferKind::Speech {
        let kind = ask.content_type.unwrap_or("application/octet-stream");
        if kind.starts_with("application/json") {
            return Err(AnswerFault::Upstream(Box::new(in_stream(body))));
        }
        let form = Form::Raw(kind.to_owned());
        return Ok(Answer::passed(
            body.to_vec(),
            (form, Some(counted(ask.units))),
            ask.offer_model,
        ));
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
        _ => (Form::Uncounted, Some(counted(ask.units))),
    };
    Ok(Answer::passed(top.write(), told, ask.offer_model))
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
