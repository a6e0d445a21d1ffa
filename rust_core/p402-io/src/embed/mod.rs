//! Decides what an encoder is to the lookup: a text in, a vector or a reason out, in time or not.
//! Does not know which encoder: the real one on its own threads, or a hashed one for tests.

mod hashed;
mod lazy;
mod pool;

pub use hashed::Hashed;
pub use lazy::Lazy;
pub use p402_encoder::{Hands, Model, PIECES_MAX, WordPiece};
pub use pool::{PER_TENANT_MAX, Pool, QUEUE_MAX};

use p402_core::cache::similarity::Vector;
use p402_encoder::EncodeError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Why there is no vector. Each is a miss, none an error to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedError {
    /// More word pieces than the encoder sees.
    TooLong,
    /// The queue of the node or of this tenant is full.
    Overflow,
    Late,
    /// The weights are not the ones this build was made for.
    Weights,
    Broken,
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the text is too long for the encoder",
            Self::Overflow => "the encoder's queue is full",
            Self::Late => "the encoder was late",
            Self::Weights => "the encoder's weights are not the expected file",
            Self::Broken => "the encoder failed",
        })
    }
}

impl std::error::Error for EmbedError {}

impl From<EncodeError> for EmbedError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::TooLong => Self::TooLong,
            EncodeError::Weights => Self::Weights,
        }
    }
}

pub type Embedding = Pin<Box<dyn Future<Output = Result<Vector, EmbedError>> + Send>>;

/// Makes vectors of texts.
pub trait Embedder: Send + Sync + fmt::Debug {
    /// Names the vectors: those of two ids are never compared.
    fn id(&self) -> &str;
    /// The text's vector within `deadline`, or why not.
    fn embed(&self, tenant: &str, text: &str, deadline: Duration) -> Embedding;

    /// Why there will be no vectors at all; said once.
    fn fault(&self) -> Option<EmbedError> {
        None
    }
}
