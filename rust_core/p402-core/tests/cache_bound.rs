//! Shows that a promise of few wrong hits is kept: by its arithmetic, and over streams of hits.
//! Does not check any answer (p402-io's tests/shadow.rs).

use p402_core::cache::bound::{
    Checked, Class, DELTA_MAX, DELTA_MIN, GRID, enough, place, sampled, threshold,
};
use p402_core::cache::verify;

#[test]
fn a_bound_of_one_percent_takes_299_clean_checks() {
    let upper = |checks, wrong| Checked { checks, wrong }.upper();
    assert!(upper(299, 0) <= 0.01);
    assert!(upper(298, 0) > 0.01);
    assert_eq!(enough(0.01), 299);
    assert!((upper(100, 3) - 0.0757).abs() < 0.001);
    let (low, high) = Checked { checks: 20, wrong: 2 }.interval();
    assert!((low - 0.0123).abs() < 0.001 && (high - 0.3170).abs() < 0.001, "{low} {high}");
    assert!(upper(0, 0) >= 1.0);
    assert!(upper(5, 5) >= 1.0);
}

#[test]
fn the_grid_runs_from_strict_to_shipped_and_never_below() {
    let shipped = verify::threshold();
    assert_eq!(threshold(GRID - 1).to_bits(), shipped.to_bits());
    assert!((1..GRID).all(|at| threshold(at) < threshold(at - 1)));
    assert_eq!(place(shipped), Some(GRID - 1));
    assert_eq!(place(shipped - 0.001), None);
    assert_eq!(place(1.0), Some(0));
}

#[test]
fn what_is_shipped_is_served_until_enough_is_known() {
    let mut class = Class::default();
    for _ in 1..enough(0.01) {
        class.learn(0, false, 0.01);
        assert_eq!((class.served(), class.is_proven()), (GRID - 1, false));
    }
    class.learn(0, false, 0.01);
    assert_eq!((class.served(), class.is_proven()), (GRID - 1, true));
}

#[test]
fn a_broken_promise_leads_back_to_what_still_holds() {
    let mut class = Class::default();
    for _ in 0..300 {
        class.learn(0, false, 0.01);
    }
    // Pairs that only the three loosest places serve are wrong, again and again.
    for _ in 0..8 {
        class.learn(GRID - 3, true, 0.01);
    }
    assert_eq!(class.served(), GRID - 4);
    // What is tried next is checked, and its errors do not touch what is served.
    class.learn(class.tried(), true, 0.01);
    assert_eq!(class.served(), GRID - 4);
    for _ in 0..2 {
        class.learn(0, true, 0.01);
    }
    assert_eq!(class.served(), 0);
}

#[test]
fn a_promise_that_is_plainly_broken_is_not_served_until_enough_is_known() {
    let mut class = Class::default();
    for _ in 0..4 {
        class.learn(GRID - 1, true, 0.01);
    }
    assert_eq!(class.served(), 0);
}

#[test]
fn a_sample_is_of_its_size_and_the_same_in_every_process() {
    let few = (0..100_000_u128).filter(|id| sampled(id << 40, 0.05)).count();
    assert!((4_700..5_300).contains(&few), "{few}");
    assert!((0..100_u128).all(|id| sampled(id, 1.0) && !sampled(id, 0.0)));
}

/// A blind draw between 0 and 1.
fn draw(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

/// Checked hits of one stream, after which the place that it serves is truly judged.
const CHECKS: usize = 1_200;
const STREAMS: u64 = 200;

/// How often a hit is wrong whose place is this one; looser is worse, as in life.
fn risk(place: usize, loosest: f64) -> f64 {
    loosest * (place as f64 / (GRID - 1) as f64).powi(2)
}

/// Whether a stream ends at a place whose wrong hits per hit are at most `delta`.
fn held(seed: u64, delta: f64, loosest: f64) -> bool {
    let (mut state, mut class) = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, Class::default());
    for _ in 0..CHECKS {
        // Most questions come as they came before.
        let place = (draw(&mut state).powi(3) * GRID as f64) as usize;
        let wrong = draw(&mut state) < risk(place, loosest);
        if place <= class.tried() {
            class.learn(place, wrong, delta);
        }
    }
    let share = |place: usize| {
        ((place + 1) as f64 / GRID as f64).cbrt() - (place as f64 / GRID as f64).cbrt()
    };
    let hits: f64 = (0..=class.served()).map(share).sum();
    let wrong: f64 = (0..=class.served()).map(|at| share(at) * risk(at, loosest)).sum();
    class.served() == 0 || wrong / hits <= delta
}

#[test]
fn delta_holds_in_nineteen_of_twenty_streams() {
    for delta in [DELTA_MIN, 0.01, 0.02, DELTA_MAX] {
        for loosest in [0.02, 0.3] {
            let kept = (1..=STREAMS).filter(|seed| held(*seed, delta, loosest)).count();
            assert!(kept >= 190, "delta {delta}, loosest {loosest}: {kept} of {STREAMS}");
        }
    }
}
