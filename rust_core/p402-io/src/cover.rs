//! Sees to it that nothing is sent uncovered or unwritten: the hold grows first, the row is first.
//! Does not choose what is sent (dispatch.rs, pump.rs).

use crate::booking;
use crate::meter::count;
use crate::reservation::Unheld;
use crate::settling::Settling;
use crate::turn::Turn;
use p402_core::money::Usd;
use p402_core::reply::{ApiError, guard_unavailable, ledger_unavailable, reservation_exhausted};
use p402_core::route::Attempt;
use std::sync::Arc;

impl Settling {
    /// The hold covers what was wasted and what this attempt may cost; its row is in the ledger.
    /// `number` counts the attempts of the request from 1.
    pub async fn cover_attempt(&mut self, attempt: &Attempt, number: u8) -> Result<(), ApiError> {
        let turn = Arc::clone(&self.turn);
        let now = turn.node.clock.now();
        if let Some(hold) = &mut self.hold {
            let held = hold.held;
            let refreshed = hold.refresh(turn.place(), now).await;
            refreshed.map_err(|unheld| told(&turn, &unheld, held, held))?;
        }
        let claim = turn.terms().of(attempt);
        self.cover(self.wasted.saturating_add(claim)).await?;
        let Some(hold) = &self.hold else { return Err(ledger_unavailable()) };
        let row = booking::dispatch(&turn, hold, (number, attempt.offer), now);
        let written = match turn.home.ledger.append(&row) {
            Ok(mark) => turn.home.ledger.durable(mark).await,
            Err(error) => Err(error),
        };
        written.map_err(|_| {
            count(&turn.node.meter.ledger_refused);
            ledger_unavailable()
        })?;
        let Some(hold) = &mut self.hold else { return Err(ledger_unavailable()) };
        let held = hold.held;
        let confirmed = hold.confirm(turn.place(), now).await;
        confirmed.map_err(|unheld| told(&turn, &unheld, held, held))
    }

    /// The hold grows to `needed`, where it is smaller.
    pub async fn cover(&mut self, needed: Usd) -> Result<(), ApiError> {
        let turn = Arc::clone(&self.turn);
        let now = turn.node.clock.now();
        let Some(hold) = self.hold.as_mut().filter(|hold| hold.held < needed) else {
            return Ok(());
        };
        let held = hold.held;
        let grown = hold.extend(turn.place(), needed, now).await;
        grown.map_err(|unheld| told(&turn, &unheld, held, needed))?;
        self.extensions = self.extensions.saturating_add(1);
        let row = booking::extension(&turn, hold, self.extensions, now);
        // Its hold is counted already: a row that is missing here is found missing by `verify`.
        if turn.home.ledger.append(&row).is_err() {
            count(&turn.node.meter.ledger_failed);
        }
        Ok(())
    }
}

fn told(turn: &Turn, unheld: &Unheld, held: Usd, needed: Usd) -> ApiError {
    match unheld {
        Unheld::Refused(_) => reservation_exhausted(held, needed),
        Unheld::Away(_) => guard_unavailable(turn.rules().limits.outage.name()),
    }
}
