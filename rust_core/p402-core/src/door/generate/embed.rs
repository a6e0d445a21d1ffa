//! Decides how embedContent and batchEmbedContents are told as OpenAI's embeddings, and told back.
//! Does not measure them: what is told is measured as every request for vectors (passing.rs).

use super::turns;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array, items};
use crate::dialect::{Dropped, Unsaid};
use crate::door::{Door, Entered, Retell, missing, mistyped, passing, top};
use crate::usage::{UsageShape, read_usage};

const REQUESTS: &str = "requests";
const DIMENSIONS: &str = "outputDimensionality";
/// What OpenAI's request has words for, and what says no more than the path.
const SAID: [&str; 4] = ["model", "content", "p402", DIMENSIONS];

/// One answer on its way out.
#[derive(Debug)]
struct Vectors {
    /// Many texts were asked for, even if it was a list of one.
    many: bool,
}

/// Tells a request for vectors as a chat, so that it can be measured.
pub(in crate::door) fn enter(body: &[u8]) -> Result<Entered, Unsaid> {
    let top = top(body)?;
    let mut dropped = Dropped::default();
    let told = told(&top, &mut dropped)?;
    let entered = passing::enter(Door::Embeddings, &told)?;
    let reply = Vectors { many: top.present(REQUESTS).is_some() };
    Ok(Entered { dropped: dropped.0, reply: Some(Box::new(reply)), ..entered })
}

/// The same for the upstream that has this model.
pub(in crate::door) fn passed(body: &[u8], model: &str) -> Vec<u8> {
    // It was told when it came in.
    let top = Object::parse(body).unwrap_or_default();
    let told = told(&top, &mut Dropped::default()).unwrap_or_default();
    passing::passed(Door::Embeddings, &told, model)
}

/// OpenAI's request: all texts in one list, and one length for all vectors.
fn told(top: &Object<'_>, dropped: &mut Dropped) -> Result<Vec<u8>, Unsaid> {
    let mut told = Object::default();
    for name in ["model", "p402"] {
        if let Some(value) = top.present(name) {
            told.put(name, value);
        }
    }
    let batch = top.present(REQUESTS).map(batch).transpose()?;
    let asked: Vec<&Object<'_>> = batch.as_ref().map_or(vec![top], |list| list.iter().collect());
    let first = asked.first().and_then(|first| first.present(DIMENSIONS));
    let mut texts = Vec::with_capacity(asked.len());
    for one in &asked {
        texts
            .push(quoted(&turns::text(one.present("content").ok_or_else(|| missing("content"))?)?));
        if one.present(DIMENSIONS) != first {
            let text = "all vectors of one request have the same length here";
            return Err(Unsaid::parameter(DIMENSIONS, text));
        }
        if one.text("model").is_some_and(|model| !is_same(&model, top)) {
            return Err(Unsaid::parameter("model", "all texts of one request go to one model"));
        }
        for (name, _) in one.iter().filter(|(_, value)| *value != b"null") {
            dropped.if_any(name, !SAID.contains(&name));
        }
    }
    told.put("input", &array(texts.iter().map(Vec::as_slice)));
    if let Some(length) = first {
        told.put("dimensions", length);
    }
    Ok(told.write())
}

fn batch(json: &[u8]) -> Result<Vec<Object<'_>>, Unsaid> {
    let list = items(json).filter(|list| !list.is_empty()).ok_or_else(|| missing(REQUESTS))?;
    list.into_iter().map(|asked| Object::parse(asked).ok_or_else(|| mistyped(REQUESTS))).collect()
}

/// Google's clients repeat the path's model, under its whole name.
fn is_same(model: &str, top: &Object<'_>) -> bool {
    let named = top.text("model").unwrap_or_default();
    model == named || model.strip_prefix("models/") == Some(&named)
}

impl Retell for Vectors {
    fn whole(&mut self, answer: &[u8]) -> Vec<u8> {
        let top = Object::parse(answer).unwrap_or_default();
        let rows = top.get("data").and_then(items).unwrap_or_default();
        let mut rows: Vec<Object<'_>> = rows.into_iter().filter_map(Object::parse).collect();
        rows.sort_by_key(|row| row.whole("index"));
        let vectors: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| [b"{\"values\":", row.get("embedding").unwrap_or(b"[]"), b"}"].concat())
            .collect();
        let mut told = Object::default();
        match vectors.first().filter(|_| !self.many) {
            Some(one) => told.set("embedding", one.as_slice()),
            None => told.set("embeddings", array(vectors.iter().map(Vec::as_slice))),
        }
        let usage = top.present("usage").map(|json| read_usage(json, UsageShape::Canonical));
        if let Some(Ok(reported)) = usage {
            let tokens = reported.usage.input();
            let counts = format!("{{\"promptTokenCount\":{tokens},\"totalTokenCount\":{tokens}}}");
            told.set("usageMetadata", counts.into_bytes());
        }
        if let Some(metadata) = top.present("p402_metadata") {
            told.set("p402_metadata", metadata);
        }
        told.write()
    }

    /// Vectors come whole.
    fn frames(&mut self, frames: &[u8]) -> Vec<u8> {
        frames.to_vec()
    }
}
