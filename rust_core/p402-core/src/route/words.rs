//! Decides which words of eight languages speak for a task, and counts them in one pass.
//! Does not weigh them (features.rs): each word may move one type only.

use crate::catalog::Task;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

/// What a word speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Task(Task),
    Hard,
    Easy,
    /// Assent or "go on": no content of its own.
    Assent,
}

/// Counts of a text's words by what they speak for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Hits {
    pub(super) tasks: [f32; 9],
    pub(super) hard: f32,
    pub(super) easy: f32,
    pub(super) assent: u32,
    pub(super) words: u32,
}

/// Distinct signs of one class count up to this: repetition says nothing new.
const CLASS_MAX: f32 = 3.0;
/// Words longer than this are not looked up.
const WORD_MAX: usize = 32;
/// CJK text has no spaces: these are sought as they stand.
const MARKS: &[(&str, Sign)] = &[
    ("写一个函数", Sign::Task(Task::Coding)),
    ("代码", Sign::Task(Task::Coding)),
    ("函数", Sign::Task(Task::Coding)),
    ("程序", Sign::Task(Task::Coding)),
    ("コード", Sign::Task(Task::Coding)),
    ("関数", Sign::Task(Task::Coding)),
    ("证明", Sign::Task(Task::Math)),
    ("計算", Sign::Task(Task::Math)),
    ("计算", Sign::Task(Task::Math)),
    ("方程", Sign::Task(Task::Math)),
    ("翻译", Sign::Task(Task::Instruction)),
    ("翻訳", Sign::Task(Task::Instruction)),
    ("总结", Sign::Task(Task::Summarisation)),
    ("摘要", Sign::Task(Task::Summarisation)),
    ("要約", Sign::Task(Task::Summarisation)),
    ("提取", Sign::Task(Task::Extraction)),
    ("分类", Sign::Task(Task::Extraction)),
    ("抽出", Sign::Task(Task::Extraction)),
    ("诗", Sign::Task(Task::Creative)),
    ("故事", Sign::Task(Task::Creative)),
    ("物語", Sign::Task(Task::Creative)),
    ("小説", Sign::Task(Task::Creative)),
    ("为什么", Sign::Task(Task::Reasoning)),
    ("なぜ", Sign::Task(Task::Reasoning)),
    ("分析", Sign::Task(Task::Reasoning)),
    ("推理", Sign::Task(Task::Reasoning)),
    ("你好", Sign::Task(Task::Chat)),
    ("こんにちは", Sign::Task(Task::Chat)),
    ("继续", Sign::Assent),
    ("好的", Sign::Assent),
    ("続けて", Sign::Assent),
    ("はい", Sign::Assent),
];

/// Words by what they speak for: English, German, French, Spanish, Portuguese, Italian, beside
/// the marks above.
const LEXICON: &[(Sign, &str)] = &[
    (
        Sign::Task(Task::Coding),
        "function code python rust javascript typescript java sql regex bug debug compile \
         refactor algorithm api class method script html css bash docker git unittest async \
         exception stacktrace traceback implement golang kotlin swift c++ endpoint codebase \
         repository funktion fonction función funcion função funzione código codigo codice \
         programm programme leetcode recursion recursive linked",
    ),
    (
        Sign::Task(Task::Math),
        "prove proof theorem integral derivative equation solve calculate compute probability \
         polynomial matrix eigenvalue geometry algebra sum prime modulo fraction percent \
         maths math beweise beweis berechne gleichung calcule équation démontrer calcula \
         ecuación demuestra equação prova calcola equazione arithmetic triangle logarithm",
    ),
    (
        Sign::Task(Task::Reasoning),
        "why reason reasoning logic logically deduce infer puzzle riddle argument analyse \
         analyze evaluate implications hypothesis contradiction tradeoffs trade-offs compare \
         strategy warum analysiere pourquoi analysez porqué analiza analise perché analizza \
         diagnose therefore",
    ),
    (
        Sign::Task(Task::Summarisation),
        "summarize summarise summary tldr tl;dr condense shorten abstract recap digest gist \
         zusammenfassung zusammenfassen fasse résume résumé résumer resume resumir resumen \
         resumo riassumi riassunto takeaways",
    ),
    (
        Sign::Task(Task::Extraction),
        "extract classify categorize categorise label parse entities sentiment fields csv \
         json schema yaml invoice ner tag identify extrahiere klassifiziere extraire classer \
         extrae clasifica extraia classifique estrai classifica",
    ),
    (
        Sign::Task(Task::Creative),
        "poem story haiku lyrics song novel fiction character dialogue creative imagine \
         slogan limerick screenplay sonnet fairy tale gedicht geschichte poème histoire poema \
         cuento história conto poesia racconto roleplay brainstorm",
    ),
    (
        Sign::Task(Task::Instruction),
        "translate translation rewrite rephrase paraphrase proofread format list bullet email \
         letter übersetze übersetzen traduis traduire traduce traducir traduza traduzir \
         traduci exactly must only steps draft respond",
    ),
    (
        Sign::Task(Task::Chat),
        "hi hello hey thanks please you your hallo danke bonjour merci hola gracias olá \
         obrigado ciao grazie recommend opinion favourite favorite think feel",
    ),
    (Sign::Task(Task::Agentic), "agent browse workflow autonomously terminal shell"),
    (
        Sign::Hard,
        "rigorous rigorously complex optimal optimize optimise concurrent distributed derive \
         architecture lock-free invariant asymptotic formal edge constraints multi-step \
         research comprehensive thorough detailed schwierig komplex complexe complejo \
         complexo complesso",
    ),
    (
        Sign::Easy,
        "simple short quick quickly briefly easy basic einfach kurz court facile sencillo \
         corto simples breve",
    ),
    (
        Sign::Assent,
        "yes ok okay sure continue proceed go on ahead yep yeah no right correct again more \
         next done ja weiter nein oui continuez sí si sim continua continúa sì it do that \
         good great fine perfect",
    ),
];

/// The lexicon by word, laid out at first use.
fn sign(word: &str) -> Option<Sign> {
    static TABLE: OnceLock<HashMap<&'static str, Sign, Hashing>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let words = |(sign, words): &'static (Sign, &'static str)| {
            words.split_ascii_whitespace().map(|word| (word, *sign))
        };
        LEXICON.iter().flat_map(words).collect()
    });
    table.get(word).copied()
}

type Hashing = BuildHasherDefault<Fnv>;

/// FNV-1a: the table is fixed, so a chosen word can collide with nothing but itself.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Hits {
    /// Counts the words of a text (raw JSON string bytes or plain).
    pub(super) fn read(text: &str) -> Self {
        let mut hits = Self::default();
        let mut word = [0_u8; WORD_MAX];
        let mut length = 0;
        let mut ascii = true;
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let size = character.len_utf8();
            // An escape inside raw JSON (`\n`, `\"`) is two bytes that belong to no word.
            if character == '\\' {
                hits.word(word.get(..length));
                length = 0;
                let mut escaped = rest.chars();
                escaped.nth(1);
                rest = escaped.as_str();
                continue;
            }
            let inside = character.is_alphanumeric() || matches!(character, '+' | '-' | '_' | ';');
            if inside {
                ascii &= character.is_ascii();
                for lower in character.to_lowercase() {
                    let mut buffer = [0; 4];
                    for byte in lower.encode_utf8(&mut buffer).bytes() {
                        if let Some(cell) = word.get_mut(length) {
                            *cell = byte;
                        }
                        length = length.saturating_add(1);
                    }
                }
            } else {
                hits.word(word.get(..length));
                length = 0;
            }
            rest = rest.get(size..).unwrap_or("");
        }
        hits.word(word.get(..length));
        if !ascii {
            for (mark, sign) in MARKS.iter().filter(|(mark, _)| text.contains(mark)) {
                hits.words += u32::try_from(mark.len() / 6).unwrap_or(1).max(1);
                hits.count(*sign);
            }
        }
        hits
    }

    /// Both texts' hits, each class within its bound.
    pub(super) fn joined(&self, other: &Self) -> Self {
        let mut sum = *self;
        for (cell, more) in sum.tasks.iter_mut().zip(other.tasks) {
            *cell = (*cell + more).min(CLASS_MAX);
        }
        sum.hard = (sum.hard + other.hard).min(CLASS_MAX);
        sum.easy = (sum.easy + other.easy).min(CLASS_MAX);
        sum.assent += other.assent;
        sum.words += other.words;
        sum
    }

    /// A few words, none of which has content of its own.
    pub(super) fn says_nothing(&self) -> bool {
        let content = self.tasks.iter().sum::<f32>() + self.hard + self.easy;
        self.words <= self.assent + 1 && self.words <= 5 && content < 0.5
    }

    /// A whole word; one that did not fit is `None` and counts as a word only.
    fn word(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.words += 1;
            return;
        };
        if bytes.is_empty() {
            return;
        }
        self.words += 1;
        if let Some(sign) = std::str::from_utf8(bytes).ok().and_then(sign) {
            self.count(sign);
        }
    }

    fn count(&mut self, sign: Sign) {
        match sign {
            Sign::Task(task) => {
                if let Some(cell) = self.tasks.get_mut(task as usize) {
                    *cell = (*cell + 1.0).min(CLASS_MAX);
                }
            }
            Sign::Hard => self.hard = (self.hard + 1.0).min(CLASS_MAX),
            Sign::Easy => self.easy = (self.easy + 1.0).min(CLASS_MAX),
            Sign::Assent => self.assent += 1,
        }
    }
}
