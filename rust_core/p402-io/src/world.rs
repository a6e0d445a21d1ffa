//! Holds what stays as it is until the next reload: one immutable `World`, swapped whole.
//! Does not decide: catalogue, table and rules are core's, laid out once here.

use crate::upstream::{Upstream, affinity};
use http::HeaderName;
use p402_core::cache::rules::{self, Rules as CacheRules};
use p402_core::catalog::{Catalog, Resolved};
use p402_core::config::{self, Config};
use p402_core::guard::{Limits, UnknownPrice};
use p402_core::route::{Rules, Table};
use std::collections::HashMap;
use std::sync::OnceLock;

/// A tenant's rules, resolved at load.
#[derive(Debug)]
pub struct TenantWorld {
    pub rules: Rules,
    pub cost_details: bool,
    pub cache: CacheRules,
    pub limits: Limits,
    /// Status of the guard's hard stops.
    pub refusal_status: u16,
}

/// Everything that stays as it is until the next reload.
#[derive(Debug)]
pub struct World {
    pub config: Config,
    pub catalog: Catalog,
    pub table: Table,
    pub tenants: HashMap<String, TenantWorld>,
    pub fallback: TenantWorld,
    /// By provider index; `None` where a provider cannot be reached from here.
    pub upstreams: Vec<Option<Upstream>>,
    /// Extra header per provider that follows the session (`affinity_header`).
    pub affinity: Vec<Option<HeaderName>>,
    /// The catalogue's digest, as ledger rows hold it.
    pub price_version: u32,
    /// The body of `GET /models`: two megabytes that do not change until the next reload.
    listing: OnceLock<Vec<u8>>,
}

impl World {
    /// Parses and lays out a configuration and its catalogue layers.
    ///
    /// # Errors
    /// A sentence naming the layer, line or key at fault.
    pub fn load(config: &[u8], layers: &[&[u8]]) -> Result<Self, String> {
        let config: Config =
            serde_json::from_slice(config).map_err(|error| format!("configuration: {error}"))?;
        let catalog = Catalog::load(layers).map_err(|error| error.to_string())?;
        let upstreams = catalog
            .providers
            .iter()
            .map(|provider| Upstream::of(provider, &config))
            .collect::<Result<Vec<_>, _>>()?;
        let affinity = catalog.providers.iter().map(affinity).collect();
        let reachable: HashMap<&str, bool> = catalog
            .providers
            .iter()
            .zip(&upstreams)
            .map(|(provider, upstream)| (&*provider.id, upstream.is_some()))
            .collect();
        let keyed = |id: &str| reachable.get(id).copied().unwrap_or(false);
        let table = Table::build(&catalog, &keyed, &config.routing);
        let mut tenants = HashMap::new();
        for tenant in &config.tenants {
            tenants.insert(tenant.id.clone(), TenantWorld::new(tenant, &config)?);
        }
        let fallback = TenantWorld::new(&config::Tenant::default(), &config)?;
        rules::room(&config.cache).map_err(|error| error.to_string())?;
        rules::redis_wait_ms(&config.cache).map_err(|error| error.to_string())?;
        let price_version = price_version(&catalog.digest);
        let listing = OnceLock::new();
        Ok(Self {
            config,
            catalog,
            table,
            tenants,
            fallback,
            upstreams,
            affinity,
            price_version,
            listing,
        })
    }

    /// The body of `GET /models`, made when it is first wanted.
    pub fn models(&self) -> &[u8] {
        self.listing.get_or_init(|| self.catalog.models_json(&|offer| self.table.live(offer)))
    }

    pub fn tenant(&self, id: &str) -> &TenantWorld {
        self.tenants.get(id).unwrap_or(&self.fallback)
    }

    /// What routing needs to know of this world, for one tenant.
    pub fn routing(&self, tenant: &str) -> p402_core::route::World<'_> {
        p402_core::route::World {
            catalog: &self.catalog,
            table: &self.table,
            rules: &self.tenant(tenant).rules,
        }
    }

    /// The offer that a provider has under this model's name.
    pub fn offer(&self, provider: &str, model: &str) -> Option<usize> {
        match self.catalog.resolve(&format!("{provider}/{model}")) {
            Resolved::Pin(offers) => offers.first().copied(),
            _ => None,
        }
    }

    /// How many usable keys the provider of this offer has.
    pub fn keys(&self, provider: usize) -> usize {
        self.upstreams.get(provider).and_then(Option::as_ref).map_or(0, |up| up.keys.len())
    }
}

impl TenantWorld {
    fn new(tenant: &config::Tenant, config: &Config) -> Result<Self, String> {
        let mut rules = Rules::from_config(tenant, &config.routing)?;
        let limits = Limits::default().with(&config.guard).map_err(|error| error.to_string())?;
        let limits =
            limits.with(&tenant.guard).map_err(|error| format!("tenant {}: {error}", tenant.id))?;
        rules.allow_unpriced = limits.unknown_price == UnknownPrice::Allow;
        let written =
            tenant.guard.default_max_tokens.as_ref().or(config.guard.default_max_tokens.as_ref());
        if written.is_some() {
            rules.output_cap = Some(limits.default_max_tokens.unwrap_or(u64::MAX));
        }
        let status = tenant.guard.refusal_status.or(config.guard.refusal_status);
        let refusal_status = status.unwrap_or(429);
        if !matches!(refusal_status, 429 | 403 | 402) {
            return Err("guard.refusal_status: not one of 429, 403, 402".to_owned());
        }
        rules::of_tenant(&tenant.cache)
            .map_err(|error| format!("tenant {}: {error}", tenant.id))?;
        let cache = CacheRules::default().with(&config.cache).map_err(|error| error.to_string())?;
        let cache =
            cache.with(&tenant.cache).map_err(|error| format!("tenant {}: {error}", tenant.id))?;
        Ok(Self { rules, cost_details: tenant.cost_details, cache, limits, refusal_status })
    }
}

/// The first 32 bits of a digest in hex.
fn price_version(digest: &str) -> u32 {
    let word: String = digest.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    u32::from_str_radix(&word, 16).unwrap_or_default()
}
