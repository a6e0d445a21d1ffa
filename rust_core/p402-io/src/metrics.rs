//! Tells everything that is counted, in one text for whoever scrapes it.
//! Does not count: the parts that do things do.

use crate::exposition::{Exposition, Kind};
use crate::home::Home;
use crate::node::Node;
use std::sync::atomic::Ordering;

/// The text of `GET /metrics`. It looks at the disk, so not on a thread that serves.
pub fn metrics(node: &Node) -> String {
    let mut out = Exposition::default();
    out.begin("p402_build_info", Kind::Gauge, "Always 1: which release this is.");
    out.sample("p402_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let in_flight = node.in_flight.load(Ordering::Relaxed);
    out.single(("p402_in_flight", Kind::Gauge, "Requests on their way."), in_flight);
    let draining = u8::from(node.draining.load(Ordering::Relaxed));
    out.single(("p402_draining", Kind::Gauge, "1 once new requests are refused."), draining);
    node.traffic.expose(&mut out);
    node.meter.expose(&mut out);
    if let Some(home) = &node.home {
        store(home, &mut out);
        ledger(home, &mut out);
        home.answers.meter.expose(&mut out, home.answers.fill(), node.being_kept());
    }
    out.text()
}

fn store(home: &Home, out: &mut Exposition) {
    let told = home.store.vitals();
    let help = "1 while the store is not asked and the outage policy holds.";
    out.single(("guard_breaker_state", Kind::Gauge, help), u8::from(told.is_away));
    for (name, help, number) in [
        ("guard_breaker_opened_total", "Times the store went away.", told.breaker_opened),
        ("guard_cold_total", "Accounts the store had lost.", told.cold),
        ("guard_recoveries_total", "Accounts rebuilt from the ledger.", told.recoveries),
        ("guard_recovery_missing_nodes_total", "Nodes a rebuild lacked.", told.missing_nodes),
        ("guard_ghost_released_total", "Unheard claims released.", told.ghosts_released),
        ("guard_owed_dropped_total", "Settlements without room.", told.owed_dropped),
    ] {
        out.single((name, Kind::Counter, help), number);
    }
    if let Some((count, nano)) = told.suspense {
        let help = "Holds that lapsed with an unknown outcome.";
        out.single(("guard_suspense", Kind::Gauge, help), count);
        out.single(("guard_suspense_nano", Kind::Gauge, "Nano-dollars of them."), nano);
    }
}

fn ledger(home: &Home, out: &mut Exposition) {
    let (state, backlog) = (home.ledger.index_state(), home.ledger.backlog());
    let gauges = [
        ("p402_ledger_lag_rows", "Rows in the journal, not yet in the index.", backlog.rows),
        ("p402_ledger_journal_bytes", "Room the journal takes.", backlog.bytes),
        ("p402_ledger_index_up", "0 while the index does not answer.", u64::from(!state.away)),
        ("p402_ledger_full", "1 while no room is left.", u64::from(home.ledger.is_refusing())),
    ];
    for (name, help, number) in gauges {
        out.single((name, Kind::Gauge, help), number);
    }
    for (name, help, number) in [
        ("p402_ledger_indexed_rows_total", "Rows brought into the index.", state.indexed),
        ("p402_ledger_index_faults_total", "Tries of the index that failed.", state.faults),
        ("p402_ledger_damaged_rows_total", "Rows that did not read.", state.damaged),
        ("p402_ledger_disk_faults_total", "Syncs that failed.", home.ledger.faults()),
    ] {
        out.single((name, Kind::Counter, help), number);
    }
}
