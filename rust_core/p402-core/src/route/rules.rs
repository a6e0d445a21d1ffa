//! Decides a tenant's own routing rules and what an allow or deny pattern matches.
//! Does not judge anything but names (eligible.rs).

use super::types::{Lists, Mode};
use crate::catalog::{Catalog, Resolved};
use crate::config;

/// The tenant's own rules, resolved once.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub mode: Mode,
    /// A plain OpenAI request is served as named.
    pub pin_default: bool,
    pub models: Lists,
    pub providers: Lists,
    /// Output bound where a request names none, in place of the gateway's; the greatest number
    /// leaves it to the model's own maximum, and nothing is sent.
    pub output_cap: Option<u64>,
    /// What is named without a price may run all the same, unclaimed.
    pub allow_unpriced: bool,
}

/// What a list says of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Allowed {
        /// An allow entry names it exactly, so an unmeasured model may run.
        exactly: bool,
    },
    NotAllowed,
    Denied,
}

impl Rules {
    /// Reads a tenant's configuration; what it leaves open comes from the gateway's.
    pub fn from_config(tenant: &config::Tenant, routing: &config::Routing) -> Result<Self, String> {
        let word = tenant.mode.as_deref().unwrap_or(&routing.mode);
        let mode = Mode::parse(word)
            .ok_or_else(|| format!("mode {word:?} is not one of cost, quality, speed, balanced"))?;
        let pin_default = match tenant.route_default.as_deref() {
            None | Some("route") => false,
            Some("pin") => true,
            Some(other) => {
                return Err(format!("route_default {other:?} is neither \"route\" nor \"pin\""));
            }
        };
        Ok(Self {
            mode,
            pin_default,
            models: Lists { allow: tenant.models_allow.clone(), deny: tenant.models_deny.clone() },
            providers: Lists {
                allow: tenant.providers_allow.clone(),
                deny: tenant.providers_deny.clone(),
            },
            output_cap: None,
            allow_unpriced: false,
        })
    }
}

impl Lists {
    pub(super) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// The first pattern that matches no offer (`models`) of this catalogue.
    pub(super) fn unmatched_model(&self, catalog: &Catalog) -> Option<&str> {
        let matches = |pattern: &&String| {
            (0..catalog.offers.len()).any(|offer| model_matches(catalog, pattern, offer))
        };
        self.patterns().find(|pattern| !matches(pattern)).map(String::as_str)
    }

    /// The first pattern that matches no provider of this catalogue.
    pub(super) fn unmatched_provider(&self, catalog: &Catalog) -> Option<&str> {
        let matches = |pattern: &&String| {
            catalog.providers.iter().any(|provider| name_matches(pattern, &provider.id))
        };
        self.patterns().find(|pattern| !matches(pattern)).map(String::as_str)
    }

    /// What these lists, read as model patterns, say of an offer. Deny wins.
    pub(super) fn judge_model(&self, catalog: &Catalog, offer: usize) -> Listed {
        if self.deny.iter().any(|pattern| model_matches(catalog, pattern, offer)) {
            return Listed::Denied;
        }
        if self.allow.is_empty() {
            return Listed::Allowed { exactly: false };
        }
        let mut hit = self.allow.iter().filter(|p| model_matches(catalog, p, offer)).peekable();
        if hit.peek().is_none() {
            return Listed::NotAllowed;
        }
        Listed::Allowed { exactly: hit.any(|pattern| !pattern.ends_with('*')) }
    }

    /// What these lists, read as provider patterns, say of a provider.
    pub(super) fn judge_provider(&self, id: &str) -> Listed {
        if self.deny.iter().any(|pattern| name_matches(pattern, id)) {
            Listed::Denied
        } else if self.allow.is_empty() || self.allow.iter().any(|p| name_matches(p, id)) {
            Listed::Allowed { exactly: false }
        } else {
            Listed::NotAllowed
        }
    }

    fn patterns(&self) -> impl Iterator<Item = &String> {
        self.allow.iter().chain(&self.deny)
    }
}

impl Listed {
    /// Both lists must agree; an exact allowance by either counts.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denied, _) | (_, Self::Denied) => Self::Denied,
            (Self::NotAllowed, _) | (_, Self::NotAllowed) => Self::NotAllowed,
            (Self::Allowed { exactly: a }, Self::Allowed { exactly: b }) => {
                Self::Allowed { exactly: a || b }
            }
        }
    }
}

/// Exact, or by a prefix where the pattern ends in `*`.
fn name_matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// `provider/model` compared with a pattern without joining the two.
fn pair_matches(pattern: &str, provider: &str, model: &str) -> bool {
    let (pattern, open) = pattern.strip_suffix('*').map_or((pattern, false), |p| (p, true));
    let rest = pattern.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/'));
    match rest {
        Some(rest) if open => model.starts_with(rest),
        Some(rest) => model == rest,
        // `prov*`, `provider*` and `provider/*` cut short.
        None => open && !pattern.is_empty() && provider.starts_with(pattern),
    }
}

fn model_matches(catalog: &Catalog, pattern: &str, index: usize) -> bool {
    let Some(offer) = catalog.offers.get(index) else { return false };
    let provider = catalog.providers.get(offer.provider).map_or("", |provider| &*provider.id);
    if name_matches(pattern, &offer.canonical)
        || name_matches(pattern, &offer.model)
        || pair_matches(pattern, provider, &offer.model)
    {
        return true;
    }
    match catalog.resolve(pattern) {
        Resolved::Alias { offers } => offers.first().is_some_and(|to| {
            *to == index
                || catalog.offers.get(*to).is_some_and(|to| to.canonical == offer.canonical)
        }),
        _ => false,
    }
}
