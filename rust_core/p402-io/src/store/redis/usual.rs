//! Decides where nodes leave what is usual for a tenant: a hash beside its account, a field a node.
//! Does not read a snapshot, and is asked by nobody who waits for an answer to a request.

use super::address::Tag;
use super::home::Home;
use super::link::Failure;
use crate::store::Left;
use ::redis::pipe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Other nodes whose memories are read at once; of more, any.
const NODES_MAX: u32 = 64;
/// What nobody has told for so long is forgotten: a week.
const KEPT_MS: u64 = 604_800_000;

impl Home {
    /// What this node itself has left here.
    pub(super) async fn recall(self: &Arc<Self>, tenant: &str) -> Option<Option<Vec<u8>>> {
        let tag = self.usual_of(tenant)?;
        let mut asked = pipe();
        asked.cmd("HGET").arg(tag.key("z")).arg(self.node);
        self.on(&tag, asked).await.ok()
    }

    /// Leaves what this node has seen, if there is something new; what the other nodes left.
    pub(super) async fn pool(
        self: &Arc<Self>,
        tenant: &str,
        told: Option<Vec<u8>>,
    ) -> Option<Vec<Left>> {
        let tag = self.usual_of(tenant)?;
        let (key, mut asked) = (tag.key("z"), pipe());
        if let Some(told) = told {
            asked.cmd("HSET").arg(&key).arg(self.node).arg(told);
            asked.cmd("PEXPIRE").arg(&key).arg(KEPT_MS);
        }
        asked.cmd("HRANDFIELD").arg(&key).arg(NODES_MAX).arg("WITHVALUES");
        let fields: Vec<(Vec<u8>, Vec<u8>)> = self.on(&tag, asked).await.ok()?;
        let told = fields.into_iter().filter_map(|(field, told)| {
            let node = std::str::from_utf8(&field).ok()?.parse().ok()?;
            (node != self.node).then_some((node, told))
        });
        Some(told.collect())
    }

    /// Takes what a node left that is gone; whether this one did, and not another.
    pub(super) async fn inherit(self: &Arc<Self>, tenant: &str, node: u32) -> bool {
        let Some(tag) = self.usual_of(tenant) else { return false };
        let mut asked = pipe();
        asked.cmd("HDEL").arg(tag.key("z")).arg(node);
        let taken: Result<u32, Failure> = self.on(&tag, asked).await;
        taken == Ok(1)
    }

    fn usual_of(&self, tenant: &str) -> Option<Tag> {
        (!self.foreign.load(Ordering::Relaxed)).then(|| Tag::of(tenant))
    }
}
