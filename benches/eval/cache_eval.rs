//! Decides how a file of question pairs is told: served or refused by kind, and by which step.
//! Deliberately the functions that serve, none of its own: canonical form, encoder, vetoes.

use p402_core::cache::bound::Checked;
use p402_core::cache::canon::canonical;
use p402_core::cache::policy::THRESHOLD;
use p402_core::cache::veto::{Reading, veto};
use p402_io::embed::{Hands, Model};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

#[derive(Deserialize)]
struct Pair {
    a: String,
    b: String,
    should_hit: bool,
    kind: String,
}

/// What became of a pair.
struct Judged {
    cosine: f32,
    step: &'static str,
}

impl Judged {
    fn served(&self) -> bool {
        matches!(self.step, "canonical" | "semantic")
    }
}

fn judge(model: &Model, hands: &mut Hands, pair: &Pair) -> Judged {
    if canonical(&pair.a) == canonical(&pair.b) {
        return Judged { cosine: 1.0, step: "canonical" };
    }
    let (Ok(a), Ok(b)) = (model.embed(hands, &pair.a), model.embed(hands, &pair.b)) else {
        return Judged { cosine: 0.0, step: "length" };
    };
    let cosine = a.cosine(&b);
    if cosine < THRESHOLD {
        return Judged { cosine, step: "similarity" };
    }
    let refused = veto(&Reading::of(&pair.a), &Reading::of(&pair.b));
    Judged { cosine, step: refused.map_or("semantic", |veto| veto.name()) }
}

/// The chance that a pair to be served is nearer than one that is not.
fn area(pairs: &[(Pair, Judged)]) -> f64 {
    let cosines = |hit: bool| -> Vec<f32> {
        let own = pairs.iter().filter(|(pair, _)| pair.should_hit == hit);
        own.map(|(_, judged)| judged.cosine).collect()
    };
    let (hits, traps) = (cosines(true), cosines(false));
    let wins: f64 = hits
        .iter()
        .flat_map(|hit| traps.iter().map(move |trap| hit.total_cmp(trap)))
        .map(|order| {
            if order.is_gt() {
                1.0
            } else if order.is_eq() {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    wins / (hits.len() * traps.len()).max(1) as f64
}

fn line(out: &mut impl Write, name: &str, pairs: &[&(Pair, Judged)]) -> std::io::Result<()> {
    let served = pairs.iter().filter(|(_, judged)| judged.served()).count();
    let bare = pairs.iter().filter(|(_, judged)| judged.cosine >= THRESHOLD).count();
    let share = |count: usize| 100.0 * count as f64 / pairs.len().max(1) as f64;
    let (low, high) = Checked { checks: pairs.len() as u32, wrong: served as u32 }.interval();
    let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, judged) in pairs {
        *steps.entry(judged.step).or_default() += 1;
    }
    let steps: Vec<String> = steps.iter().map(|(step, count)| format!("{step} {count}")).collect();
    writeln!(
        out,
        "{name:<22} {:>5} {:>7.1} {:>7.1}  {:>5.1}–{:<5.1}  {}",
        pairs.len(),
        share(bare),
        share(served),
        100.0 * low,
        100.0 * high,
        steps.join(", ")
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../p402/embedder");
    let weights = std::fs::read(format!("{folder}/minilm-l6-i8.bin"))?;
    let model = Model::new(&weights, include_str!("../../p402/embedder/minilm-l6-i8.sha256"))?;
    let mut hands = Hands::default();
    let show = std::env::args().any(|arg| arg == "--show");
    let mut pairs = Vec::new();
    for file in std::env::args().skip(1).filter(|arg| arg != "--show") {
        for line in std::fs::read_to_string(&file)?.lines() {
            let pair: Pair = serde_json::from_str(line)?;
            let judged = judge(&model, &mut hands, &pair);
            pairs.push((pair, judged));
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<22} pairs  bare %  served %  95 %      steps", "kind")?;
    for hit in [true, false] {
        let mut kinds: BTreeMap<&str, Vec<&(Pair, Judged)>> = BTreeMap::new();
        for own in pairs.iter().filter(|(pair, _)| pair.should_hit == hit) {
            kinds.entry(&own.0.kind).or_default().push(own);
        }
        let name = if hit { "to be served" } else { "look-alikes" };
        for (kind, own) in &kinds {
            line(&mut out, &format!("  {kind}"), own)?;
        }
        let all: Vec<&(Pair, Judged)> = kinds.into_values().flatten().collect();
        line(&mut out, name, &all)?;
    }
    writeln!(out, "area under the curve of the cosine alone: {:.3}", area(&pairs))?;
    for (pair, judged) in pairs.iter().filter(|(pair, own)| pair.should_hit != own.served()) {
        if show && judged.cosine >= THRESHOLD {
            writeln!(out, "{} {:.3} | {} | {}", judged.step, judged.cosine, pair.a, pair.b)?;
        }
    }
    Ok(())
}
