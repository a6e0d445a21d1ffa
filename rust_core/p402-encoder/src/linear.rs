//! Decides how rows of floats pass an int8 layer: scaled row by row, summed in integers.
//! Does not know what the layer is for (model.rs) or how bytes are multiplied (tile.rs).

use crate::float::{LANES, ROUND};
use crate::tile::{self, Block, COLUMNS, ROWS_MAX, Sums};
use crate::weights::Matrix;
use multiversion::multiversion;

/// One dense layer, its weights laid out as tiles read them.
pub(crate) struct Linear {
    blocks: Vec<[Block; 4]>,
    scales: Vec<f32>,
    bias: Vec<f32>,
    /// Each output's sum of weights: what the rows' zero points add.
    sums: Vec<i32>,
    inputs: usize,
}

/// Room for rows of bytes.
#[derive(Debug, Default)]
pub(crate) struct Room {
    quads: Vec<[u8; 4]>,
    told: Vec<Told>,
}

/// How a row of bytes becomes floats again.
#[derive(Clone, Copy, Debug)]
struct Told {
    scale: f32,
    zero: i32,
}

impl Linear {
    /// Several matrices with the same inputs become one: their outputs stand side by side.
    /// Inputs and outputs are multiples of 64.
    pub(crate) fn new(parts: &[(Matrix<'_>, Vec<f32>)], inputs: usize) -> Self {
        let weights: Vec<i8> = parts.iter().flat_map(|(part, _)| part.integers()).collect();
        let scales: Vec<f32> = parts.iter().flat_map(|(part, _)| part.scales.clone()).collect();
        let bias = parts.iter().flat_map(|(_, bias)| bias.clone()).collect();
        let sum = |row: &[i8]| row.iter().map(|weight| i32::from(*weight)).sum();
        let sums = weights.chunks_exact(inputs).map(sum).collect();
        let mut blocks = Vec::with_capacity(weights.len() / 256);
        for column in weights.chunks_exact(inputs * COLUMNS) {
            let at = |row: usize, input: usize| column.get(row * inputs + input).copied();
            blocks.extend((0..inputs).step_by(4).map(|from| {
                std::array::from_fn(|block| {
                    Block(std::array::from_fn(|slot| {
                        at(block * 16 + slot / 4, from + slot % 4).unwrap_or_default()
                    }))
                })
            }));
        }
        Self { blocks, scales, bias, sums, inputs }
    }

    /// `out` gets one row of outputs per row of `rows`.
    pub(crate) fn apply(&self, rows: &[f32], room: &mut Room, out: &mut Vec<f32>) {
        room.quads.resize(rows.len() / 4, [0; 4]);
        room.told.clear();
        let quads = room.quads.chunks_exact_mut(self.inputs / 4);
        room.told.extend(
            rows.chunks_exact(self.inputs)
                .zip(quads)
                .map(|(row, quads)| quantise(row, quads.as_flattened_mut())),
        );
        out.resize(rows.len() / self.inputs * self.scales.len(), 0.0);
        multiply(self, &room.quads, &room.told, out);
    }
}

/// A row as bytes between its least and its greatest value, zero among them.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vnni", "x86_64+avx2+fma"))]
fn quantise(row: &[f32], bytes: &mut [u8]) -> Told {
    let (low, high) = ends(row);
    let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
    let (inverse, zero) = (scale.recip(), (-low / scale).round());
    for (byte, value) in bytes.iter_mut().zip(row) {
        let place = value * inverse + zero;
        let place = if place < 255.0 { place } else { 255.0 };
        *byte = (place + ROUND).to_bits() as u8;
    }
    Told { scale, zero: zero as i32 }
}

/// The least and the greatest value, or 0: four registers of each, so that none waits for itself.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
fn ends(row: &[f32]) -> (f32, f32) {
    let (mut lows, mut highs) = ([0.0_f32; 4 * LANES], [0.0_f32; 4 * LANES]);
    // Inputs are a multiple of 64, so nothing is left.
    for chunk in row.as_chunks::<{ 4 * LANES }>().0 {
        for (low, value) in lows.iter_mut().zip(chunk) {
            *low = if *value < *low { *value } else { *low };
        }
        for (high, value) in highs.iter_mut().zip(chunk) {
            *high = if *value > *high { *value } else { *high };
        }
    }
    (lows.into_iter().fold(0.0, f32::min), highs.into_iter().fold(0.0, f32::max))
}

/// Sixty-four columns at a time, so that their weights stay near while all rows pass.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512vnni", "x86_64+avx2+fma"))]
fn multiply(layer: &Linear, quads: &[[u8; 4]], told: &[Told], out: &mut [f32]) {
    let (width, outputs) = (layer.inputs / 4, layer.scales.len());
    let row = |at: usize| quads.get(at * width..(at + 1) * width).unwrap_or_default();
    macro_rules! sums {
        ($from:expr, $column:expr) => {{
            let rows = std::array::from_fn(|at| row($from + at));
            multiversion::target::match_target! {
                "x86_64+avx512vnni" => tile::wide::sums(&rows, $column),
                "x86_64+avx2" => tile::narrow::sums(&rows, $column),
                _ => tile::plain(&rows, $column),
            }
        }};
    }
    let tiles = told.len().div_ceil(ROWS_MAX);
    for (number, column) in layer.blocks.chunks_exact(width).enumerate() {
        let mut from = 0;
        for tile in 0..tiles {
            // As even as can be: a tile of one row would wait for its weights.
            let rows = told.len() / tiles + usize::from(tile < told.len() % tiles);
            let mut sums = [[0; COLUMNS]; ROWS_MAX];
            match (rows, &mut sums) {
                (1, [one, ..]) => [*one] = sums!(from, column),
                (2, [one, two, ..]) => [*one, *two] = sums!(from, column),
                (3, [one, two, three, ..]) => [*one, *two, *three] = sums!(from, column),
                (4, [one, two, three, four, ..]) => {
                    [*one, *two, *three, *four] = sums!(from, column);
                }
                (5, [one, two, three, four, five, _]) => {
                    [*one, *two, *three, *four, *five] = sums!(from, column);
                }
                (_, all) => *all = sums!(from, column),
            }
            for (at, (told, sums)) in told.iter().skip(from).zip(&sums).take(rows).enumerate() {
                let start = (from + at) * outputs + number * COLUMNS;
                if let Some(out) = out.get_mut(start..start + COLUMNS) {
                    layer.write(number, sums, *told, out);
                }
            }
            from += rows;
        }
    }
}

impl Linear {
    /// The sums of one row and one column block as floats.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "only inlined code is compiled for the processor found"
    )]
    fn write(&self, number: usize, sums: &Sums, told: Told, out: &mut [f32]) {
        let start = number * COLUMNS;
        let own = |list: &[f32]| list.get(start..).unwrap_or_default().first_chunk().copied();
        let weights = self.sums.get(start..).unwrap_or_default().first_chunk::<COLUMNS>();
        let (Some(scales), Some(bias), Some(weights)) =
            (own(&self.scales), own(&self.bias), weights)
        else {
            return;
        };
        let (scales, bias): ([f32; COLUMNS], [f32; COLUMNS]) = (scales, bias);
        let each = sums.iter().zip(weights).zip(scales.iter().zip(&bias));
        for (out, ((sum, weights), (scale, bias))) in out.iter_mut().zip(each) {
            let sum = sum.wrapping_sub(told.zero.wrapping_mul(*weights));
            *out = sum as f32 * (told.scale * scale) + bias;
        }
    }
}
