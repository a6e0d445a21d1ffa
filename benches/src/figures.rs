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
        let [p999, most] = [0.999, 1.0].map(|at| self.0.value_at_quantile(at));
        eprintln!("{name}: p99.9 {p999} ns, max {most} ns");
        for (word, at) in [("p50", 0.5), ("p99", 0.99)] {
            tell(&format!("{name} {word}"), self.0.value_at_quantile(at) as f64 / 1_000.0)?;
        }
        Ok(())
    }
}

/// Prints a figure in microseconds, and adds it to the run's file where there is one.
pub fn tell(name: &str, us: f64) -> io::Result<()> {
    eprintln!("{name}: {us:.3} µs");
    let Some(path) = std::env::var_os(FILE) else { return Ok(()) };
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{}", serde_json::json!({"name": name, "us": us}))
}
