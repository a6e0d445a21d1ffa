//! Decides which JSON values are the same value: one form, whatever escapes, blanks, order.
//! Does not decide what is compared (cache/key.rs) and keeps numbers as they were written.

use super::cursor::{Cursor, Fault, Kind};
use super::types::Span;

/// A value in its one form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical {
    /// Tagged and length-prefixed: two forms are equal only where the values are.
    pub bytes: Vec<u8>,
    /// A link that is not a `data:` URL stands in it: what it points at can change.
    pub remote_link: bool,
}

/// Writes the value that `span` covers in its one form; the value at `hole` is left out.
/// `None` where the span is no JSON value, which no span of a scanned body is.
pub fn canonical(body: &[u8], span: Span, hole: Option<Span>) -> Option<Canonical> {
    let mut form = Form { hole, out: Canonical::default() };
    form.value(&mut Cursor::inside(body, span.start), false).ok()?;
    Some(form.out)
}

struct Form {
    hole: Option<Span>,
    out: Canonical,
}

impl Form {
    fn value(&mut self, cursor: &mut Cursor<'_>, link: bool) -> Result<(), Fault> {
        let kind = cursor.kind()?;
        if self.hole.is_some_and(|hole| hole.start == cursor.at) {
            cursor.skip()?;
            self.out.bytes.push(b'_');
            return Ok(());
        }
        match kind {
            Kind::Text => {
                let text = cursor.string(None)?.text(cursor.body);
                self.out.remote_link |= link && !text.starts_with("data:");
                self.tagged(b's', text.as_bytes());
            }
            Kind::Number | Kind::Bool | Kind::Null => {
                let span = cursor.skip()?;
                self.tagged(b'v', span.of(cursor.body));
            }
            Kind::Array => self.array(cursor, link)?,
            Kind::Object => self.object(cursor)?,
        }
        Ok(())
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, link: bool) -> Result<(), Fault> {
        self.out.bytes.push(b'[');
        let mut first = true;
        cursor.enter()?;
        while cursor.next_item(&mut first)? {
            self.value(cursor, link)?;
        }
        self.out.bytes.push(b']');
        Ok(())
    }

    /// Members sorted by key; a key that stands twice keeps its order, so that nothing is merged.
    fn object(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let start = self.out.bytes.len();
        let mut members: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut first = true;
        cursor.enter()?;
        while let Some(key) = cursor.next_key(&mut first)? {
            let key = key.text(cursor.body);
            let link = is_link(&key);
            self.value(cursor, link)?;
            let value = self.out.bytes.split_off(start);
            members.push((key.into_owned().into_bytes(), value));
        }
        members.sort_by(|a, b| a.0.cmp(&b.0));
        self.out.bytes.push(b'{');
        for (key, value) in members {
            self.tagged(b'k', &key);
            self.out.bytes.extend_from_slice(&value);
        }
        self.out.bytes.push(b'}');
        Ok(())
    }

    fn tagged(&mut self, tag: u8, text: &[u8]) {
        self.out.bytes.push(tag);
        self.out.bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.out.bytes.extend_from_slice(text);
    }
}

/// `url`, `image_url`, `file_url`, `uri` …
fn is_link(key: &str) -> bool {
    key.ends_with("url") || key.ends_with("uri")
}
