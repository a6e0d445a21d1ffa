//! Decides which choice and which tool call each fragment belongs to, over a whole stream.
//! Does not read or write JSON.

use super::glance::ToolGlance;
use crate::chat::FinishReason;
use crate::id::RequestId;

/// Choices one stream may have; P402 asks for at most 8.
const CHOICES_MAX: usize = 64;
/// Tool calls (and lists of other names) one choice may have.
const CALLS_MAX: usize = 1_024;

/// Everything known about the choices of one answer.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    seen: Vec<Choice>,
    request_id: RequestId,
    /// Finish words nobody knows; they count as `stop`.
    pub(super) unknown_finishes: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) index: u32,
    pub(super) role_sent: bool,
    /// Its finish came, and nothing of the answer after it.
    pub(super) done: bool,
    pub(super) finish: Option<FinishReason>,
    pub(super) calls: Vec<Call>,
    /// Running index of each other list: (its key, next index).
    lists: Vec<(String, u64)>,
    serial: u128,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    id: String,
    name: String,
    upstream_index: Option<u64>,
    pub(super) argument_bytes: u64,
    /// A custom tool's call: it has input and no arguments.
    pub(super) custom: bool,
}

/// Where a fragment goes: its call's index, and which of its facts are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: usize,
    /// The call's id, on its first fragment alone.
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

impl Choices {
    pub(super) const fn new(request_id: RequestId) -> Self {
        Self { seen: Vec::new(), request_id, unknown_finishes: 0 }
    }

    /// The choice of this index; `None` where there are too many.
    pub(super) fn slot(&mut self, index: u32) -> Option<&mut Choice> {
        let at = self.seen.iter().position(|choice| choice.index == index);
        if at.is_none() {
            if self.seen.len() >= CHOICES_MAX {
                return None;
            }
            // Made ids must differ between choices and between answers.
            let serial = self.request_id.bits().wrapping_add(u128::from(index) << 16);
            self.seen.push(Choice { index, serial, ..Choice::default() });
        }
        match at {
            Some(at) => self.seen.get_mut(at),
            None => self.seen.last_mut(),
        }
    }

    /// Every choice that was seen has finished, and at least `wanted` did.
    pub(super) fn finished(&self, wanted: u32) -> bool {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).max(1);
        self.seen.len() >= wanted && self.seen.iter().all(|choice| choice.done)
    }

    /// Every choice that was seen has had a finish.
    pub(super) fn complete(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|choice| choice.finish.is_some())
    }

    /// No choice is open: the bytes may end here even without `[DONE]`.
    pub(super) fn ended(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|choice| choice.done)
    }

    /// The first choice's finish.
    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        self.seen.first().and_then(|choice| choice.finish)
    }
}

impl Choice {
    /// True where a fragment may leave as it is: dense indices, facts on the first one only.
    pub(super) fn regular(&self, tool: &ToolGlance<'_>) -> bool {
        let Some(index) = tool.index.and_then(|index| usize::try_from(index).ok()) else {
            return false;
        };
        match self.calls.get(index) {
            Some(call) => {
                call.upstream_index == tool.index
                    && tool.id.raw.is_empty()
                    && tool.name.raw.is_empty()
                    && !tool.typed
            }
            None => {
                index == self.calls.len()
                    && index < CALLS_MAX
                    && tool.typed
                    && !tool.id.raw.is_empty()
                    && !tool.name.raw.is_empty()
                    && !self.knows(&tool.id.text())
            }
        }
    }

    /// Books a regular fragment.
    pub(super) fn take(&mut self, tool: &ToolGlance<'_>) {
        let at = tool.index.and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX);
        if at == self.calls.len() {
            self.calls.push(Call {
                id: tool.id.text().into_owned(),
                name: tool.name.text().into_owned(),
                upstream_index: tool.index,
                ..Call::default()
            });
        }
        if let Some(call) = self.calls.get_mut(at) {
            call.argument_bytes += tool.argument_bytes;
        }
    }

    /// Finds or opens the call of an irregular fragment; `None` where there are too many.
    pub(super) fn place(
        &mut self,
        index: Option<u64>,
        id: Option<String>,
        name: Option<String>,
    ) -> Option<Place> {
        if let Some(at) = self.continued(index, id.as_deref(), name.as_deref()) {
            let call = self.calls.get_mut(at)?;
            let name = name.filter(|_| call.name.is_empty());
            if let Some(name) = &name {
                call.name.clone_from(name);
            }
            return Some(Place { index: at, id: None, name });
        }
        self.open(index, id, name)
    }

    /// Opens a call of its own; `None` where there are too many.
    pub(super) fn open(
        &mut self,
        index: Option<u64>,
        id: Option<String>,
        name: Option<String>,
    ) -> Option<Place> {
        let at = self.calls.len();
        if at >= CALLS_MAX {
            return None;
        }
        let serial = self.serial.wrapping_add(at as u128);
        let id = id.unwrap_or_else(|| format!("call_{serial:032x}"));
        let call = Call {
            id: id.clone(),
            name: name.clone().unwrap_or_default(),
            upstream_index: index,
            ..Call::default()
        };
        self.calls.push(call);
        Some(Place { index: at, id: Some(id), name })
    }

    /// The call that a fragment goes on with: by its id, else by its index, else the last one.
    /// A new id with a name, or a name where none is due, begins a call of its own.
    fn continued(&self, index: Option<u64>, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        let by_index = match index {
            Some(_) => self.calls.iter().rposition(|call| call.upstream_index == index),
            None => self.calls.len().checked_sub(1),
        };
        if let Some(id) = id {
            let by_id = self.calls.iter().position(|call| call.id == id);
            // Some upstreams draw a fresh id for every fragment: without a name it means nothing.
            return by_id.or(if name.is_none() && index.is_some() { by_index } else { None });
        }
        let at = by_index?;
        let call = self.calls.get(at)?;
        let begins = name
            .is_some_and(|name| !call.name.is_empty() && (index.is_none() || call.name != name));
        (!begins).then_some(at)
    }

    fn knows(&self, id: &str) -> bool {
        self.calls.iter().any(|call| call.id == id)
    }

    /// Some call's arguments never came.
    pub(super) fn bare_call(&self) -> bool {
        self.calls.iter().any(|call| call.argument_bytes == 0 && !call.custom)
    }

    /// The next index of a list in the delta; `None` where there are too many lists.
    pub(super) fn list_index(&mut self, key: &str) -> Option<u64> {
        let at = match self.lists.iter().position(|(name, _)| name == key) {
            Some(at) => at,
            None if self.lists.len() >= CALLS_MAX => return None,
            None => {
                self.lists.push((key.to_owned(), 0));
                self.lists.len() - 1
            }
        };
        let (_, next) = self.lists.get_mut(at)?;
        *next += 1;
        Some(*next - 1)
    }
}
