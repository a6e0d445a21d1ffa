//! Decides what CPU and memory a tree of processes used, from /proc.
//! Deliberately counts whole trees: a server that moves its work into a child does not get it free.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Processes of one tree at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) pids: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    ticks: u64,
}

/// CPU seconds of every tree, of this process and of the machine, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Burnt {
    pub(super) trees: BTreeMap<String, f64>,
    pub(super) own: f64,
    pub(super) machine: f64,
    pub(super) stolen: f64,
}

pub(super) fn find(root: u32) -> Tree {
    let all = all_stats();
    let mut pids = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(pid, stat)| pids.contains(&stat.parent) && !pids.contains(*pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            pids.retain(|pid| all.contains_key(pid));
            return Tree { pids };
        }
        pids.extend(more);
    }
}

/// Samples all trees; a root that is gone is an error, since its CPU would be lost in silence.
pub(super) fn burnt(roots: &BTreeMap<String, u32>) -> Result<Burnt, String> {
    let hz = rustix::param::clock_ticks_per_second() as f64;
    let all = all_stats();
    let mut burnt = Burnt::default();
    for (name, &root) in roots {
        let tree = find(root);
        if !tree.pids.contains(&root) {
            return Err(format!("tree {name}: process {root} is gone"));
        }
        let ticks: u64 = tree.pids.iter().filter_map(|pid| all.get(pid)).map(|s| s.ticks).sum();
        burnt.trees.insert(name.clone(), ticks as f64 / hz);
    }
    let own = all.get(&std::process::id()).map_or(0, |stat| stat.ticks);
    burnt.own = own as f64 / hz;
    let text = fs::read_to_string("/proc/stat").map_err(|e| e.to_string())?;
    let fields: Vec<u64> =
        text.lines().next().unwrap_or_default().split(' ').filter_map(|f| f.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let at = |i: usize| fields.get(i).copied().unwrap_or(0) as f64 / hz;
    burnt.machine = at(0) + at(1) + at(2) + at(5) + at(6);
    burnt.stolen = at(7);
    Ok(burnt)
}

/// Resident memory in KiB: of the largest process of a tree, and of all together.
pub(super) fn resident(tree: &Tree) -> (u64, u64) {
    let each = tree.pids.iter().map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0_u64)
    });
    each.fold((0, 0), |(largest, sum), kib| (largest.max(kib), sum + kib))
}

fn all_stats() -> BTreeMap<u32, Stat> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(stat) = stat(pid) {
            all.insert(pid, stat);
        }
    }
    all
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks and brackets; the last one ends it.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    // ppid is the 4th field of the file, utime stime cutime cstime the 14th to 17th.
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}
