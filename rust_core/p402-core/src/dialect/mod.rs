//! Decides how P402 speaks each provider's language: OpenAI's as bytes, every other by its codec.
//! Does not open connections: bytes go in, OpenAI's wire comes out (sans-IO).

pub mod anthropic;
pub mod bedrock;
pub mod customs;
pub mod gemini;
pub mod openai;
pub mod wire;

mod ask;
mod events;
mod media;
mod render;
mod thoughts;
mod translate;
mod turns;

pub(crate) use translate::Dropped;
pub use translate::{
    Codec, Decode, Encoded, Forgetful, Kept, Recall, Target, Translated, Unsaid, codec,
};
