//! Decides what the words of a text are.
//! Does not decide what they mean to a route or to the cache.

pub mod stem;
pub mod words;
