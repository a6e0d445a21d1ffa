//! Decides the headers that sign one request with Amazon's signature version 4.
//! Does not read clocks or find secrets: both come in.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use p402_core::time::Timestamp;
use ring::{digest, hmac};
use std::fmt;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, and where the signature holds.
pub struct Signer {
    pub id: Box<str>,
    pub secret: Box<str>,
    /// Of temporary credentials.
    pub token: Option<Box<str>>,
    pub region: Box<str>,
    pub service: &'static str,
}

impl Signer {
    /// Reads `ID:SECRET` or `ID:SECRET:TOKEN`; any other key is a bearer token and signs nothing.
    pub fn read(key: &str, base_url: &str) -> Option<Self> {
        let (id, rest) = key.split_once(':')?;
        let (secret, token) = match rest.split_once(':') {
            Some((secret, token)) => (secret, Some(token.into())),
            None => (rest, None),
        };
        Some(Self {
            id: id.into(),
            secret: secret.into(),
            token,
            region: region(base_url).into(),
            service: "bedrock",
        })
    }

    /// Adds date, token and signature of a POST.
    pub fn sign(&self, uri: &Uri, body: &[u8], now: Timestamp, headers: &mut HeaderMap) {
        let date = stamp(now);
        let host = uri.authority().map_or("", http::uri::Authority::as_str);
        let mut signed = vec![("host", host), ("x-amz-date", date.as_str())];
        if let Some(token) = &self.token {
            signed.push(("x-amz-security-token", token));
        }
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let request = canonical(uri, &signed, &names, body);
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(sha256(&request).as_ref()));
        let signature = hex(mac(self.key(day).as_ref(), &text).as_ref());
        let value = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.id
        );
        for (name, text) in signed.into_iter().skip(1) {
            put(headers, HeaderName::from_static(name), text);
        }
        put(headers, AUTHORIZATION, &value);
    }

    fn key(&self, day: &str) -> hmac::Tag {
        let first = mac(format!("AWS4{}", self.secret).as_bytes(), day);
        let region = mac(first.as_ref(), &self.region);
        let service = mac(region.as_ref(), self.service);
        mac(service.as_ref(), "aws4_request")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

/// The request as both sides spell it before it is hashed.
fn canonical(uri: &Uri, signed: &[(&str, &str)], names: &str, body: &[u8]) -> String {
    let mut text = format!("POST\n{}\n{}\n", escaped(uri.path()), uri.query().unwrap_or(""));
    for (name, value) in signed {
        text.extend([name, ":", value, "\n"]);
    }
    text.extend(["\n", names, "\n"]);
    text.push_str(&hex(digest::digest(&digest::SHA256, body).as_ref()));
    text
}

/// The path is escaped once more than it is on the wire.
fn escaped(path: &str) -> String {
    path.replace('%', "%25")
}

fn region(base_url: &str) -> &str {
    let host = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let labels = host.split(['/', ':']).next().unwrap_or_default().split('.');
    let mut after = labels.skip_while(|label| !label.starts_with("bedrock-runtime"));
    after.nth(1).unwrap_or("us-east-1")
}

/// `20150830T123600Z`.
fn stamp(now: Timestamp) -> String {
    let text = now.to_rfc3339();
    let whole = text.split(['.', 'Z']).next().unwrap_or_default();
    let mut stamp: String = whole.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    stamp.push('Z');
    stamp
}

fn sha256(text: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, text.as_bytes())
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

/// What cannot stand in a header is left out, and the upstream then refuses the request.
fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(mut value) = HeaderValue::from_str(text) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}
