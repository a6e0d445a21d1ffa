//! Decides the `id`, `created` and `model` that every chunk of one answer carries.
//! Does not decide which model was served: the upstream's own word is taken.

use super::StreamAsk;
use crate::dialect::wire::json::{quoted, text_of, whole_of};

/// The three facts as JSON; fixed when the first chunk leaves.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: Vec<u8>,
    pub(super) created: Vec<u8>,
    pub(super) model: Vec<u8>,
    model_text: String,
    upstream_id: Option<String>,
    noted: Noted,
}

/// Which of the three came from the upstream.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts, no states")]
struct Noted {
    id: bool,
    created: bool,
    model: bool,
    fixed: bool,
}

impl Identity {
    pub(super) fn new(ask: &StreamAsk) -> Self {
        Self {
            id: format!("\"chatcmpl-{:032x}\"", ask.request_id.bits()).into_bytes(),
            created: ask.created.to_string().into_bytes(),
            model: quoted(&ask.offer_model),
            model_text: ask.offer_model.clone(),
            upstream_id: None,
            noted: Noted::default(),
        }
    }

    /// Takes what is there and not empty, until `fix`; the first word of each stands.
    pub(super) fn note(&mut self, id: Option<&[u8]>, created: Option<&[u8]>, model: Option<&[u8]>) {
        if self.noted.fixed {
            return;
        }
        if let (false, Some(raw)) = (self.noted.id, id)
            && let Some(text) = text_of(raw).filter(|text| !text.is_empty())
        {
            self.upstream_id = Some(text.into_owned());
            self.id = raw.to_vec();
            self.noted.id = true;
        }
        if let (false, Some(raw)) = (self.noted.created, created)
            && whole_of(raw).is_some_and(|seconds| seconds > 0)
        {
            self.created = raw.to_vec();
            self.noted.created = true;
        }
        if let (false, Some(raw)) = (self.noted.model, model)
            && let Some(text) = text_of(raw).filter(|text| !text.is_empty())
        {
            self.model_text = text.into_owned();
            self.model = raw.to_vec();
            self.noted.model = true;
        }
    }

    /// A chunk leaves: nothing changes from here on.
    pub(super) fn fix(&mut self) {
        self.noted.fixed = true;
    }

    /// True where a chunk says exactly these.
    pub(super) fn matches(
        &self,
        id: Option<&[u8]>,
        created: Option<&[u8]>,
        model: Option<&[u8]>,
    ) -> bool {
        id == Some(&self.id) && created == Some(&self.created) && model == Some(&self.model)
    }

    pub(super) fn model_text(&self) -> &str {
        &self.model_text
    }

    pub(super) fn upstream_id(&self) -> Option<&str> {
        self.upstream_id.as_deref()
    }
}
