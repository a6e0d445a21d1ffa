//! Decides which wishes an offer fulfils, as bits in the order of their reasons.
//! Does not read requests (wish.rs sets their bits).

use super::reason::Reason;
use crate::catalog::{DialectName, Offer, Provider, ToolChoiceSupport};
use std::net::IpAddr;

/// A set of wishes a request may have and an offer may fulfil, one bit each in reason order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(pub(super) u16);

impl Bits {
    pub(super) const TOOLS: Self = Self(1);
    pub(super) const TOOL_CHOICE: Self = Self(1 << 1);
    pub(super) const JSON_SCHEMA: Self = Self(1 << 2);
    pub(super) const LOGPROBS: Self = Self(1 << 3);
    pub(super) const N: Self = Self(1 << 4);
    pub(super) const REASONING: Self = Self(1 << 5);
    pub(super) const VISION: Self = Self(1 << 6);
    pub(super) const AUDIO: Self = Self(1 << 7);
    pub(super) const FILE: Self = Self(1 << 8);
    pub(super) const AUDIO_OUT: Self = Self(1 << 9);
    /// A named function must be called: some upstreams know `required` but not this, or neither.
    pub(super) const TOOL_NAMED: Self = Self(1 << 10);

    /// A link into a private network must not reach an upstream that sits in one.
    pub(super) const LOCAL_URL: Self = Self(1 << 11);
    /// A picture or file is a link: some languages take bytes only.
    pub(super) const LINK: Self = Self(1 << 12);
    /// The assistant's own beginning is to be continued.
    pub(super) const PREFILL: Self = Self(1 << 13);

    /// A custom tool's grammar: who is told of it as a function cannot keep to one.
    pub(super) const GRAMMAR: Self = Self(1 << 14);

    pub(super) const fn with(self, other: Self, present: bool) -> Self {
        if present { Self(self.0 | other.0) } else { self }
    }
    /// The first wish of `self` that `has` does not fulfil.
    pub(super) fn missing(self, has: Self) -> Option<Reason> {
        let missing = self.0 & !has.0;
        if missing == 0 {
            return None;
        }
        let words = [
            (Self::TOOLS, Reason::Tools),
            (Self::TOOL_CHOICE, Reason::ToolChoice),
            (Self::TOOL_NAMED, Reason::ToolChoice),
            (Self::GRAMMAR, Reason::Grammar),
            (Self::JSON_SCHEMA, Reason::JsonSchema),
            (Self::LOGPROBS, Reason::Logprobs),
            (Self::N, Reason::N),
            (Self::REASONING, Reason::Reasoning),
            (Self::VISION, Reason::Vision),
            (Self::AUDIO, Reason::Audio),
            (Self::FILE, Reason::File),
            (Self::LOCAL_URL, Reason::LocalUrl),
            (Self::LINK, Reason::Link),
            (Self::PREFILL, Reason::Prefill),
            (Self::AUDIO_OUT, Reason::ModalityOut),
        ];
        words.into_iter().find(|(bit, _)| missing & bit.0 != 0).map(|(_, reason)| reason)
    }
    pub(super) fn of(offer: &Offer, provider: &Provider) -> Self {
        let quirks = &offer.quirks;
        let kept = |field: &str| !quirks.drop.iter().any(|dropped| &**dropped == field);
        let tools = offer.tools && !quirks.no_tools && kept("tools");
        let choice = kept("tool_choice") && tools;
        let support = quirks.tool_choice;
        // What no other language has words for.
        let own = provider.dialect == DialectName::OpenAi;
        Self::default()
            .with(Self::TOOLS, tools)
            .with(
                Self::TOOL_CHOICE,
                choice
                    && matches!(
                        support,
                        ToolChoiceSupport::Full | ToolChoiceSupport::AnyForRequired
                    ),
            )
            .with(Self::TOOL_NAMED, choice && support != ToolChoiceSupport::AutoNone)
            .with(Self::GRAMMAR, tools && quirks.custom_tools)
            .with(Self::JSON_SCHEMA, offer.structured && kept("response_format"))
            .with(Self::LOGPROBS, kept("logprobs") && own)
            .with(Self::N, kept("n") && own)
            .with(Self::REASONING, offer.reasoning)
            .with(Self::VISION, offer.input.image)
            .with(Self::AUDIO, offer.input.audio)
            .with(Self::FILE, offer.input.file)
            .with(Self::LOCAL_URL, !is_private(&provider.base_url))
            .with(Self::LINK, own || provider.dialect == DialectName::Anthropic)
            .with(Self::PREFILL, own)
    }
}

/// Whether an address is one of this host or of a private network.
fn is_private(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let bare = host.strip_prefix('[').and_then(|host| host.split(']').next());
    let name = bare.unwrap_or_else(|| host.split(':').next().unwrap_or(host));
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => name.rsplit_once('.').is_none_or(|(_, top)| top == "local"),
    }
}
