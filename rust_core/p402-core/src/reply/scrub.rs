//! Decides what must never leave in words: keys, bearer tokens, credentials inside addresses.
//! Does not judge the rest of a text.

const HIDDEN: &str = "[redacted]";

/// (prefix, how many more token characters make it a key): the shapes providers print.
const KEYS: [(&str, usize); 14] = [
    ("sk-", 6),
    ("sk_", 6),
    ("p402_", 20),
    ("AIza", 8),
    ("AKIA", 8),
    ("gsk_", 8),
    ("xai-", 8),
    ("csk-", 8),
    ("hf_", 16),
    ("pplx-", 8),
    ("nvapi-", 8),
    ("ghp_", 8),
    ("eyJ", 24),
    ("r8_", 16),
];

/// Words whose follower is a secret, lower case.
const LEADS: [&str; 8] =
    ["bearer ", "basic ", "?key=", "&key=", "api_key=", "api-key: ", "access_token=", "token="];
/// A shorter follower is a word of a sentence ("bearer token").
const FOLLOWER_BYTES_MIN: usize = 8;

/// The text with every secret-looking piece replaced.
pub fn scrub(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside_word = false;
    while let Some(next) = rest.chars().next() {
        if let Some((kept, gone)) = secret(rest, inside_word) {
            out.push_str(rest.get(..kept).unwrap_or_default());
            out.push_str(HIDDEN);
            rest = rest.get(kept + gone..).unwrap_or_default();
            inside_word = true;
            continue;
        }
        out.push(next);
        inside_word = next.is_alphanumeric();
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
    }
    out
}

/// At a secret: how many bytes to keep before it and how many to hide.
fn secret(rest: &str, inside_word: bool) -> Option<(usize, usize)> {
    if let Some(found) = user_info(rest) {
        return Some(found);
    }
    let led = |lead: &&&str| {
        let head = rest.as_bytes().get(..lead.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(lead.as_bytes()))
    };
    if let Some(lead) = LEADS.iter().find(led) {
        let starts_word = lead.starts_with(['?', '&']) || !inside_word;
        let follower = token_len(rest.get(lead.len()..).unwrap_or_default());
        if starts_word && follower >= FOLLOWER_BYTES_MIN {
            return Some((lead.len(), follower));
        }
    }
    if inside_word {
        return None;
    }
    let (prefix, least) = KEYS.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    let more = token_len(rest.get(prefix.len()..).unwrap_or_default());
    (more >= *least).then_some((0, prefix.len() + more))
}

/// `://user:password@`: hides what stands before the host.
fn user_info(rest: &str) -> Option<(usize, usize)> {
    let authority = rest.strip_prefix("://")?;
    let ends = |c: char| matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>') || c.is_whitespace();
    let end = authority.find(ends).unwrap_or(authority.len());
    let at = authority.get(..end)?.rfind('@')?;
    Some((3, at))
}

/// Bytes that may belong to a key; masks (`sk-ab****yz`) hide nothing well, so they go too.
fn token_len(text: &str) -> usize {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"-_.~+/=*".contains(b);
    let len = text.bytes().take_while(part).count();
    // A sentence's full stop is not the key's.
    len - text
        .as_bytes()
        .get(..len)
        .unwrap_or_default()
        .iter()
        .rev()
        .take_while(|b| **b == b'.')
        .count()
}
