//! Decides which server a tenant's account lies on: the only one, or the one that owns its slot.
//! Does not read the cluster's map: servers say where a slot is when they are asked for it.

use super::address::{Address, Tag, elsewhere};
use super::server::{Server, Ways};
use ::redis::ConnectionInfo;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// Servers of one cluster that are remembered.
const SERVERS_MAX: usize = 256;

/// All servers that are known.
pub(super) struct Fleet {
    ways: Arc<Ways>,
    /// Settings and credentials for servers that others name.
    template: Option<ConnectionInfo>,
    /// Where to ask for a slot that nobody has named yet.
    seeds: Vec<Arc<Server>>,
    named: RwLock<Named>,
}

#[derive(Default)]
struct Named {
    by_place: HashMap<String, Arc<Server>>,
    /// At most one entry per slot.
    by_slot: HashMap<u16, Arc<Server>>,
}

impl Fleet {
    pub(super) fn new(address: Address, ways: Arc<Ways>) -> Self {
        let server = |address| Arc::new(Server::new(address, ways.clone()));
        let (template, seeds) = match address {
            Address::Cluster(seeds) => {
                let template = seeds.first().cloned();
                (template, seeds.into_iter().map(Address::Server).map(server).collect())
            }
            Address::Server(info) => (Some(info.clone()), vec![server(Address::Server(info))]),
            sentinel @ Address::Sentinel { .. } => (None, vec![server(sentinel)]),
        };
        Self { ways, template, seeds, named: RwLock::default() }
    }

    /// Whom to ask about this tenant.
    pub(super) fn of(&self, tag: &Tag) -> Option<Arc<Server>> {
        let named = self.named.read();
        let owner = if named.by_slot.is_empty() { None } else { named.by_slot.get(&tag.slot()) };
        if let Some(owner) = owner.filter(|owner| !owner.is_open()) {
            return Some(owner.clone());
        }
        // The owner fails: another server may know who has taken its slots over.
        let others = self.seeds.iter().chain(named.by_place.values());
        let healthy = others.clone().find(|server| !server.is_open());
        healthy.or(owner).or(self.seeds.first()).cloned()
    }

    /// The server at this place has the tenant's slot: from now on, if `for_good`.
    pub(super) fn named(&self, tag: &Tag, place: &str, for_good: bool) -> Option<Arc<Server>> {
        let mut named = self.named.write();
        let server = if let Some(server) = named.by_place.get(place) {
            server.clone()
        } else {
            let info = elsewhere(self.template.as_ref()?, place)?;
            let server = Arc::new(Server::new(Address::Server(info), self.ways.clone()));
            if named.by_place.len() < SERVERS_MAX {
                named.by_place.insert(place.to_owned(), server.clone());
            }
            server
        };
        if for_good {
            named.by_slot.insert(tag.slot(), server.clone());
        }
        Some(server)
    }

    pub(super) fn all(&self) -> Vec<Arc<Server>> {
        let named = self.named.read();
        self.seeds.iter().chain(named.by_place.values()).cloned().collect()
    }
}
