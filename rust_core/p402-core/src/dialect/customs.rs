//! Decides how tools are told that OpenAI alone has words for: as functions, and as fewer of them.
//! Does not tell the calls back (door/customs.rs) and does not know who has the words.

use super::Unsaid;
use super::wire::json::quoted;
use super::wire::object::{Object, array, items};

/// What a function takes that stands for a custom tool: its whole input as one text.
const INPUT: &[u8] = concat!(
    r#"{"type":"object","properties":{"input":{"type":"string","#,
    r#""description":"The whole input of the tool, as free text."}},"required":["input"],"#,
    r#""additionalProperties":false}"#
)
.as_bytes();

/// The same request in everybody's words.
///
/// # Errors
/// A choice among tools of which none is there.
pub fn plain(body: &[u8]) -> Result<Vec<u8>, Unsaid> {
    let mut top = Object::parse(body).unwrap_or_default();
    let tools = top.share("tools").unwrap_or_default();
    let mut tools: Vec<Vec<u8>> = items(&tools).unwrap_or_default().into_iter().map(tool).collect();
    let choice = top.share("tool_choice").unwrap_or_default();
    let choice = Object::parse(&choice).unwrap_or_default();
    match &*choice.text("type").unwrap_or_default() {
        "custom" => {
            let named = choice.get("custom").and_then(Object::parse).unwrap_or_default();
            top.replace("tool_choice", chosen(named.literal("name")));
        }
        "allowed_tools" => {
            let allowed = choice.get("allowed_tools").and_then(Object::parse).unwrap_or_default();
            let wanted = items(allowed.get("tools").unwrap_or(b"[]")).unwrap_or_default();
            let wanted: Vec<String> = wanted.into_iter().filter_map(name).collect();
            tools.retain(|tool| name(tool).is_some_and(|name| wanted.contains(&name)));
            if tools.is_empty() {
                let text = "none of the allowed tools stands among the tools";
                return Err(Unsaid::parameter("tool_choice", text));
            }
            top.replace("tool_choice", allowed.literal("mode").to_vec());
        }
        _ => {}
    }
    top.replace("tools", array(tools.iter().map(Vec::as_slice)));
    let messages = top.share("messages").unwrap_or_default();
    let messages: Vec<Vec<u8>> =
        items(&messages).unwrap_or_default().into_iter().map(message).collect();
    top.replace("messages", array(messages.iter().map(Vec::as_slice)));
    Ok(top.write())
}

/// The name of a tool of either kind, or of one that is chosen.
pub(crate) fn name(tool: &[u8]) -> Option<String> {
    let tool = Object::parse(tool)?;
    let inner = tool.present("function").or_else(|| tool.present("custom"))?;
    Object::parse(inner)?.name("name")
}

fn tool(json: &[u8]) -> Vec<u8> {
    let Some(tool) = Object::parse(json) else { return json.to_vec() };
    let Some(custom) = tool.present("custom").and_then(Object::parse) else {
        return json.to_vec();
    };
    let mut function = Object::default();
    function.set("name", custom.literal("name"));
    if let Some(description) = custom.present("description") {
        function.set("description", description);
    }
    function.set("parameters", INPUT);
    [b"{\"type\":\"function\",\"function\":", &function.write()[..], b"}"].concat()
}

/// A choice of this function: its name is JSON.
pub(crate) fn chosen(name: &[u8]) -> Vec<u8> {
    [b"{\"type\":\"function\",\"function\":{\"name\":", name, b"}}"].concat()
}

/// Calls that a transcript holds read as what was told.
fn message(json: &[u8]) -> Vec<u8> {
    let Some(mut message) = Object::parse(json) else { return json.to_vec() };
    let Some(calls) = message.share("tool_calls") else { return json.to_vec() };
    let calls: Vec<Vec<u8>> = items(&calls).unwrap_or_default().into_iter().map(call).collect();
    message.replace("tool_calls", array(calls.iter().map(Vec::as_slice)));
    message.write()
}

fn call(json: &[u8]) -> Vec<u8> {
    let Some(mut call) = Object::parse(json) else { return json.to_vec() };
    let Some(custom) = call.remove("custom") else { return json.to_vec() };
    let custom = Object::parse(&custom).unwrap_or_default();
    let input = [b"{\"input\":", custom.literal("input"), b"}"].concat();
    let mut function = Object::default();
    function.set("name", custom.literal("name"));
    function.set("arguments", quoted(&String::from_utf8_lossy(&input)));
    let function = function.write();
    call.replace("type", b"\"function\"".to_vec());
    call.put("function", &function);
    call.write()
}
