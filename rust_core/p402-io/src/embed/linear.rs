//! Decides how a row of floats passes an int8 layer: scaled row by row, summed in integers.
//! Does not know what the layer is for (model.rs).

use super::EmbedError;
use super::weights::Matrix;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::SimdOp;
use rten_tensor::NdTensorView;
use rten_vecmath::{MinMax, Quantize};
use std::mem::MaybeUninit;

/// One dense layer, its weights laid out for the processor it runs on.
pub(super) struct Linear {
    packed: PackedBMatrix<i8>,
    scales: Vec<f32>,
    bias: Vec<f32>,
    /// Each output's sum of weights: what the rows' zero points add.
    sums: Vec<i32>,
    inputs: usize,
}

/// Multiplies u8 rows with i8 weights.
pub(super) type Multiply = GemmExecutor<u8, i8, i32>;

/// Reused from layer to layer.
#[derive(Default)]
pub(super) struct Scratch {
    row: Vec<u8>,
    sums: Vec<i32>,
}

impl Linear {
    /// Several matrices with the same inputs become one: their outputs stand side by side.
    pub(super) fn new(
        multiply: &Multiply,
        parts: &[(Matrix<'_>, Vec<f32>)],
        inputs: usize,
    ) -> Self {
        let weights: Vec<i8> = parts.iter().flat_map(|(part, _)| part.integers()).collect();
        let scales: Vec<f32> = parts.iter().flat_map(|(part, _)| part.scales.clone()).collect();
        let bias = parts.iter().flat_map(|(_, bias)| bias.clone()).collect();
        let sum = |row: &[i8]| row.iter().map(|weight| i32::from(*weight)).sum();
        let sums = weights.chunks_exact(inputs).map(sum).collect();
        let rows = NdTensorView::from_data([scales.len(), inputs], weights.as_slice());
        let packed = multiply.prepack_b(rows.transposed());
        Self { packed, scales, bias, sums, inputs }
    }

    /// `out` gets one row of outputs per row of `rows`.
    pub(super) fn apply(
        &self,
        multiply: &Multiply,
        rows: &[f32],
        scratch: &mut Scratch,
        out: &mut Vec<f32>,
    ) -> Result<(), EmbedError> {
        let outputs = self.scales.len();
        let count = rows.len() / self.inputs;
        scratch.row.clear();
        let mut told = Vec::with_capacity(count);
        let mut slots = vec![MaybeUninit::new(0_u8); self.inputs];
        for row in rows.chunks_exact(self.inputs) {
            let (low, high) = MinMax::new(row).dispatch();
            let (low, high) = (low.min(0.0), high.max(0.0));
            let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
            let zero = (-low / scale).round() as u8;
            let integers = Quantize::new(row, &mut slots, scale.recip(), zero).dispatch();
            scratch.row.extend_from_slice(integers);
            told.push((scale, i32::from(zero)));
        }
        scratch.sums.clear();
        scratch.sums.resize(count * outputs, 0);
        let left = NdTensorView::from_data([count, self.inputs], scratch.row.as_slice());
        multiply
            .gemm(
                &mut scratch.sums,
                GemmInputA::Unpacked(left),
                GemmInputB::Packed(&self.packed),
                GemmOptions::default(),
            )
            .map_err(|_| EmbedError::Broken)?;
        out.clear();
        for (row, (scale, zero)) in scratch.sums.chunks_exact(outputs).zip(told) {
            let weights = self.sums.iter().zip(&self.scales).zip(&self.bias);
            let each = row.iter().zip(weights).map(|(sum, ((weights, own), bias))| {
                (sum - zero * weights) as f32 * (scale * own) + bias
            });
            out.extend(each);
        }
        Ok(())
    }
}
