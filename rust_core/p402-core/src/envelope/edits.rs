//! Decides how named members of a scanned body are replaced, renamed, cut and appended in one copy.
//! Does not know why (upstream.rs); every byte that is not named stays as it came.

use super::cursor::{Cursor, Kind};
use super::types::{Field, Scan, Span};

/// Changes to one body, collected first and applied together. Where two touch, a cut wins.
#[derive(Debug)]
pub struct Edits<'a> {
    body: &'a [u8],
    scan: &'a Scan,
    spans: Vec<(Span, Vec<u8>)>,
    /// Indices into `Scan::fields`.
    gone: Vec<usize>,
    /// `"key":value`, each ready to stand after a comma.
    appended: Vec<Vec<u8>>,
}

impl<'a> Edits<'a> {
    /// `scan` must be of this very `body`.
    pub fn new(body: &'a [u8], scan: &'a Scan) -> Self {
        Self { body, scan, spans: Vec::new(), gone: Vec::new(), appended: Vec::new() }
    }

    /// Puts JSON text in the place of a span; an empty span inserts.
    pub fn replace(&mut self, span: Span, json: impl Into<Vec<u8>>) -> &mut Self {
        self.spans.push((span, json.into()));
        self
    }

    /// Takes a top-level member out, with the one comma that goes with it.
    pub fn cut(&mut self, field: Field) -> &mut Self {
        let found = self.scan.fields.iter().position(|(_, known)| *known == field);
        if let Some(index) = found.filter(|index| !self.gone.contains(index)) {
            self.gone.push(index);
        }
        self
    }

    /// Adds a member before the closing brace. The key must not be there already.
    pub fn append(&mut self, key: &str, json: impl AsRef<[u8]>) -> &mut Self {
        let mut member = quoted(key);
        member.push(b':');
        member.extend_from_slice(json.as_ref());
        self.appended.push(member);
        self
    }

    /// Gives a top-level member another key; its value stays.
    pub fn rename(&mut self, field: Field, key: &str) -> &mut Self {
        let mut cursor = Cursor::inside(self.body, field.whole.start);
        if let Ok(old) = cursor.string(None) {
            self.replace(old.span, quoted(key));
        }
        self
    }

    /// The new body.
    pub fn apply(self) -> Vec<u8> {
        let close = memchr::memrchr(b'}', self.body).unwrap_or(self.body.len());
        let growth: usize = self.spans.iter().map(|(_, text)| text.len()).sum();
        let tail: usize = self.appended.iter().map(|member| member.len() + 1).sum();
        let mut out = Vec::with_capacity(self.body.len() + growth + tail);
        let mut edits = self.cuts();
        let mut empty = self.gone.len() == self.scan.fields.len();
        // Stable: among equal starts the cuts stay first.
        edits.extend(self.spans);
        edits.sort_by_key(|(span, _)| span.start);
        let mut at = 0;
        for (span, text) in edits {
            if span.start < at {
                continue;
            }
            out.extend_from_slice(self.body.get(at..span.start).unwrap_or_default());
            out.extend_from_slice(&text);
            at = span.end;
        }
        out.extend_from_slice(self.body.get(at..close).unwrap_or_default());
        for member in &self.appended {
            if !empty {
                out.push(b',');
            }
            empty = false;
            out.extend_from_slice(member);
        }
        out.extend_from_slice(self.body.get(close..).unwrap_or_default());
        out
    }

    /// What to remove for each cut member. A member with a survivor before it takes the comma on
    /// its left; one without takes everything up to the next member.
    fn cuts(&self) -> Vec<(Span, Vec<u8>)> {
        let mut cuts = Vec::with_capacity(self.gone.len() + self.spans.len());
        let mut survivor = false;
        let mut before = 0;
        let fields = &self.scan.fields;
        for (index, (_, field)) in fields.iter().enumerate() {
            if !self.gone.contains(&index) {
                survivor = true;
            } else if survivor {
                cuts.push((Span { start: before, end: field.whole.end }, Vec::new()));
            } else {
                let next = fields.get(index + 1).map(|(_, next)| next.whole.start);
                let end = next.unwrap_or(field.whole.end);
                cuts.push((Span { start: field.whole.start, end }, Vec::new()));
            }
            before = field.whole.end;
        }
        cuts
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).unwrap_or_default()
}

/// A member of an object somewhere inside a scanned body.
pub(super) struct Inner {
    pub(super) value: Span,
    /// What to remove to take it out, its comma with it.
    pub(super) cut: Span,
}

/// Finds a member of the object at `at`; the first of that name.
pub(super) fn inner(body: &[u8], at: usize, name: &str) -> Option<Inner> {
    let mut cursor = Cursor::inside(body, at);
    if cursor.kind().ok()? != Kind::Object {
        return None;
    }
    cursor.enter().ok()?;
    let mut first = true;
    let mut before = None;
    while let Some(key) = cursor.next_key(&mut first).ok()? {
        let found = key.text(body) == name;
        let value = cursor.skip().ok()?;
        if found {
            let mut after = cursor;
            after.skip_space();
            let cut = match (before, body.get(after.at)) {
                (Some(end), _) => Span { start: end, end: value.end },
                (None, Some(b',')) => {
                    after.at += 1;
                    after.skip_space();
                    Span { start: key.span.start, end: after.at }
                }
                (None, _) => Span { start: key.span.start, end: value.end },
            };
            return Some(Inner { value, cut });
        }
        before = Some(value.end);
    }
    None
}

/// The starts of an array's elements.
pub(super) fn elements(body: &[u8], at: usize) -> Vec<usize> {
    let mut cursor = Cursor::inside(body, at);
    let mut starts = Vec::new();
    let mut first = true;
    if cursor.kind() != Ok(Kind::Array) || cursor.enter().is_err() {
        return starts;
    }
    while cursor.next_item(&mut first) == Ok(true) {
        starts.push(cursor.at);
        if cursor.skip().is_err() {
            break;
        }
    }
    starts
}
