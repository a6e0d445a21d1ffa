//! Writes metrics in Prometheus' text format, version 0.0.4.
//! Does not know what is counted.

use crate::histogram::Histogram;
use std::fmt::{Display, Write};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A label's name and value.
pub type Label<'a> = (&'static str, &'a str);

/// The text, metric by metric.
#[derive(Debug, Default)]
pub struct Exposition {
    out: String,
}

impl Exposition {
    /// Begins a metric: its samples follow at once, and it is begun once.
    pub fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing into a String cannot fail, here and below.
        writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
    }

    pub fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.out.push_str(name);
        self.labels(labels, None);
        writeln!(self.out, " {value}").unwrap_or_default();
    }

    /// A metric with one sample and no label.
    pub fn single(&mut self, (name, kind, help): (&str, Kind, &str), value: impl Display) {
        self.begin(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram, in seconds.
    pub fn histogram(&mut self, name: &str, labels: &[Label<'_>], told: &Histogram) {
        let counts = told.cumulative();
        let bounds = told.bounds.iter().map(|micros| (*micros as f64 / 1e6).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&counts) {
            write!(self.out, "{name}_bucket").unwrap_or_default();
            self.labels(labels, Some(&bound));
            writeln!(self.out, " {count}").unwrap_or_default();
        }
        write!(self.out, "{name}_sum").unwrap_or_default();
        self.labels(labels, None);
        writeln!(self.out, " {}", told.sum().as_secs_f64()).unwrap_or_default();
        write!(self.out, "{name}_count").unwrap_or_default();
        self.labels(labels, None);
        writeln!(self.out, " {}", counts.last().copied().unwrap_or_default()).unwrap_or_default();
    }

    pub fn text(self) -> String {
        self.out
    }

    fn labels(&mut self, labels: &[Label<'_>], bound: Option<&str>) {
        let bound = bound.map(|bound| ("le", bound));
        let mut open = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            write!(self.out, "{open}{name}=\"").unwrap_or_default();
            for letter in value.chars() {
                match letter {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
    }
}
