//! Decides where a request ends and what it asks for: sized and chunked bodies, `Expect`.
//! Deliberately reads five facts and ignores the rest; a mock does not validate.

use serde::Deserialize;
use std::borrow::Cow;

const HEADERS_MAX: usize = 64;
const BODY_MAX: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    pub(super) consumed: usize,
}

#[derive(Debug)]
pub(super) enum Parsed {
    /// More bytes are needed; `expects` = the client waits for `100 Continue`.
    Partial {
        expects: bool,
    },
    Whole(Request),
    Bad(&'static str),
}

/// What the mock wants to know of a chat request.
#[derive(Debug, Deserialize)]
pub(super) struct Ask<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Ask<'_> {
    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }
}

pub(super) fn parse(input: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let start = match head.parse(input) {
        Ok(httparse::Status::Complete(start)) => start,
        Ok(httparse::Status::Partial) => return Parsed::Partial { expects: false },
        Err(_) => return Parsed::Bad("the head is not HTTP/1.1"),
    };
    let path = head.path.unwrap_or_default().to_owned();
    let (mut length, mut chunked, mut expects) = (0_usize, false, false);
    for header in head.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        if header.name.eq_ignore_ascii_case("content-length") {
            match value.trim().parse() {
                Ok(n) if n <= BODY_MAX => length = n,
                _ => return Parsed::Bad("the content length is not usable"),
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        } else if header.name.eq_ignore_ascii_case("expect") {
            expects = value.trim().eq_ignore_ascii_case("100-continue");
        }
    }
    let rest = input.get(start..).unwrap_or_default();
    if chunked {
        return match unchunk(rest) {
            Chunks::Whole(body, used) => {
                Parsed::Whole(Request { path, body, consumed: start + used })
            }
            Chunks::Partial => Parsed::Partial { expects: expects && rest.is_empty() },
            Chunks::Bad => Parsed::Bad("a chunk is not usable"),
        };
    }
    match rest.get(..length) {
        Some(body) => {
            Parsed::Whole(Request { path, body: body.to_vec(), consumed: start + length })
        }
        None => Parsed::Partial { expects: expects && rest.is_empty() },
    }
}

enum Chunks {
    Whole(Vec<u8>, usize),
    Partial,
    Bad,
}

fn unchunk(input: &[u8]) -> Chunks {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((line, size))) => (line, size as usize),
            Ok(httparse::Status::Partial) => return Chunks::Partial,
            Err(_) => return Chunks::Bad,
        };
        if size > BODY_MAX {
            return Chunks::Bad;
        }
        let Some(tail) = rest.get(line + size..line + size + 2) else { return Chunks::Partial };
        if tail != b"\r\n" {
            return Chunks::Bad;
        }
        body.extend_from_slice(rest.get(line..line + size).unwrap_or_default());
        at += line + size + 2;
        if size == 0 {
            return Chunks::Whole(body, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_however_it_is_framed() {
        let sized = b"POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhelloGET";
        let chunked = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nGET";
        for (input, rest) in [(&sized[..], 3), (&chunked[..], 3)] {
            let Parsed::Whole(request) = parse(input) else { panic!("not whole") };
            assert_eq!(
                (request.body.as_slice(), request.consumed),
                (&b"hello"[..], input.len() - rest)
            );
            for cut in 0..request.consumed {
                assert!(matches!(parse(&input[..cut]), Parsed::Partial { .. }), "cut at {cut}");
            }
        }
    }
}
