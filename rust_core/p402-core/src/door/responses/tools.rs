//! Decides how the tools of a Responses request, and the choice among them, read in a chat.
//! Does not know who has words for a custom tool: the line does.

use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array, items};
use crate::door::{mistyped, read};

/// What a function is told with, and a custom tool.
const FUNCTION: [&str; 4] = ["name", "description", "parameters", "strict"];
const CUSTOM: [&str; 2] = ["name", "description"];

/// What stands flat there stands under its kind in a chat.
pub(super) fn told(value: &[u8]) -> Result<Vec<u8>, Unsaid> {
    let mut tools = Vec::new();
    for tool in items(value).ok_or_else(|| mistyped("tools"))? {
        let tool = Object::parse(tool).ok_or_else(|| mistyped("tools"))?;
        let kind = tool.name("type").unwrap_or_default();
        if tool.name("name").is_none() || !matches!(&*kind, "function" | "custom") {
            let text = format!("tools of the type {kind:?} run at one provider alone");
            return Err(Unsaid::parameter("tools", &text));
        }
        let is_custom = kind == "custom";
        let mut inner = Object::default();
        for name in if is_custom { &CUSTOM[..] } else { &FUNCTION[..] } {
            if let Some(value) = tool.present(name) {
                inner.set(name, value);
            }
        }
        if let Some(format) = tool.present("format").filter(|_| is_custom) {
            inner.set("format", nested(format)?);
        }
        tools.push(under(&kind, &inner.write()));
    }
    Ok(array(tools.iter().map(Vec::as_slice)))
}

/// A word, one tool, or one of some.
pub(super) fn choice(value: &[u8]) -> Result<Vec<u8>, Unsaid> {
    if value.starts_with(b"\"") {
        return Ok(value.to_vec());
    }
    let choice = Object::parse(value).ok_or_else(|| mistyped("tool_choice"))?;
    match &*choice.text("type").unwrap_or_default() {
        "allowed_tools" => {
            let tools = choice.get("tools").and_then(items);
            let tools = tools.ok_or_else(|| mistyped("tool_choice"))?;
            let named: Result<Vec<Vec<u8>>, Unsaid> = tools.into_iter().map(named).collect();
            let mode: String = read("tool_choice", choice.literal("mode"))?;
            let mut inner = Object::default();
            inner.set("mode", quoted(&mode));
            inner.set("tools", array(named?.iter().map(Vec::as_slice)));
            Ok(under("allowed_tools", &inner.write()))
        }
        _ => named(value),
    }
}

/// One tool that is chosen.
fn named(json: &[u8]) -> Result<Vec<u8>, Unsaid> {
    let tool = Object::parse(json).ok_or_else(|| mistyped("tool_choice"))?;
    let kind = tool.name("type").unwrap_or_default();
    if !matches!(&*kind, "function" | "custom") {
        let text = "a choice is auto, none, required, allowed_tools, a function or a custom tool";
        return Err(Unsaid::parameter("tool_choice", text));
    }
    Ok(under(&kind, &[b"{\"name\":", tool.literal("name"), b"}"].concat()))
}

/// A grammar stands one level deeper in a chat.
fn nested(format: &[u8]) -> Result<Vec<u8>, Unsaid> {
    let mut format = Object::parse(format).ok_or_else(|| mistyped("tools"))?;
    if format.text("type").as_deref() != Some("grammar") {
        return Ok(format.write());
    }
    format.remove("type");
    Ok(under("grammar", &format.write()))
}

fn under(kind: &str, inner: &[u8]) -> Vec<u8> {
    let kind = quoted(kind);
    [b"{\"type\":", &kind[..], b",", &kind, b":", inner, b"}"].concat()
}
