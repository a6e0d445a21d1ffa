//! Opens what must outlive a request: the accounts' home and the ledger, in one data directory.
//! Does not decide what happens when either fails (gateway.rs).

use crate::ledger::{Durability, Ledger, Options};
use crate::store::Store;
use crate::store::memory::Memory;
use p402_core::config::Config;
use p402_core::guard::NODES_MAX;
use p402_core::time::Now;
use std::path::Path;

/// Where accounts and the ledger live.
pub struct Home {
    pub store: Box<dyn Store>,
    pub ledger: Ledger,
    /// Accounts of this node alone, for as long as the store is away.
    pub local: Memory,
    /// Marks this process's holds among those of other nodes.
    pub owner: u32,
}

impl Home {
    /// Takes the data directory for this process.
    ///
    /// # Errors
    /// A sentence for the operator: the folder is held by another process, or cannot be written.
    pub fn open(config: &Config, folder: &Path, now: Now) -> Result<Self, String> {
        let durability = durability(config)?;
        let options = Options { durability, ..Options::new(folder) };
        let ledger = Ledger::open(&options, now).map_err(|error| error.to_string())?;
        if config.store.url.is_some() {
            return Err("store.url: this release keeps accounts in its own process alone".into());
        }
        Ok(Self::new(Box::new(Memory::default()), ledger))
    }

    pub fn new(store: Box<dyn Store>, ledger: Ledger) -> Self {
        let owner = getrandom::u32().unwrap_or_default() % NODES_MAX;
        Self { store, ledger, local: Memory::default(), owner }
    }
}

fn durability(config: &Config) -> Result<Durability, String> {
    match config.ledger.durability.as_deref() {
        None | Some("process") => Ok(Durability::Process),
        Some("group") => Ok(Durability::Group),
        Some("strict") => Ok(Durability::Strict),
        Some(other) => {
            Err(format!("ledger.durability {other:?} is not one of process, group, strict"))
        }
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("ledger", &self.ledger.folder()).finish_non_exhaustive()
    }
}
