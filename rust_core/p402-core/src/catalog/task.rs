//! Decides the two scales every table shares: nine task types and seven reasoning efforts.
//! Does not say how good a model is at them (types.rs, load.rs).

/// The nine task types, in the column order of every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Task {
    Reasoning,
    Coding,
    Agentic,
    Math,
    Extraction,
    Summarisation,
    Creative,
    Chat,
    Instruction,
}

/// How hard a reasoning model is asked to think; ordered from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Effort {
    /// No thinking (`none`, or a toggle switched off).
    None,
    Minimal,
    Low,
    Medium,
    High,
    /// `xhigh` and `max`.
    Max,
    /// The provider's own default: nothing is sent.
    Default,
}

impl Task {
    pub const ALL: [Self; 9] = [
        Self::Reasoning,
        Self::Coding,
        Self::Agentic,
        Self::Math,
        Self::Extraction,
        Self::Summarisation,
        Self::Creative,
        Self::Chat,
        Self::Instruction,
    ];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning",
            Self::Coding => "coding",
            Self::Agentic => "agentic",
            Self::Math => "math",
            Self::Extraction => "extraction",
            Self::Summarisation => "summarisation",
            Self::Creative => "creative",
            Self::Chat => "chat",
            Self::Instruction => "instruction",
        }
    }
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }
}

impl Effort {
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Max, Self::Default];
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "max",
            Self::Default => "default",
        }
    }
    /// What thinking adds to the first answer token (catalog.md § 8), ms.
    pub const fn thinking_ms(self) -> u32 {
        match self {
            Self::None | Self::Minimal | Self::Default => 0,
            Self::Low => 2_000,
            Self::Medium => 8_000,
            Self::High => 20_000,
            Self::Max => 60_000,
        }
    }
    /// Reads an effort word; `xhigh` is `Max`.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "xhigh" {
            return Some(Self::Max);
        }
        Self::ALL.into_iter().find(|effort| effort.name() == name)
    }
}
