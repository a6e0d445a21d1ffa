//! Decides how calls of functions that stand for custom tools are told back as what was asked for.
//! Does not touch calls of custom tools by whoever has words for them, nor any other function.

use super::Retell;
use super::unwrapped::{Unwrapped, whole};
use crate::dialect::customs::name;
use crate::dialect::wire::json::{quoted, text_of};
use crate::dialect::wire::object::{Object, array, items};
use crate::dialect::wire::sse::SseDecoder;

/// Calls of one answer whose input is still coming; who makes more gets them as functions.
const OPEN_MAX: usize = 128;

/// One answer on its way out.
#[derive(Debug)]
struct Customs {
    names: Vec<String>,
    sse: SseDecoder,
    open: Vec<Open>,
}

/// A call that is being written: of which choice it is, and which of its calls.
#[derive(Debug)]
struct Open {
    place: (u64, u64),
    input: Unwrapped,
}

/// Who tells back the calls of this chat's custom tools; `None` where it has none.
pub fn customs(chat: &[u8]) -> Option<Box<dyn Retell>> {
    let top = Object::parse(chat)?;
    let tools = items(top.get("tools")?)?;
    let is_custom =
        |tool: &&[u8]| Object::parse(tool).is_some_and(|tool| tool.present("custom").is_some());
    let names: Vec<String> = tools.into_iter().filter(is_custom).filter_map(name).collect();
    let customs = Customs { names, sse: SseDecoder::new(), open: Vec::new() };
    (!customs.names.is_empty()).then(|| Box::new(customs) as _)
}

impl Retell for Customs {
    fn whole(&mut self, completion: &[u8]) -> Vec<u8> {
        self.changed(completion, "message").unwrap_or_else(|| completion.to_vec())
    }

    fn frames(&mut self, frames: &[u8]) -> Vec<u8> {
        self.sse.push(frames);
        let mut data = Vec::new();
        while let Some(Ok(frame)) = self.sse.next_frame() {
            data.push(frame.data.to_vec());
        }
        let mut out = Vec::new();
        for data in data {
            self.owed(&data, &mut out);
            write(&mut out, &self.changed(&data, "delta").unwrap_or(data));
        }
        out
    }
}

fn write(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

impl Customs {
    /// An answer, or a chunk of one, whose calls are put right; `None` where it has none of ours.
    fn changed(&mut self, json: &[u8], inner: &'static str) -> Option<Vec<u8>> {
        let mut top = Object::parse(json)?;
        let choices = top.share("choices")?;
        let mut found = false;
        let mut written: Vec<Vec<u8>> = Vec::new();
        for item in items(&choices)? {
            let mut choice = Object::parse(item)?;
            let number = choice.whole("index").unwrap_or_default();
            let message = choice.share(inner).unwrap_or_default();
            let mut message = Object::parse(&message).unwrap_or_default();
            if let Some(calls) =
                message.share("tool_calls").filter(|calls| calls.first() == Some(&b'['))
            {
                let calls = items(&calls)?;
                let put = calls.iter().enumerate().map(|(at, call)| {
                    let told = self.call(call, (number, at as u64), inner == "delta");
                    found |= told.is_some();
                    told.unwrap_or_else(|| call.to_vec())
                });
                let put: Vec<Vec<u8>> = put.collect();
                message.replace("tool_calls", array(put.iter().map(Vec::as_slice)));
                choice.replace(inner, message.write());
            }
            written.push(choice.write());
        }
        top.replace("choices", array(written.iter().map(Vec::as_slice)));
        found.then(|| top.write())
    }

    /// A call, or a piece of one, as the custom tool's; `None` where it is no such call.
    fn call(&mut self, json: &[u8], (choice, at): (u64, u64), is_piece: bool) -> Option<Vec<u8>> {
        let mut call = Object::parse(json)?;
        let function = call.remove("function")?;
        let function = Object::parse(&function)?;
        let place = (choice, call.whole("index").unwrap_or(at));
        let arguments = text_of(function.literal("arguments")).unwrap_or_default();
        let named = function.name("name").filter(|name| self.names.contains(name));
        let mut custom = Object::default();
        if is_piece {
            if named.is_some() && self.open.len() < OPEN_MAX {
                self.open.push(Open { place, input: Unwrapped::default() });
            }
            let open = self.open.iter_mut().rfind(|open| open.place == place)?;
            custom.set("input", quoted(&open.input.push(&arguments)));
        } else {
            named.as_ref()?;
            custom.set("input", quoted(&whole(&arguments)));
        }
        if let Some(name) = named {
            custom.set_first("name", quoted(&name));
            call.replace("type", b"\"custom\"".to_vec());
        }
        let custom = custom.write();
        call.put("custom", &custom);
        Some(call.write())
    }

    /// Inputs that were never told stand in a chunk of their own, before the end of their choice.
    fn owed(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Some(mut top) = Object::parse(data).filter(|_| !self.open.is_empty()) else { return };
        let choices = top.share("choices").unwrap_or_default();
        let mut owing: Vec<Vec<u8>> = Vec::new();
        for item in items(&choices).unwrap_or_default() {
            let Some(choice) = Object::parse(item) else { continue };
            let number = choice.whole("index").unwrap_or_default();
            if choice.present("finish_reason").is_none() {
                continue;
            }
            let ended = self.open.extract_if(.., |open| open.place.0 == number);
            let inputs = ended.map(|mut open| (open.place.1, open.input.end()));
            let calls: Vec<String> = inputs
                .filter(|(_, input)| !input.is_empty())
                .map(|(at, input)| {
                    let input = String::from_utf8_lossy(&quoted(&input)).into_owned();
                    format!("{{\"index\":{at},\"custom\":{{\"input\":{input}}}}}")
                })
                .collect();
            if !calls.is_empty() {
                let calls = calls.join(",");
                let choice = format!(
                    "{{\"index\":{number},\"delta\":{{\"tool_calls\":[{calls}]}},\
                     \"logprobs\":null,\"finish_reason\":null}}"
                );
                owing.push(choice.into_bytes());
            }
        }
        if !owing.is_empty() {
            top.retain(|name| !matches!(name, "usage" | "p402_metadata"));
            top.replace("choices", array(owing.iter().map(Vec::as_slice)));
            write(out, &top.write());
        }
    }
}
