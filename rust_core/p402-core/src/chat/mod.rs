//! Decides what every dialect translates from and to: the canonical request, and how answers end.
//! Does not hold same-language traffic, which passes as bytes (envelope/), and knows no vendor.

mod finish;
mod message;
mod request;

pub use finish::FinishReason;
pub use message::{Content, FilePart, ImagePart, Message, Part, Role, ToolCall};
pub use request::{Function, JsonSchema, Request, ResponseFormat, Tool, ToolChoice};
