//! Decides the vector of a text: all-MiniLM-L6-v2 in int8, on the thread it is called on.
//! Does not queue or wait (pool.rs) and reads no file.

use super::EmbedError;
use super::linear::{Linear, Multiply, Scratch};
use super::weights::Reader;
use super::wordpiece::WordPiece;
use p402_core::cache::similarity::{DIMENSIONS, Vector};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_tensor::NdTensorView;
use rten_vecmath::{Gelu, Normalize, NormalizeOptions, Softmax, Sum, SumSquareSub};

/// Word pieces of a text, both marks included: what the encoder was trained to see.
pub const PIECES_MAX: usize = 256;
const VOCABULARY: usize = 30_522;
const LAYERS: usize = 6;
const HEADS: usize = 12;
const HEAD: usize = DIMENSIONS / HEADS;
const INNER: usize = 4 * DIMENSIONS;
const EPSILON: f32 = 1e-12;

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

/// What one thread works with: kernels chosen for its processor, and room that is used again.
#[derive(Default)]
pub struct Hands {
    multiply: Multiply,
    attend: GemmExecutor<f32>,
    scratch: Scratch,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
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
    fn read(reader: &mut Reader<'_>) -> Result<Self, EmbedError> {
        Ok(Self { weight: reader.floats(DIMENSIONS)?, bias: reader.floats(DIMENSIONS)? })
    }

    fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(DIMENSIONS) {
            let mean = Sum::new(row).dispatch() / DIMENSIONS as f32;
            let variance = SumSquareSub::new(row, mean).dispatch() / DIMENSIONS as f32;
            let options = NormalizeOptions {
                pre_scale_bias: mean,
                scale: (variance + EPSILON).sqrt().recip(),
                element_scale: Some(&self.weight),
                element_bias: Some(&self.bias),
                ..NormalizeOptions::default()
            };
            Normalize::new_mut(row, options).dispatch();
        }
    }
}

impl Layer {
    fn read(reader: &mut Reader<'_>, multiply: &Multiply) -> Result<Self, EmbedError> {
        let mut part = |outputs: usize, inputs: usize| -> Result<_, EmbedError> {
            Ok((reader.matrix(outputs, inputs)?, reader.floats(outputs)?))
        };
        let square = |part: &mut dyn FnMut(usize, usize) -> Result<_, EmbedError>| {
            part(DIMENSIONS, DIMENSIONS)
        };
        let attention = [square(&mut part)?, square(&mut part)?, square(&mut part)?];
        let attended = square(&mut part)?;
        let inner = part(INNER, DIMENSIONS)?;
        let outer = part(DIMENSIONS, INNER)?;
        Ok(Self {
            attention: Linear::new(multiply, &attention, DIMENSIONS),
            attended: Linear::new(multiply, &[attended], DIMENSIONS),
            inner: Linear::new(multiply, &[inner], DIMENSIONS),
            outer: Linear::new(multiply, &[outer], INNER),
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
    pub fn new(file: &[u8], digest: &str) -> Result<Self, EmbedError> {
        let mut reader = Reader::new(file, digest)?;
        let pieces = WordPiece::new(reader.text()?);
        if pieces.len() != VOCABULARY {
            return Err(EmbedError::Weights);
        }
        let embeddings = reader.matrix(VOCABULARY, DIMENSIONS)?;
        let positions = reader.floats(PIECES_MAX * DIMENSIONS)?;
        let first = Norm::read(&mut reader)?;
        let multiply = Multiply::new();
        let layers: Result<Vec<Layer>, EmbedError> =
            (0..LAYERS).map(|_| Layer::read(&mut reader, &multiply)).collect();
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
    pub fn embed(&self, hands: &mut Hands, text: &str) -> Result<Vector, EmbedError> {
        let pieces = self.pieces(text).ok_or(EmbedError::TooLong)?;
        Ok(Vector::of(&self.pooled(hands, &pieces)?))
    }

    /// The mean of the last layer over all pieces. The vector's length says nothing.
    ///
    /// # Errors
    /// `Broken` where a layer's shapes do not fit, which a true file's do.
    pub fn pooled(
        &self,
        hands: &mut Hands,
        pieces: &[u32],
    ) -> Result<[f32; DIMENSIONS], EmbedError> {
        let Hands { multiply, attend, scratch } = hands;
        let mut rows = self.looked_up(pieces).ok_or(EmbedError::Broken)?;
        self.first.apply(&mut rows);
        let mut out = Vec::new();
        let mut inner = Vec::new();
        for layer in &self.layers {
            layer.attention.apply(multiply, &rows, scratch, &mut out)?;
            let attended = attention(attend, &out)?;
            layer.attended.apply(multiply, &attended, scratch, &mut out)?;
            add(&mut rows, &out);
            layer.after_attention.apply(&mut rows);
            layer.inner.apply(multiply, &rows, scratch, &mut inner)?;
            Gelu {}.map_mut(&mut inner);
            layer.outer.apply(multiply, &inner, scratch, &mut out)?;
            add(&mut rows, &out);
            layer.after_inner.apply(&mut rows);
        }
        let mut mean = [0.0; DIMENSIONS];
        for row in rows.chunks_exact(DIMENSIONS) {
            add(&mut mean, row);
        }
        Ok(mean)
    }

    fn looked_up(&self, pieces: &[u32]) -> Option<Vec<f32>> {
        let mut rows = Vec::with_capacity(pieces.len() * DIMENSIONS);
        for (piece, position) in pieces.iter().zip(self.positions.chunks_exact(DIMENSIONS)) {
            let at = *piece as usize * DIMENSIONS;
            let integers = self.embeddings.get(at..at + DIMENSIONS)?;
            let scale = self.scales.get(*piece as usize)?;
            let each = integers.iter().zip(position);
            rows.extend(each.map(|(integer, position)| f32::from(*integer) * scale + position));
        }
        Some(rows)
    }
}

/// Twelve heads, each over all pieces at once.
fn attention(attend: &GemmExecutor<f32>, rows: &[f32]) -> Result<Vec<f32>, EmbedError> {
    let count = rows.len() / (3 * DIMENSIONS);
    let all = NdTensorView::from_data([count, 3 * DIMENSIONS], rows);
    let mut attended = vec![0.0; count * DIMENSIONS];
    let mut weights = vec![0.0; count * count];
    let mut out = vec![0.0; count * HEAD];
    let broken = |_| EmbedError::Broken;
    for from in (0..DIMENSIONS).step_by(HEAD) {
        let part = |third: usize| {
            let start = third * DIMENSIONS + from;
            all.slice((.., start..start + HEAD))
        };
        let (query, key, value) = (part(0), part(1), part(2));
        let scaled = GemmOptions { alpha: (HEAD as f32).sqrt().recip(), ..GemmOptions::default() };
        let (left, right) = (GemmInputA::Unpacked(query), GemmInputB::Unpacked(key.transposed()));
        attend.gemm(&mut weights, left, right, scaled).map_err(broken)?;
        for row in weights.chunks_exact_mut(count) {
            Softmax::new_mut(row).dispatch();
        }
        let left = NdTensorView::from_data([count, count], weights.as_slice());
        let (left, right) = (GemmInputA::Unpacked(left), GemmInputB::Unpacked(value));
        attend.gemm(&mut out, left, right, GemmOptions::default()).map_err(broken)?;
        let heads = attended.chunks_exact_mut(DIMENSIONS).zip(out.chunks_exact(HEAD));
        for (row, head) in heads {
            if let Some(place) = row.get_mut(from..from + HEAD) {
                place.copy_from_slice(head);
            }
        }
    }
    Ok(attended)
}

fn add(rows: &mut [f32], more: &[f32]) {
    for (value, more) in rows.iter_mut().zip(more) {
        *value += more;
    }
}
