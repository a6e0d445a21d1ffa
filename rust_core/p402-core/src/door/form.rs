//! Decides how a form (multipart/form-data) is read, and written again for another model.
//! Does not look into a file: its bytes pass as they came.

use super::mistyped;
use crate::dialect::Unsaid;
use memchr::memmem::Finder;

const BOUNDARY_BYTES_MAX: usize = 70;
const HEAD_BYTES_MAX: usize = 8 << 10;
const PARTS_MAX: usize = 64;
const LINE_TEXT: &str = "\r\n";
const LINE: &[u8] = LINE_TEXT.as_bytes();

const MODEL_HEAD: &[u8] = b"Content-Disposition: form-data; name=\"model\"\r\n\r\n";

/// The parts of one form, in their order.
#[derive(Debug)]
pub(super) struct Form<'a> {
    boundary: &'a str,
    parts: Vec<Part<'a>>,
}

#[derive(Debug)]
struct Part<'a> {
    name: &'a str,
    /// Head and value as they came.
    whole: &'a [u8],
    value: &'a [u8],
}

impl<'a> Form<'a> {
    /// Reads a form whose first line names its boundary, as every client writes it.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Unsaid> {
        Self::read(body).ok_or_else(|| Unsaid {
            code: "unsupported_media_type",
            param: String::new(),
            message: "the body is not a whole form: send multipart/form-data".to_owned(),
        })
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let first = body.get(..BOUNDARY_BYTES_MAX + 4).unwrap_or(body);
        let end = Finder::new(LINE).find(first)?;
        let boundary = std::str::from_utf8(body.get(2..end)?).ok()?;
        // Letters that need no quotes, wherever the boundary is told.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'+-._".contains(&byte);
        let named = !boundary.is_empty() && boundary.bytes().all(plain);
        let delimiter = [LINE, b"--", boundary.as_bytes()].concat();
        if !named || !body.starts_with(delimiter.get(LINE.len()..)?) {
            return None;
        }
        let finder = Finder::new(&delimiter);
        let (mut parts, mut rest) = (Vec::new(), body.get(end..)?);
        // What follows a boundary: a line's end and one more part, or two dashes and the end.
        while let Some(inside) = rest.strip_prefix(LINE) {
            let end = finder.find(inside)?;
            parts.push(Part::read(inside.get(..end)?)?);
            rest = inside.get(end + delimiter.len()..)?;
            if parts.len() > PARTS_MAX {
                return None;
            }
        }
        let ended = rest.strip_prefix(b"--").is_some_and(|rest| rest.trim_ascii().is_empty());
        ended.then_some(Self { boundary, parts })
    }

    /// The one value of this name; two of them would be two readings.
    pub(super) fn only(&self, name: &str) -> Result<Option<&'a [u8]>, Unsaid> {
        let mut found = self.parts.iter().filter(|part| part.name == name).map(|part| part.value);
        match (found.next(), found.next()) {
            (value, None) => Ok(value),
            _ => Err(Unsaid {
                code: "duplicate_field",
                param: name.to_owned(),
                message: format!("\"{name}\" stands twice in the form"),
            }),
        }
    }

    /// The one text of this name.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Unsaid> {
        let value = self.only(name)?;
        value.map(|value| std::str::from_utf8(value).map_err(|_| mistyped(name))).transpose()
    }

    /// What `p402[mode]` says: how SDKs write an object's members into a form.
    pub(super) fn members(&self, name: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let open = format!("{name}[");
        self.parts.iter().filter_map(move |part| {
            let key = part.name.strip_prefix(&*open)?.strip_suffix(']')?;
            Some((key, part.value))
        })
    }

    /// The form for this model, without what is P402's own.
    pub(super) fn written(&self, model: &str) -> Vec<u8> {
        let sizes = self.parts.iter().map(|part| part.whole.len() + self.boundary.len() + 8);
        let mut out = Vec::with_capacity(sizes.sum::<usize>() + model.len() + 256);
        let mut part = |whole: &[u8]| {
            for piece in [b"--", self.boundary.as_bytes(), LINE, whole, LINE] {
                out.extend_from_slice(piece);
            }
        };
        part(&[MODEL_HEAD, model.as_bytes()].concat());
        for kept in self.parts.iter().filter(|part| !is_ours(part.name)) {
            part(kept.whole);
        }
        out.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        out
    }

    /// How an upstream is told what it gets.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }
}

impl<'a> Part<'a> {
    fn read(whole: &'a [u8]) -> Option<Self> {
        let near = whole.get(..HEAD_BYTES_MAX).unwrap_or(whole);
        let end = Finder::new(b"\r\n\r\n").find(near)?;
        let head = std::str::from_utf8(whole.get(..end)?).ok()?;
        Some(Self { name: name(head)?, whole, value: whole.get(end + 4..)? })
    }
}

/// The name in the one line that says it; `None` where another reader may find another one.
fn name(head: &str) -> Option<&str> {
    if head.split(LINE_TEXT).any(|line| line.contains(['\r', '\n'])) {
        return None;
    }
    let mut said = head.split(LINE_TEXT).filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    });
    let (line, None) = (said.next()?, said.next()) else { return None };
    let rest = line.strip_prefix("form-data;")?.trim_start().strip_prefix("name=\"")?;
    let (name, rest) = rest.split_once('"')?;
    let file = rest.is_empty() || rest.starts_with("; filename");
    (file && !rest.contains("; name=") && !name.contains('\\')).then_some(name)
}

fn is_ours(name: &str) -> bool {
    name == "model" || name == "p402" || name.starts_with("p402[")
}
