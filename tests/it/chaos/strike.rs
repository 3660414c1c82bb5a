//! How each kind of fault is done, and undone.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::crew::{CLAIM_SECONDS, HEARTBEAT, Replica};
use super::plan::{Backing, CONCURRENCY, Kind, Strike};
use crate::harness::link::{Direction, Link};
use crate::harness::own_broker::OwnBroker;
use crate::harness::wait::{SOON, eventually};
use crate::harness::world::World;

/// What a good day looks like.
pub(crate) const USUAL_LATENCY: &str = "uniform:10ms..60ms";

/// Bytes of an object, or of its header, that still pass: some end before the body, some in it.
const MOST_PASSED: u64 = 3_000;

const RECONNECTS: &str = "antispoofd_amqp_reconnects_total";
const REFUSED: &str = "antispoofd_failures_total{code=\"api_unavailable\"}";
const IN_DOUBT: &str = "antispoofd_api_in_doubt_total";
const LEDGER_ERRORS: &str = "antispoofd_ledger_errors_total";

/// Where it all happens.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) own: &'a OwnBroker,
    pub(crate) ledger: Backing,
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
            Kind::StoreCutMidBody | Kind::StoreTruncated | Kind::StoreAnnouncesMore | Kind::StoreOutage => {
                self.store(strike).await
            }
            Kind::ApiSlow => self.slow().await,
            Kind::ApiResetBefore => self.faults(&["reset-before"], 6).await,
            Kind::ApiResetAfter => self.faults(&["reset-after"], 6).await,
            Kind::ApiHang => self.faults(&["hang"], 3).await,
            Kind::ApiRateLimited => self.faults(&["429"], 20).await,
            Kind::ApiErrors => self.faults(&["500", "502", "503"], 8).await,
            Kind::ApiGarbage => self.faults(&["garbage", "garbage-json", "empty", "truncated"], 2).await,
            Kind::ApiUnauthorized => self.faults(&["401"], 15).await,
            Kind::ApiOutage => {
                let before = self.sum(REFUSED).await;
                self.world.api_link.cut().await;
                let met = met(async || self.sum(REFUSED).await > before).await;
                self.world.api_link.restore().await;
                met
            }
            Kind::ApiFreeze => {
                let before = self.sum(IN_DOUBT).await;
                self.world.api_link.freeze();
                let met = met(async || self.sum(IN_DOUBT).await > before).await;
                self.world.api_link.thaw();
                met
            }
            Kind::RedisRestart | Kind::RedisKill | Kind::RedisCut | Kind::RedisFreeze | Kind::DiskFull => {
                self.ledger(strike).await
            }
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
                // Which of the two it is depends on the ledger; the other makes no difference.
                let before = replica.figure(LEDGER_ERRORS).await;
                replica.redis.cut().await;
                replica.daemon().fill_disk();
                met = risen_above(replica, LEDGER_ERRORS, before).await;
                in_hand = replica.kill().await;
                replica.redis.restore().await;
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

    async fn store(&mut self, strike: Strike) -> bool {
        let replica = &self.replicas[strike.replica];
        let bytes = 1 + strike.dice % MOST_PASSED;
        match strike.kind {
            Kind::StoreCutMidBody => {
                replica.s3.drop_after(bytes, Direction::ToDaemon);
                burnt(&replica.s3).await
            }
            Kind::StoreTruncated => {
                replica.s3.close_after(bytes, Direction::ToDaemon);
                burnt(&replica.s3).await
            }
            Kind::StoreAnnouncesMore => {
                replica.s3.swell_length();
                met(async || !replica.s3.swells()).await
            }
            _ => cut_until(&replica.s3, replica, "antispoofd_failures_total{code=\"store_unavailable\"}").await,
        }
    }

    async fn slow(&mut self) -> bool {
        let simulator = &self.world.simulator;
        simulator.configure(json!({ "latency": "uniform:500ms..2s" })).await;
        let before = simulator.count("calls").await;
        let met = met(async || simulator.count("calls").await >= before + 20).await;
        simulator.configure(json!({ "latency": USUAL_LATENCY })).await;
        met
    }

    /// The next calls fail: so many of each kind.
    async fn faults(&mut self, kinds: &[&str], each: u64) -> bool {
        let simulator = &self.world.simulator;
        let sum = |stats: &Value| kinds.iter().map(|kind| stats["by_fault"][*kind].as_u64().unwrap_or(0)).sum::<u64>();
        let before = sum(&simulator.stats_without_images().await);
        let counted: Vec<_> = kinds.iter().map(|kind| format!("{kind}=x{each}")).collect();
        simulator.configure(json!({ "faults": counted.join(","), "retry_after": "1s" })).await;
        let wanted = before + each * kinds.len() as u64;
        let met = met(async || sum(&simulator.stats_without_images().await) >= wanted).await;
        simulator.configure(json!({ "faults": "" })).await;
        met
    }

    async fn ledger(&mut self, strike: Strike) -> bool {
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
            _ => {
                let before = replica.figure(LEDGER_ERRORS).await;
                replica.daemon().fill_disk();
                let full = risen_above(replica, LEDGER_ERRORS, before).await;
                replica.daemon().free_disk();
                full
            }
        }
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

async fn burnt(link: &Link) -> bool {
    met(async || !link.armed(Direction::ToDaemon)).await || !link.disarm(Direction::ToDaemon)
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
