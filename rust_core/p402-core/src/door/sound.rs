//! Decides how long a sound may be, before anyone has heard it.
//! Does not decode: where a file does not say its length, its bytes bound it.

/// No speech that anybody sends is coded in less: 8 kbit/s.
const BYTES_PER_SECOND_MIN: u64 = 1_000;
/// Eight channels of 32 bits at 192 kHz.
const BYTES_PER_SECOND_MAX: u64 = 6_144_000;
/// Where the head of a plain WAV file has its bytes per second.
const RATE_AT: usize = 28;

/// An upper bound of its seconds; exact for plain WAV.
pub(super) fn seconds(file: &[u8]) -> u64 {
    let stated = wav_rate(file).filter(|rate| *rate <= BYTES_PER_SECOND_MAX);
    let rate = stated.unwrap_or_default().max(BYTES_PER_SECOND_MIN);
    (file.len() as u64).div_ceil(rate).max(1)
}

fn wav_rate(file: &[u8]) -> Option<u64> {
    let wav = file.starts_with(b"RIFF") && file.get(8..16)? == b"WAVEfmt ";
    let rate = file.get(RATE_AT..)?.first_chunk()?;
    wav.then_some(u64::from(u32::from_le_bytes(*rate)))
}
