//! Decides the vector of a text: all-MiniLM-L6-v2 in int8, on the thread it is called on.
//! Does not queue or wait and reads no file: the weights come in.

use crate::EncodeError;
use crate::attention::{self, attend};
use crate::float::{Norm, add, gelu};
use crate::linear::{self, Linear};
use crate::weights::Reader;
use crate::wordpiece::WordPiece;
use p402_core::cache::similarity::{DIMENSIONS, Vector};

/// Word pieces of a text, both marks included: what the encoder was trained to see.
pub const PIECES_MAX: usize = 256;
const VOCABULARY: usize = 30_522;
const LAYERS: usize = 6;
const INNER: usize = 4 * DIMENSIONS;

/// The encoder.
pub struct Model {
    pieces: WordPiece,
    embeddings: Vec<i8>,
    scales: Vec<f32>,
    positions: Vec<f32>,
    first: Norm,
    layers: Vec<Layer>,
    id: Box<str>,
}

/// What one thread works with: room that is used again.
#[derive(Debug, Default)]
pub struct Hands {
    bytes: linear::Room,
    attention: attention::Room,
    rows: Vec<f32>,
    wide: Vec<f32>,
    attended: Vec<f32>,
    out: Vec<f32>,
}

struct Layer {
    attention: Linear,
    attended: Linear,
    inner: Linear,
    outer: Linear,
    after_attention: Norm,
    after_inner: Norm,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Norm {
    fn read(reader: &mut Reader<'_>) -> Result<Self, EncodeError> {
        Ok(Self { weight: reader.floats(DIMENSIONS)?, bias: reader.floats(DIMENSIONS)? })
    }
}

impl Layer {
    fn read(reader: &mut Reader<'_>) -> Result<Self, EncodeError> {
        let mut part = |outputs: usize, inputs: usize| -> Result<_, EncodeError> {
            Ok((reader.matrix(outputs, inputs)?, reader.floats(outputs)?))
        };
        let square = |part: &mut dyn FnMut(usize, usize) -> Result<_, EncodeError>| {
            part(DIMENSIONS, DIMENSIONS)
        };
        let attention = [square(&mut part)?, square(&mut part)?, square(&mut part)?];
        let attended = square(&mut part)?;
        let inner = part(INNER, DIMENSIONS)?;
        let outer = part(DIMENSIONS, INNER)?;
        Ok(Self {
            attention: Linear::new(&attention, DIMENSIONS),
            attended: Linear::new(&[attended], DIMENSIONS),
            inner: Linear::new(&[inner], DIMENSIONS),
            outer: Linear::new(&[outer], INNER),
            after_attention: Norm::read(reader)?,
            after_inner: Norm::read(reader)?,
        })
    }
}

impl Model {
    /// The encoder of a weights file whose SHA-256 is `digest` (hex).
    ///
    /// # Errors
    /// `Weights` where the file is torn, foreign or another version.
    pub fn new(file: &[u8], digest: &str) -> Result<Self, EncodeError> {
        let mut reader = Reader::new(file, digest)?;
        let pieces = WordPiece::new(reader.text()?);
        if pieces.len() != VOCABULARY {
            return Err(EncodeError::Weights);
        }
        let embeddings = reader.matrix(VOCABULARY, DIMENSIONS)?;
        let positions = reader.floats(PIECES_MAX * DIMENSIONS)?;
        let first = Norm::read(&mut reader)?;
        let layers: Result<Vec<Layer>, EncodeError> =
            (0..LAYERS).map(|_| Layer::read(&mut reader)).collect();
        let layers = layers?;
        reader.end()?;
        Ok(Self {
            pieces,
            embeddings: embeddings.integers().collect(),
            scales: embeddings.scales,
            positions,
            first,
            layers,
            id: digest.get(..12).unwrap_or_default().into(),
        })
    }

    /// The first twelve digits of the weights' digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pieces a text falls into; `None` where it is too long.
    pub fn pieces(&self, text: &str) -> Option<Vec<u32>> {
        self.pieces.encode(text, PIECES_MAX)
    }

    /// The text's vector.
    ///
    /// # Errors
    /// `TooLong` beyond [`PIECES_MAX`].
    pub fn embed(&self, hands: &mut Hands, text: &str) -> Result<Vector, EncodeError> {
        let pieces = self.pieces(text).ok_or(EncodeError::TooLong)?;
        Ok(Vector::of(&self.pooled(hands, &pieces)))
    }

    /// The mean of the last layer over all pieces. The vector's length says nothing.
    fn pooled(&self, hands: &mut Hands, pieces: &[u32]) -> [f32; DIMENSIONS] {
        let Hands { bytes, attention, rows, wide, attended, out } = hands;
        self.look_up(pieces, rows);
        self.first.apply(rows);
        for layer in &self.layers {
            layer.attention.apply(rows, bytes, wide);
            attended.resize(rows.len(), 0.0);
            attend(wide, attention, attended);
            layer.attended.apply(attended, bytes, out);
            add(rows, out);
            layer.after_attention.apply(rows);
            layer.inner.apply(rows, bytes, wide);
            gelu(wide);
            layer.outer.apply(wide, bytes, out);
            add(rows, out);
            layer.after_inner.apply(rows);
        }
        let mut mean = [0.0; DIMENSIONS];
        for row in rows.chunks_exact(DIMENSIONS) {
            add(&mut mean, row);
        }
        mean
    }

    fn look_up(&self, pieces: &[u32], rows: &mut Vec<f32>) {
        rows.clear();
        for (piece, position) in pieces.iter().zip(self.positions.chunks_exact(DIMENSIONS)) {
            // A piece comes from this file's own vocabulary, so both are always found.
            let at = *piece as usize;
            let integers = self.embeddings.get(at * DIMENSIONS..).unwrap_or_default();
            let scale = self.scales.get(at).copied().unwrap_or_default();
            let each = integers.iter().zip(position);
            rows.extend(each.map(|(integer, position)| f32::from(*integer) * scale + position));
        }
    }
}
