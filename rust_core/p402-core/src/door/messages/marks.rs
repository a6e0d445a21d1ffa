//! Decides how thoughts of any maker travel through a client that knows Anthropic's alone.
//! Does not read thoughts.

use crate::dialect::wire::json::text_of;
use crate::dialect::wire::object::Object;
use std::borrow::Cow;

/// Anthropic's own signatures travel bare; before any other stands whose it is.
const OWN: &str = "anthropic-claude-v1";
const MARK: &str = "p402.";

/// The signature or sealed text of a thought, with its maker's name.
pub(super) fn marked(detail: &Object<'_>, key: &str) -> Option<String> {
    let secret = detail.present(key).and_then(text_of)?;
    let maker = detail.text("format").unwrap_or_default();
    if maker == OWN {
        return Some(secret.into_owned());
    }
    Some(format!("{MARK}{maker}.{secret}"))
}

/// Maker and secret of what `marked` made.
pub(super) fn unmarked(marked: &str) -> (Cow<'_, str>, &str) {
    let parts = marked.strip_prefix(MARK).and_then(|rest| rest.split_once('.'));
    parts.map_or((OWN.into(), marked), |(maker, secret)| (maker.into(), secret))
}
