//! Decides which rows of a journal's tail the index does not have in other words.
//! Does not read segments: `Page::tail` does.

use super::books::{Interrupted, Page};
use p402_core::ledger::{Kind, Replay, Row};
use std::collections::HashSet;

/// What makes a row the same one, wherever it stands.
pub(super) type Name = (u128, u8, u8);

pub(super) fn name_of(row: &Row<'_>) -> Name {
    let (rid, slot, attempt) = row.identity();
    (rid.bits(), slot, attempt)
}

/// Its money is in the index's sums once the index has it.
fn sums(row: &Row<'_>) -> bool {
    row.kind.closes() || row.kind == Kind::Adjust
}

impl Page<'_> {
    /// Hands over the rows beyond the index whose sums it does not have: a request that was ended
    /// by hand or by another node may be ended again in this journal.
    pub(super) fn fresh(&mut self, mut each: impl FnMut(&Row<'_>)) -> Result<(), Interrupted> {
        let (mut ends, mut new) = (Vec::new(), HashSet::new());
        self.tail(|row| {
            if sums(row) {
                ends.push(row.rid.bits().to_be_bytes());
                new.insert(name_of(row));
            }
        })?;
        self.index.names_of(&ends, &mut |name| {
            new.remove(&name);
        })?;
        // What has been appended since was not looked up: it is of the next page.
        self.tail(|row| {
            if !sums(row) || new.contains(&name_of(row)) {
                each(row);
            }
        })
    }

    /// What is beyond the index, played.
    pub(super) fn replay(&mut self) -> Result<Replay, Interrupted> {
        let mut replay = Replay::default();
        self.fresh(|row| {
            replay.push(row);
        })?;
        Ok(replay)
    }
}
