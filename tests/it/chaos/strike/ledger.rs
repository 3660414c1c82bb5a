//! What happens to the ledger.

use super::{LEDGER_ERRORS, Scene, cut_until, freeze_until, met, risen_above};
use crate::chaos::plan::{Kind, Strike};
use crate::harness::redis;

/// What a careless rule takes from the ledger's user: each leaves something that works.
const RIGHTS: [&str; 3] = ["-get", "-set", "-evalsha"];

impl Scene<'_> {
    pub(super) async fn ledger(&mut self, strike: Strike) -> bool {
        let replica = &self.replicas[strike.replica];
        match strike.kind {
            Kind::RedisRestart => {
                self.own.restart_one("redis").await;
                true
            }
            Kind::RedisKill => {
                self.own.kill_one("redis").await;
                self.own.restart_one("redis").await;
                true
            }
            Kind::RedisCut => cut_until(&replica.redis, replica, LEDGER_ERRORS).await,
            Kind::RedisFreeze => freeze_until(&replica.redis, replica, LEDGER_ERRORS).await,
            // Of a server that nobody can reach, so that nothing is copied from it.
            Kind::LedgerReadonly => self.operated(&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]).await,
            Kind::LedgerOom => {
                let limit = |bytes| ["CONFIG", "SET", "maxmemory", bytes];
                self.operated(&limit("1"), &limit("0")).await
            }
            Kind::LedgerAcl => {
                let right = RIGHTS[usize::try_from(strike.dice % RIGHTS.len() as u64).expect("an index")];
                let user = |rule| ["ACL", "SETUSER", "default", rule];
                self.operated(&user(right), &user("+@all")).await
            }
            _ => {
                let before = replica.figure(LEDGER_ERRORS).await;
                replica.daemon().fill_disk();
                let full = risen_above(replica, LEDGER_ERRORS, before).await;
                replica.daemon().free_disk();
                full
            }
        }
    }

    /// Somebody changes Redis and takes it back. It concerns all replicas.
    async fn operated(&self, done: &[&str], undone: &[&str]) -> bool {
        let before = self.sum(LEDGER_ERRORS).await;
        redis::command(&self.world.services, done).await;
        let met = met(async || self.sum(LEDGER_ERRORS).await > before).await;
        redis::command(&self.world.services, undone).await;
        met
    }
}
