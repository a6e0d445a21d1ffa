//! Decides what the structure and the words of a prompt say about its task and difficulty.
//! Does not weigh them against each other (task.rs) and keeps no text.

use super::types::Ask;
use super::words::Hits;
use crate::catalog::Task;
use crate::envelope::{ResponseFormat, Role, ToolChoice};

/// Bytes of user text that are read: the beginning says what is wanted, so does the end.
const HEAD_MAX: usize = 1_500;
const TAIL_MAX: usize = 500;
/// Weights of the last three user messages, latest first.
const WEIGHTS: [f32; 3] = [1.0, 0.5, 0.25];
/// No single class of evidence moves a task further than this, in natural-log units.
const EVIDENCE_MAX: f32 = 3.0;
/// What the first word of a class weighs, and each further one up to the class's bound.
const WORD: f32 = 1.6;
const WORD_MORE: f32 = 0.5;

/// Densities of one text, per thousand bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    digits: f32,
    operators: f32,
    brackets: f32,
    fences: f32,
    latex: f32,
    questions: f32,
    list_items: f32,
}

/// What a request shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    /// Evidence by task, in natural-log units.
    pub(super) scores: [f32; 9],
    /// The last message says nothing of its own.
    pub(super) contentless: bool,
    pub(super) schema_without_tools: bool,
    user_bytes: u32,
    hard: f32,
    easy: f32,
    symbols: f32,
    list_items: f32,
    messages: u32,
    schema: bool,
}

impl Features {
    pub(super) fn read(ask: &Ask<'_>) -> Self {
        let scan = ask.scan;
        let mut features = Self {
            schema_without_tools: scan.tools == 0
                && scan.response_format == ResponseFormat::JsonSchema,
            schema: scan.response_format != ResponseFormat::Absent,
            messages: scan.messages,
            contentless: matches!(scan.last_role, Role::Tool | Role::Function),
            ..Self::default()
        };
        for (at, (span, weight)) in scan.user_texts.iter().zip(WEIGHTS).enumerate() {
            let raw = span.of(ask.body);
            let (head, tail) = ends(raw);
            let mut hits = Hits::read(head);
            if !tail.is_empty() {
                hits = hits.joined(&Hits::read(tail));
            }
            let text = Text::read(head.as_bytes(), tail.as_bytes());
            features.weigh(&hits, &text, weight);
            if at == 0 {
                features.user_bytes = u32::try_from(raw.len()).unwrap_or(u32::MAX);
                features.contentless |= hits.says_nothing() && scan.user_turns > 1;
                features.symbols = text.brackets + text.operators;
                features.list_items = text.list_items;
            }
        }
        features.structure(ask);
        features
    }

    fn add(&mut self, task: Task, evidence: f32) {
        if let Some(cell) = self.scores.get_mut(task as usize) {
            *cell += evidence.clamp(-EVIDENCE_MAX, EVIDENCE_MAX);
        }
    }

    /// Words and densities of one message.
    fn weigh(&mut self, hits: &Hits, text: &Text, weight: f32) {
        for (task, count) in Task::ALL.into_iter().zip(hits.tasks) {
            self.add(task, words(task, count) * weight);
        }
        self.hard += hits.hard * weight;
        self.easy += hits.easy * weight;
        self.add(
            Task::Coding,
            weight * (2.0 * text.fences.min(1.0) + (text.brackets / 25.0).min(1.5)),
        );
        let formula = text.latex + text.operators * f32::from(u8::from(text.digits > 8.0)) / 6.0;
        self.add(Task::Math, weight * formula.min(2.0));
        self.add(Task::Chat, weight * 0.2 * text.questions.min(2.0));
        self.add(Task::Instruction, weight * 0.1 * text.list_items.min(5.0));
    }

    /// What the request is made of, whatever its language.
    fn structure(&mut self, ask: &Ask<'_>) {
        let scan = ask.scan;
        if scan.tools > 0 {
            let forced = matches!(scan.tool_choice, ToolChoice::Required | ToolChoice::Function);
            self.add(Task::Agentic, if forced { 2.5 } else { 1.8 });
        }
        self.add(Task::Agentic, 0.5 * scan.tool_turns.min(4) as f32);
        match scan.response_format {
            ResponseFormat::JsonSchema => self.add(Task::Extraction, 2.0),
            ResponseFormat::JsonObject => self.add(Task::Extraction, 1.2),
            ResponseFormat::Absent | ResponseFormat::Text => {}
        }
        if scan.temperature_tenths == Some(0) {
            self.add(Task::Extraction, 0.3);
        } else if scan.temperature_tenths.is_some_and(|tenths| tenths >= 9) {
            self.add(Task::Creative, 0.3);
        }
        if scan.parts.images > 0 || scan.parts.files > 0 {
            self.add(Task::Extraction, 0.5);
        }
        if self.user_bytes > 6_000 {
            self.add(Task::Summarisation, 0.8);
            self.add(Task::Extraction, 0.4);
        } else if self.user_bytes < 60 && scan.tools == 0 {
            self.add(Task::Chat, 0.5);
        }
        if let Some(system) = scan.system {
            let (head, tail) = ends(system.of(ask.body));
            let hits = Hits::read(head).joined(&Hits::read(tail));
            for (task, count) in Task::ALL.into_iter().zip(hits.tasks) {
                self.add(task, 0.4 * words(task, count));
            }
        }
    }

    /// Nothing speaks for any task.
    pub(super) fn silent(&self) -> bool {
        self.scores.iter().all(|score| score.abs() < 0.6)
    }

    /// 0 easy – 1 hard. It moves a floor, never the order.
    pub(super) fn difficulty(&self) -> f32 {
        let length = (self.user_bytes.max(1) as f32).ln() - 4.5;
        let sum = 0.04 * length.clamp(-2.0, 4.0) + 0.14 * self.hard.min(3.0)
            - 0.14 * self.easy.min(2.0)
            + 0.02 * self.symbols.min(10.0) / 2.0
            + 0.03 * self.list_items.min(4.0)
            + 0.02 * (self.messages.min(20) as f32 / 2.0)
            + if self.schema { 0.05 } else { 0.0 };
        (0.1 + sum).clamp(0.0, 1.0)
    }
}

impl Text {
    fn read(head: &[u8], tail: &[u8]) -> Self {
        let mut counts = [0_u32; KINDS];
        let mut last = 0_u8;
        for byte in head.iter().chain(tail).copied() {
            let mut kind = KIND.get(usize::from(byte)).copied().unwrap_or(0);
            if kind == LIST_MARK && last == b'n' {
                kind = LIST_ITEM;
            } else if kind == BACKSLASH && last != b'\\' {
                kind = 0;
            }
            if let Some(count) = counts.get_mut(usize::from(kind)) {
                *count += 1;
            }
            last = byte;
        }
        let count = |kind: u8| counts.get(usize::from(kind)).copied().unwrap_or_default() as f32;
        let per = 1_000.0 / (head.len() + tail.len()).max(200) as f32;
        Self {
            digits: count(DIGIT) * per,
            operators: (count(OPERATOR) + count(LIST_MARK)) * per,
            brackets: count(BRACKET) * per,
            fences: (count(BACKTICK) / 3.0).floor(),
            latex: 0.3 * count(BACKSLASH) + 0.2 * count(DOLLAR),
            questions: count(QUESTION),
            list_items: count(LIST_ITEM),
        }
    }
}

const KINDS: usize = 16;
const DIGIT: u8 = 1;
const OPERATOR: u8 = 2;
const BRACKET: u8 = 3;
const QUESTION: u8 = 4;
const BACKTICK: u8 = 5;
/// `\\` in raw JSON is one backslash of the text: LaTeX's own mark.
const BACKSLASH: u8 = 6;
const DOLLAR: u8 = 7;
const LIST_MARK: u8 = 8;
/// A list mark after the `n` of an escaped line end.
const LIST_ITEM: u8 = 9;

/// The kind of each byte.
const KIND: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'+' | b'=' | b'<' | b'>' | b'^' | b'/' => OPERATOR,
            b'(' | b')' | b'{' | b'}' | b'[' | b']' | b';' => BRACKET,
            b'?' => QUESTION,
            b'`' => BACKTICK,
            b'\\' => BACKSLASH,
            b'$' => DOLLAR,
            b'-' | b'*' => LIST_MARK,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// What so many words of a class say.
fn words(task: Task, count: f32) -> f32 {
    if count < 1.0 {
        return 0.0;
    }
    // Words of politeness, of form and of asking stand in every kind of prompt.
    let part = match task {
        Task::Chat => 0.4,
        Task::Instruction => 0.7,
        Task::Reasoning => 0.6,
        _ => 1.0,
    };
    (WORD + WORD_MORE * (count - 1.0)) * part
}

/// The beginning and the end of a raw value, cut at character borders.
fn ends(raw: &[u8]) -> (&str, &str) {
    let text = std::str::from_utf8(raw).unwrap_or_default();
    if text.len() <= HEAD_MAX + TAIL_MAX {
        return (text, "");
    }
    let head = text.floor_char_boundary(HEAD_MAX);
    let tail = text.ceil_char_boundary(text.len() - TAIL_MAX);
    text.split_at_checked(head)
        .map_or((text, ""), |(head, _)| (head, text.get(tail..).unwrap_or("")))
}
