//! Decides what a model name means: alias, `provider/model`, canonical name, or nothing known.
//! Does not choose among the offers it finds (route/).

use super::load::Hashing;
use super::types::{Catalog, Confidence, Offer, Provider, ProviderKind};
use std::collections::HashMap;
use std::ops::Range;

/// What a name stands for; the slices hold indices into `Catalog::offers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// `auto` or empty: any model will do.
    Free,
    /// Not in the catalogue: routed freely, and said so.
    Unknown,
    /// Every offer of that model, whatever the host.
    Canonical(&'a [usize]),
    /// `provider/model`: that offer alone.
    Pin(&'a [usize]),
    /// Another name: its offer, then the ones to try next.
    Alias { offers: &'a [usize] },
}

/// Aliases and canonical names first, then pins: the order a listing shows them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Alias,
    Canonical,
    Pin,
    /// A provider's own id that is nobody's canonical name.
    Own,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    /// Into `Names::offers`.
    offers: Range<usize>,
    /// The baseline of `direct_cost`.
    home: Option<usize>,
}

/// Every name of the catalogue, laid out at load.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<Box<str>, Entry, Hashing>,
    offers: Vec<usize>,
}

/// Near names offered in an error.
const NEAR_MAX: usize = 3;
/// Longest name compared with the catalogue's; longer ones are near to nothing.
const NEAR_BYTES_MAX: usize = 96;

impl Names {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let mut names = Self::default();
        let canonical = groups(catalog, |offer| &offer.canonical);
        let homes: HashMap<&str, Option<usize>> =
            canonical.iter().map(|(name, offers)| (*name, first_party(catalog, offers))).collect();
        let home_of = |offer: usize| {
            let named = Some(offer).filter(|offer| catalog.is_priced(*offer));
            let maker = catalog.offers.get(offer).and_then(|row| *homes.get(&*row.canonical)?);
            // The maker sells one model under several ids: the one that was named stands.
            let same_house = |home: &usize| {
                named.is_none() || catalog.provider(*home).id != catalog.provider(offer).id
            };
            maker.filter(same_house).or(named)
        };
        for alias in &catalog.aliases {
            let offers: Vec<usize> = std::iter::once(alias.to).chain(alias.next.clone()).collect();
            names.add(&alias.name, Kind::Alias, &offers, home_of(alias.to));
        }
        // Of two readings of `a/b/c` the longer provider id wins.
        let mut pins: Vec<usize> = (0..catalog.offers.len()).collect();
        pins.sort_by_key(|offer| std::cmp::Reverse(catalog.provider(*offer).id.len()));
        for offer in pins {
            names.add(&catalog.offer_name(offer), Kind::Pin, &[offer], home_of(offer));
        }
        for (name, offers) in &canonical {
            let home = homes.get(name).copied().flatten().or_else(|| cheapest(catalog, offers));
            names.add(name, Kind::Canonical, offers, home);
        }
        for (name, offers) in groups(catalog, |offer| &offer.model) {
            let home = offers.iter().find_map(|offer| home_of(*offer));
            names.add(name, Kind::Own, &offers, home);
        }
        names
    }

    /// Adds a name that no earlier one has taken; `auto` is nobody's.
    fn add(&mut self, name: &str, kind: Kind, offers: &[usize], home: Option<usize>) {
        if is_free(name) || self.by_name.contains_key(name) {
            return;
        }
        let start = self.offers.len();
        self.offers.extend_from_slice(offers);
        let entry = Entry { kind, offers: start..self.offers.len(), home };
        self.by_name.insert(name.into(), entry);
    }
}

impl Catalog {
    /// Reads a name as the client wrote it: exact, no case folding, no allocation.
    pub fn resolve(&self, name: &str) -> Resolved<'_> {
        if is_free(name) {
            return Resolved::Free;
        }
        let Some(entry) = self.names.by_name.get(name) else { return Resolved::Unknown };
        let offers = self.names.offers.get(entry.offers.clone()).unwrap_or_default();
        match entry.kind {
            Kind::Alias => Resolved::Alias { offers },
            Kind::Pin => Resolved::Pin(offers),
            Kind::Canonical | Kind::Own => Resolved::Canonical(offers),
        }
    }

    /// The baseline of `direct_cost` for a name: its first-party offer, else the one it names,
    /// else the cheapest fresh one. `None` = the served offer is its own baseline.
    pub fn home(&self, name: &str) -> Option<usize> {
        self.names.by_name.get(name).and_then(|entry| entry.home)
    }

    /// At most three known names close to one that is not, nearest first.
    pub fn near(&self, name: &str) -> Vec<&str> {
        if name.len() > NEAR_BYTES_MAX {
            return Vec::new();
        }
        let wanted = name.to_ascii_lowercase();
        let limit = (wanted.len() / 3).max(2);
        let pinned = wanted.contains('/');
        let mut found: Vec<(usize, &str)> = self
            .names
            .by_name
            .iter()
            .filter(|(_, entry)| pinned == matches!(entry.kind, Kind::Pin))
            .filter_map(|(known, _)| Some((distance(&wanted, known, limit)?, &**known)))
            .collect();
        found.sort_unstable();
        found.into_iter().take(NEAR_MAX).map(|(_, known)| known).collect()
    }

    /// Every name worth listing, in order; a provider's bare own ids are understood but not shown.
    pub(crate) fn listed(&self) -> Vec<&str> {
        let shown = self.names.by_name.iter().filter(|(_, entry)| entry.kind != Kind::Own);
        let mut names: Vec<_> = shown.map(|(name, entry)| (entry.kind, &**name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// The provider of an offer; an index that is not the catalogue's own gives the first one.
    #[expect(clippy::indexing_slicing, reason = "load.rs checked every offer's provider index")]
    pub fn provider(&self, offer: usize) -> &Provider {
        &self.providers[self.offers[offer].provider]
    }

    /// `provider/model`, the name that pins an offer.
    pub fn offer_name(&self, offer: usize) -> String {
        let model = self.offers.get(offer).map_or("", |offer| &*offer.model);
        format!("{}/{model}", self.provider(offer).id)
    }
}

/// Any model will do.
fn is_free(name: &str) -> bool {
    name.is_empty() || name == "auto"
}

/// Offers by a name they share, in order of name.
fn groups<'a>(
    catalog: &'a Catalog,
    name: impl Fn(&'a Offer) -> &'a str,
) -> Vec<(&'a str, Vec<usize>)> {
    let mut found: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
    for (at, offer) in catalog.offers.iter().enumerate() {
        found.entry(name(offer)).or_default().push(at);
    }
    found.into_iter().collect()
}

/// The maker's own offer of a model: the id that is the model's name first, then the cheapest.
/// The builder marks a host as home too where the maker sells nothing; that one is no maker.
fn first_party(catalog: &Catalog, offers: &[usize]) -> Option<usize> {
    let own = offers.iter().copied().filter(|at| {
        let house = catalog.provider(*at).kind;
        let maker = !matches!(house, ProviderKind::InferenceHost | ProviderKind::Aggregator);
        maker && catalog.is_priced(*at) && catalog.offers.get(*at).is_some_and(|row| row.home)
    });
    own.min_by_key(|at| {
        let offer = catalog.offers.get(*at);
        (offer.is_none_or(|offer| *offer.model != *offer.canonical), cost(offer), *at)
    })
}

/// The cheapest offer, fresh and not resold where there is such a one.
fn cheapest(catalog: &Catalog, offers: &[usize]) -> Option<usize> {
    let priced = offers.iter().copied().filter(|at| catalog.is_priced(*at));
    priced.min_by_key(|at| {
        let offer = catalog.offers.get(*at);
        let stale = offer.is_none_or(|offer| offer.confidence == Confidence::Stale);
        let resold = catalog.provider(*at).kind == ProviderKind::Aggregator;
        (stale || resold, stale, cost(offer), *at)
    })
}

/// Three input tokens and one output token at the first band of the newest row, pico-dollars.
fn cost(offer: Option<&Offer>) -> i128 {
    let band = offer.and_then(|offer| offer.prices.last()).and_then(|row| row.bands.first());
    band.map_or(0, |band| 3 * i128::from(band.input.pico()) + i128::from(band.output.pico()))
}

/// Edit distance by bytes, `None` beyond `limit`. A known name that only adds a tail is near.
fn distance(wanted: &str, known: &str, limit: usize) -> Option<usize> {
    if !wanted.is_empty() && known.starts_with(wanted) {
        return Some(1);
    }
    if known.len().abs_diff(wanted.len()) > limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (at, left) in wanted.bytes().enumerate() {
        let mut diagonal = at;
        let mut before = at + 1;
        let mut least = before;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(known.bytes()) {
            let changed = diagonal + usize::from(left != right.to_ascii_lowercase());
            diagonal = *cell;
            before = changed.min(before + 1).min(diagonal + 1);
            *cell = before;
            least = least.min(before);
        }
        if least > limit {
            return None;
        }
    }
    row.last().copied().filter(|edits| *edits <= limit)
}
