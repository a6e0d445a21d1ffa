//! Decides whether layer 4 tells a loop from a day's work: false alarms, detection, memory.
//! Does not decide what is done with a flag.

use p402_core::guard::{Anomaly, Limits, SERIES_MAX, SeriesKey, Stage, Watch};
use p402_core::money::Usd;
use p402_core::time::Timestamp;

const SECOND: i64 = 1_000_000;
const DOLLAR: f64 = 1e9;

fn watch() -> Watch {
    Limits::default().anomaly
}

fn key(model: &str) -> SeriesKey {
    SeriesKey::new(model, "chat", Stage::Actual)
}

fn usd(nano: f64) -> Usd {
    Usd::from_nano(nano as i64)
}

/// Seeded normal numbers: twelve uniform ones, by the polar method.
struct Normal(u64);

impl Normal {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.next()).exp()
    }
}

#[test]
fn nothing_is_flagged_before_the_thirtieth_sample() {
    let mut anomaly = Anomaly::default();
    for _ in 0..29 {
        assert_eq!(anomaly.observe(key("a"), usd(DOLLAR), &watch()), None);
        assert_eq!(anomaly.judge(key("a"), usd(1e6 * DOLLAR), &watch()), None);
    }
    anomaly.observe(key("a"), usd(DOLLAR), &watch());
    let flag = anomaly.judge(key("a"), usd(1e3 * DOLLAR), &watch()).expect("a flag");
    assert_eq!(flag.samples, 30);
    assert!(flag.z > 69.0 && flag.z < 69.2, "{}", flag.z);
    assert!((flag.typical.nano() - 1_000_000_000).abs() < 100, "{}", flag.typical);
}

#[test]
fn a_constant_history_flags_what_is_a_third_dearer() {
    let mut anomaly = Anomaly::default();
    for _ in 0..100 {
        anomaly.observe(key("a"), usd(DOLLAR), &watch());
    }
    assert_eq!(anomaly.judge(key("a"), usd(1.34 * DOLLAR), &watch()), None);
    assert!(anomaly.judge(key("a"), usd(1.36 * DOLLAR), &watch()).is_some());
    // One-sided: cheap is never odd.
    assert_eq!(anomaly.judge(key("a"), usd(0.02 * DOLLAR), &watch()), None);
}

#[test]
fn small_change_is_not_looked_at() {
    let mut anomaly = Anomaly::default();
    for _ in 0..100 {
        anomaly.observe(key("a"), usd(0.02 * DOLLAR), &watch());
        assert_eq!(anomaly.observe(key("a"), usd(0.009_999 * DOLLAR), &watch()), None);
        assert_eq!(anomaly.observe(key("a"), Usd::ZERO, &watch()), None);
    }
    let flag = anomaly.judge(key("a"), usd(DOLLAR), &watch()).expect("a flag");
    assert_eq!(flag.samples, 100);
}

/// Claim 18, first half.
#[test]
fn lognormal_costs_raise_few_false_alarms() {
    for sigma in [0.3, 0.7, 1.0, 1.5] {
        let (mut flagged, mut scored) = (0_u32, 0_u32);
        for seed in 1..=100 {
            let mut normal = Normal(seed * 0x9e37_79b9);
            let mut anomaly = Anomaly::default();
            for sample in 0..2_000 {
                let cost = usd(normal.lognormal(100.0 * DOLLAR, sigma));
                let flag = anomaly.observe(key("a"), cost, &watch());
                if sample >= 30 {
                    scored += 1;
                    flagged += u32::from(flag.is_some());
                }
            }
        }
        let rate = f64::from(flagged) / f64::from(scored);
        assert!(rate <= 0.003, "sigma {sigma}: {rate}");
        assert!(rate >= 0.000_5, "sigma {sigma}: {rate} is no test");
    }
}

/// Seconds until a loop that spends `factor` times as much is flagged, and the share of calm
/// seconds that were.
fn loop_found(seed: u64, per_minute: i64, sigma: f64, factor: i64) -> (Option<i64>, f64) {
    let mut normal = Normal(seed * 0x9e37_79b9);
    let mut anomaly = Anomaly::default();
    let (mut total, mut calm_flags) = (0.0, 0_u32);
    let calm_s = 90 * 60;
    let mut due = 0.0;
    for second in 0..calm_s + 120 {
        let factor = if second < calm_s { 1 } else { factor };
        due += (per_minute * factor) as f64 / 60.0;
        while due >= 1.0 {
            due -= 1.0;
            total += normal.lognormal(0.1 * DOLLAR, sigma);
        }
        let now = Timestamp::from_micros(second * SECOND);
        let flag = anomaly.observe_total(now.utc_day(), usd(total), now, &watch());
        if flag.is_some() && second >= calm_s {
            return (Some(second - calm_s), f64::from(calm_flags) / calm_s as f64);
        }
        calm_flags += u32::from(flag.is_some());
    }
    (None, f64::from(calm_flags) / calm_s as f64)
}

/// Claim 18, second half: minutes whose logarithm spreads by at most 0.4.
#[test]
fn a_loop_five_times_as_dear_is_found_within_a_minute() {
    for (per_minute, sigma) in [(60, 1.5), (60, 0.5), (12, 0.5), (12, 1.0), (240, 1.5)] {
        let (mut slowest, mut calm) = (0, 0.0);
        for seed in 1..=40 {
            let (found, flagged) = loop_found(seed, per_minute, sigma, 5);
            let found = found.expect("the loop is found");
            slowest = slowest.max(found);
            calm += flagged / 40.0;
        }
        assert!(slowest <= 60, "{per_minute} a minute, sigma {sigma}: {slowest} s");
        assert!(calm <= 0.005, "{per_minute} a minute, sigma {sigma}: {calm} of calm seconds");
    }
}

#[test]
fn a_loop_does_not_teach_that_loops_are_normal_at_once() {
    let mut anomaly = Anomaly::default();
    let mut normal = Normal(77);
    for _ in 0..200 {
        anomaly.observe(key("a"), usd(normal.lognormal(DOLLAR, 0.3)), &watch());
    }
    let flagged = (0..10)
        .filter(|_| anomaly.observe(key("a"), usd(50.0 * DOLLAR), &watch()).is_some())
        .count();
    assert_eq!(flagged, 10);
}

#[test]
fn a_new_day_and_a_total_that_fell_spend_nothing_twice() {
    let mut anomaly = Anomaly::default();
    let mut total = 0.0;
    let midnight = 86_400 - 30 * 60;
    for second in 0..3_600 {
        let now = Timestamp::from_micros((midnight + second) * SECOND);
        // The day's total starts anew at midnight, and once is seeded a little lower.
        total = if second == 30 * 60 { 0.0 } else { total + 0.1 * DOLLAR };
        let seen = if second == 50 * 60 { total - DOLLAR } else { total };
        assert_eq!(anomaly.observe_total(now.utc_day(), usd(seen), now, &watch()), None);
    }
}

#[test]
fn the_series_not_used_for_longest_goes() {
    let mut anomaly = Anomaly::default();
    let name = |number: usize| key(&format!("model-{number}"));
    for number in 0..SERIES_MAX {
        for _ in 0..40 {
            anomaly.observe(name(number), usd(DOLLAR), &watch());
        }
    }
    anomaly.observe(name(0), usd(DOLLAR), &watch());
    anomaly.observe(name(SERIES_MAX), usd(DOLLAR), &watch());
    let dear = usd(1e3 * DOLLAR);
    assert!(anomaly.judge(name(0), dear, &watch()).is_some());
    assert!(anomaly.judge(name(1), dear, &watch()).is_none());
    assert!(anomaly.judge(name(2), dear, &watch()).is_some());
    assert_eq!(anomaly.snapshot().encode().len(), 1 + SERIES_MAX * 32);
}

#[test]
fn kinds_models_and_stages_are_apart() {
    let mut anomaly = Anomaly::default();
    for _ in 0..40 {
        anomaly.observe(SeriesKey::new("a", "chat", Stage::Actual), usd(DOLLAR), &watch());
    }
    for other in [
        SeriesKey::new("a", "chat", Stage::Estimate),
        SeriesKey::new("a", "agent", Stage::Actual),
        SeriesKey::new("b", "chat", Stage::Actual),
        SeriesKey::new("ac", "hat", Stage::Actual),
    ] {
        assert_eq!(anomaly.judge(other, usd(1e3 * DOLLAR), &watch()), None);
    }
}
