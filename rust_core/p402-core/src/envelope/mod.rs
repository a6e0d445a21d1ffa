//! Decides what a chat request says and asks for, in one pass over its bytes, without a parse tree.
//! Does not judge the wish (route/) and does not rewrite more than the named fields (edits.rs).

mod canonical;
mod cursor;
mod edits;
mod error;
mod fields;
mod history;
mod ids;
mod link;
mod messages;
mod parts;
mod scan;
mod text;
mod types;
mod upstream;

pub use canonical::{Canonical, canonical};
pub use cursor::DEPTH_MAX;
pub use edits::Edits;
pub use error::ScanError;
pub use fields::{MODEL_BYTES_MAX, N_MAX, STOP_MAX, TOOLS_MAX, TOP_LOGPROBS_MAX};
pub use messages::MESSAGES_MAX;
pub use scan::{FIELDS_MAX, scan};
pub use types::*;
pub use upstream::{UpstreamBody, upstream_body};
