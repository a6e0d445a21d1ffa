//! Decides whether money stays within its caps when everything around the guard fails at once.
//! Does not run the real store or real nodes: a seed, one thread, and a model of both.
#![allow(unreachable_pub, dead_code)]

mod ledger;
mod node;
mod oracle;
mod recovery;
mod rng;
mod store;
mod world;

use oracle::Oracle;
use world::{FULL, NODES, Switches, TENANTS, World};

const STEPS: u64 = 6_000;

/// One seed from its first request to rest.
fn run(seed: u64, switches: Switches) -> Oracle {
    let mut world = World::new(seed, switches);
    for _ in 0..STEPS {
        world.step();
    }
    world.settle_down();
    world.at_rest();
    world.oracle
}

fn runs(seeds: u64, switches: Switches) -> Oracle {
    let mut sum = Oracle::default();
    for seed in 0..seeds {
        let one = run(seed, switches);
        if std::env::var_os("P402_SIM_SEEDS_TOLD").is_some()
            && (one.overspends + one.stuck + one.undercounted + one.mismatched) > 0
        {
            eprintln!(
                "seed {seed}: over {} stuck {} under {} mism {} {:?}",
                one.overspends,
                one.stuck,
                one.undercounted,
                one.mismatched,
                one.broken.first()
            );
        }
        sum.absorb(&one);
    }
    sum
}

#[test]
fn everything_on() {
    let t = std::time::Instant::now();
    let all = runs(40, FULL);
    eprintln!(
        "{:?} steps {} adm {} ref {:?} crash {} roll {} wipe {} evict {} recov {} missed {} draws {} ghosts {}",
        t.elapsed(),
        all.steps,
        all.admitted,
        all.refused,
        all.crashes,
        all.rollbacks,
        all.wipes,
        all.evictions,
        all.recoveries,
        all.missed,
        all.draws,
        all.ghosts
    );
    assert_eq!(
        (all.overspends, all.stuck, all.undercounted, all.mismatched),
        (0, 0, 0, 0),
        "{}",
        all.over_most
    );
    assert!(all.broken.is_empty(), "{:?}", all.broken.first());
}

#[test]
fn ablations() {
    let off: [(&str, Switches); 18] = [
        ("full", FULL),
        ("full, many hosts", Switches { one_host: false, ..FULL }),
        ("- cold", Switches { cold_seeding: false, ..FULL }),
        ("- epoch, version", Switches { epoch: false, version: false, ..FULL }),
        ("- epoch", Switches { epoch: false, ..FULL }),
        ("- suspense", Switches { suspense: false, ..FULL }),
        ("- replay", Switches { replay: false, ..FULL }),
        ("- deadline", Switches { deadline: false, ..FULL }),
        ("- barrier", Switches { barrier: false, ..FULL }),
        ("- slice rows", Switches { slice_rows: false, ..FULL }),
        ("- age", Switches { reservation_age: i64::MAX, ..FULL }),
        ("- barrier, age", Switches { reservation_age: i64::MAX, barrier: false, ..FULL }),
        ("- age, many", Switches { reservation_age: i64::MAX, one_host: false, ..FULL }),
        ("- barrier, many", Switches { barrier: false, one_host: false, ..FULL }),
        ("age 5s", Switches { reservation_age: 5_000_000, ..FULL }),
        ("age 5s many", Switches { reservation_age: 5_000_000, one_host: false, ..FULL }),
        ("- slices", Switches { slices: false, ..FULL }),
        ("- owner", Switches { owner: false, ..FULL }),
    ];
    let storm: u64 = std::env::var("STORM").map_or(1, |s| s.parse().unwrap());
    let seeds: u64 = std::env::var("SEEDS").map_or(20, |s| s.parse().unwrap());
    for (name, switches) in off {
        let all = runs(seeds, Switches { storm, ..switches });
        eprintln!(
            "{name:20} over {} ({}) stuck {} under {} mism {} ghosts {} missed {} broken {:?}",
            all.overspends,
            all.over_most,
            all.stuck,
            all.undercounted,
            all.mismatched,
            all.ghosts,
            all.missed,
            all.broken.first()
        );
    }
}
#[test]
fn hunt() {
    let many = Switches { one_host: false, storm: 4, ..FULL };
    for seed in 0..std::env::var("SEEDS").map_or(10, |s| s.parse().unwrap()) {
        let one = run(seed, many);
        if one.overspends + one.stuck + one.undercounted + one.mismatched + one.broken.len() as u64
            > 0
        {
            eprintln!(
                "seed {seed}: over {} stuck {} under {} mism {} {:?}",
                one.overspends,
                one.stuck,
                one.undercounted,
                one.mismatched,
                one.broken.first()
            );
        }
    }
}

#[test]
fn trace() {
    let many = Switches { one_host: false, storm: 4, ..FULL };
    let seed: u64 = std::env::var("SEED").map_or(257, |s| s.parse().unwrap());
    let mut world = World::new(seed, many);
    for _ in 0..STEPS {
        world.step();
    }
    world.settle_down();
    for tenant in 0..TENANTS {
        if let Some(account) = &world.store.accounts[tenant] {
            for record in account.records() {
                let rid = record.rid.bits();
                eprintln!(
                    "stuck t{tenant} {record:?} entry {:?} seeding {:?} now {}",
                    world.ledger.tenants[tenant].get(&rid),
                    world.ledger.seedings[tenant],
                    world.now
                );
                for (n, node) in world.nodes.iter().enumerate() {
                    for row in node.journal.rows.iter().filter(|row| row.rid == rid) {
                        eprintln!("  n{n} {row:?}");
                    }
                    for open in node.open.iter().filter(|row| row.rid == rid) {
                        eprintln!("  n{n} open {open:?}");
                    }
                    for open in node.debts.iter().filter(|row| row.rid == rid) {
                        eprintln!("  n{n} debt {open:?}");
                    }
                }
            }
        }
    }
}
