//! Shows that the trees see a pair alike from both sides, and what judging adds to the vetoes.
//! Does not measure how often they are right: `make cache-eval` does, on pairs.

#![expect(clippy::disallowed_methods, reason = "the pairs are files of the repository")]

use p402_core::cache::judge::judge;
use p402_core::cache::verdict::Miss;
use p402_core::cache::verify::{NAMES, Pair, score, threshold};
use p402_core::cache::veto::{Reading, Veto};
use proptest::prelude::*;
use serde_json::Value;

fn pair(a: &str, b: &str) -> Pair {
    Pair::of(&Reading::of(a), &Reading::of(b), 0.95)
}

fn seen(pair: &Pair, name: &str) -> f32 {
    let at = NAMES.iter().position(|own| *own == name);
    at.and_then(|at| pair.0.get(at)).copied().unwrap_or(f32::NAN)
}

#[test]
fn a_pair_is_seen_as_it_is() {
    let own = pair("How do I fix a tap?", "How do I not repair a red tap?");
    for (name, value) in [
        ("cosine", 0.95),
        ("synonyms", 1.0),
        ("alone_strong", 1.0),
        ("alone_weak", 0.0),
        ("negators_differ", 1.0),
        ("longest_alone", 3.0),
        ("turned", 0.0),
        ("same_wanted", 1.0),
        ("marks_differ", 0.0),
    ] {
        assert!((seen(&own, name) - value).abs() < 1e-6, "{name}: {}", seen(&own, name));
    }
    assert!((seen(&pair("a red cat", "a red cat"), "trigrams") - 1.0).abs() < 1e-6);
    assert!(seen(&pair("the red cat", "an old dog"), "trigrams") < 0.2);
}

#[test]
fn the_trees_tell_a_rewording_from_a_salad_of_words() {
    let same = score(&pair("How do I boil an egg?", "How can I boil an egg?"));
    let salad = ("Which planets have moons?", "No dwarf has ever had three red moons.");
    let salad = score(&Pair::of(&Reading::of(salad.0), &Reading::of(salad.1), 0.85));
    assert!(same >= threshold(), "{same}");
    assert!(salad < threshold(), "{salad}");
    assert!(threshold() > 0.0 && threshold() < 1.0);
}

#[test]
fn vetoes_speak_before_the_trees() {
    let judged = |a: &str, b: &str| judge(&Reading::of(a), &Reading::of(b), 0.95);
    let passed = judged("How do I boil an egg?", "How can I boil an egg?");
    assert!(passed.is_ok_and(|passed| passed.score.is_some_and(|score| score >= threshold())));
    let refused = judged("How do I boil 2 eggs?", "How do I boil 6 eggs?");
    assert_eq!(refused, Err(Miss::Veto(Veto::Number)));
}

/// Whatever their vectors say: the files of our own pairs that changes of rules are tried on.
#[test]
fn none_of_our_look_alikes_passes_and_most_of_the_others_do() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../p402/verifier/pairs/dev");
    let (mut passed, mut wanted) = (Vec::new(), Vec::new());
    for file in std::fs::read_dir(folder).unwrap() {
        for line in std::fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let told: Value = serde_json::from_str(line).unwrap();
            let (a, b) = (told["a"].as_str().unwrap(), told["b"].as_str().unwrap());
            let served = judge(&Reading::of(a), &Reading::of(b), 0.95).is_ok();
            if told["should_hit"] == true {
                wanted.push(served);
            } else if served {
                passed.push(format!("{a} | {b}"));
            }
        }
    }
    assert_eq!(passed, Vec::<String>::new());
    let served = wanted.iter().filter(|served| **served).count();
    assert!(served * 100 >= wanted.len() * 75, "{served} of {}", wanted.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_pair_is_the_same_from_both_sides(a in "\\PC{0,60}", b in "[a-zA-Z ?.'0-9]{0,60}") {
        prop_assert_eq!(pair(&a, &b), pair(&b, &a));
        prop_assert!(pair(&a, &b).0.iter().all(|value| value.is_finite()));
        prop_assert!((0.0..=1.0).contains(&score(&pair(&a, &b))));
    }
}
