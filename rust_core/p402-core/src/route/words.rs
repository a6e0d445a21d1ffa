//! Decides which words of eight languages speak for a task, and counts them in one pass.
//! Does not weigh them (features.rs): each word may move one type only.

use crate::catalog::Task;
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
         repository goroutine deadlock mutex thread threads race segfault pointer compiler \
         pytest npm kubernetes dockerfile query database backend frontend funktion fonction \
         función funcion função funzione código codigo codice \
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

/// Slots of the lexicon: a power of two well above its words.
const SLOTS: usize = 2_048;
/// FNV-1a, fed byte by byte as a word is read.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_TIMES: u64 = 0x0100_0000_01b3;

/// The lexicon by the hash of its words: open addressing, laid out at first use.
struct Lexicon(Vec<(u64, Option<Sign>)>);

impl Lexicon {
    fn new() -> Self {
        let mut slots = vec![(0, None); SLOTS];
        for (sign, words) in LEXICON {
            for word in words.split_ascii_whitespace() {
                let hash = word.bytes().fold(FNV_START, step);
                let mut at = slot(hash);
                while slots.get(at).is_some_and(|(_, taken)| taken.is_some()) {
                    at = (at + 1) % SLOTS;
                }
                if let Some(cell) = slots.get_mut(at) {
                    *cell = (hash, Some(*sign));
                }
            }
        }
        Self(slots)
    }

    fn get(&self, hash: u64) -> Option<Sign> {
        let mut at = slot(hash);
        loop {
            match self.0.get(at) {
                Some((known, Some(sign))) if *known == hash => return Some(*sign),
                Some((_, Some(_))) => at = (at + 1) % SLOTS,
                _ => return None,
            }
        }
    }
}

const fn slot(hash: u64) -> usize {
    ((hash ^ (hash >> 32)) % SLOTS as u64) as usize
}

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(FNV_TIMES)
}

/// Lower case of an ASCII byte that belongs to a word, zero for one that does not.
const INSIDE: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        let here = byte as u8;
        if here.is_ascii_alphanumeric() || matches!(here, b'+' | b'-' | b'_' | b';') {
            table[byte] = here.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

impl Hits {
    /// Counts the words of a text (raw JSON string bytes or plain).
    pub(super) fn read(text: &str) -> Self {
        static WORDS: OnceLock<Lexicon> = OnceLock::new();
        let lexicon = WORDS.get_or_init(Lexicon::new);
        let mut hits = Self::default();
        let mut ascii = true;
        let mut hash = FNV_START;
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            if let Some(lower) = INSIDE.get(usize::from(*byte)) {
                rest = after;
                if *lower > 0 {
                    hash = step(hash, *lower);
                    continue;
                }
                // An escape inside raw JSON (`\n`, `\"`) is two bytes that belong to no word.
                if *byte == b'\\' {
                    rest = after.split_first().map_or(after, |(_, after)| after);
                }
                hits.word(lexicon, &mut hash);
                continue;
            }
            ascii = false;
            let at = text.len() - rest.len();
            let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                rest = after;
                continue;
            };
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
            if character.is_alphanumeric() {
                for lower in character.to_lowercase() {
                    let mut buffer = [0; 4];
                    hash = lower.encode_utf8(&mut buffer).bytes().fold(hash, step);
                }
            } else {
                hits.word(lexicon, &mut hash);
            }
        }
        hits.word(lexicon, &mut hash);
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

    /// A word has ended, if one was open.
    fn word(&mut self, lexicon: &Lexicon, hash: &mut u64) {
        if *hash == FNV_START {
            return;
        }
        self.words += 1;
        if let Some(sign) = lexicon.get(*hash) {
            self.count(sign);
        }
        *hash = FNV_START;
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
