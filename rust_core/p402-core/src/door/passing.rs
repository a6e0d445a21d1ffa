//! Decides what of a request that passes as bytes is told as a chat, so that it can be measured.
//! Does not change what passes but for the model's name and what is P402's own.

use super::completions::Text;
use super::{Door, Entered, missing, read, top};
use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, items};

/// What the older completions write where a client sets no bound.
const BOUND_DEFAULT: u64 = 16;
const PICTURES_MAX: u64 = 10;
/// What OpenAI's own clients mean where they name no model to a moderation.
const MODERATES: &[u8] = b"\"omni-moderation-latest\"";
/// Stands for one token of a prompt that comes as numbers.
const TOKEN: &str = "word ";

/// Tells as a chat what decides about the request: its text, its bound, how often it is answered.
pub(super) fn enter(door: Door, body: &[u8]) -> Result<Entered, Unsaid> {
    let top = top(body)?;
    let mut chat = Object::default();
    for name in ["p402", "user"] {
        if let Some(value) = top.present(name) {
            chat.put(name, value);
        }
    }
    let unnamed = (door == Door::Moderations).then_some(MODERATES);
    chat.put("model", top.present("model").or(unnamed).ok_or_else(|| missing("model"))?);
    let name = if matches!(door, Door::Completions | Door::Images) { "prompt" } else { "input" };
    let asked = top.present(name).ok_or_else(|| missing(name))?;
    let (text, prompts) = text(name, asked)?;
    let message = [b"[{\"role\":\"user\",\"content\":", &quoted(&text)[..], b"}]"].concat();
    chat.put("messages", &message);
    let units = match door {
        Door::Completions => completions(&top, prompts, &mut chat)?,
        Door::Images => pictures(top.present("n"))?,
        Door::Speech => text.chars().count() as u64,
        Door::Moderations => prompts,
        _ => 0,
    };
    chat.put("max_tokens", units.to_string().as_bytes());
    let reply = (door == Door::Completions).then(|| Box::new(Text::default()) as _);
    refuse_streams(door, &top)?;
    Ok(Entered { body: chat.write(), dropped: Vec::new(), reply })
}

/// The client's own bytes, for this model.
pub(super) fn passed(door: Door, body: &[u8], model: &str) -> Vec<u8> {
    let mut top = Object::parse(body).unwrap_or_default();
    top.remove("p402");
    top.set("model", quoted(model));
    if door == Door::Completions {
        if top.present("max_tokens").is_none() {
            top.set("max_tokens", BOUND_DEFAULT.to_string().into_bytes());
        }
        if top.get("stream") == Some(b"true") {
            top.set("stream_options", b"{\"include_usage\":true}".as_slice());
        }
    }
    top.write()
}

/// All text of it, and how many texts there are: one, a list, or tokens as numbers.
fn text(name: &str, json: &[u8]) -> Result<(String, u64), Unsaid> {
    if json.starts_with(b"\"") {
        return Ok((read(name, json)?, 1));
    }
    let list = items(json).filter(|list| !list.is_empty()).ok_or_else(|| missing(name))?;
    let numbers = list.iter().filter(|item| !item.starts_with(b"\"")).count();
    if numbers == list.len() && !list.iter().any(|item| matches!(item.first(), Some(b'[' | b'{'))) {
        return Ok((TOKEN.repeat(numbers), 1));
    }
    let mut all = String::new();
    for item in &list {
        match item.first() {
            Some(b'"') => all.push_str(&read::<String>(name, item)?),
            Some(b'[') => all.push_str(&TOKEN.repeat(items(item).map_or(0, |list| list.len()))),
            _ => all.push_str(&String::from_utf8_lossy(item)),
        }
        all.push('\n');
    }
    Ok((all, list.len() as u64))
}

/// The bound of one answer. Each prompt is answered as often as the client asks for.
fn completions(top: &Object<'_>, prompts: u64, chat: &mut Object<'_>) -> Result<u64, Unsaid> {
    for name in ["stream", "stream_options", "temperature", "stop", "seed", "service_tier"] {
        if let Some(value) = top.present(name) {
            chat.put(name, value);
        }
    }
    let count = |name: &str, otherwise: u64| -> Result<u64, Unsaid> {
        top.present(name).map_or(Ok(otherwise), |value| read(name, value))
    };
    let choices = count("n", 1)?.max(count("best_of", 1)?).saturating_mul(prompts);
    chat.put("n", choices.to_string().as_bytes());
    count("max_tokens", BOUND_DEFAULT)
}

/// How many pictures are asked for, by the JSON of `n`.
pub(super) fn pictures(n: Option<&[u8]>) -> Result<u64, Unsaid> {
    let asked = n.map_or(Ok(1), |value| read("n", value))?;
    if (1..=PICTURES_MAX).contains(&asked) {
        return Ok(asked);
    }
    let message = format!("it must be 1 to {PICTURES_MAX}");
    Err(Unsaid { code: "invalid_value", param: "n".to_owned(), message })
}

/// What is not text comes whole.
fn refuse_streams(door: Door, top: &Object<'_>) -> Result<(), Unsaid> {
    let streams = top.get("stream") == Some(b"true") && door != Door::Completions;
    if streams {
        return Err(Unsaid::parameter("stream", "this path answers whole: leave stream out"));
    }
    if top.get("stream_format") == Some(b"\"sse\"") {
        return Err(Unsaid::parameter("stream_format", "speech comes as audio, not as events"));
    }
    Ok(())
}
