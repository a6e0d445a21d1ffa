//! Decides the shipped expectations: error of a score, gap of an effort, length, thinking time.
//! Does not hold prices or scores (catalog) and learns nothing.

use crate::catalog::{Capability, CapabilityEffort, Effort, Task};

pub(super) const TASKS: usize = Task::ALL.len();

/// Mean error where a task's score is imputed (catalog.md § 7), by task.
const ERROR: [f32; TASKS] = [5.5, 5.5, 8.3, 5.7, 6.8, 10.5, 11.7, 5.2, 10.7];
/// Median gap to high effort, by task (data README, n = 8–11).
const GAP_NONE: [f32; TASKS] = [-38.0, 2.0, -8.0, -35.0, -17.0, -32.0, -38.0, -26.0, -37.0];
const GAP_LOW: [f32; TASKS] = [-13.0, -3.0, -12.0, -14.0, -10.0, -16.0, -14.0, -10.0, -15.0];
const GAP_MEDIUM: [f32; TASKS] = [-5.0, -1.0, -2.0, -7.0, -4.0, -6.0, -7.0, -3.0, -7.0];
/// Confidence left where an effort was not measured itself.
const IMPUTED_CONF: f32 = 0.8;
/// Points that thinking is worth at least, over all tasks.
const REST_POINTS: f32 = 8.0;
/// Expected visible output tokens: P402's own orders of magnitude.
const VISIBLE: [f32; TASKS] = [900.0, 700.0, 350.0, 700.0, 200.0, 300.0, 800.0, 300.0, 350.0];

/// Scores and confidence of one arm, already lowered by the error of what was not measured.
pub(super) type Row = [f32; TASKS];

/// Expected visible output of a mix of tasks.
pub(super) fn visible(probabilities: &[f32; TASKS]) -> f32 {
    VISIBLE.iter().zip(probabilities).map(|(tokens, p)| tokens * p).sum()
}

/// What thinking multiplies the visible output by; `Default` is a thinking model left alone.
pub(super) const fn output_factor(level: Effort) -> f32 {
    match level {
        Effort::None | Effort::Minimal => 1.0,
        Effort::Low => 2.0,
        Effort::Medium | Effort::Default => 4.0,
        Effort::High => 8.0,
        Effort::Max => 16.0,
    }
}

/// Milliseconds that thinking adds before the first answer token.
pub(super) const fn thinking_ms(level: Effort) -> u32 {
    match level {
        Effort::None | Effort::Minimal => 0,
        Effort::Low => 2_000,
        Effort::Medium | Effort::Default => 8_000,
        Effort::High => 20_000,
        Effort::Max => 60_000,
    }
}

fn gap(level: Effort, task: usize) -> f32 {
    let table = match level {
        Effort::None | Effort::Minimal => &GAP_NONE,
        Effort::Low => &GAP_LOW,
        Effort::Medium => &GAP_MEDIUM,
        Effort::High | Effort::Max | Effort::Default => return 0.0,
    };
    table.get(task).copied().unwrap_or_default()
}

/// `score − (1 − conf) · error`, kept in 0–100; a task without evidence counts as zero.
fn lowered(score: f32, conf: f32, task: usize) -> f32 {
    let error = ERROR.get(task).copied().unwrap_or_default();
    if conf <= 0.0 { 0.0 } else { (score - (1.0 - conf) * error).clamp(0.0, 100.0) }
}

/// The rows of one model, asked for an effort.
pub(super) struct Evidence<'a> {
    rows: Vec<&'a Capability>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(rows: Vec<&'a Capability>) -> Self {
        Self { rows }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn at(&self, effort: CapabilityEffort) -> Option<&'a Capability> {
        self.rows.iter().copied().find(|row| row.effort == effort)
    }

    /// Mean confidence of the strongest row: what "measured" is judged by.
    pub(super) fn confidence(&self) -> f32 {
        let best = self.at(CapabilityEffort::Best).or_else(|| self.rows.first().copied());
        best.map_or(0.0, |row| row.conf.iter().sum::<f32>() / TASKS as f32)
    }

    /// The row of this effort, else the best row moved by the effort's median gap: the score is
    /// clamped to the measured best first, then lowered by its error.
    pub(super) fn lower(&self, level: Effort) -> Row {
        let mut lower = [0.0; TASKS];
        let measured = self.at(CapabilityEffort::At(level));
        let best = self.at(CapabilityEffort::Best).or_else(|| self.rows.first().copied());
        let Some(row) = measured.or(best) else { return lower };
        let facts = row.scores.iter().zip(&row.conf);
        for (task, (cell, (score, conf))) in lower.iter_mut().zip(facts).enumerate() {
            *cell = if measured.is_some() {
                lowered(*score, *conf, task)
            } else {
                let moved = (score + gap(level, task)).clamp(0.0, *score);
                lowered(moved, conf * IMPUTED_CONF, task)
            };
        }
        lower
    }

    /// The model left alone was measured, and far under its best: it does not think unasked.
    pub(super) fn rests_by_default(&self) -> Option<bool> {
        let own = self.at(CapabilityEffort::At(Effort::Default))?;
        let best = self.at(CapabilityEffort::Best)?;
        let mean = |row: &Capability| row.scores.iter().sum::<f32>() / TASKS as f32;
        Some(mean(best) - mean(own) > REST_POINTS)
    }

    /// The row of a model that does not think: `none` where measured, else `best` as it stands.
    pub(super) fn plain(&self) -> Row {
        let row = self
            .at(CapabilityEffort::At(Effort::None))
            .or_else(|| self.at(CapabilityEffort::Best))
            .or_else(|| self.rows.first().copied());
        let Some(row) = row else { return [0.0; TASKS] };
        let mut lower = [0.0; TASKS];
        let facts = row.scores.iter().zip(&row.conf);
        for (task, (cell, (score, conf))) in lower.iter_mut().zip(facts).enumerate() {
            *cell = lowered(*score, *conf, task);
        }
        lower
    }
}

/// `lower` of the measured best rows, sorted: where a score stands in the shipped table.
#[derive(Clone, Debug, Default)]
pub(super) struct Quantiles([Vec<f32>; TASKS]);

impl Quantiles {
    pub(super) fn build(capabilities: &[Capability]) -> Self {
        let mut columns: [Vec<f32>; TASKS] = Default::default();
        for row in capabilities.iter().filter(|row| row.effort == CapabilityEffort::Best) {
            let facts = row.scores.iter().zip(&row.conf);
            for (task, (column, (score, conf))) in columns.iter_mut().zip(facts).enumerate() {
                if *conf > 0.0 {
                    column.push(lowered(*score, *conf, task));
                }
            }
        }
        for column in &mut columns {
            column.sort_by(f32::total_cmp);
        }
        Self(columns)
    }

    /// The `share`-quantile of a mix of tasks, linear between rows.
    pub(super) fn at(&self, share: f32, probabilities: &[f32; TASKS]) -> f32 {
        let cell = |column: &Vec<f32>| {
            let place = share.clamp(0.0, 1.0) * column.len().saturating_sub(1) as f32;
            let (below, part) = (place.floor(), place - place.floor());
            let low = column.get(below as usize).copied().unwrap_or_default();
            let high = column.get(below as usize + 1).copied().unwrap_or(low);
            low + (high - low) * part
        };
        let mixed = self.0.iter().zip(probabilities).filter(|(_, p)| **p > 0.0);
        mixed.map(|(column, p)| cell(column) * p).sum()
    }
}
