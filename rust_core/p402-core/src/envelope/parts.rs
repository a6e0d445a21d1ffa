//! Decides what a message's content is made of: text, and pictures, sound and files by their kind.
//! Does not decode or fetch any of them.

use super::cursor::{Cursor, Kind};
use super::error::ScanError;
use super::link;
use super::types::{Scan, Span};

/// Reads `content`: a string, or parts; null is none.
pub(super) fn content(
    cursor: &mut Cursor<'_>,
    scan: &mut Scan,
    index: u32,
) -> Result<Option<Span>, ScanError> {
    let kind = cursor.kind()?;
    let start = cursor.at;
    match kind {
        Kind::Null => {
            cursor.literal()?;
            return Ok(None);
        }
        Kind::Text => {
            cursor.string(Some(&mut scan.text))?;
        }
        Kind::Array => {
            let mut first = true;
            let mut number = 0u32;
            cursor.enter()?;
            while cursor.next_item(&mut first)? {
                part(cursor, scan, (index, number))?;
                number += 1;
            }
        }
        kind => {
            let param = format!("messages[{index}].content");
            return Err(ScanError::mistyped(param, "a string or an array of parts", kind));
        }
    }
    Ok(Some(Span { start, end: cursor.at }))
}

/// One part; `place` is (message, part) for the error's param.
fn part(cursor: &mut Cursor<'_>, scan: &mut Scan, place: (u32, u32)) -> Result<(), ScanError> {
    let param = || format!("messages[{}].content[{}]", place.0, place.1);
    match cursor.kind()? {
        Kind::Object => {}
        kind => return Err(ScanError::mistyped(param(), "an object", kind)),
    }
    let mut typed = false;
    let mut first = true;
    cursor.enter()?;
    while let Some(key) = cursor.next_key(&mut first)? {
        match &*key.text(cursor.body) {
            "type" => {
                let kind = cursor.kind()?;
                if kind != Kind::Text {
                    return Err(ScanError::mistyped(param() + ".type", "a string", kind));
                }
                typed = true;
                book(scan, &cursor.string(None)?.text(cursor.body));
            }
            "text" | "refusal" | "thinking" => {
                counted(cursor, scan)?;
            }
            "image_url" | "video_url" | "audio_url" | "input_audio" | "file" | "source"
            | "file_url" | "url" => links(cursor, scan)?,
            _ => {
                cursor.skip()?;
            }
        }
    }
    if !typed {
        return Err(ScanError::missing(param() + ".type", "every part names its type"));
    }
    Ok(())
}

/// Books a part under what it needs of a model.
fn book(scan: &mut Scan, kind: &str) {
    match kind {
        "image_url" | "input_image" | "image" => scan.parts.images += 1,
        "input_audio" | "audio_url" | "audio" => scan.parts.audio += 1,
        "file" | "input_file" | "document" | "video_url" | "video" => scan.parts.files += 1,
        "thinking" | "redacted_thinking" | "reasoning" => scan.reasoning_state = true,
        _ => {}
    }
}

/// A link, or an object whose strings may be links.
fn links(cursor: &mut Cursor<'_>, scan: &mut Scan) -> Result<(), ScanError> {
    match cursor.kind()? {
        Kind::Text => {
            let text = cursor.string(None)?;
            // Data is never a link; its megabytes are not unescaped.
            let inline = text.span.of(cursor.body).starts_with(b"\"data:");
            scan.parts.linked |= text.span.of(cursor.body).starts_with(b"\"http");
            if !inline && !scan.parts.local_url {
                scan.parts.local_url = link::is_local(&text.text(cursor.body));
            }
        }
        Kind::Object => {
            let mut first = true;
            cursor.enter()?;
            while cursor.next_key(&mut first)?.is_some() {
                if cursor.kind()? == Kind::Text {
                    links(cursor, scan)?;
                } else {
                    cursor.skip()?;
                }
            }
        }
        _ => {
            cursor.skip()?;
        }
    }
    Ok(())
}

/// A value whose text counts as input; true where it is a string with content.
pub(super) fn counted(cursor: &mut Cursor<'_>, scan: &mut Scan) -> Result<bool, ScanError> {
    if cursor.kind()? == Kind::Text {
        let text = cursor.string(Some(&mut scan.text))?;
        return Ok(text.span.len() > 2);
    }
    let span = cursor.skip()?;
    if span.of(cursor.body) != b"null" {
        scan.text.total += span.len() as u64;
    }
    Ok(false)
}
