//! Decides whether a conversation keeps its model or moves.
//! Does not store conversations (session.rs).

use super::rank::Candidate;
use super::score::Lens;
use super::types::Mode;

/// A move must gain this much more than it costs.
const MARGIN_POINTS: f32 = 2.0;
const MARGIN_COST: f64 = 1.05;
const MARGIN_TIME: f32 = 1.10;
const MARGIN_MS: f32 = 50.0;

/// Whether the leader's gain over the held candidate pays for leaving its warm prefix.
/// `cold_cost` prices the leader with full input and cache writes; the held one's own cost has
/// its warm part at the cache-read rate already.
pub(super) fn worth_moving(
    lens: &Lens<'_>,
    held: &Candidate,
    leader: &Candidate,
    cold_cost: f64,
) -> bool {
    let better = leader.q - held.q > MARGIN_POINTS;
    match lens.mode {
        Mode::Cost if held.q < lens.floor => better,
        Mode::Cost => cold_cost * MARGIN_COST < held.cost,
        Mode::Quality => better,
        Mode::Speed => leader.mark * MARGIN_TIME + MARGIN_MS < held.mark,
        Mode::Balanced => {
            let gained = lens.balance(leader.q, cold_cost) - f64::from(held.mark);
            gained > lens.margin(MARGIN_POINTS, MARGIN_COST)
        }
    }
}
