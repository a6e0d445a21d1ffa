//! Decides the vector of a text: all-MiniLM-L6-v2 in int8, pure arithmetic on the caller's thread.
//! Does not read files, queue or wait. A crate of its own so that debug builds optimise it.

#![forbid(unsafe_code)]

mod attention;
mod float;
mod linear;
mod model;
pub mod tile;
mod weights;
mod wordpiece;

pub use model::{Hands, Model, PIECES_MAX};
pub use wordpiece::WordPiece;

use std::fmt;

/// Why there is no vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// More word pieces than the encoder sees.
    TooLong,
    /// The weights are not the ones this build was made for.
    Weights,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the text is too long for the encoder",
            Self::Weights => "the encoder's weights are not the expected file",
        })
    }
}

impl std::error::Error for EncodeError {}
