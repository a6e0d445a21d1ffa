//! Decides how the catalogue reads to a client: the bodies of `GET /models` and `/models/{id}`.
//! Does not say who may use a model: whether an offer is live comes in.

use super::kind::OfferKind;
use super::price::row_at;
use super::resolve::Resolved;
use super::task::Task;
use super::types::{Band, Capability, CapabilityEffort, Catalog, Offer};
use crate::money::Rate;
use crate::time::{Day, Timestamp};
use std::io::Write;

/// One listed name: its offers, and the one whose facts and price are shown.
pub(crate) struct Listed<'a> {
    pub(crate) id: &'a str,
    pub(crate) offers: &'a [usize],
    pub(crate) shown: &'a Offer,
    alias_of: Option<String>,
}

/// A JSON object under construction; writing to memory cannot fail.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl Catalog {
    /// The body of `GET /models`: aliases, canonical names and every `provider/model`.
    pub fn models_json(&self, live: &dyn Fn(usize) -> bool) -> Vec<u8> {
        let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
        let start = out.len();
        for name in self.listed() {
            if let Some(listed) = self.listing(name) {
                if out.len() > start {
                    out.push(b',');
                }
                self.write_entry(&mut out, &listed, live);
            }
        }
        out.extend_from_slice(b"],\"has_more\":false}");
        out
    }

    /// The body of `GET /models/{id}`; `None` where nothing has that name.
    pub fn model_json(&self, id: &str, live: &dyn Fn(usize) -> bool) -> Option<Vec<u8>> {
        let listed = self.listing(id)?;
        let mut out = Vec::new();
        self.write_entry(&mut out, &listed, live);
        Some(out)
    }

    pub(crate) fn listing<'a>(&'a self, id: &'a str) -> Option<Listed<'a>> {
        let (offers, alias) = match self.resolve(id) {
            Resolved::Free | Resolved::Unknown => return None,
            Resolved::Canonical(offers) | Resolved::Pin(offers) => (offers, false),
            Resolved::Alias { offers } => (offers, true),
        };
        let first = *offers.first()?;
        // A canonical name shows its home; a pin or an alias shows what it names.
        let shown = match self.resolve(id) {
            Resolved::Canonical(_) => self.home(id).unwrap_or(first),
            _ => first,
        };
        let alias_of = alias.then(|| self.offer_name(first));
        Some(Listed { id, offers, shown: self.offers.get(shown)?, alias_of })
    }

    /// What a listing gives as the day a model was made: when its price was last confirmed, or the
    /// catalogue's own day.
    pub(crate) fn confirmed(&self, offer: &Offer) -> Timestamp {
        let day = Day::parse(&offer.as_of).or_else(|| Day::parse(&format!("{}-01", offer.as_of)));
        day.map_or(self.built, Day::start).max(Timestamp::default())
    }

    fn write_entry(&self, out: &mut Vec<u8>, listed: &Listed, live: &dyn Fn(usize) -> bool) {
        let offer = listed.shown;
        let owner = self.providers.get(offer.provider).map_or("", |provider| &*provider.id);
        let mut entry = Object::open(out);
        entry.text("id", listed.id);
        entry.text("object", "model");
        entry.raw("created", &self.confirmed(offer).seconds().to_string());
        entry.text("owned_by", owner);
        entry.key("p402");
        self.write_facts(&mut Object::open(entry.out), listed, live);
        entry.close();
    }

    fn write_facts(&self, facts: &mut Object, listed: &Listed, live: &dyn Fn(usize) -> bool) {
        let offer = listed.shown;
        let mut providers: Vec<&str> =
            listed.offers.iter().map(|at| &*self.provider(*at).id).collect();
        providers.dedup();
        facts.value("providers", &providers);
        facts.value("live", &listed.offers.iter().any(|at| live(*at)));
        if offer.kind != OfferKind::Chat {
            facts.text("kind", offer.kind.name());
        }
        facts.value("context", &offer.context);
        if let Some(most) = offer.max_output {
            facts.value("max_output", &most);
        }
        facts.key("features");
        let mut features = Object::open(facts.out);
        features.value("tools", &offer.tools);
        features.value("vision", &offer.input.image);
        features.value("structured", &offer.structured);
        features.value("reasoning", &offer.reasoning);
        features.close();
        if let Some(row) = row_at(offer, self.built) {
            facts.key("price");
            write_price(&mut Object::open(facts.out), &row.bands);
        } else if offer.free {
            facts.raw("price", "{\"input\":0,\"output\":0}");
        }
        facts.text("price_as_of", &offer.as_of);
        facts.value("n_agree", &offer.n_agree);
        facts.text("confidence", offer.confidence.name());
        if let Some(target) = &listed.alias_of {
            facts.text("alias_of", target);
        }
        if let Some(date) = &offer.deprecates {
            facts.text("deprecates", date);
        }
        if let Some(row) = self.scores(offer) {
            facts.key("capability");
            let mut scores = Object::open(facts.out);
            for (task, score) in Task::ALL.iter().zip(row.scores) {
                scores.value(task.name(), &score);
            }
            scores.close();
        }
        facts.close();
    }

    /// The row of the offer's own effort, else the strongest one.
    fn scores(&self, offer: &Offer) -> Option<&Capability> {
        let rows = || offer.capability.iter().filter_map(|at| self.capabilities.get(*at));
        let effort = offer.capability_effort.map(CapabilityEffort::At);
        rows().find(|row| Some(row.effort) == effort).or_else(|| rows().next())
    }
}

/// Dollars per million tokens: the first band, and the dearer ones above their thresholds.
fn write_price(price: &mut Object, bands: &[Band]) {
    let Some((base, above)) = bands.split_first() else { return price.close() };
    write_band(price, base);
    if !above.is_empty() {
        price.key("tiers");
        price.out.push(b'[');
        for (at, band) in above.iter().enumerate() {
            if at > 0 {
                price.out.push(b',');
            }
            let mut tier = Object::open(price.out);
            tier.value("above", &band.above);
            write_band(&mut tier, band);
            tier.close();
        }
        price.out.push(b']');
    }
    price.close();
}

fn write_band(object: &mut Object, band: &Band) {
    let rates: [(&str, Option<Rate>); 6] = [
        ("input", Some(band.input)),
        ("output", Some(band.output)),
        ("cache_read", band.cache_read),
        ("cache_write", band.cache_write),
        ("cache_write_1h", band.cache_write_1h),
        ("reasoning", band.reasoning),
    ];
    for (name, rate) in rates {
        if let Some(rate) = rate {
            object.raw(name, &rate.to_string());
        }
    }
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn close(&mut self) {
        self.out.push(b'}');
    }

    /// Writes a member's name; its value is the caller's next write.
    fn key(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        _ = write!(self.out, "\"{name}\":");
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.key(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    fn text(&mut self, name: &str, text: &str) {
        self.value(name, text);
    }

    fn value(&mut self, name: &str, value: &(impl serde::Serialize + ?Sized)) {
        self.key(name);
        _ = serde_json::to_writer(&mut *self.out, value);
    }
}
