//! Decides what a run is: targets, loop, window, process trees; JSON in, unknown keys refused.
//! Deliberately has no default URL and no default body: a run says what it measures.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

const CONNECTIONS_MAX: usize = 4_096;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Requests alternate between the targets, so that they share one window.
    pub targets: Vec<Target>,
    /// Per target. Closed loop: in flight at once. Open loop: the most that may be open.
    #[serde(default = "eight")]
    pub connections: usize,
    /// Requests a second per target; present = open loop.
    #[serde(default)]
    pub rate: Option<f64>,
    #[serde(default = "three")]
    pub warmup_s: f64,
    #[serde(default = "four")]
    pub window_s: f64,
    /// The window stays open until so many are complete (or `window_max_s` is over).
    #[serde(default)]
    pub requests_min: u64,
    #[serde(default = "sixty")]
    pub window_max_s: f64,
    /// Exactly so many requests, no warm-up: for counting, not for timing.
    #[serde(default)]
    pub requests: Option<u64>,
    #[serde(default = "thirty")]
    pub timeout_s: f64,
    /// Name → pid of the root of a process tree whose CPU and memory are sampled.
    #[serde(default)]
    pub trees: BTreeMap<String, u32>,
    /// Failures are counted, and do not make the row void.
    #[serde(default)]
    pub tolerate: bool,
    /// A response header whose values are counted.
    #[serde(default)]
    pub tally: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: String,
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The request body, sent as it stands.
    pub body: String,
    #[serde(default)]
    pub stream: bool,
    /// The assistant's text that every reply must carry; the probe compares it whole.
    #[serde(default)]
    pub content: Option<String>,
}

impl Plan {
    pub fn read(text: &str) -> Result<Self, String> {
        let plan: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if plan.targets.is_empty() {
            return Err("targets: at least one".to_owned());
        }
        if !(1..=CONNECTIONS_MAX).contains(&plan.connections) {
            return Err(format!("connections: 1 to {CONNECTIONS_MAX}"));
        }
        if plan.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("rate: above 0".to_owned());
        }
        if plan.rate.is_some() && plan.requests.is_some() {
            return Err("rate and requests exclude one another".to_owned());
        }
        let lengths = [plan.warmup_s, plan.window_s, plan.window_max_s, plan.timeout_s];
        if lengths.iter().any(|s| !(0.0..=3_600.0).contains(s)) {
            return Err("times: 0 to 3,600 seconds".to_owned());
        }
        Ok(plan)
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_s)
    }
}

fn eight() -> usize {
    8
}
fn three() -> f64 {
    3.0
}
fn four() -> f64 {
    4.0
}
fn thirty() -> f64 {
    30.0
}
fn sixty() -> f64 {
    60.0
}
