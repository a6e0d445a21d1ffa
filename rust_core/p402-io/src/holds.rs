//! Knows which holds of this node are open, so that one task can renew them all.
//! Does not hold money: the account does.

use p402_core::id::RequestId;
use p402_core::time::Ticks;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

const SHARDS: usize = 16;

type Shard = Mutex<HashMap<RequestId, (Arc<str>, Ticks)>>;

/// Bounded by the requests in flight (`world::IN_FLIGHT_MAX`).
#[derive(Debug, Default)]
pub struct Holds {
    shards: [Shard; SHARDS],
}

impl Holds {
    pub fn open(&self, rid: RequestId, tenant: &Arc<str>, now: Ticks) {
        self.shard(rid).lock().insert(rid, (Arc::clone(tenant), now));
    }

    pub fn close(&self, rid: RequestId) {
        self.shard(rid).lock().remove(&rid);
    }

    /// The holds that were taken before an instant, by tenant.
    pub fn older_than(&self, instant: Ticks) -> HashMap<Arc<str>, Vec<RequestId>> {
        let mut found: HashMap<Arc<str>, Vec<RequestId>> = HashMap::new();
        for shard in &self.shards {
            for (rid, (tenant, since)) in &*shard.lock() {
                if *since <= instant {
                    found.entry(Arc::clone(tenant)).or_default().push(*rid);
                }
            }
        }
        found
    }

    fn shard(&self, rid: RequestId) -> &Shard {
        &self.shards[rid.bits() as usize % SHARDS]
    }
}
