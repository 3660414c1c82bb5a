//! How each kind of fault is done, and undone.

mod ledger;
mod store;
mod vendor;

use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::crew::{CLAIM_SECONDS, HEARTBEAT, Replica};
use super::plan::{Backing, CONCURRENCY, Kind, Strike};
use crate::harness::link::Link;
use crate::harness::own_broker::OwnBroker;
use crate::harness::wait::{SOON, eventually};
use crate::harness::world::World;

/// What a good day looks like.
pub(crate) const USUAL_LATENCY: &str = "uniform:10ms..60ms";

/// The job queue alone.
const JOBS_PATTERN: &str = "^antispoof\\.jobs$";

const RECONNECTS: &str = "antispoofd_amqp_reconnects_total";
const LEDGER_ERRORS: &str = "antispoofd_ledger_errors_total";

/// Where it all happens.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) own: &'a OwnBroker,
    pub(crate) ledger: Backing,
    /// Of the run: part of every job's id.
    pub(crate) seed: u64,
    /// How many jobs are published before those that have ended.
    pub(crate) ahead: usize,
    pub(crate) replicas: &'a mut [Replica],
}

/// A fault that was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck {
    pub(crate) strike: Strike,
    /// Deliveries in hand of a replica that was ended, as it said itself.
    pub(crate) in_hand: Option<f64>,
    /// False when nobody met it: all were busy elsewhere, or done.
    pub(crate) met: bool,
    pub(crate) took: Duration,
}

impl Scene<'_> {
    /// Waits until a replica has a job in hand, for a while: at the end there may be none.
    pub(crate) async fn until_busy(&self, replica: usize) {
        let replica = &self.replicas[replica];
        met(async || replica.figure("antispoofd_jobs_in_flight").await > Some(0.0)).await;
    }

    /// Does it, waits until it is met, and undoes it.
    pub(crate) async fn strike(&mut self, strike: Strike) -> Struck {
        let since = Instant::now();
        let mut in_hand = None;
        let met = match strike.kind {
            Kind::Kill => {
                let replica = &mut self.replicas[strike.replica];
                in_hand = replica.kill().await;
                replica.begin().await;
                true
            }
            Kind::KillInOutage => {
                let met;
                (in_hand, met) = self.kill_in_outage(strike).await;
                met
            }
            Kind::Drain => {
                in_hand = self.replicas[strike.replica].drain().await;
                true
            }
            Kind::Stop => self.stop(strike, Duration::from_secs(HEARTBEAT * 4)).await,
            Kind::StopPastClaim => self.stop(strike, Duration::from_secs(CLAIM_SECONDS + 2)).await,
            Kind::BrokerRestart
            | Kind::BrokerKill
            | Kind::BrokerCut
            | Kind::BrokerFreeze
            | Kind::BrokerFreezeCut
            | Kind::ConnectionsClosed
            | Kind::MemoryAlarm => self.broker(strike).await,
            Kind::PolicyExpires | Kind::PolicyLength | Kind::PolicyLimit => self.policy(strike).await,
            Kind::CutAtDelivery => self.cut_at_delivery(strike).await,
            Kind::StoreCutMidBody
            | Kind::StoreTruncated
            | Kind::StoreAnnouncesMore
            | Kind::StoreOutage
            | Kind::StoreBadNode
            | Kind::StoreNotAStore => self.store(strike).await,
            Kind::ApiSlow
            | Kind::ApiResetBefore
            | Kind::ApiResetAfter
            | Kind::ApiHang
            | Kind::ApiRateLimited
            | Kind::ApiErrors
            | Kind::ApiGarbage
            | Kind::ApiUnauthorized
            | Kind::ApiOutage
            | Kind::ApiFreeze
            | Kind::ApiEarlyAnswer
            | Kind::ApiGzip
            | Kind::ApiIdleClose
            | Kind::ApiGoaway
            | Kind::ApiRefusedStream
            | Kind::ApiHangConnection
            | Kind::ApiRetryAfter
            | Kind::ApiRedirect => self.vendor(strike).await,
            Kind::RedisRestart
            | Kind::RedisKill
            | Kind::RedisCut
            | Kind::RedisFreeze
            | Kind::DiskFull
            | Kind::LedgerReadonly
            | Kind::LedgerOom
            | Kind::LedgerAcl => self.ledger(strike).await,
        };
        Struck { strike, in_hand, met, took: since.elapsed() }
    }

    /// Over all replicas: whoever meets it first has met it.
    async fn sum(&self, series: &str) -> f64 {
        let mut sum = 0.0;
        for replica in self.replicas.iter() {
            sum += replica.figure(series).await.unwrap_or(0.0);
        }
        sum
    }

    async fn kill_in_outage(&mut self, strike: Strike) -> (Option<f64>, bool) {
        let replica = &mut self.replicas[strike.replica];
        let simulator = &self.world.simulator;
        let (in_hand, met);
        match strike.dice % 3 {
            0 if self.ledger != Backing::Memory => {
                // Which of them it is depends on the ledger; the others make no difference to it.
                let before = replica.figure(LEDGER_ERRORS).await;
                let link = if self.ledger == Backing::S3 { &replica.s3 } else { &replica.redis };
                link.cut().await;
                replica.daemon().fill_disk();
                met = risen_above(replica, LEDGER_ERRORS, before).await;
                in_hand = replica.kill().await;
                let link = if self.ledger == Backing::S3 { &replica.s3 } else { &replica.redis };
                link.restore().await;
            }
            0 | 1 => {
                let before = replica.figure(RECONNECTS).await;
                replica.amqp.cut().await;
                met = risen_above(replica, RECONNECTS, before).await;
                in_hand = replica.kill().await;
                replica.amqp.restore().await;
            }
            _ => {
                let before = simulator.count("calls").await;
                simulator.configure(json!({ "latency": "uniform:1s..2s" })).await;
                let wanted = before + 2 * CONCURRENCY as u64;
                met = self::met(async || simulator.count("calls").await >= wanted).await;
                in_hand = replica.kill().await;
                simulator.configure(json!({ "latency": USUAL_LATENCY })).await;
            }
        }
        replica.begin().await;
        (in_hand, met)
    }

    async fn stop(&mut self, strike: Strike, length: Duration) -> bool {
        let daemon = self.replicas[strike.replica].daemon();
        daemon.stop();
        lasted(length).await;
        daemon.cont();
        true
    }

    async fn broker(&mut self, strike: Strike) -> bool {
        let replica = &self.replicas[strike.replica];
        match strike.kind {
            Kind::BrokerKill => {
                self.own.kill_one("rabbitmq").await;
                self.own.restart().await;
                true
            }
            Kind::BrokerCut => cut_until(&replica.amqp, replica, RECONNECTS).await,
            // A short one is not noticed by anybody; a long one ends the session on both sides.
            Kind::BrokerFreeze if strike.dice.is_multiple_of(2) => {
                replica.amqp.freeze();
                lasted(Duration::from_secs(1)).await;
                replica.amqp.thaw();
                true
            }
            Kind::BrokerFreeze => freeze_until(&replica.amqp, replica, RECONNECTS).await,
            Kind::BrokerFreezeCut => {
                let before = replica.figure(RECONNECTS).await;
                replica.amqp.freeze();
                let frozen = risen_above(replica, RECONNECTS, before).await;
                replica.amqp.cut().await;
                replica.amqp.restore().await;
                frozen
            }
            Kind::ConnectionsClosed => self.world.broker.close_connections().await > 0,
            Kind::MemoryAlarm => {
                self.own.raise_alarm().await;
                let replicas = &self.replicas;
                let blocked = met(async || {
                    for replica in replicas.iter() {
                        if replica.figure("antispoofd_amqp_blocked").await == Some(1.0) {
                            return true;
                        }
                    }
                    false
                })
                .await;
                self.own.clear_alarm().await;
                blocked
            }
            _ => {
                self.own.restart().await;
                true
            }
        }
    }

    async fn policy(&mut self, strike: Strike) -> bool {
        const DROPPED: &str = "antispoofd_dropped_by_broker_total";

        let (broker, before) = (&self.world.broker, self.sum(DROPPED).await);
        let policy = match strike.kind {
            Kind::PolicyExpires => json!({ "message-ttl": 100 }),
            Kind::PolicyLength => json!({ "max-length": 4, "overflow": "drop-head" }),
            _ => json!({ "delivery-limit": 0 }),
        };
        broker.put_policy_in_effect(JOBS_PATTERN, policy).await;
        if strike.kind == Kind::PolicyLimit {
            broker.close_connections().await;
        }
        let dropped = met(async || self.sum(DROPPED).await > before).await;
        broker.clear_policy().await;
        dropped
    }

    /// One that is about to be delivered. It gets through once the link lets it.
    async fn cut_at_delivery(&mut self, strike: Strike) -> bool {
        const CUTS: u64 = 3;

        let job = strike.at + self.ahead / 2;
        let poison = format!("\"chaos-{:x}-{job}\"", self.seed);
        let cuts = |replicas: &[Replica]| replicas.iter().map(|replica| replica.amqp.poisoned()).sum::<u64>();
        let before = cuts(self.replicas);
        for replica in self.replicas.iter() {
            replica.amqp.poison(Some(poison.as_bytes()));
        }
        let replicas = &self.replicas;
        let cut = met(async || cuts(replicas) >= before + CUTS).await;
        for replica in self.replicas.iter() {
            replica.amqp.poison(None);
        }
        cut
    }
}

/// For a fault that is one by how long it takes.
async fn lasted(length: Duration) {
    let since = Instant::now();
    eventually("the fault to have lasted", length * 2 + SOON, async || {
        if since.elapsed() >= length { Ok(()) } else { Err(format!("{:?}", since.elapsed())) }
    })
    .await;
}

async fn cut_until(link: &Link, replica: &Replica, series: &str) -> bool {
    let before = replica.figure(series).await;
    link.cut().await;
    let noticed = risen_above(replica, series, before).await;
    link.restore().await;
    noticed
}

async fn freeze_until(link: &Link, replica: &Replica, series: &str) -> bool {
    let before = replica.figure(series).await;
    link.freeze();
    let noticed = risen_above(replica, series, before).await;
    link.thaw();
    noticed
}

async fn risen_above(replica: &Replica, series: &str, before: Option<f64>) -> bool {
    met(async || replica.figure(series).await > before).await
}

/// Whether it came to pass. That a fault meets nobody is no failure of the run: it is in the figures.
async fn met(mut look: impl AsyncFnMut() -> bool) -> bool {
    let met =
        eventually(
            "the fault to be met",
            SOON * 2,
            async || {
                if look().await { Ok(()) } else { Err("not yet".to_owned()) }
            },
        );
    timeout(SOON, met).await.is_ok()
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Strike { at, kind, replica, .. } = self.strike;
        let met = if self.met { "" } else { ", met nobody" };
        write!(f, "at {at}: {kind} (replica {replica}), {:.1} s{met}", self.took.as_secs_f64())
    }
}
