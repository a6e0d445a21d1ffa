//! Decides how one level of a JSON object is changed while everything below keeps its bytes.
//! Does not parse values: they are slices of the text they came from, or new bytes.

use super::json::{Walk, text_of, whole_of, write_quoted};
use std::borrow::Cow;

/// Room for the members of what upstreams and clients usually send, so that it is taken once.
const MEMBERS_USUAL: usize = 8;

/// The members of one object in their order; of a doubled key the last value counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
}

impl<'a> Object<'a> {
    /// Reads one level; `None` where the text is no object.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut walk = Walk::new(text);
        walk.eat(b'{')?;
        let mut object = Self { members: Vec::with_capacity(MEMBERS_USUAL) };
        let mut first = true;
        while let Some(key) = walk.key(&mut first)? {
            let value = walk.value()?;
            let key = key.text();
            match object.members.iter_mut().find(|(name, _)| *name == key) {
                Some(member) => member.1 = Cow::Borrowed(value),
                None => object.members.push((key, Cow::Borrowed(value))),
            }
        }
        walk.at_end().then_some(object)
    }

    /// Reads a member that was taken out of another object.
    pub(crate) fn parse_taken(value: Cow<'a, [u8]>) -> Option<Self> {
        match value {
            Cow::Borrowed(text) => Self::parse(text),
            Cow::Owned(text) => Object::parse(&text).map(Object::into_owned),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// Shows every member, in order.
    pub(crate) fn each(&self, mut look: impl FnMut(&str, &[u8])) {
        self.members.iter().for_each(|(name, value)| look(name, value));
    }

    /// The value as it is held, so that the object may change while it is looked at.
    pub(crate) fn share(&self, key: &str) -> Option<Cow<'a, [u8]>> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    /// The value unless it is absent or null.
    pub(crate) fn present(&self, key: &str) -> Option<&[u8]> {
        self.get(key).filter(|value| *value != b"null")
    }

    /// The text of a string member.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key).and_then(text_of)
    }

    /// The text of a string member that is not empty.
    pub(crate) fn name(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    /// A string member as JSON, quotes included; empty where it is none.
    pub(crate) fn literal(&self, key: &str) -> &[u8] {
        self.get(key).filter(|value| value.starts_with(b"\"")).unwrap_or(b"\"\"")
    }

    pub(crate) fn whole(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(whole_of)
    }

    /// Replaces in place, or appends.
    pub(crate) fn set(&mut self, key: &'a str, value: impl Into<Cow<'a, [u8]>>) {
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some(member) => member.1 = value.into(),
            None => self.members.push((Cow::Borrowed(key), value.into())),
        }
    }

    /// Replaces in place, or appends; both halves are copied.
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) {
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some(member) => member.1 = Cow::Owned(value.to_vec()),
            None => self.members.push((Cow::Owned(key.to_owned()), Cow::Owned(value.to_vec()))),
        }
    }

    /// Replaces the value of a member that is there.
    pub(crate) fn replace(&mut self, key: &str, value: Vec<u8>) {
        if let Some(member) = self.members.iter_mut().find(|(name, _)| name == key) {
            member.1 = Cow::Owned(value);
        }
    }

    /// Appends the members of `other` whose keys are not here yet.
    pub(crate) fn append_missing(&mut self, other: &Object<'a>) {
        for (name, value) in &other.members {
            if self.get(name).is_none() {
                self.members.push((name.clone(), value.clone()));
            }
        }
    }

    pub(crate) fn into_owned(self) -> Object<'static> {
        let own = |(name, value): (Cow<'_, str>, Cow<'_, [u8]>)| {
            (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
        };
        Object { members: self.members.into_iter().map(own).collect() }
    }

    /// Appends a member that is absent; true where it was.
    pub(crate) fn ensure(&mut self, key: &'a str, value: &'a [u8]) -> bool {
        let absent = self.get(key).is_none();
        if absent {
            self.set(key, value);
        }
        absent
    }

    /// Puts a member at the front, wherever it stood.
    pub(crate) fn set_first(&mut self, key: &'a str, value: impl Into<Cow<'a, [u8]>>) {
        self.remove(key);
        self.members.insert(0, (Cow::Borrowed(key), value.into()));
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Cow<'a, [u8]>> {
        let at = self.members.iter().position(|(name, _)| name == key)?;
        Some(self.members.remove(at).1)
    }

    /// Keeps the members whose key passes.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.members.retain(|(name, _)| keep(name));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let sizes = self.members.iter().map(|(name, value)| name.len() + value.len() + 4);
        let mut out = Vec::with_capacity(sizes.sum::<usize>() + 2);
        out.push(b'{');
        for (at, (name, value)) in self.members.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_quoted(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        out
    }
}

/// The first item of an array.
pub(crate) fn first(text: &[u8]) -> Option<&[u8]> {
    let mut walk = Walk::new(text);
    walk.eat(b'[')?;
    if walk.item(&mut true)? { walk.value() } else { None }
}

/// The items of an array; `None` where the text is no array.
pub(crate) fn items(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut walk = Walk::new(text);
    walk.eat(b'[')?;
    let (mut found, mut first) = (Vec::new(), true);
    while walk.item(&mut first)? {
        found.push(walk.value()?);
    }
    walk.at_end().then_some(found)
}

/// An array of these items.
pub(crate) fn array<'i>(found: impl IntoIterator<Item = &'i [u8]>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, item) in found.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.push(b']');
    out
}
