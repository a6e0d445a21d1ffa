//! Decides that the decoder gives the same frames however the bytes are written and cut.
//! Does not look at what frames mean.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use p402_core::dialect::wire::sse::{LINE_BYTES_MAX, SseDecoder, SseFault};
use proptest::prelude::*;

type Seen = Vec<(String, String)>;

fn decode<'a>(cuts: impl IntoIterator<Item = &'a [u8]>) -> Result<Seen, SseFault> {
    let mut decoder = SseDecoder::new();
    let mut seen = Vec::new();
    let mut drain = |decoder: &mut SseDecoder| -> Result<(), SseFault> {
        while let Some(frame) = decoder.next_frame() {
            let frame = frame?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push((text(frame.event), text(frame.data)));
        }
        Ok(())
    };
    for bytes in cuts {
        decoder.push(bytes);
        drain(&mut decoder)?;
    }
    decoder.finish();
    drain(&mut decoder)?;
    Ok(seen)
}

fn frames(text: &str) -> Seen {
    let whole = decode([text.as_bytes()]).unwrap();
    for cut in 0..text.len() {
        let (head, tail) = text.as_bytes().split_at(cut);
        assert_eq!(decode([head, tail]).unwrap(), whole, "{text:?} cut at {cut}");
    }
    assert_eq!(decode(text.as_bytes().chunks(1)).unwrap(), whole, "{text:?} byte by byte");
    whole
}

fn data(all: &[&str]) -> Seen {
    all.iter().map(|data| (String::new(), (*data).to_owned())).collect()
}

#[test]
fn line_ends() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("data: a{end}{end}data: b{end}data: c{end}{end}");
        assert_eq!(frames(&text), data(&["a", "b\nc"]), "{end:?}");
    }
    assert_eq!(frames("data: a\r\n\ndata: b\n\r\n"), data(&["a", "b"]));
}

#[test]
fn fields() {
    assert_eq!(frames("data:a\n\ndata:  b\n\n"), data(&["a", " b"]), "one blank goes");
    assert_eq!(frames(": x\nid: 1\nretry: 5\nfoo: bar\nfoo\n\ndata: a\n\n"), data(&["a"]));
    assert_eq!(frames("data\n\ndata:\n\ndata: \n\ndata: a\n\n"), data(&["a"]), "empty data goes");
    let named = vec![("error".to_owned(), "a".to_owned()), (String::new(), "b".to_owned())];
    assert_eq!(frames("event: error\ndata: a\n\ndata: b\n\n"), named, "a name is of one event");
    assert_eq!(frames("event: error\n\ndata: b\n\n"), data(&["b"]));
    assert_eq!(frames("data: a:b\n\n"), data(&["a:b"]));
}

#[test]
fn byte_order_mark() {
    assert_eq!(frames("\u{feff}data: a\n\n"), data(&["a"]));
    assert_eq!(frames("\u{feff}\u{feff}data: a\n\ndata: b\n\n"), data(&["b"]), "one alone");
}

#[test]
fn an_unfinished_event_counts_at_the_end() {
    assert_eq!(frames("data: a\n\ndata: b"), data(&["a", "b"]));
    assert_eq!(frames("data: a\n\ndata: b\n"), data(&["a", "b"]));
    assert_eq!(frames(""), data(&[]));
}

#[test]
fn a_line_has_a_bound() {
    let fits = [b"data: ".as_slice(), &vec![b'a'; LINE_BYTES_MAX - 6], b"\n\n"].concat();
    assert_eq!(decode([fits.as_slice()]).unwrap().len(), 1);
    let over = [b"data: ".as_slice(), &vec![b'a'; LINE_BYTES_MAX]].concat();
    assert_eq!(decode([over.as_slice()]), Err(SseFault::TooLong), "even without its end");
    let line = [b"data: ".as_slice(), &vec![b'a'; LINE_BYTES_MAX / 2], b"\n"].concat();
    let joined = [line.as_slice(), &line, &line, b"\n"].concat();
    assert_eq!(decode([joined.as_slice()]), Err(SseFault::TooLong), "joined lines too");
}

/// A quadratic decoder would look at 10¹² bytes here.
#[test]
fn one_byte_chunks_are_linear() {
    let line = [b"data: ".as_slice(), &vec![b'a'; LINE_BYTES_MAX - 6], b"\n\n"].concat();
    assert_eq!(decode(line.chunks(1)).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_any_cuts(bytes in prop::collection::vec(
        prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()],
        0..200,
    ), size in 1usize..20) {
        prop_assert_eq!(decode(bytes.chunks(size)), decode([bytes.as_slice()]));
    }

    #[test]
    fn lines_of_fields_any_cuts(lines in prop::collection::vec(
        prop_oneof![
            Just("data: x"), Just("data:y"), Just("data"), Just(""), Just(""), Just(": c"),
            Just("event: error"), Just("id: 1"), Just("data:  "),
        ], 0..30), size in 1usize..9, end in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")]) {
        let text = lines.join(end);
        prop_assert_eq!(decode(text.as_bytes().chunks(size)), decode([text.as_bytes()]));
        let plain = lines.join("\n");
        prop_assert_eq!(decode([text.as_bytes()]), decode([plain.as_bytes()]));
    }
}
