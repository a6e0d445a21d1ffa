//! Decides what a chat request says and asks for, in one pass over its bytes, without a parse tree.
//! Does not judge the wish (route/) and does not rewrite more than the named fields (splice.rs).

mod types;

pub use types::*;
