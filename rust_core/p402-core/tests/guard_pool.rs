//! Decides whether what several nodes and lives have seen of a tenant's spending is one memory.
//! Does not decide who tells whom, and when (p402-io does).

use p402_core::guard::{
    Anomaly, Limits, Pool, SERIES_MAX, Series, SeriesKey, Snapshot, SnapshotError, Stage, Watch,
};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use proptest::prelude::*;

const DOLLAR: f64 = 1e9;

fn watch() -> Watch {
    Limits::default().anomaly
}

fn key(model: &str) -> SeriesKey {
    SeriesKey::new(model, "chat", Stage::Actual)
}

fn usd(dollars: f64) -> Usd {
    Usd::from_nano((dollars * DOLLAR) as i64)
}

/// A node that has seen these costs of one model.
fn node(model: &str, costs: &[f64]) -> Anomaly {
    let mut anomaly = Anomaly::default();
    for dollars in costs {
        anomaly.observe(key(model), usd(*dollars), &watch());
    }
    anomaly
}

/// One series as it is written down.
fn written(key: u64, samples: u64, mean: f64, variance: f64) -> Vec<u8> {
    let mut bytes = key.to_le_bytes().to_vec();
    bytes.extend(samples.to_le_bytes());
    bytes.extend(mean.to_le_bytes());
    bytes.extend(variance.to_le_bytes());
    bytes
}

fn snapshot(series: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(series.concat());
    bytes
}

#[test]
fn a_snapshot_is_the_same_memory() {
    let costs: Vec<f64> = (0..500).map(|turn| f64::from(turn % 17) / 4.0 + 0.1).collect();
    let anomaly = node("a", &costs);
    let told = anomaly.snapshot();
    let read = Snapshot::decode(&told.encode()).expect("its own bytes");
    assert_eq!(read, told);
    let mut restored = Anomaly::default();
    restored.recall(&read, &watch());
    for dollars in [1.0, 5.0, 100.0] {
        for name in ["a", "b"] {
            let judged = anomaly.judge(key(name), usd(dollars), &watch());
            assert_eq!(judged, restored.judge(key(name), usd(dollars), &watch()));
        }
    }
    assert_eq!(restored.snapshot(), told);
}

#[test]
fn what_was_seen_before_an_earlier_life_was_recalled_stays() {
    let earlier = node("a", &[1.0; 100]).snapshot();
    let mut anomaly = node("a", &[1.0; 3]);
    let learnt = anomaly.learnt();
    anomaly.recall(&earlier, &watch());
    assert!(anomaly.learnt() > learnt, "there is something new to tell");
    let flag = anomaly.judge(key("a"), usd(2.0), &watch()).expect("a flag");
    assert_eq!(flag.samples, 103);
}

#[test]
fn hostile_bytes_are_refused() {
    let good = |samples, mean, variance| snapshot(&[written(5, samples, mean, variance)]);
    assert!(Snapshot::decode(&good(30, 20.0, 1.0)).is_ok());
    assert!(Snapshot::decode(&[1]).expect("nothing seen").is_empty());
    let many: Vec<_> = (0..=SERIES_MAX as u64).map(|key| written(key, 30, 20.0, 1.0)).collect();
    let mut other_version = good(30, 20.0, 1.0);
    other_version[0] = 2;
    for hostile in [
        Vec::new(),
        vec![2],
        other_version,
        good(0, 20.0, 1.0),
        good(30, f64::NAN, 1.0),
        good(30, 1e9, 1.0),
        good(30, 20.0, -1.0),
        good(30, 20.0, f64::INFINITY),
        vec![1; 32],
        snapshot(&many),
        snapshot(&[written(5, 30, 20.0, 1.0), written(5, 30, 20.0, 1.0)]),
    ] {
        assert_eq!(Snapshot::decode(&hostile), Err(SnapshotError));
    }
    assert!(Snapshot::decode(&snapshot(&many[1..])).is_ok());
}

#[test]
fn nodes_pool_what_they_have_seen() {
    // Two nodes of twenty samples know together what neither knows alone.
    let costs = |turn: u32| f64::from(turn % 7) / 3.0 + 0.5;
    let mut nodes = [Anomaly::default(), Anomaly::default()];
    let mut whole = Anomaly::default();
    for turn in 0..40 {
        let cost = usd(costs(turn));
        nodes[turn as usize % 2].observe(key("a"), cost, &watch());
        whole.observe(key("a"), cost, &watch());
    }
    let dear = usd(60.0);
    assert_eq!(nodes[0].judge(key("a"), dear, &watch()), None);
    let other = nodes[1].snapshot();
    for _ in 0..2 {
        // Again and again: the pool is replaced, not added to.
        nodes[0].pool([&other], &watch());
    }
    let pooled = nodes[0].judge(key("a"), dear, &watch()).expect("a flag");
    let alone = whole.judge(key("a"), dear, &watch()).expect("a flag");
    assert_eq!(pooled.samples, alone.samples);
    assert!((pooled.z - alone.z).abs() < 1e-6, "{} {}", pooled.z, alone.z);
    // And one that has never seen the model learns of it, and does not tell it on.
    let mut third = Anomaly::default();
    third.pool([&nodes[0].snapshot(), &other], &watch());
    assert!(third.judge(key("a"), dear, &watch()).is_some());
    assert!(third.snapshot().is_empty(), "what others saw is not told on");
    assert_eq!(third.learnt(), 0);
}

#[test]
fn a_full_table_keeps_what_this_node_has_used() {
    let mut full = Anomaly::default();
    for number in 0..SERIES_MAX {
        full.observe(key(&format!("own-{number}")), usd(1.0), &watch());
    }
    let other = node("theirs", &[1.0; 50]).snapshot();
    let before = full.snapshot();
    full.pool([&other], &watch());
    full.recall(&other, &watch());
    assert_eq!(full.snapshot(), before);
    // What others saw of a name is no use of it here: it makes room first.
    let mut nearly = Anomaly::default();
    nearly.pool([&other], &watch());
    for number in 0..SERIES_MAX {
        nearly.observe(key(&format!("own-{number}")), usd(1.0), &watch());
    }
    assert_eq!(nearly.judge(key("theirs"), usd(100.0), &watch()), None);
}

/// All nodes see the day's total grow: the same minutes, not more of them.
#[test]
fn minutes_of_spending_are_not_counted_once_a_node() {
    let minutes = |count: i64| {
        let mut anomaly = Anomaly::default();
        for quarter in 0..=4 * count {
            let now = Timestamp::from_micros(quarter * 15_000_000);
            let total = Usd::from_nano(quarter * 1_000_000_000);
            anomaly.observe_total(now.utc_day(), total, now, &watch());
        }
        anomaly
    };
    // The next sight of the total: forty dollars in a quarter of a minute.
    let jump = |mut anomaly: Anomaly, count: i64| {
        let now = Timestamp::from_micros((4 * count + 1) * 15_000_000);
        let total = Usd::from_nano((4 * count + 40) * 1_000_000_000);
        anomaly.observe_total(now.utc_day(), total, now, &watch())
    };
    let (mut short, long) = (minutes(20), minutes(40));
    short.pool([&minutes(20).snapshot(), &minutes(20).snapshot()], &watch());
    assert_eq!(jump(short.clone(), 20), None, "twenty minutes, however many nodes saw them");
    short.pool([&long.snapshot()], &watch());
    assert!(jump(short, 20).is_some(), "the longest memory counts");
}

fn seen(samples: &[f64], watch: &Watch) -> Series {
    let mut series = Series::default();
    for sample in samples {
        let before = series;
        series.learn(*sample, &before, watch);
    }
    series
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(1.0)
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Snapshot::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn sane_numbers_come_back(
        series in prop::collection::btree_map(
            any::<u64>(), (1..u64::MAX, -64.0..64.0_f64, 0.0..4096.0_f64), 0..SERIES_MAX,
        ),
    ) {
        let lines: Vec<_> = series
            .iter()
            .map(|(key, (samples, mean, variance))| written(*key, *samples, *mean, *variance))
            .collect();
        let bytes = snapshot(&lines);
        let read = Snapshot::decode(&bytes);
        prop_assert!(read.is_ok());
        prop_assert_eq!(read.map(|read| read.encode()), Ok(bytes));
    }

    /// While nothing is forgotten yet, samples divided among nodes are the samples undivided.
    #[test]
    fn nodes_together_know_what_one_would(
        samples in prop::collection::vec((0.0..30.0_f64, 0..4_usize), 1..50),
    ) {
        // Nothing is cut to the edge of the usual.
        let watch = Watch { samples_min: u64::MAX, ..watch() };
        let all: Vec<f64> = samples.iter().map(|(sample, _)| *sample).collect();
        let whole = seen(&all, &watch);
        let mut pool = Pool::default();
        for node in 0..4 {
            let own: Vec<f64> =
                samples.iter().filter(|(_, at)| *at == node).map(|(sample, _)| *sample).collect();
            pool = pool.merged(&Pool::of(seen(&own, &watch), &watch));
        }
        let far = Watch { samples_min: 0, z: -1e9, ..watch };
        let (one, other) = (whole.judge(40.0, &far), pool.seen().judge(40.0, &far));
        let (one, other) = (one.expect("a flag"), other.expect("a flag"));
        prop_assert_eq!(one.samples, other.samples);
        prop_assert!(close(one.z, other.z), "{} {}", one.z, other.z);
    }

    #[test]
    fn in_which_order_nodes_come_tells_nothing(
        nodes in prop::collection::vec(
            prop::collection::vec(0.0..30.0_f64, 0..120), 1..6,
        ),
    ) {
        let watch = watch();
        let pools: Vec<Pool> =
            nodes.iter().map(|samples| Pool::of(seen(samples, &watch), &watch)).collect();
        let there = pools.iter().fold(Pool::default(), |sum, next| sum.merged(next));
        let back = pools.iter().rev().fold(Pool::default(), |sum, next| sum.merged(next));
        let far = Watch { samples_min: 0, z: -1e9, ..watch };
        let (one, other) = (there.seen().judge(40.0, &far), back.seen().judge(40.0, &far));
        let (one, other) = (one.expect("a flag"), other.expect("a flag"));
        prop_assert_eq!(one.samples, other.samples);
        prop_assert!(close(one.z, other.z), "{} {}", one.z, other.z);
        prop_assert!(one.typical.nano().abs_diff(other.typical.nano()) <= 1_000_000);
    }
}
