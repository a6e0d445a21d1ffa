//! Decides the few float operations whose result must be the same on every host.
//! Does not know what the numbers mean, and holds no money.

/// Two hosts agree on what is rounded to this.
const GRID: f64 = (1_u32 << 20) as f64;

/// Rounds a number below 2⁵¹ by pushing its fraction off the end of the mantissa, ties to even:
/// `f64::round` is a call on older processors, and a cast has to look for what does not fit.
pub(crate) fn round(value: f64) -> f64 {
    const PUSH: f64 = 6_755_399_441_055_744.0;
    (value + PUSH) - PUSH
}

/// Rounds to a grid on which two hosts agree.
pub(crate) fn grid(value: f64) -> f64 {
    round(value * GRID) * (1.0 / GRID)
}

/// `f64::min` of two numbers, without its care for what is none.
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// How far the logarithm may lie above `ln_under`.
pub(crate) const LN_GAP: f64 = 0.06;

/// Never above the logarithm of a positive number, and at most `LN_GAP` under it: between powers
/// of two its bits, read as a whole number, rise in a straight line.
pub(crate) fn ln_under(value: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    const ONE: i64 = 1_023 << 52;
    (value.to_bits().cast_signed() - ONE) as f64 * (LN_2 / (1_u64 << 52) as f64)
}

/// Natural logarithm of a positive number by its bits and a short series: the same on every host,
/// which libm does not promise. Error below 10⁻⁸.
pub(crate) fn ln(value: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    // The exponent as a number: its bits under those of 2⁵², less 2⁵² and the bias.
    const UNDER: u64 = 0x4330_0000_0000_0000;
    const BIAS: f64 = 4_503_599_627_370_496.0 + 1_023.0;
    let bits = value.to_bits();
    let exponent = f64::from_bits((bits >> 52) | UNDER) - BIAS;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1_023 << 52));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    // In pairs instead of one chain: no term waits for the one before it.
    let t = s * s;
    let t2 = t * t;
    let low = (1.0 + t * (1.0 / 3.0)) + t2 * (1.0 / 5.0 + t * (1.0 / 7.0));
    let high = (1.0 / 9.0 + t * (1.0 / 11.0)) + t2 * (1.0 / 13.0 + t * (1.0 / 15.0));
    exponent * LN_2 + 2.0 * s * (low + t2 * t2 * high)
}
