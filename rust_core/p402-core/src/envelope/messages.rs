//! Decides what a transcript holds: roles, text, calls, parts, and where the conversation stands.
//! Does not understand any text, and leaves links to link.rs.

use super::cursor::{Cursor, Kind};
use super::error::ScanError;
use super::types::{Role, Scan, Span};
use super::{link, parts};

pub const MESSAGES_MAX: u32 = 4_096;
/// User messages that are kept for typing the task.
const USER_TEXTS_MAX: usize = 3;

/// One message, as far as it has been read.
#[derive(Default)]
struct Turn {
    role: Option<Role>,
    content: Option<Span>,
    calls: u32,
}

/// Reads the whole `messages` array into `scan`.
pub(super) fn read(cursor: &mut Cursor<'_>, scan: &mut Scan) -> Result<(), ScanError> {
    match cursor.kind()? {
        Kind::Array => {}
        kind => return Err(ScanError::mistyped("messages", "an array", kind)),
    }
    let mut pending = 0u32;
    let mut first = true;
    cursor.enter()?;
    while cursor.next_item(&mut first)? {
        let index = scan.messages;
        if index >= MESSAGES_MAX {
            return Err(ScanError::invalid("messages", "it must have at most 4096 entries"));
        }
        let turn = turn(cursor, scan, index)?;
        let Some(role) = turn.role else {
            let why = "every message names its role";
            return Err(ScanError::missing(format!("messages[{index}].role"), why));
        };
        scan.messages += 1;
        scan.last_role = role;
        pending = match role {
            Role::Assistant => turn.calls,
            Role::Tool | Role::Function => pending.saturating_sub(1),
            _ => pending,
        };
        settle(scan, role, &turn);
    }
    let answered = matches!(scan.last_role, Role::Tool | Role::Function);
    scan.in_tool_loop = scan.messages > 0 && (answered || pending > 0);
    Ok(())
}

/// Books a finished message under its role.
fn settle(scan: &mut Scan, role: Role, turn: &Turn) {
    match role {
        Role::System | Role::Developer => scan.system = scan.system.or(turn.content),
        Role::User => {
            scan.user_turns += 1;
            if let Some(content) = turn.content {
                scan.first_user = scan.first_user.or(turn.content);
                scan.user_texts.truncate(USER_TEXTS_MAX - 1);
                scan.user_texts.insert(0, content);
            }
        }
        Role::Assistant => scan.tool_turns += u32::from(turn.calls > 0),
        Role::Tool | Role::Function => {}
    }
}

fn turn(cursor: &mut Cursor<'_>, scan: &mut Scan, index: u32) -> Result<Turn, ScanError> {
    match cursor.kind()? {
        Kind::Object => {}
        kind => return Err(ScanError::mistyped(format!("messages[{index}]"), "an object", kind)),
    }
    let mut turn = Turn::default();
    let mut first = true;
    cursor.enter()?;
    while let Some(key) = cursor.next_key(&mut first)? {
        match &*key.text(cursor.body) {
            "role" => turn.role = Some(role(cursor, scan, index)?),
            "content" => turn.content = parts::content(cursor, scan, index)?,
            "tool_calls" => turn.calls += calls(cursor, scan, index)?,
            "function_call" => turn.calls += u32::from(call(cursor, scan)?),
            "reasoning_content" | "reasoning" => {
                scan.reasoning_state |= counted(cursor, scan)?;
            }
            "reasoning_details" | "thinking_blocks" => {
                let span = cursor.skip()?;
                let empty = matches!(span.of(cursor.body), b"null" | b"[]");
                scan.reasoning_state |= !empty;
            }
            "extra_content" => signature(cursor, scan)?,
            "refusal" | "name" => {
                counted(cursor, scan)?;
            }
            _ => {
                cursor.skip()?;
            }
        }
    }
    Ok(turn)
}

fn role(cursor: &mut Cursor<'_>, scan: &mut Scan, index: u32) -> Result<Role, ScanError> {
    let param = || format!("messages[{index}].role");
    match cursor.kind()? {
        Kind::Text => {}
        kind => return Err(ScanError::mistyped(param(), "a string", kind)),
    }
    let word = cursor.string(None)?;
    match &*word.text(cursor.body) {
        "system" => Ok(Role::System),
        "developer" => {
            scan.developer_roles.push(word.span);
            Ok(Role::Developer)
        }
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" => Ok(Role::Tool),
        "function" => Ok(Role::Function),
        _ => {
            let rule = "it must be system, developer, user, assistant, tool or function";
            Err(ScanError::invalid(param(), rule))
        }
    }
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

/// How many calls the array holds.
fn calls(cursor: &mut Cursor<'_>, scan: &mut Scan, index: u32) -> Result<u32, ScanError> {
    match cursor.kind()? {
        Kind::Array => {}
        Kind::Null => {
            cursor.literal()?;
            return Ok(0);
        }
        kind => {
            let param = format!("messages[{index}].tool_calls");
            return Err(ScanError::mistyped(param, "an array", kind));
        }
    }
    let mut count = 0;
    let mut first = true;
    cursor.enter()?;
    while cursor.next_item(&mut first)? {
        count += 1;
        call(cursor, scan)?;
    }
    Ok(count)
}

/// One call: its name and arguments are text, its ids and types are not. False for a null.
fn call(cursor: &mut Cursor<'_>, scan: &mut Scan) -> Result<bool, ScanError> {
    if cursor.kind()? != Kind::Object {
        let span = cursor.skip()?;
        return Ok(span.of(cursor.body) != b"null");
    }
    let mut first = true;
    cursor.enter()?;
    while let Some(key) = cursor.next_key(&mut first)? {
        match &*key.text(cursor.body) {
            kind @ ("function" | "custom") => {
                scan.own_tools |= kind == "custom";
                call(cursor, scan)?;
            }
            "name" | "arguments" | "input" => {
                counted(cursor, scan)?;
            }
            "extra_content" => signature(cursor, scan)?,
            _ => {
                cursor.skip()?;
            }
        }
    }
    Ok(true)
}

/// A vendor's sealed thoughts: only that vendor can read them again.
fn signature(cursor: &mut Cursor<'_>, scan: &mut Scan) -> Result<(), ScanError> {
    let span = cursor.skip()?;
    scan.reasoning_state |= link::contains(span.of(cursor.body), b"thought_signature");
    Ok(())
}
