//! Decides which answers may be stored and for how long, and which requests are looked up at all.
//! Does not decide who may be served what (key.rs) or what makes room (shelf.rs).

use crate::text::words;

/// Raised when a rule of this file changes.
pub const VERSION: u32 = 1;

/// The cosine from which a candidate is looked at, for the shipped encoder. Necessary, never
/// sufficient: what is as near and means something else is the vetoes' business.
pub const THRESHOLD: f32 = 0.92;
/// Longer answers are not kept.
pub const ANSWER_BYTES_MAX: usize = 256 * 1_024;
pub const TTL_DEFAULT_S: u64 = 24 * 3_600;
/// What says "now" ages fast.
pub const TTL_VOLATILE_S: u64 = 300;
/// Tenths; above, an answer is one of many.
pub const TEMPERATURE_TENTHS_MAX: u16 = 10;

/// Words of relative time: English, German, French, Spanish, Portuguese, Italian; below, Chinese
/// and Japanese, which have no blanks.
const VOLATILE: &str = "\
today tonight yesterday tomorrow now current currently latest newest recent recently live nowadays \
heute gestern morgen jetzt aktuell aktuelle aktuellen neueste neuesten derzeit \
aujourd'hui hier demain maintenant actuel actuelle dernier dernière dernières récent \
hoy ayer mañana ahora actual último última últimas reciente \
hoje ontem amanhã agora atual recente \
oggi ieri domani adesso ora attuale ultimo ultime recente";
const VOLATILE_MARKS: &[&str] =
    &["今天", "昨天", "明天", "现在", "最新", "目前", "今日", "昨日", "明日", "現在", "最近"];
/// `this week`, `next year` …
const PERIODS: &[&str] = &["week", "month", "year", "morning", "evening", "weekend", "season"];

/// What an answer was like, as far as storing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, none a state")]
pub struct Answer<'a> {
    pub finish_reason: &'a str,
    pub text_bytes: usize,
    pub choices: u32,
    pub tool_calls: bool,
    pub refused: bool,
    /// It carries more than a replay could: pictures, sources, probabilities.
    pub extras: bool,
    /// The stream ended with its own end, the reply with its last byte.
    pub complete: bool,
    /// Counts that cannot be, a canary, a shadow.
    pub implausible: bool,
}

/// Why an answer is not stored; the name is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    Finish,
    ToolCall,
    Refusal,
    Choices,
    Empty,
    Long,
    Cut,
    Implausible,
    Extras,
    /// Its key has stored enough this hour, its tenant's part is full, or the queue is.
    Quota,
    /// The answers' home does not take it.
    Store,
}

impl Unstored {
    /// In the order of the counters.
    pub const ALL: [Self; 11] = [
        Self::Finish,
        Self::ToolCall,
        Self::Refusal,
        Self::Choices,
        Self::Empty,
        Self::Long,
        Self::Cut,
        Self::Implausible,
        Self::Extras,
        Self::Quota,
        Self::Store,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::ToolCall => "tool_call",
            Self::Refusal => "refusal",
            Self::Choices => "choices",
            Self::Empty => "empty",
            Self::Long => "long",
            Self::Cut => "cut",
            Self::Implausible => "implausible",
            Self::Extras => "extras",
            Self::Quota => "quota",
            Self::Store => "store",
        }
    }
}

/// Whether an answer may be stored.
///
/// # Errors
/// The first reason why not.
pub fn storable(answer: &Answer<'_>) -> Result<(), Unstored> {
    let rules = [
        (answer.complete, Unstored::Cut),
        (!answer.tool_calls, Unstored::ToolCall),
        (!answer.refused, Unstored::Refusal),
        (!answer.extras, Unstored::Extras),
        (answer.choices == 1, Unstored::Choices),
        (answer.finish_reason == "stop", Unstored::Finish),
        (answer.text_bytes > 0, Unstored::Empty),
        (answer.text_bytes <= ANSWER_BYTES_MAX, Unstored::Long),
        (!answer.implausible, Unstored::Implausible),
    ];
    rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, reason)| Err(reason))
}

/// Whether a request of this temperature is looked up and stored.
pub const fn deterministic_enough(temperature_tenths: Option<u16>, max_tenths: u16) -> bool {
    match temperature_tenths {
        Some(tenths) => tenths <= max_tenths,
        None => true,
    }
}

/// How long an answer to this question lives: the wish, never above the tenant's bound.
pub fn ttl_s(question: &str, wished_s: Option<u64>, max_s: u64) -> u64 {
    let ttl = wished_s.unwrap_or(TTL_DEFAULT_S).min(max_s);
    if is_volatile(question) { ttl.min(TTL_VOLATILE_S) } else { ttl }
}

/// The question speaks of its own moment.
fn is_volatile(question: &str) -> bool {
    if VOLATILE_MARKS.iter().any(|mark| question.contains(mark)) {
        return true;
    }
    let words = words::split(question);
    let said = |at: usize| words.get(at).map_or("", |word| &*word.folded);
    (0..words.len()).any(|at| {
        let period = PERIODS.contains(&said(at + 1));
        let relative = matches!(said(at), "this" | "next" | "last") && period;
        relative || VOLATILE.split_whitespace().any(|word| word == said(at))
    })
}
