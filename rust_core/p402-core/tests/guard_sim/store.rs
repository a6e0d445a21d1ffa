//! Decides what a shared store does to accounts: one step per call, and every way of forgetting.
//! Does not know nodes; it is the machine under test behind a server that fails like Redis.

use crate::world::{Switches, TENANTS};
use p402_core::guard::{Account, Code, Fence, Limits, Op, Reply};
use p402_core::time::Timestamp;

#[derive(Clone, Copy)]
pub struct Call {
    pub tenant: usize,
    pub fence: Fence,
    pub op: Op<'static>,
}

pub struct Store {
    pub accounts: [Option<Account>; TENANTS],
    /// What would survive a failover: older, tenant by tenant.
    replica: [Option<Account>; TENANTS],
    pub epoch: i64,
    pub down_until: i64,
}

impl Store {
    /// The tenants are new: the ledger has nothing on them.
    pub fn new(limits: &[Limits; TENANTS], now: i64) -> Self {
        let new =
            |tenant: usize| Some(Account::new(1, &limits[tenant], Timestamp::from_micros(now)));
        let accounts: [Option<Account>; TENANTS] = std::array::from_fn(new);
        Self { replica: accounts.clone(), accounts, epoch: 1, down_until: 0 }
    }

    pub fn call(
        &mut self,
        (tenant, mut fence): (usize, Fence),
        op: Op<'_>,
        limits: &Limits,
        (now, switches): (i64, &Switches),
    ) -> Result<Reply, Code> {
        let now = Timestamp::from_micros(now);
        if !switches.cold_seeding {
            self.accounts[tenant].get_or_insert_with(|| Account::new(self.epoch, limits, now));
        }
        let account = self.accounts[tenant].as_mut().ok_or(Code::Cold)?;
        if !switches.epoch {
            fence.epoch = account.header().epoch;
        }
        if !switches.version {
            fence.version = 0;
        }
        if !switches.deadline {
            fence.deadline = None;
        }
        let reply = account.call(&fence, op, limits, now);
        match reply.code {
            Code::Recover | Code::Late => Err(reply.code),
            _ => Ok(reply),
        }
    }

    pub fn replicate(&mut self, tenant: usize) {
        self.replica[tenant].clone_from(&self.accounts[tenant]);
    }

    /// Another server takes over, without the last writes.
    pub fn fail_over(&mut self) {
        self.accounts = self.replica.clone();
        self.epoch += 1;
    }

    pub fn wipe(&mut self) {
        self.accounts = Default::default();
        self.replica = Default::default();
    }

    pub fn forget(&mut self, tenant: usize) {
        self.accounts[tenant] = None;
        self.replica[tenant] = None;
    }
}
