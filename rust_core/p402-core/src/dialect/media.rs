//! Decides what a picture or a document in a request is: bytes of which type, or a link.
//! Does not fetch links, and believes the bytes rather than the type a client wrote beside them.

/// Where an inline medium's base64 stands and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium<'a> {
    Inline { media_type: &'a str, base64: &'a str },
    Link(&'a str),
}

/// The first characters of base64 tell the type; the label of a `data:` address may lie.
const SIGNS: [(&str, &str); 6] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi", "application/pdf"),
    ("SUkq", "image/tiff"),
];

impl<'a> Medium<'a> {
    /// Reads a `data:` address, a link, or bare base64 (`otherwise` names its type).
    pub(super) fn read(text: &'a str, otherwise: &'a str) -> Self {
        if let Some(rest) = text.strip_prefix("data:") {
            let (head, base64) = rest.split_once(',').unwrap_or(("", rest));
            let labelled = head.split(';').next().filter(|label| label.contains('/'));
            let media_type = sniff(base64).or(labelled).unwrap_or(otherwise);
            return Self::Inline { media_type, base64 };
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Self::Link(text);
        }
        Self::Inline { media_type: sniff(text).unwrap_or(otherwise), base64: text }
    }
}

fn sniff(base64: &str) -> Option<&'static str> {
    SIGNS.iter().find(|(sign, _)| base64.starts_with(sign)).map(|(_, kind)| *kind)
}
