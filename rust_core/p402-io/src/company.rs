//! Keeps a client company while the plan is walked: comments for a silent stream, the end of the
//! walk when the client has left or the node closes. Does not walk, and books nothing.

use crate::dispatch::{self, Dispatched};
use crate::heads::{headers, stream_head};
use crate::outbox::Outbox;
use crate::pump::KEEPALIVE;
use crate::settling::Settling;
use p402_core::money::Usd;
use p402_core::reply::{ApiError, shutting_down};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Why a walk brought no answer to deliver.
#[derive(Debug)]
pub enum Unanswered {
    /// What the client is told.
    Failed(ApiError),
    /// The client has left, and nobody hears the upstream out.
    Unheard,
}

/// dispatch: walks the plan. What a client that leaves has begun is billed all the same: it is
/// heard out, to its usage, unless as many are being heard out as this node allows, or it takes
/// too long. A node that closes waits for nobody: its clients are told so.
pub async fn accompany(
    settling: &mut Settling,
    outbox: &Arc<Outbox>,
) -> Result<Dispatched, Unanswered> {
    let turn = Arc::clone(&settling.turn);
    let config = &turn.world.config.stream;
    let mut comment =
        turn.scan.stream.then(|| Instant::now() + Duration::from_millis(config.keepalive_first_ms));
    let early = turn.scan.stream.then(|| headers(settling, None, &[], None));
    let left = AtomicBool::new(false);
    let (longest, mut drain) = (Duration::from_millis(config.drain_ms), None);
    let dispatched = {
        let walk = dispatch::walk(settling, &left);
        tokio::pin!(walk);
        loop {
            let until = drain.as_ref().map(|(_, until)| *until);
            tokio::select! {
                biased;
                dispatched = &mut walk => break dispatched,
                () = outbox.until_gone(), if drain.is_none() => {
                    let Some(permit) = turn.drain() else { return Err(Unanswered::Unheard) };
                    left.store(true, Ordering::Release);
                    comment = None;
                    drain = Some((permit, Instant::now() + longest));
                }
                () = at(until), if until.is_some() => return Err(Unanswered::Unheard),
                () = turn.node.until_closed() => match until {
                    Some(_) => return Err(Unanswered::Unheard),
                    None => break Err(shutting_down()),
                },
                () = at(comment), if comment.is_some() => {
                    outbox.head(stream_head(early.clone().unwrap_or_default()));
                    outbox.comment(KEEPALIVE);
                    comment = Some(Instant::now() + Duration::from_millis(config.keepalive_ms));
                }
            }
        }
    };
    settling.disconnected |= left.into_inner();
    // Who may be billed, or has been, must not come again by itself.
    let sent = settling.sending.is_some() || settling.wasted > Usd::ZERO;
    let told = |error: ApiError| if sent { error.with_should_retry(false) } else { error };
    dispatched.map_err(|error| Unanswered::Failed(told(error)))
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
