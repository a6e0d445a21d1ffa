//! Decides what of a form with files is told as a chat, so that it can be measured.
//! Does not read the form itself (form.rs) and does not change a file.

use super::form::Form;
use super::passing::pictures;
use super::{Door, Entered, Passed, missing, sound};
use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;

/// Tells its model, its prompt, and how many units of what it asks for.
pub(super) fn enter(door: Door, body: &[u8]) -> Result<Entered, Unsaid> {
    let form = Form::parse(body)?;
    let mut chat = Object::default();
    let model = form.text("model")?.ok_or_else(|| missing("model"))?;
    chat.put("model", &quoted(model));
    if let Some(user) = form.text("user")? {
        chat.put("user", &quoted(user));
    }
    if let Some(own) = own(&form)? {
        chat.put("p402", &own);
    }
    let prompt = form.text("prompt")?.unwrap_or_default();
    let message = [b"[{\"role\":\"user\",\"content\":", &quoted(prompt)[..], b"}]"].concat();
    chat.put("messages", &message);
    let units = match door {
        Door::Transcriptions | Door::Translations => {
            sound::seconds(form.only("file")?.ok_or_else(|| missing("file"))?)
        }
        _ => pictures(form.only("n")?)?,
    };
    chat.put("max_tokens", units.to_string().as_bytes());
    for name in ["stream", "partial_images"] {
        if form.text(name)?.is_some_and(|value| !matches!(value, "false" | "0" | "")) {
            return Err(Unsaid::parameter(name, "this path answers whole: leave it out"));
        }
    }
    Ok(Entered { body: chat.write(), dropped: Vec::new(), reply: None })
}

/// The client's own form, for this model.
pub(super) fn passed(body: &[u8], model: &str) -> Passed {
    // It was read when the request came in.
    match Form::parse(body) {
        Ok(form) => Passed { body: form.written(model), content_type: Some(form.content_type()) },
        Err(_) => Passed { body: Vec::new(), content_type: None },
    }
}

/// The `p402` field: JSON in a part of its own, or a part for each member.
fn own(form: &Form<'_>) -> Result<Option<Vec<u8>>, Unsaid> {
    if let Some(json) = form.only("p402")? {
        let object = Object::parse(json).ok_or_else(|| super::mistyped("p402"))?;
        return Ok(Some(object.write()));
    }
    let mut object = Object::default();
    for (name, value) in form.members("p402") {
        let value = std::str::from_utf8(value).map_err(|_| super::mistyped("p402"))?;
        let number = serde_json::from_str::<serde_json::Number>(value).is_ok();
        let scalar = number || matches!(value, "true" | "false");
        let json = if scalar { value.as_bytes().to_vec() } else { quoted(value) };
        object.put(name, &json);
    }
    Ok(object.iter().next().is_some().then(|| object.write()))
}
