//! What the vendor does.

use serde_json::{Value, json};

use super::{Scene, USUAL_LATENCY, met};
use crate::chaos::plan::{CONCURRENCY, Kind, Strike};
use crate::harness::tls::TlsFront;

const REFUSED: &str = "antispoofd_failures_total{code=\"api_unavailable\"}";
const IN_DOUBT: &str = "antispoofd_api_in_doubt_total";

/// Connections or calls after which a change of how connections are treated has been met.
const ENOUGH: u64 = 20;

impl Scene<'_> {
    pub(super) async fn vendor(&mut self, strike: Strike) -> bool {
        match strike.kind {
            Kind::ApiSlow => self.slow().await,
            Kind::ApiResetBefore => self.faults(&[("reset-before", 6)]).await,
            Kind::ApiResetAfter => self.faults(&[("reset-after", 6)]).await,
            Kind::ApiHang => self.faults(&[("hang", 3)]).await,
            Kind::ApiRateLimited => self.faults(&[("429", 6)]).await,
            Kind::ApiErrors => self.faults(&[("500", 8), ("502", 8), ("503", 8)]).await,
            Kind::ApiGarbage => {
                self.faults(&[("garbage", 2), ("garbage-json", 2), ("empty", 2), ("truncated", 2)]).await
            }
            Kind::ApiUnauthorized => self.faults(&[("401", 15)]).await,
            Kind::ApiEarlyAnswer => {
                self.faults(&[("early-503", 6), ("early-429", 2), ("lingering-503", 3), ("early-401", 6)]).await
            }
            Kind::ApiGzip => {
                self.faults(&[("gzip", 4), ("deflate", 3), ("bom", 3), ("gzip-bom", 2), ("many-headers", 1)]).await
            }
            Kind::ApiRedirect => self.faults(&[("302", 5), ("307", 5)]).await,
            Kind::ApiRetryAfter => self.retry_after(strike.dice).await,
            Kind::ApiIdleClose => self.idle_close(strike.dice).await,
            Kind::ApiGoaway => self.over_http2(Self::goaway).await,
            Kind::ApiRefusedStream => {
                self.over_http2(async |scene| scene.faults(&[("refused-stream", 10)]).await).await
            }
            Kind::ApiHangConnection if strike.dice.is_multiple_of(2) => self.over_http2(Self::hang_connection).await,
            Kind::ApiHangConnection => self.hang_connection().await,
            Kind::ApiFreeze => {
                let before = self.sum(IN_DOUBT).await;
                self.world.api_link.freeze();
                let met = met(async || self.sum(IN_DOUBT).await > before).await;
                self.world.api_link.thaw();
                met
            }
            _ => {
                let before = self.sum(REFUSED).await;
                self.world.api_link.cut().await;
                let met = met(async || self.sum(REFUSED).await > before).await;
                self.world.api_link.restore().await;
                met
            }
        }
    }

    async fn slow(&self) -> bool {
        let before = self.world.simulator.count("calls").await;
        self.changed(json!({ "latency": "uniform:500ms..2s" }), json!({ "latency": USUAL_LATENCY }), async || {
            self.world.simulator.count("calls").await >= before + ENOUGH
        })
        .await
    }

    /// The next calls fail: so many of each kind.
    async fn faults(&self, kinds: &[(&str, u64)]) -> bool {
        let before = self.counted(kinds).await;
        let wanted = before + kinds.iter().map(|(_, each)| each).sum::<u64>();
        let counted: Vec<_> = kinds.iter().map(|(kind, each)| format!("{kind}=x{each}")).collect();
        self.changed(json!({ "faults": counted.join(",") }), json!({ "faults": "" }), async || {
            self.counted(kinds).await >= wanted
        })
        .await
    }

    /// Everybody is told to come back later, in one of the ways in which it is said.
    async fn retry_after(&self, dice: u64) -> bool {
        let any = |of: &[&'static str], dice: u64| of[usize::try_from(dice % of.len() as u64).expect("an index")];
        let form = any(&["seconds", "fraction", "date", "none"], dice);
        let headers = any(&["legacy", "draft-6", "draft-7", "draft-8"], dice / 4);
        let usual = json!({ "retry_after": "1s", "retry_after_form": "seconds", "retry_after_on": "429", "rate_headers": "none" });
        self.world
            .simulator
            .configure(json!({
                "retry_after": "1500ms", "retry_after_form": form, "retry_after_on": "429,503", "rate_headers": headers,
            }))
            .await;
        let met = self.faults(&[("429", 2), ("503", 2)]).await;
        self.world.simulator.configure(usual).await;
        met
    }

    /// Connections are closed behind the workers' backs, whatever is announced.
    async fn idle_close(&self, dice: u64) -> bool {
        let link = &self.world.api_link;
        let before = link.connections();
        let announced = if dice.is_multiple_of(2) { "1s" } else { "0s" };
        let change = json!({ "idle_timeout": "20ms", "keep_alive": announced });
        self.changed(change, json!({ "idle_timeout": "0s", "keep_alive": "0s" }), async || {
            link.connections() >= before + ENOUGH
        })
        .await
    }

    /// Connections end by GOAWAY while calls are under way.
    async fn goaway(&self) -> bool {
        let before = self.counted(&[("goaway", 0)]).await;
        self.changed(json!({ "max_requests": 4 }), json!({ "max_requests": 0 }), async || {
            self.counted(&[("goaway", 0)]).await >= before + 4
        })
        .await
    }

    async fn hang_connection(&self) -> bool {
        let before = self.sum(IN_DOUBT).await;
        self.changed(json!({ "faults": "hang-connection=x2" }), json!({ "faults": "" }), async || {
            self.sum(IN_DOUBT).await > before
        })
        .await
    }

    /// While the workers speak HTTP/2. All connections end in an orderly way and begin anew, before and after.
    async fn over_http2(&self, fault: impl AsyncFnOnce(&Self) -> bool) -> bool {
        let front = self.world.tls.as_ref().expect("a run reaches the vendor by TLS");
        // So that the jobs that are there for a fault are not gone before it has begun.
        self.world.simulator.configure(json!({ "latency": "uniform:100ms..200ms" })).await;
        self.negotiated(front, true).await;
        let met = fault(self).await;
        self.negotiated(front, false).await;
        self.world.simulator.configure(json!({ "latency": USUAL_LATENCY })).await;
        met
    }

    async fn negotiated(&self, front: &TlsFront, http2: bool) {
        let replicas = self.replicas.len() as u64;
        let before = (self.world.simulator.count("calls").await, front.http2_connections());
        front.offer_http2(http2);
        // A worker that has nothing to do keeps what it has.
        self.changed(json!({ "max_requests": 1 }), json!({ "max_requests": 0 }), async || {
            let (calls, negotiated) = (self.world.simulator.count("calls").await, front.http2_connections());
            // Of HTTP/2 a replica has one connection, of HTTP/1.1 as many as it has calls.
            let enough = if http2 { 2 * CONCURRENCY as u64 } else { replicas };
            calls >= before.0 + enough || (http2 && negotiated >= before.1 + replicas)
        })
        .await;
    }

    /// The simulator behaves otherwise until it is met.
    async fn changed(&self, change: Value, usual: Value, look: impl AsyncFnMut() -> bool) -> bool {
        self.world.simulator.configure(change).await;
        let met = met(look).await;
        self.world.simulator.configure(usual).await;
        met
    }

    /// How often these faults have happened.
    async fn counted(&self, kinds: &[(&str, u64)]) -> u64 {
        let stats = self.world.simulator.stats_without_images().await;
        kinds.iter().map(|(kind, _)| stats["by_fault"][*kind].as_u64().unwrap_or(0)).sum()
    }
}
