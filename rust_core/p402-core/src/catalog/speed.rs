//! Decides how fast an offer is expected to be before anything was measured (catalog.md § 8).
//! Does not learn: routing lays its own observations over these priors.

use super::types::{Catalog, Hardware, Offer, Provider, ProviderKind};
use std::collections::HashMap;

/// Milliseconds to the first token without thinking, and tokens per second after it.
#[derive(Clone, Copy)]
struct Speed {
    ttft_ms: u32,
    tokens_per_s: u32,
}

const OTHER_HOST: Speed = Speed { ttft_ms: 800, tokens_per_s: 60 };
/// What an aggregator adds to its backend.
const AGGREGATOR_MS: u32 = 150;
/// Words in a model's name that say it is a small one.
const SMALL: [&str; 5] = ["flash", "lite", "haiku", "mini", "nano"];

/// Gives each offer that states no speed the prior of its class.
pub(super) fn fill(catalog: &mut Catalog) {
    let priors: Vec<Speed> = {
        let home: HashMap<&str, &Offer> = catalog
            .offers
            .iter()
            .filter(|offer| offer.home)
            .map(|offer| (&*offer.canonical, offer))
            .collect();
        catalog.offers.iter().map(|offer| prior(catalog, offer, &home)).collect()
    };
    for (offer, prior) in catalog.offers.iter_mut().zip(priors) {
        if offer.ttft_ms == 0 {
            offer.ttft_ms = prior.ttft_ms;
        }
        if offer.tokens_per_s == 0 {
            offer.tokens_per_s = prior.tokens_per_s;
        }
    }
}

fn prior(catalog: &Catalog, offer: &Offer, home: &HashMap<&str, &Offer>) -> Speed {
    let Some(provider) = catalog.providers.get(offer.provider) else { return OTHER_HOST };
    if provider.kind != ProviderKind::Aggregator {
        return class(provider, &offer.canonical);
    }
    // Behind an aggregator stands the model's own house, as far as anyone can tell.
    let backend = home.get(&*offer.canonical).and_then(|home| catalog.providers.get(home.provider));
    let backend = match backend {
        Some(maker) if maker.kind != ProviderKind::Aggregator => class(maker, &offer.canonical),
        _ => OTHER_HOST,
    };
    Speed { ttft_ms: backend.ttft_ms + AGGREGATOR_MS, ..backend }
}

fn class(provider: &Provider, canonical: &str) -> Speed {
    let small =
        canonical.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| SMALL.contains(&word));
    match (provider.hardware, provider.kind) {
        (Hardware::Lpu | Hardware::Inference, _) => Speed { ttft_ms: 250, tokens_per_s: 300 },
        (Hardware::Wse, _) => Speed { ttft_ms: 350, tokens_per_s: 1_500 },
        (Hardware::Rdu, _) => Speed { ttft_ms: 600, tokens_per_s: 500 },
        (Hardware::GpuTuned, _) => Speed { ttft_ms: 500, tokens_per_s: 120 },
        (Hardware::Tpu, ProviderKind::FirstParty) if small => {
            Speed { ttft_ms: 500, tokens_per_s: 200 }
        }
        (_, ProviderKind::FirstParty) if small => Speed { ttft_ms: 500, tokens_per_s: 150 },
        (_, ProviderKind::FirstParty) => Speed { ttft_ms: 1_000, tokens_per_s: 60 },
        _ => OTHER_HOST,
    }
}
