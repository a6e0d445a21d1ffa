//! Decides the course of a run: probe, warm-up, window, report; void on any error.
//! Deliberately gives no verdict on speed: it reports, others compare.

use super::drive::{self, Lane, Phase, Stage};
use super::exchange::Prepared;
use super::plan::Plan;
use super::probe;
use super::tree::{self, Burnt, Tree};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TICK: Duration = Duration::from_millis(100);
const TIMER_SLACK_NS: std::num::NonZeroU64 = std::num::NonZeroU64::MIN.saturating_add(999);

#[derive(Debug, Default)]
struct Watched {
    window_s: f64,
    before: Burnt,
    after: Burnt,
    /// KiB: the largest process, and the sum.
    peak: BTreeMap<String, (u64, u64)>,
    processes: BTreeMap<String, usize>,
}

/// Runs a plan to its end; the report says whether it is void.
pub async fn run(plan: &Plan) -> Result<Value, String> {
    rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS)).map_err(|e| e.to_string())?;
    let (mut lanes, mut seen) = (Vec::new(), BTreeMap::new());
    for target in &plan.targets {
        let mut prepared = Prepared::new(target)?;
        if !plan.tolerate {
            let deadline =
                tokio::time::timeout(plan.timeout(), probe::probe(&mut prepared, target));
            let found = deadline.await.unwrap_or_else(|_| Err("no reply in time".to_owned()));
            seen.insert(
                &target.name,
                found.map_err(|why| format!("probe {}: {why}", target.name))?,
            );
        }
        lanes.push(Rc::new(Lane::new(prepared, plan.connections)?));
    }
    let tally = plan.tally.as_deref().map(str::parse).transpose();
    let stage = Rc::new(Stage {
        phase: Cell::new(if plan.requests.is_some() { Phase::Open } else { Phase::Warming }),
        timeout: plan.timeout(),
        tolerate: plan.tolerate,
        tally: tally.map_err(|_| "tally: not a header name".to_owned())?,
        left: Cell::new(plan.requests),
    });

    let mut senders = JoinSet::new();
    if let Some(rate) = plan.rate {
        senders.spawn_local(drive::open(lanes.clone(), Rc::clone(&stage), rate));
    } else {
        for lane in &lanes {
            for _ in 0..plan.connections {
                let sender = drive::closed(Rc::clone(lane), Rc::clone(&stage));
                senders.spawn_local(async move {
                    sender.await;
                    Ok(())
                });
            }
        }
    }
    let watched = if plan.requests.is_some() {
        count(plan, &mut senders).await?
    } else {
        watch(plan, &lanes, &stage).await?
    };
    stage.phase.set(Phase::Over);
    while let Some(ended) = senders.join_next().await {
        ended.map_err(|e| e.to_string())??;
    }
    Ok(report(plan, &lanes, &watched, &seen))
}

/// A run that is a number of requests.
async fn count(plan: &Plan, senders: &mut JoinSet<Result<(), String>>) -> Result<Watched, String> {
    let start = Instant::now();
    let before = tree::burnt(&plan.trees)?;
    while let Some(ended) = senders.join_next().await {
        ended.map_err(|e| e.to_string())??;
    }
    let after = tree::burnt(&plan.trees)?;
    let window_s = start.elapsed().as_secs_f64();
    Ok(Watched { window_s, before, after, ..Watched::default() })
}

/// A run that is a length of time.
async fn watch(plan: &Plan, lanes: &[Rc<Lane>], stage: &Stage) -> Result<Watched, String> {
    tokio::time::sleep(Duration::from_secs_f64(plan.warmup_s)).await;
    let trees: BTreeMap<&String, Tree> =
        plan.trees.iter().map(|(name, &root)| (name, tree::find(root))).collect();
    let mut watched = Watched { before: tree::burnt(&plan.trees)?, ..Watched::default() };
    let start = Instant::now();
    if stage.phase.get() == Phase::Warming {
        stage.phase.set(Phase::Open);
    }
    while stage.phase.get() == Phase::Open {
        tokio::time::sleep(TICK).await;
        for (name, tree) in &trees {
            let (largest, sum) = tree::resident(tree);
            let peak = watched.peak.entry((*name).clone()).or_default();
            *peak = (peak.0.max(largest), peak.1.max(sum));
        }
        let elapsed_s = start.elapsed().as_secs_f64();
        let completed: u64 = lanes.iter().map(|lane| lane.record.borrow().completed).sum();
        let enough = elapsed_s >= plan.window_s && completed >= plan.requests_min;
        if enough || elapsed_s >= plan.window_max_s.max(plan.window_s) {
            break;
        }
    }
    stage.phase.set(Phase::Over);
    watched.window_s = start.elapsed().as_secs_f64();
    watched.after = tree::burnt(&plan.trees)?;
    watched.processes = trees.iter().map(|(name, t)| ((*name).clone(), t.pids.len())).collect();
    Ok(watched)
}

fn report(
    plan: &Plan,
    lanes: &[Rc<Lane>],
    watched: &Watched,
    seen: &BTreeMap<&String, probe::Seen>,
) -> Value {
    let names = plan.targets.iter().map(|target| target.name.as_str());
    let targets: Vec<Value> = names
        .zip(lanes)
        .map(|(name, lane)| lane.record.borrow().to_json(name, watched.window_s))
        .collect();
    let completed: u64 = lanes.iter().map(|lane| lane.record.borrow().completed).sum();
    let failed: u64 = lanes.iter().map(|lane| lane.record.borrow().failed()).sum();
    let (before, after) = (&watched.before, &watched.after);
    let mut known_s = after.own - before.own;
    let mut trees = serde_json::Map::new();
    for (name, end) in &after.trees {
        let spent_s = end - before.trees.get(name).copied().unwrap_or(0.0);
        known_s += spent_s;
        let (largest, sum) = watched.peak.get(name).copied().unwrap_or_default();
        let tree = json!({
            "cpu_s": spent_s,
            "cores": spent_s / watched.window_s,
            "cpu_us_per_request": spent_s * 1e6 / completed.max(1) as f64,
            "rss_largest_mb": largest as f64 / 1024.0,
            "rss_sum_mb": sum as f64 / 1024.0,
            "processes": watched.processes.get(name),
        });
        trees.insert(name.clone(), tree);
    }
    let others_s = (after.machine - before.machine - known_s).max(0.0);
    json!({
        "void": (failed > 0 && !plan.tolerate) || completed == 0,
        "loop": if plan.rate.is_some() { "open" } else { "closed" },
        "connections": plan.connections,
        "rate": plan.rate,
        "window_s": watched.window_s,
        "completed": completed,
        "failed": failed,
        "targets": targets,
        "trees": trees,
        "generator_cores": (after.own - before.own) / watched.window_s,
        "others_cores": others_s / watched.window_s,
        "stolen_cores": (after.stolen - before.stolen) / watched.window_s,
        "probe": seen,
    })
}
