//! Decides how long a sound may be, before anyone has heard it.
//! Does not decode: where a file does not say its length, its bytes bound it.

/// No speech that anybody sends is coded in less: 8 kbit/s.
const BYTES_PER_SECOND_MIN: u64 = 1_000;
/// Eight channels of 32 bits at 192 kHz.
const BYTES_PER_SECOND_MAX: u64 = 6_144_000;
/// The head of a plain WAV file, up to its bits per sample.
const WAV_HEAD: usize = 36;
/// Whole numbers, or floating point: what is coded otherwise has no constant rate.
const PLAIN: [u16; 2] = [1, 3];

/// An upper bound of its seconds; exact for plain WAV.
pub(super) fn seconds(file: &[u8]) -> u64 {
    let stated = wav_rate(file).filter(|rate| *rate <= BYTES_PER_SECOND_MAX);
    let rate = stated.unwrap_or_default().max(BYTES_PER_SECOND_MIN);
    (file.len() as u64).div_ceil(rate).max(1)
}

/// Bytes per second by the least of what the head says of it: a reader may go by any of them.
fn wav_rate(file: &[u8]) -> Option<u64> {
    let head = file.get(..WAV_HEAD)?;
    let short = |at: usize| Some(u16::from_le_bytes(*head.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from(u32::from_le_bytes(*head.get(at..)?.first_chunk()?)));
    let wav = head.starts_with(b"RIFF") && head.get(8..16)? == b"WAVEfmt ";
    if !wav || !PLAIN.contains(&short(20)?) {
        return None;
    }
    let (samples, bytes) = (long(24)?, long(28)?);
    let framed = samples * u64::from(short(32)?);
    let counted = samples * u64::from(short(22)?) * u64::from(short(34)? / 8);
    Some(bytes.min(framed).min(counted))
}
