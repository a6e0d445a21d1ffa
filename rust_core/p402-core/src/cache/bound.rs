//! Decides how loose a class of questions may be matched while its promise of few wrong hits holds.
//! Does not check any answer: how many were checked and how many were wrong comes in.

use super::verify;

/// Thresholds that are tried, strictest first.
pub const GRID: usize = 16;
/// The threshold that the verifier ships with.
const LOOSEST: usize = GRID - 1;
/// Wrong hits per hit that a tenant may be promised.
pub const DELTA_MIN: f64 = 0.005;
pub const DELTA_MAX: f64 = 0.05;
/// How often a bound may be missed by chance.
const TAIL: f64 = 0.05;
/// Halvings until the bound is exact to a double's last digits.
const HALVINGS: usize = 60;
/// Another sampling of the same request than any other.
const SALT: u64 = 0x005A_4D91_E6C3_B27F;

/// Checks and errors of one class at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub checks: u32,
    pub wrong: u32,
}

/// One class of questions: tenant, mode, length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// The place in the grid that is served, once enough was checked; 0 is the strictest.
    proven: Option<usize>,
    seen: [Checked; GRID],
}

/// The strictest place whose threshold lets this score pass; `None` below what is shipped.
pub fn place(score: f32) -> Option<usize> {
    (0..GRID).find(|at| score >= threshold(*at))
}

/// The score from which a place lets a pair pass.
pub fn threshold(place: usize) -> f32 {
    let part = (place + 1) as f32 / GRID as f32;
    // The loosest is what is shipped, to the last bit.
    if place >= LOOSEST { verify::threshold() } else { 1.0 - (1.0 - verify::threshold()) * part }
}

/// Clean checks without which no bound can hold: 299 for 1 %.
pub fn enough(delta: f64) -> u32 {
    (TAIL.ln() / (-delta).ln_1p()).ceil() as u32
}

/// Whether a request is one of those that are checked, of which there are so many.
pub fn sampled(request: u128, rate: f64) -> bool {
    let mut bits = (request as u64) ^ ((request >> 64) as u64) ^ SALT;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((bits ^ (bits >> 31)) as f64) < rate * u64::MAX as f64
}

impl Class {
    /// The place in the grid whose threshold is served: what is shipped, until enough is known.
    pub const fn served(&self) -> usize {
        match self.proven {
            Some(place) => place,
            None => LOOSEST,
        }
    }

    /// The loosest place that is checked: the next one shows whether it may be served.
    pub const fn tried(&self) -> usize {
        if self.served() < LOOSEST { self.served() + 1 } else { LOOSEST }
    }

    /// What was seen of the hits that are served.
    pub fn seen(&self) -> Checked {
        self.seen.get(self.served()).copied().unwrap_or_default()
    }

    /// Whether the promise rests on checks.
    pub const fn is_proven(&self) -> bool {
        self.proven.is_some()
    }

    /// Books a check of a pair that every place from `place` on would have served. Places beyond
    /// the one that is tried see no sample of their own hits, so they learn nothing.
    pub fn learn(&mut self, place: usize, wrong: bool, delta: f64) {
        let tried = self.tried();
        for seen in self.seen.iter_mut().take(tried + 1).skip(place) {
            seen.checks = seen.checks.saturating_add(1);
            seen.wrong = seen.wrong.saturating_add(u32::from(wrong));
        }
        self.step(delta);
    }

    /// As loose as the bounds of all stricter places let it be: fixed-sequence testing, no place
    /// is tried before the stricter. Where the served one's bound is broken, it begins anew.
    fn step(&mut self, delta: f64) {
        let keeps = |at: usize| self.seen.get(at).is_some_and(|seen| seen.keeps(delta));
        let mut place = match self.proven {
            Some(place) if place == 0 || keeps(place) => place,
            Some(_) => 0,
            None => {
                let begun = self.seen.first().is_some_and(|seen| seen.checks >= enough(delta));
                if !begun && !self.seen().breaks(delta) {
                    return;
                }
                0
            }
        };
        while place < LOOSEST && keeps(place) && keeps(place + 1) {
            place += 1;
        }
        self.proven = Some(place);
    }
}

impl Checked {
    /// The one-sided Clopper–Pearson upper bound at 95 % for wrong hits per hit.
    pub fn upper(&self) -> f64 {
        self.upper_at(TAIL)
    }

    /// Whether that bound is at most `delta`, without working it out.
    fn keeps(self, delta: f64) -> bool {
        f64::from(self.wrong) <= delta * f64::from(self.checks)
            && at_most(self.wrong, self.checks, delta) <= TAIL
    }

    /// Whether so many errors would be a rare chance if the promise held.
    fn breaks(self, delta: f64) -> bool {
        let fewer = self.wrong.checked_sub(1).map(|fewer| at_most(fewer, self.checks, delta));
        fewer.is_some_and(|fewer| 1.0 - fewer < TAIL / 2.0)
    }

    /// The two-sided Clopper–Pearson interval at 95 %.
    pub fn interval(&self) -> (f64, f64) {
        let right = Self { checks: self.checks, wrong: self.checks.saturating_sub(self.wrong) };
        (1.0 - right.upper_at(0.025), self.upper_at(0.025))
    }

    fn upper_at(self, tail: f64) -> f64 {
        if self.wrong >= self.checks {
            return 1.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if at_most(self.wrong, self.checks, middle) > tail {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// The probability of at most `wrong` in `checks`, each wrong with probability `p`.
fn at_most(wrong: u32, checks: u32, p: f64) -> f64 {
    let (yes, no) = (p.ln(), (-p).ln_1p());
    let mut choose = 0.0_f64;
    let mut sum = 0.0;
    for k in 0..=wrong {
        if k > 0 {
            choose += f64::from(checks - k + 1).ln() - f64::from(k).ln();
        }
        sum += (choose + f64::from(k) * yes + f64::from(checks - k) * no).exp();
    }
    sum
}
