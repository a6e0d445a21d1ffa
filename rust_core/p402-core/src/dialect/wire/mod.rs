//! Decides how bytes on a wire are cut into frames and how a frame's JSON is walked.
//! Does not know any vendor or what a frame means.

pub(crate) mod eventstream;
pub(crate) mod json;
pub(crate) mod object;
pub mod sse;
