//! Faults of the server itself: stopped, slow, killed, full, demoted, emptied, renamed.
//! Does not touch the network between (network.rs does).

use super::alone;
use super::scene::{Scene, few, timely};
use crate::server::Server;
use std::time::Duration;

const PLENTY: i64 = 100_000;
const FAULT: Duration = Duration::from_secs(1);
const OPENED_MAX: Duration = Duration::from_millis(50);

async fn plain() -> Scene {
    Scene::open(Server::start(), PLENTY, None).await
}

#[test]
fn f01_stopped_server_executes_nothing_it_was_asked_before() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        scene.server.signal("-STOP");
        scene.load(FAULT).await;
        scene.heal();
        scene.server.signal("-CONT");
        let report = scene.judge().await;
        // No ghost: `judge` found nothing held. Each late call carried its own deadline.
        few(report.slow(), 3 + 3);
        timely(report.opened(), OPENED_MAX);
    });
}

#[test]
fn f02_paused_clients_wait_no_longer_than_the_deadline() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        scene.command(&["CLIENT", "PAUSE", "1000", "ALL"]);
        scene.load(FAULT).await;
        scene.heal();
        let report = scene.judge().await;
        timely(report.opened(), OPENED_MAX);
    });
}

#[test]
fn f03_a_sleeping_server_delays_few_requests() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        let mut connection = scene.server.connect();
        let asleep = std::thread::spawn(move || {
            let _: redis::Value =
                redis::cmd("DEBUG").arg("SLEEP").arg(1).query(&mut connection).unwrap();
        });
        scene.load(FAULT).await;
        asleep.join().unwrap();
        scene.heal();
        let report = scene.judge().await;
        few(report.slow(), 3 + 3);
    });
}

#[test]
fn f04_an_empty_restart_is_seeded_from_the_ledger() {
    alone(async {
        let mut scene = Scene::open(Server::start(), 300, None).await;
        scene.fault();
        scene.server.kill();
        scene.load(FAULT).await;
        scene.server.restart();
        scene.heal();
        scene.until_refused().await;
        let report = scene.judge().await;
        timely(report.opened(), OPENED_MAX);
        timely(report.closed(), Duration::from_millis(500));
    });
}

#[test]
fn f05_a_restart_from_an_older_file_is_another_server() {
    alone(async {
        let settings = ["--appendonly", "yes", "--appendfsync", "everysec"];
        let mut scene = Scene::open(Server::with(&settings), 300, None).await;
        let synced = scene.server.appended();
        scene.load(Duration::from_millis(300)).await;
        scene.fault();
        scene.server.kill();
        // What no sync had reached is gone, as with the machine's power.
        scene.server.cut(synced);
        scene.load(FAULT).await;
        scene.server.restart();
        scene.heal();
        scene.until_refused().await;
        scene.judge().await;
    });
}

#[test]
fn f06_an_endless_script_makes_a_server_busy_not_the_gateway() {
    alone(async {
        let mut scene = plain().await;
        scene.command(&["CONFIG", "SET", "busy-reply-threshold", "20"]);
        let mut connection = scene.server.connect();
        scene.fault();
        let endless = std::thread::spawn(move || {
            let script = "while true do end";
            let _: redis::RedisResult<redis::Value> =
                redis::cmd("EVAL").arg(script).arg(0).query(&mut connection);
        });
        scene.load(FAULT).await;
        scene.heal();
        let port = scene.server.port().to_string();
        let killed = std::process::Command::new("redis-cli")
            .args(["-p", &port, "SCRIPT", "KILL"])
            .output()
            .unwrap();
        assert!(killed.status.success());
        endless.join().unwrap();
        let report = scene.judge().await;
        assert!(report.away() > 0, "errors open no breaker");
    });
}

#[test]
fn f07_a_full_server_opens_the_breaker_at_once() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        scene.command(&["CONFIG", "SET", "maxmemory", "1"]);
        scene.load(FAULT).await;
        scene.command(&["CONFIG", "SET", "maxmemory", "0"]);
        scene.heal();
        let report = scene.judge().await;
        assert!(report.away() > 0, "errors open no breaker");
        timely(report.opened(), OPENED_MAX);
    });
}

#[test]
fn f08_and_f09_accounts_that_vanish_under_load_are_cold_not_empty() {
    alone(async {
        let mut scene = Scene::open(Server::start(), 300, None).await;
        scene.fault();
        for _ in 0..5 {
            scene.command(&["FLUSHALL"]);
            scene.load(Duration::from_millis(200)).await;
        }
        scene.heal();
        scene.until_refused().await;
        scene.judge().await;
    });
}

#[test]
fn f10_a_demoted_server_is_left_alone() {
    alone(async {
        let other = Server::start();
        let mut scene = plain().await;
        scene.fault();
        scene.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
        scene.load(FAULT).await;
        scene.command(&["REPLICAOF", "NO", "ONE"]);
        scene.heal();
        let report = scene.judge().await;
        assert!(report.away() > 0, "errors open no breaker");
        timely(report.opened(), OPENED_MAX);
    });
}

#[test]
fn f11_too_few_replicas_open_the_breaker_at_once() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        scene.command(&["CONFIG", "SET", "min-replicas-to-write", "3"]);
        scene.load(FAULT).await;
        scene.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
        scene.heal();
        let report = scene.judge().await;
        assert!(report.away() > 0, "errors open no breaker");
        timely(report.opened(), OPENED_MAX);
    });
}

#[test]
fn f12_functions_that_are_flushed_come_back_within_the_call() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        for _ in 0..5 {
            scene.command(&["FUNCTION", "FLUSH"]);
            scene.load(Duration::from_millis(200)).await;
        }
        scene.heal();
        let report = scene.judge().await;
        assert!(!report.is_told_of("functions"), "they are brought within the call");
        few(report.local(), 0);
    });
}

#[test]
fn f13_a_new_password_does_not_touch_live_connections() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        scene.command(&["CONFIG", "SET", "requirepass", "changed"]);
        scene.load(FAULT).await;
        let mut admin = scene.server.connect_as(Some("changed"));
        let _: redis::Value =
            redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).query(&mut admin).unwrap();
        scene.heal();
        let report = scene.judge().await;
        few(report.local(), 0);
    });
}

#[test]
fn f14_connections_killed_twenty_times_a_second_cost_no_decision() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        for _ in 0..20 {
            scene.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            scene.command(&["CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"]);
            scene.load(Duration::from_millis(50)).await;
        }
        scene.heal();
        let report = scene.judge().await;
        few(report.local(), report.samples.len() / 100);
    });
}

#[test]
fn f15_a_flapping_server_is_not_followed() {
    alone(async {
        let mut scene = plain().await;
        scene.fault();
        for _ in 0..7 {
            scene.server.signal("-STOP");
            scene.load(Duration::from_millis(150)).await;
            scene.server.signal("-CONT");
            scene.load(Duration::from_millis(150)).await;
        }
        scene.heal();
        let report = scene.judge().await;
        few(report.away(), 2);
    });
}

#[test]
fn f18_a_server_that_loads_is_away_until_it_has_loaded() {
    alone(async {
        let mut scene = Scene::open(Server::with(&["--appendonly", "yes"]), PLENTY, None).await;
        // Enough keys, each loaded slowly.
        let keys = "for i = 1, 3000 do redis.call('SET', 'k' .. i, i) end";
        scene.command(&["EVAL", keys, "0"]);
        scene.server.set(&[
            "--key-load-delay",
            "300",
            "--loading-process-events-interval-bytes",
            "1024",
        ]);
        scene.fault();
        scene.server.kill();
        scene.server.begin();
        scene.load(FAULT).await;
        scene.server.until("loading", "0");
        scene.heal();
        let report = scene.judge().await;
        assert!(report.away() > 0, "errors open no breaker");
        timely(report.opened(), OPENED_MAX);
    });
}

#[test]
fn f16_a_full_disk_under_the_append_only_file_is_an_outage_until_there_is_room() {
    alone(async {
        let settings = ["--appendonly", "yes", "--appendfsync", "everysec"];
        let mut scene = Scene::open(Server::with(&settings), PLENTY, None).await;
        scene.fault();
        scene.server.room(Some(1_000));
        scene.load(FAULT).await;
        scene.server.room(None);
        scene.heal();
        let report = scene.judge().await;
        assert!(report.away() > 0);
    });
}
