//! Decides how a kernel tells figures that criterion has no word for: percentiles, a server's CPU.
//! Deliberately one line of JSON a figure, where `python -m benches.run` asks for it.

use hdrhistogram::Histogram;
use std::fs::OpenOptions;
use std::io::{self, Write};

/// The file that figures are added to.
const FILE: &str = "P402_FIGURES";

/// Prints a figure in microseconds, and adds it to the run's file where there is one.
pub fn tell(name: &str, us: f64) -> io::Result<()> {
    eprintln!("{name}: {us:.3} µs");
    let Some(path) = std::env::var_os(FILE) else { return Ok(()) };
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{}", serde_json::json!({"name": name, "us": us}))
}

/// Prints a spread of nanoseconds; its median and 99th percentile are figures.
pub fn spread(name: &str, spread: &Histogram<u64>) -> io::Result<()> {
    let [p999, most] = [0.999, 1.0].map(|at| spread.value_at_quantile(at));
    eprintln!("{name}: p99.9 {p999} ns, max {most} ns");
    for (word, at) in [("p50", 0.5), ("p99", 0.99)] {
        tell(&format!("{name} {word}"), spread.value_at_quantile(at) as f64 / 1_000.0)?;
    }
    Ok(())
}
