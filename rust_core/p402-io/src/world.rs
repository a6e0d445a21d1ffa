//! Holds what requests share: one immutable `World` swapped whole on reload, one `Node` around it.
//! Does not decide: catalogue, table and rules are core's, laid out once here.

use crate::clock::Clock;
use crate::emit::Emit;
use crate::records::Records;
use crate::thoughts::Thoughts;
use crate::transport::Transport;
use crate::upstream::{Upstream, affinity};
use arc_swap::ArcSwap;
use http::HeaderName;
use p402_core::catalog::Catalog;
use p402_core::config::Config;
use p402_core::route::{Router, Rules, Table};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, Semaphore};

/// Requests in flight on one node; beyond it a request is told to come back (503 `overloaded`).
pub const IN_FLIGHT_MAX: usize = 8_192;

/// A tenant's rules, resolved at load.
#[derive(Debug)]
pub struct TenantWorld {
    pub rules: Rules,
    pub cost_details: bool,
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
    /// The body of `GET /models`: two megabytes that do not change until the next reload.
    listing: OnceLock<Vec<u8>>,
}

/// One gateway process: the world, the moving state of routing, and the ways out.
pub struct Node {
    pub world: ArcSwap<World>,
    pub router: Mutex<Router>,
    pub records: Mutex<Records>,
    /// What clients may fail to send back.
    pub thoughts: Thoughts,
    pub emit: Emit,
    pub transport: Box<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// Streams being read to their usage after their client left.
    pub drains: Arc<Semaphore>,
    pub in_flight: AtomicUsize,
    pub idle: Notify,
    pub draining: AtomicBool,
    /// Told when the drain time is over: open streams end with an error frame.
    pub closing: Notify,
    pub closed: AtomicBool,
    pub id_seed: u64,
    pub id_count: std::sync::atomic::AtomicU64,
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
            let rules = Rules::from_config(tenant, &config.routing)?;
            let world = TenantWorld { rules, cost_details: tenant.cost_details };
            tenants.insert(tenant.id.clone(), world);
        }
        let rules = Rules::from_config(&p402_core::config::Tenant::default(), &config.routing)?;
        let fallback = TenantWorld { rules, cost_details: false };
        let listing = OnceLock::new();
        Ok(Self { config, catalog, table, tenants, fallback, upstreams, affinity, listing })
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

    /// How many usable keys the provider of this offer has.
    pub fn keys(&self, provider: usize) -> usize {
        self.upstreams.get(provider).and_then(Option::as_ref).map_or(0, |up| up.keys.len())
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
