//! Decides how loose a class of questions may be matched while its promise of few wrong hits holds.
//! Does not check any answer: how many were checked and how many were wrong comes in.

/// Thresholds that are tried, strictest first.
pub const GRID: usize = 16;
/// Halvings until the bound is exact to a double's last digits.
const HALVINGS: usize = 60;

/// Checks and errors of one class at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub checks: u32,
    pub wrong: u32,
}

/// One class of questions: tenant, mode, language, length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// The place in the grid that is served; 0 is the strictest.
    served: usize,
    seen: [Checked; GRID],
}

impl Class {
    /// The place in the grid whose threshold is served.
    pub const fn served(&self) -> usize {
        self.served
    }

    /// Books a check of a hit that every place from `loosest` on would have served.
    pub fn check(&mut self, loosest: usize, wrong: bool) {
        for seen in self.seen.iter_mut().skip(loosest) {
            seen.checks = seen.checks.saturating_add(1);
            seen.wrong = seen.wrong.saturating_add(u32::from(wrong));
        }
    }

    /// One looser while the next one's upper bound keeps the promise; back to the strictest where
    /// the served one's is broken. Fixed-sequence testing: no place is tried before the stricter.
    pub fn step(&mut self, delta: f64) {
        let kept = |at: usize| self.seen.get(at).is_some_and(|seen| seen.upper() <= delta);
        if self.served > 0 && !kept(self.served) {
            self.served = 0;
        } else if kept(self.served) && kept(self.served + 1) {
            self.served += 1;
        }
    }

    /// Another model, encoder or rule: what was seen says nothing any more.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Checked {
    /// The one-sided Clopper–Pearson upper bound at 95 % for wrong hits per hit.
    pub fn upper(&self) -> f64 {
        self.upper_at(0.05)
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
