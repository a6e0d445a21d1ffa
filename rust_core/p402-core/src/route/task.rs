//! Decides the mix of task types and the difficulty of a prompt, without a model call.
//! Does not read prompts itself (features.rs) and does not choose a model.

use super::features::Features;
use super::session::Turn;
use super::types::{Ask, Typing, TypingSource};
use crate::catalog::Task;

/// Shares below this are noise: they cost time and change nothing.
const SHARE_MIN: f32 = 0.03;
/// Mass that the nine types start with before any evidence, chat and instruction first.
const BASE: [f32; 9] = [0.5, 0.5, 0.15, 0.35, 0.45, 0.4, 0.45, 1.0, 0.9];
const AGENTIC_MIN: f32 = 0.8;
const EXTRACTION_MIN: f32 = 0.5;

/// Reads a request: its own word first, then its session, then its structure and words.
pub(super) fn read(ask: &Ask<'_>, default: Option<Task>, turn: Option<&Turn>) -> Typing {
    let features = Features::read(ask);
    let difficulty = features.difficulty();
    if let Some(task) = ask.options.task {
        return only(task, difficulty);
    }
    // "yes", "continue" and tool output say nothing: they mean what the last turn meant.
    if let Some(turn) = turn.filter(|_| features.contentless) {
        return Typing {
            probabilities: turn.probabilities,
            difficulty: turn.difficulty,
            source: TypingSource::Session,
        };
    }
    let mut mass = BASE;
    for (cell, score) in mass.iter_mut().zip(features.scores) {
        *cell *= score.clamp(-5.0, 5.0).exp();
    }
    if let Some(task) = default.filter(|_| features.silent()) {
        return only(task, difficulty);
    }
    let mut probabilities = shares(mass);
    if ask.scan.in_tool_loop {
        at_least(&mut probabilities, Task::Agentic, AGENTIC_MIN);
    } else if features.schema_without_tools {
        at_least(&mut probabilities, Task::Extraction, EXTRACTION_MIN);
    }
    let probabilities = shares(probabilities.map(|p| if p < SHARE_MIN { 0.0 } else { p }));
    Typing { probabilities, difficulty, source: TypingSource::Structure }
}

fn only(task: Task, difficulty: f32) -> Typing {
    let mut probabilities = [0.0; 9];
    if let Some(cell) = probabilities.get_mut(task as usize) {
        *cell = 1.0;
    }
    Typing { probabilities, difficulty, source: TypingSource::Field }
}

fn shares(mass: [f32; 9]) -> [f32; 9] {
    let total: f32 = mass.iter().sum();
    if total > 0.0 { mass.map(|cell| cell / total) } else { [1.0 / 9.0; 9] }
}

/// Raises one type to a share, the others giving way in proportion.
fn at_least(probabilities: &mut [f32; 9], task: Task, share: f32) {
    let own = probabilities.get(task as usize).copied().unwrap_or_default();
    if own >= share {
        return;
    }
    let rest = (1.0 - share) / (1.0 - own).max(f32::EPSILON);
    for (at, cell) in probabilities.iter_mut().enumerate() {
        *cell = if at == task as usize { share } else { *cell * rest };
    }
}
