//! Decides how a kernel tells figures that criterion has no word for: percentiles, a server's CPU.
//! Deliberately one line of JSON a figure, where `python -m benches.run` asks for it.

use hdrhistogram::{CreationError, Histogram};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::Duration;

/// The file that figures are added to.
const FILE: &str = "P402_FIGURES";

/// No single step is slower than a minute.
const SLOWEST_NS: u64 = 60_000_000_000;

/// Takes durations. One that grows by itself would cut off, not grow, at `saturating_record`.
pub fn durations() -> Result<Durations, CreationError> {
    Histogram::new_with_bounds(1, SLOWEST_NS, 3).map(Durations)
}

/// A spread of nanoseconds.
#[derive(Debug)]
pub struct Durations(Histogram<u64>);

impl Durations {
    pub fn add(&mut self, spent: Duration) {
        self.0.saturating_record(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Prints the spread; its median and 99th percentile are figures.
    pub fn tell(&self, name: &str) -> io::Result<()> {
        let of = |at| self.0.value_at_quantile(at);
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(of);
        eprintln!("{name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, max {most} ns");
        note(&format!("{name} p50"), p50 as f64 / 1_000.0)?;
        note(&format!("{name} p99"), p99 as f64 / 1_000.0)
    }
}

/// Prints a figure in microseconds, and adds it to the run's file where there is one.
pub fn tell(name: &str, us: f64) -> io::Result<()> {
    eprintln!("{name}: {us:.3} µs");
    note(name, us)
}

fn note(name: &str, us: f64) -> io::Result<()> {
    let Some(path) = std::env::var_os(FILE) else { return Ok(()) };
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{}", serde_json::json!({"name": name, "us": us}))
}
