//! Decides when a stored answer may stand for a new one: same scope, same meaning, checked thrice.
//! Does no embedding, keeps no answers and reads no clock: vectors, entries and `now` come in.

pub mod bound;
pub mod canon;
pub mod index;
pub mod judge;
pub mod kept;
pub mod key;
pub mod policy;
pub mod promise;
pub mod quota;
pub mod rules;
pub mod shelf;
pub mod signs;
pub mod similarity;
pub mod verdict;
pub mod verify;
pub mod veto;
pub mod wish;
