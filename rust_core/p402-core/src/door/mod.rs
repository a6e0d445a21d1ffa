//! Decides by which doors clients come in that do not ask for a chat, and how they are answered.
//! Does not serve them: what comes in is told as a chat, and the chat's answer is told back.

mod completions;
mod customs;
mod ending;
mod filed;
mod form;
mod gathered;
mod generate;
mod listed;
mod listen;
mod messages;
mod passing;
mod responses;
mod sound;
mod unwrapped;
mod written;

use self::generate::embed;
use crate::catalog::OfferKind;
use crate::dialect::Unsaid;
use crate::dialect::wire::object::Object;
pub use customs::customs;
pub use listed::Shelf;

/// The API a client speaks, by the path it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    #[default]
    Chat,
    /// Anthropic's Messages.
    Messages,
    /// Gemini's generateContent.
    Generate,
    /// Gemini's embedContent and batchEmbedContents.
    EmbedContent,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's older text completions.
    Completions,
    Embeddings,
    Moderations,
    Images,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcriptions,
    Translations,
}

/// What an upstream gets in place of what the client sent.
#[derive(Debug)]
pub struct Passed {
    pub body: Vec<u8>,
    /// Where it is no JSON.
    pub content_type: Option<String>,
}

/// A request that came by a foreign door, as the one form that every stage knows.
#[derive(Debug)]
pub struct Entered {
    /// A chat completion request.
    pub body: Vec<u8>,
    /// Names of what a chat has no words for, for `x-p402-warnings`.
    pub dropped: Vec<String>,
    /// Tells the answer back, where a chat's is not this door's own.
    pub reply: Option<Box<dyn Retell>>,
}

/// Tells one chat answer in the language of its door.
pub trait Retell: Send + Sync + std::fmt::Debug {
    /// A whole completion, sealed.
    fn whole(&mut self, completion: &[u8]) -> Vec<u8>;
    /// Frames of a stream, whole ones, as they come.
    fn frames(&mut self, frames: &[u8]) -> Vec<u8>;
}

/// Tells an answer twice over, the second in the words of the first.
#[derive(Debug)]
pub struct Twice(pub Box<dyn Retell>, pub Box<dyn Retell>);

impl Retell for Twice {
    fn whole(&mut self, completion: &[u8]) -> Vec<u8> {
        self.1.whole(&self.0.whole(completion))
    }
    fn frames(&mut self, frames: &[u8]) -> Vec<u8> {
        self.1.frames(&self.0.frames(frames))
    }
}

impl Door {
    /// The door at this path.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/chat/completions" => Self::Chat,
            // The length of a request is asked for where it would be sent.
            "/messages" | "/messages/count_tokens" => Self::Messages,
            "/responses" | "/responses/input_tokens" => Self::Responses,
            "/completions" => Self::Completions,
            "/embeddings" => Self::Embeddings,
            "/moderations" => Self::Moderations,
            "/images/generations" => Self::Images,
            "/images/edits" => Self::ImageEdits,
            "/images/variations" => Self::ImageVariations,
            "/audio/speech" => Self::Speech,
            "/audio/transcriptions" => Self::Transcriptions,
            "/audio/translations" => Self::Translations,
            path => return generate::named(path).map(|named| named.door),
        })
    }

    /// All that was asked: of some doors a part of it stands in the path.
    pub fn asked(self, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        if self.names_in_path() { generate::joined(path, body) } else { None }
    }

    const fn names_in_path(self) -> bool {
        matches!(self, Self::Generate | Self::EmbedContent)
    }

    /// What it takes to serve it.
    pub const fn kind(self) -> OfferKind {
        match self {
            Self::Chat | Self::Messages | Self::Generate | Self::Responses => OfferKind::Chat,
            Self::Completions => OfferKind::Completion,
            Self::Embeddings | Self::EmbedContent => OfferKind::Embedding,
            Self::Moderations => OfferKind::Moderation,
            Self::Images | Self::ImageEdits | Self::ImageVariations => OfferKind::Image,
            Self::Speech => OfferKind::Speech,
            Self::Transcriptions | Self::Translations => OfferKind::Transcription,
        }
    }

    /// Where an upstream serves it, below its base; `None` where it is asked for a chat.
    pub const fn passes_to(self) -> Option<&'static str> {
        match self {
            Self::Chat | Self::Messages | Self::Generate | Self::Responses => None,
            Self::Completions => Some("/completions"),
            Self::Embeddings | Self::EmbedContent => Some("/embeddings"),
            Self::Moderations => Some("/moderations"),
            Self::Images => Some("/images/generations"),
            Self::ImageEdits => Some("/images/edits"),
            Self::ImageVariations => Some("/images/variations"),
            Self::Speech => Some("/audio/speech"),
            Self::Transcriptions => Some("/audio/transcriptions"),
            Self::Translations => Some("/audio/translations"),
        }
    }

    /// Its requests are forms that hold files.
    pub const fn takes_form(self) -> bool {
        matches!(
            self,
            Self::ImageEdits | Self::ImageVariations | Self::Transcriptions | Self::Translations
        )
    }

    /// Tells a request as a chat; `None` where it is one already.
    ///
    /// # Errors
    /// What a chat cannot say, or what is missing.
    pub fn enter(self, body: &[u8]) -> Result<Option<Entered>, Unsaid> {
        match self {
            Self::Chat => Ok(None),
            Self::Messages => messages::enter(body).map(Some),
            Self::Generate => generate::enter(body).map(Some),
            Self::EmbedContent => embed::enter(body).map(Some),
            Self::Responses => responses::enter(body).map(Some),
            _ if self.takes_form() => filed::enter(self, body).map(Some),
            _ => passing::enter(self, body).map(Some),
        }
    }

    /// Tells as a chat what is asked for its length alone: it may leave out what bounds an answer.
    ///
    /// # Errors
    /// As `enter`.
    pub fn measured(self, body: &[u8]) -> Result<Option<Entered>, Unsaid> {
        match self {
            Self::Messages => messages::measured(body).map(Some),
            Self::Generate => generate::measured(body).map(Some),
            _ => self.enter(body),
        }
    }

    /// A length as this door tells it.
    pub fn counted(self, tokens: u64) -> Vec<u8> {
        let told = match self {
            Self::Generate => format!("{{\"totalTokens\":{tokens}}}"),
            Self::Responses => {
                format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}")
            }
            _ => format!("{{\"input_tokens\":{tokens}}}"),
        };
        told.into_bytes()
    }

    /// The body of an upstream that is asked at `passes_to`: the client's own, for this model.
    pub fn passed(self, body: &[u8], model: &str) -> Passed {
        if self.takes_form() {
            return filed::passed(body, model);
        }
        let body = match self {
            Self::EmbedContent => embed::passed(body, model),
            _ => passing::passed(self, body, model),
        };
        Passed { body, content_type: None }
    }

    /// The client wants vectors packed: its own SDKs ask so, whatever an upstream can do.
    pub fn wants_packed(self, body: &[u8]) -> bool {
        let top = Object::parse(body).unwrap_or_default();
        self == Self::Embeddings && top.get("encoding_format") == Some(b"\"base64\"")
    }

    /// Errors are told in a form of its own.
    pub const fn words_errors(self) -> bool {
        matches!(self, Self::Messages | Self::Generate | Self::EmbedContent)
    }

    /// The header in which its own clients look for a request's id, beside ours.
    pub const fn names_request(self) -> Option<&'static str> {
        match self {
            Self::Messages => Some("request-id"),
            _ => None,
        }
    }

    /// An error body of ours in this door's form; `None` where it has that already.
    pub fn error(self, status: u16, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Generate | Self::EmbedContent => Some(generate::error(status, body)),
            Self::Messages => Some(messages::error(body)),
            _ => None,
        }
    }
}

/// The members of a request's body.
fn top(body: &[u8]) -> Result<Object<'_>, Unsaid> {
    let top = Object::parse(body).filter(|_| std::str::from_utf8(body).is_ok());
    top.ok_or_else(|| Unsaid {
        code: "invalid_json",
        param: String::new(),
        message: "the body is not a JSON object".to_owned(),
    })
}

/// A member whose form is another than its API documents.
fn mistyped(name: &str) -> Unsaid {
    let message = format!("\"{name}\" does not have the form the API documents");
    Unsaid { code: "invalid_type", param: name.to_owned(), message }
}

fn read<'a, T: serde::Deserialize<'a>>(name: &str, json: &'a [u8]) -> Result<T, Unsaid> {
    serde_json::from_slice(json).map_err(|_| mistyped(name))
}

fn missing(name: &str) -> Unsaid {
    let message = format!("\"{name}\" is required");
    Unsaid { code: "missing_required_parameter", param: name.to_owned(), message }
}

/// The effort whose budget is nearest to this one.
const fn effort(budget: u64) -> &'static str {
    match budget {
        0..4_096 => "low",
        4_096..12_288 => "medium",
        12_288..24_576 => "high",
        _ => "max",
    }
}
