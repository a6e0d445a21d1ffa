//! Decides how P402 speaks each provider's language; `openai` is the only one in this release.
//! Does not open connections: bytes go in, events come out (sans-IO).

pub mod openai;
pub mod wire;
