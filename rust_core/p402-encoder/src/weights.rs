//! Decides what is a whole and true file of encoder weights, and takes it apart.
//! Does not compute with them (model.rs).

use crate::EncodeError;

const MAGIC: &[u8] = b"P402ENC1";
const DIGEST_HEX: usize = 64;

/// Rows of int8 with a scale each, as they lie in the file.
pub(crate) struct Matrix<'a> {
    bytes: &'a [u8],
    pub(crate) scales: Vec<f32>,
}

/// What has not been read of the file yet.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl Matrix<'_> {
    pub(crate) fn integers(&self) -> impl Iterator<Item = i8> {
        self.bytes.iter().map(|byte| byte.cast_signed())
    }
}

impl<'a> Reader<'a> {
    /// A reader behind the file's head, if the bytes have the digest they should have.
    pub(crate) fn new(file: &'a [u8], digest: &str) -> Result<Self, EncodeError> {
        let sum = ring::digest::digest(&ring::digest::SHA256, file);
        let hex = sum.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String =
            hex.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect();
        let true_file = digest.trim().len() == DIGEST_HEX && hex == digest.trim();
        let rest = file.strip_prefix(MAGIC).filter(|_| true_file).ok_or(EncodeError::Weights)?;
        Ok(Self { rest })
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], EncodeError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(EncodeError::Weights)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A text behind its length.
    pub(crate) fn text(&mut self) -> Result<&'a str, EncodeError> {
        let length = self.take(4)?.try_into().map_err(|_| EncodeError::Weights)?;
        let bytes = self.take(u32::from_le_bytes(length) as usize)?;
        std::str::from_utf8(bytes).map_err(|_| EncodeError::Weights)
    }

    pub(crate) fn floats(&mut self, count: usize) -> Result<Vec<f32>, EncodeError> {
        let (floats, _) = self.take(count * 4)?.as_chunks::<4>();
        Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn matrix(
        &mut self,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix<'a>, EncodeError> {
        let bytes = self.take(rows * columns)?;
        Ok(Matrix { bytes, scales: self.floats(rows)? })
    }

    /// Nothing may follow the last part.
    pub(crate) fn end(&self) -> Result<(), EncodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(EncodeError::Weights) }
    }
}
