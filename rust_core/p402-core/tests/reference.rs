//! Shows that the quick order of candidates is the plain one: a reference written for reading.
//! Does not test what the rules themselves should be (route.rs, order.rs).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::catalog::Effort;
use p402_core::route::{Mode, Plan, Why};
use proptest::prelude::*;
use serde_json::{Value, json};
use stage::{Request, Stage};

const EFFORTS: [&str; 3] = ["none", "low", "high"];
const FACTORS: [f32; 3] = [1.0, 2.0, 8.0];
/// Two scores this close may be told apart either way: the reference has a logarithm of its own.
const CLOSE: f64 = 4e-6;

/// A made-up offer: every `model` is sold by several hosts.
#[derive(Clone, Debug)]
struct Made {
    model: usize,
    host: usize,
    input: u32,
    output: u32,
    /// Input tokens from which all costs double.
    step: u32,
    ttft_ms: u32,
    tokens_per_s: u32,
    max_output: u32,
}

/// A made-up model, its scores by effort; without thinking it has the last one.
#[derive(Clone, Debug)]
struct Model {
    thinks: bool,
    scores: [u32; 3],
}

#[derive(Clone, Debug)]
struct Market {
    models: Vec<Model>,
    offers: Vec<Made>,
    hard: bool,
    tokens: usize,
    max_tokens: Option<u32>,
}

/// An offer at one effort, as the reference reckons it.
#[derive(Clone, Copy, Debug)]
struct Arm {
    offer: usize,
    host: usize,
    model: usize,
    effort: usize,
    q: f32,
    cost: f64,
    ms: f32,
    score: f64,
}

fn market() -> impl Strategy<Value = Market> {
    let model = (any::<bool>(), [5_u32..99, 5_u32..99, 5_u32..99])
        .prop_map(|(thinks, scores)| Model { thinks, scores });
    let money = (10_000_u32..3_000_000, 20_000_u32..9_000_000, 200_u32..4_000);
    let pace = (100_u32..3_000, 20_u32..300, prop::sample::select(vec![300, 900, 3_000, 60_000]));
    let offer = (0_usize..5, 0_usize..4, money, pace).prop_map(|(model, host, money, pace)| {
        let ((input, output, step), (ttft_ms, tokens_per_s, max_output)) = (money, pace);
        Made { model, host, input, output, step, ttft_ms, tokens_per_s, max_output }
    });
    let wish = (any::<bool>(), 200_usize..3_000, prop::option::of(100_u32..5_000));
    let all = (prop::collection::vec(model, 5), prop::collection::vec(offer, 1..16), wish);
    all.prop_map(|(models, mut offers, (hard, tokens, max_tokens))| {
        // As the catalogue sorts them.
        offers.sort_by_key(|offer| (offer.host, offer.model));
        offers.dedup_by_key(|offer| (offer.host, offer.model));
        Market { models, offers, hard, tokens, max_tokens }
    })
}

impl Market {
    fn stage(&self) -> Stage {
        let mut lines = vec![
            json!({"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]}),
        ];
        for host in 0..4 {
            lines.push(json!({"t":"provider","id":format!("p{host}"),"kind":"inference_host",
                "dialect":"openai","base_url":"https://api.acme.example/v1","auth":"bearer",
                "env":["A_KEY"],"routable":true,"flags":[],
                "hardware": if host == 3 { "lpu" } else { "" }}));
        }
        for (at, model) in self.models.iter().enumerate() {
            let row = |effort: &str, score: u32| {
                json!({"t":"capability","model":name(at),"effort":effort,"scores":vec![score; 9],
                    "conf":vec![1; 9],"basis":"L"})
            };
            lines.push(row("best", model.scores[2]));
            if model.thinks {
                lines.extend(EFFORTS.into_iter().zip(model.scores).map(|(e, s)| row(e, s)));
            }
        }
        for made in &self.offers {
            let thinks = self.models[made.model].thinks;
            lines.push(json!({"t":"offer","provider":format!("p{}", made.host),
                "model":name(made.model),"context":100_000,"max_output":made.max_output,
                "modalities":["text"],"tools":false,"structured":false,"reasoning":thinks,
                "efforts": if thinks { &EFFORTS[..] } else { &[] },
                "ttft_ms":made.ttft_ms,"tokens_per_s":made.tokens_per_s,
                "prices":[{"bands":[
                    {"above":0,"in":made.input,"out":made.output},
                    {"above":made.step,"in":made.input * 2,"out":made.output * 2}]}],
                "capability":{"model":name(made.model),"match":"exact"},
                "source":"test","as_of":"2026-11","n_agree":2,"confidence":"agree"}));
        }
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        Stage::new(lines.join("\n").as_bytes())
    }

    fn request(&self, mode: Mode) -> Request {
        let task = if self.hard { "math" } else { "chat" };
        let mut request = Request::sized(self.tokens)
            .with(&format!(r#"{{"mode":"{}","task":"{task}"}}"#, mode.name()));
        if let Some(most) = self.max_tokens {
            let mut body: Value = serde_json::from_slice(&request.body).unwrap();
            body["max_tokens"] = json!(most);
            request = Request { options: request.options, ..Request::new(&body) };
        }
        request
    }

    /// The arms of an offer that can run, least effort first.
    fn arms(&self, offer: usize, input: u64, default_cap: u64) -> Vec<Arm> {
        let (made, most) = (&self.offers[offer], u64::from(self.offers[offer].max_output));
        let asked = self.max_tokens.map(u64::from);
        if asked.is_some_and(|asked| asked > most) {
            return Vec::new();
        }
        let cap = asked.unwrap_or(default_cap.min(most)) as f64;
        let (model, visible) = (&self.models[made.model], if self.hard { 700.0 } else { 300.0 });
        let (median, top) = (self.quantile(0.5), self.quantile(0.99));
        let times = if input > u64::from(made.step) { 2.0 } else { 1.0 };
        let arm = |effort: usize| {
            let q = model.scores[if model.thinks { effort } else { 2 }] as f32;
            let written = (visible * f64::from(FACTORS[effort])).min(cap);
            let read = input as f64 * f64::from(made.input);
            let cost = times * (read + written * f64::from(made.output));
            let usd_per_1k = cost * 1e-9 / (input as f64 + visible);
            let dear = ((usd_per_1k / 0.000_05).ln() / 4_000_f64.ln()).clamp(0.0, 1.0);
            let good = f64::from(((q - median) / (top - median).max(1.0)).clamp(0.0, 1.0));
            let per = f64::from(1_000.0 / made.tokens_per_s as f32);
            let ms = (f64::from(made.ttft_ms) + visible.min(cap) * per) as f32;
            let score = 0.5 * good + 0.5 * (1.0 - dear);
            Arm { offer, host: made.host, model: made.model, effort, q, cost, ms, score }
        };
        let fits = |arm: &Arm| visible * f64::from(FACTORS[arm.effort] - 1.0) <= cap;
        (0..if model.thinks { 3 } else { 1 }).map(arm).filter(fits).collect()
    }

    /// Where a share of the models' best scores lies.
    fn quantile(&self, share: f32) -> f32 {
        let mut best: Vec<f32> = self.models.iter().map(|m| m.scores[2] as f32).collect();
        best.sort_by(f32::total_cmp);
        let place = share * (best.len() - 1) as f32;
        let (low, high) = (best[place as usize], best[(place as usize + 1).min(best.len() - 1)]);
        low + (high - low) * place.fract()
    }
}

/// What the modes' rules look at.
struct Rules {
    mode: Mode,
    hard: bool,
    floor: f32,
    floor_speed: f32,
}

impl Rules {
    /// The arm an offer runs with.
    fn choose(&self, arms: &[Arm]) -> Option<Arm> {
        let best_q = arms.iter().map(|arm| arm.q).fold(0.0, f32::max);
        let pool: Vec<Arm> = match self.mode {
            Mode::Cost if best_q >= self.floor => kept(arms, |arm| arm.q >= self.floor),
            Mode::Quality if !self.hard => kept(arms, |arm| arm.q >= best_q - 2.0),
            Mode::Cost | Mode::Quality => kept(arms, |arm| arm.q >= best_q),
            Mode::Speed | Mode::Balanced => arms.to_vec(),
        };
        match self.mode {
            Mode::Cost | Mode::Quality => first(&pool, |arm| (arm.cost, arm.effort as f64)),
            Mode::Speed => first(&pool, |arm| (arm.effort as f64, 0.0)),
            Mode::Balanced => first(&pool, |arm| (-arm.score, arm.cost)),
        }
    }

    /// Who comes next of those left, once `leader` was first.
    fn next(&self, left: &[Arm], leader: Option<&Arm>) -> Option<Arm> {
        let cheap = |arms: &[Arm]| first(arms, |arm| (arm.cost, -f64::from(arm.q)));
        let good = |arms: &[Arm]| first(arms, |arm| (-f64::from(arm.q), arm.cost));
        match (self.mode, leader) {
            (Mode::Cost, None) => {
                cheap(&kept(left, |arm| arm.q >= self.floor)).or_else(|| good(left))
            }
            (Mode::Cost, Some(leader)) => {
                let near = kept(left, |arm| arm.cost <= leader.cost * 8.0);
                let equal = |arm: &Arm| arm.q > leader.q - 2.0;
                let pools = [kept(&near, equal), kept(left, equal)];
                cheap(&pools[0])
                    .or_else(|| good(&near))
                    .or_else(|| cheap(&pools[1]))
                    .or_else(|| good(left))
            }
            (Mode::Quality, _) if self.hard => good(left),
            (Mode::Quality, _) => {
                let best = good(left)?.q;
                cheap(&kept(left, |arm| arm.q >= best - 2.0))
            }
            (Mode::Speed, _) => {
                let able = kept(left, |arm| arm.q >= self.floor_speed);
                let Some(fastest) = first(&able, |arm| (f64::from(arm.ms), arm.cost)) else {
                    return good(left);
                };
                let band = (fastest.ms * 1.10).max(fastest.ms + 50.0);
                let band = kept(&able, |arm| arm.ms <= band);
                good(&kept(&band, |arm| arm.host == 3)).or_else(|| good(&band))
            }
            (Mode::Balanced, Some(_)) => first(left, |arm| (-arm.score, arm.cost)),
            (Mode::Balanced, None) => {
                let best = first(left, |arm| (-arm.score, arm.cost))?.score;
                cheap(&kept(left, |arm| arm.score >= best - 0.01))
            }
        }
    }

    /// Whether the engine's choice is as good as the reference's.
    fn agrees(&self, engine: &Arm, reference: &Arm) -> bool {
        let same = (engine.offer, engine.effort) == (reference.offer, reference.effort);
        same || self.mode == Mode::Balanced && (engine.score - reference.score).abs() < CLOSE
    }
}

fn kept(arms: &[Arm], keep: impl Fn(&Arm) -> bool) -> Vec<Arm> {
    arms.iter().copied().filter(keep).collect()
}

/// The least key, then the catalogue's order.
fn first(arms: &[Arm], key: impl Fn(&Arm) -> (f64, f64)) -> Option<Arm> {
    arms.iter().copied().min_by(|a, b| {
        let ((a1, a2), (b1, b2)) = (key(a), key(b));
        a1.total_cmp(&b1).then(a2.total_cmp(&b2)).then(a.offer.cmp(&b.offer))
    })
}

fn name(model: usize) -> String {
    format!("gpt-{model}")
}

/// The engine's candidates in its order, found again among the reference's arms.
fn told(stage: &Stage, request: &Request, arms: &[Vec<Arm>]) -> Option<Vec<Arm>> {
    let told =
        stage.router().explain(&stage.world(), &request.ask(), stage.now(0), (true, false)).ok()?;
    let told: Value = serde_json::from_slice(&told.to_json()).unwrap();
    let candidates = told["candidates"].as_array().unwrap().iter().map(|candidate| {
        let word = |key: &str| candidate[key].as_str().unwrap().to_owned();
        let offer = stage.offer(&format!("{}/{}", word("provider"), word("model")));
        let effort = candidate["effort"].as_str().unwrap_or("none");
        let own = arms[offer].iter().find(|arm| EFFORTS[arm.effort] == effort);
        *own.unwrap()
    });
    Some(candidates.collect())
}

/// Every attempt after the first: the same model nearby, else the next at another host, else any.
fn follows(rules: &Rules, plan: &Plan, chosen: &[Arm]) -> Result<(), TestCaseError> {
    let arm_of = |at: usize| *chosen.iter().find(|c| c.offer == plan.attempts[at].offer).unwrap();
    for at in 1..plan.attempts.len() {
        let (before, last) = (arm_of(0), arm_of(at - 1));
        let picked: Vec<usize> = plan.attempts[..at].iter().map(|a| a.offer).collect();
        let left = kept(chosen, |arm| !picked.contains(&arm.offer));
        let elsewhere = kept(&left, |arm| arm.host != last.host);
        let same = kept(&elsewhere, |arm| {
            arm.model == last.model && arm.cost <= last.cost * 1.10 && arm.q >= last.q - 2.0
        });
        let next = rules.next(&same, Some(&before)).or(rules.next(&elsewhere, Some(&before)));
        let next = next.or(rules.next(&left, Some(&before))).unwrap();
        if plan.attempts[at].why == Why::Drawn {
            prop_assert_eq!(arm_of(at).model, next.model);
        } else {
            prop_assert!(rules.agrees(&arm_of(at), &next), "{at}: {next:?} in {plan:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_quick_order_is_the_plain_one(market in market()) {
        let stage = market.stage();
        for mode in Mode::ALL {
            let request = market.request(mode);
            let Ok(plan) = stage.plan(&request) else { continue };
            let input = plan.input_tokens;
            let arms: Vec<Vec<Arm>> = (0..market.offers.len())
                .map(|offer| market.arms(offer, input, stage.config.max_output_tokens))
                .collect();
            let floor_speed = market.quantile(0.10 + 0.35 * plan.typing.difficulty);
            let rules = Rules { mode, hard: market.hard, floor: plan.floor, floor_speed };
            let engine = told(&stage, &request, &arms).unwrap();
            for arm in &engine {
                let own = rules.choose(&arms[arm.offer]).unwrap();
                prop_assert!(rules.agrees(arm, &own), "{mode:?}: {arm:?}, not {own:?}");
            }
            prop_assert_eq!(engine.len(), arms.iter().filter(|arms| !arms.is_empty()).count());
            let mut left = engine.clone();
            left.sort_by_key(|arm| arm.offer);
            for (at, arm) in engine.iter().enumerate() {
                let next = rules.next(&left, (at > 0).then(|| &engine[0])).unwrap();
                prop_assert!(rules.agrees(arm, &next), "{mode:?}, {at}: {arm:?}, not {next:?}");
                left.retain(|other| other.offer != arm.offer);
            }
            follows(&rules, &plan, &engine)?;
            prop_assert!(plan.attempts[0].why == Why::Drawn
                || plan.attempts[0].offer == engine[0].offer);
            let efforts = plan.attempts.iter().map(|a| a.effort.map(Effort::name));
            let told = plan.attempts.iter().map(|a| {
                let arm = engine.iter().find(|arm| arm.offer == a.offer).unwrap();
                market.models[arm.model].thinks.then_some(EFFORTS[arm.effort])
            });
            prop_assert!(efforts.eq(told));
        }
    }
}
