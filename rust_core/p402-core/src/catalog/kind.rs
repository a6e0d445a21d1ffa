//! Decides which kinds of models there are beside those that chat.
//! Does not price: what is not counted in tokens is counted in output, a token for each unit.

/// What an offer does, and so by which doors it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfferKind {
    #[default]
    Chat,
    /// Goes on with a text.
    Completion,
    Embedding,
    /// Its unit is one request.
    Moderation,
    /// Its unit is one picture.
    Image,
    /// Its unit is one character read aloud.
    Speech,
    /// Its unit is one second heard.
    Transcription,
}

impl OfferKind {
    const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completion,
        Self::Embedding,
        Self::Moderation,
        Self::Image,
        Self::Speech,
        Self::Transcription,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Moderation => "moderation",
            Self::Image => "image",
            Self::Speech => "speech",
            Self::Transcription => "transcription",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
