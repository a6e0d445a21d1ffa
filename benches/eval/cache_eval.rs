//! Decides how a file of question pairs is told: served or refused by kind, and by which step.
//! Deliberately the functions that serve, none of its own: canonical form, encoder, vetoes.

mod stream;

use p402_core::cache::bound::Checked;
use p402_core::cache::canon::canonical;
use p402_core::cache::judge::judge;
use p402_core::cache::policy::THRESHOLD;
use p402_core::cache::verdict::Miss;
use p402_core::cache::verify::Pair as Seen;
use p402_core::cache::veto::Reading;
use p402_io::embed::{Hands, Model};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

#[derive(Deserialize)]
struct Pair {
    a: Asked,
    b: Asked,
    should_hit: bool,
    kind: String,
}

/// A question alone, or a conversation that ends with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Text(String),
    Messages(Vec<Message>),
}

#[derive(Deserialize, PartialEq)]
struct Message {
    role: String,
    content: String,
}

impl Asked {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Messages(all) => all.last().map_or("", |last| &last.content),
        }
    }

    /// What is matched byte for byte.
    fn earlier(&self) -> &[Message] {
        match self {
            Self::Text(_) => &[],
            Self::Messages(all) => all.split_last().map_or(&[], |(_, earlier)| earlier),
        }
    }
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

fn judged(model: &Model, hands: &mut Hands, pair: &Pair) -> Judged {
    let (a, b) = (pair.a.text(), pair.b.text());
    if pair.a.earlier() != pair.b.earlier() {
        return Judged { cosine: 0.0, step: "history" };
    }
    if canonical(a) == canonical(b) {
        return Judged { cosine: 1.0, step: "canonical" };
    }
    let Some(cosine) = cosine(model, hands, pair) else {
        return Judged { cosine: 0.0, step: "length" };
    };
    if cosine < THRESHOLD {
        return Judged { cosine, step: "similarity" };
    }
    let step = match judge(&Reading::of(a), &Reading::of(b), cosine) {
        Ok(_) => "semantic",
        Err(Miss::Veto(veto)) => veto.name(),
        Err(_) => "verifier",
    };
    Judged { cosine, step }
}

fn cosine(model: &Model, hands: &mut Hands, pair: &Pair) -> Option<f32> {
    let a = model.embed(hands, pair.a.text()).ok()?;
    Some(a.cosine(&model.embed(hands, pair.b.text()).ok()?))
}

/// What the verifier sees of each pair, for `p402/verifier/train.py`.
fn show_features(model: &Model, hands: &mut Hands, pair: &Pair) -> Option<String> {
    let cosine = cosine(model, hands, pair)?;
    let (a, b) = (Reading::of(pair.a.text()), Reading::of(pair.b.text()));
    let passed = !matches!(judge(&a, &b, cosine), Err(Miss::Veto(_)));
    let seen = Seen::of(&a, &b, cosine).0.map(|value| value.to_string());
    Some(format!("{} {} {}", u8::from(pair.should_hit), u8::from(passed), seen.join(" ")))
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

fn told(path: &str) -> Result<Vec<Pair>, Box<dyn Error>> {
    let lines = std::fs::read_to_string(path)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../p402/embedder");
    let weights = std::fs::read(format!("{folder}/minilm-l6-i8.bin"))?;
    let model = Model::new(&weights, include_str!("../../p402/embedder/minilm-l6-i8.sha256"))?;
    let mut hands = Hands::default();
    let (flags, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let mut out = std::io::stdout().lock();
    let wants = |name: &str| flags.iter().any(|flag| flag == name);
    if wants("--stream") {
        let mut pairs = Vec::new();
        for file in files {
            pairs.extend(told(&file)?);
        }
        return Ok(stream::replay(&model, &pairs, &mut out)?);
    }
    let mut pairs = Vec::new();
    for file in files {
        for pair in told(&file)? {
            if wants("--features") {
                writeln!(out, "{}", show_features(&model, &mut hands, &pair).unwrap_or_default())?;
                continue;
            }
            let judged = judged(&model, &mut hands, &pair);
            pairs.push((pair, judged));
        }
    }
    if !pairs.is_empty() {
        table(&mut out, &pairs, wants("--show"))?;
    }
    Ok(())
}

fn table(out: &mut impl Write, pairs: &[(Pair, Judged)], show: bool) -> std::io::Result<()> {
    writeln!(out, "{:<22} pairs  bare %  served %  95 %      steps", "kind")?;
    for hit in [true, false] {
        let mut kinds: BTreeMap<&str, Vec<&(Pair, Judged)>> = BTreeMap::new();
        for own in pairs.iter().filter(|(pair, _)| pair.should_hit == hit) {
            kinds.entry(&own.0.kind).or_default().push(own);
        }
        let name = if hit { "to be served" } else { "look-alikes" };
        for (kind, own) in &kinds {
            line(out, &format!("  {kind}"), own)?;
        }
        let all: Vec<&(Pair, Judged)> = kinds.into_values().flatten().collect();
        line(out, name, &all)?;
    }
    writeln!(out, "area under the curve of the cosine alone: {:.3}", area(pairs))?;
    for (pair, judged) in pairs.iter().filter(|(pair, own)| pair.should_hit != own.served()) {
        if show && judged.cosine >= THRESHOLD {
            let (a, b) = (pair.a.text(), pair.b.text());
            writeln!(out, "{} {:.3} | {a} | {b}", judged.step, judged.cosine)?;
        }
    }
    Ok(())
}
