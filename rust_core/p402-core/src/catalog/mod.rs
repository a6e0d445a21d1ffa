//! Decides which models exist, where they run, what they cost at a second, how good and fast they are.
//! Does not choose among them (route/) and opens no file: the compiled file's bytes come in.

mod types;

pub use types::*;
