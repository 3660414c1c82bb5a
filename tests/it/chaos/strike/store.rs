//! What happens to the object store, or is in its place.

use super::{Scene, cut_until, met};
use crate::chaos::plan::{Kind, Strike};
use crate::harness::link::{Direction, Link};
use crate::harness::stand_in::StandIn;

/// Bytes of an object, or of its header, that still pass: some end before the body, some in it.
const MOST_PASSED: u64 = 3_000;

/// Answers of the wrong server after which it has been met.
const MISDIRECTED: u64 = 5;

impl Scene<'_> {
    pub(super) async fn store(&mut self, strike: Strike) -> bool {
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
            Kind::StoreBadNode => misdirected(&replica.s3, &StandIn::bad_store_node().await, 2).await,
            Kind::StoreNotAStore => misdirected(&replica.s3, &StandIn::web_page().await, 1).await,
            _ => cut_until(&replica.s3, replica, "antispoofd_failures_total{code=\"store_unavailable\"}").await,
        }
    }
}

/// Lets every `one_in`th connection reach the wrong server, until it has answered a few times.
async fn misdirected(link: &Link, wrong: &StandIn, one_in: u64) -> bool {
    link.divert(wrong.addr(), one_in);
    // What is open reaches the right one.
    link.cut().await;
    link.restore().await;
    let met = met(async || wrong.served() >= MISDIRECTED).await;
    link.go_straight();
    met
}

async fn burnt(link: &Link) -> bool {
    met(async || !link.armed(Direction::ToDaemon)).await || !link.disarm(Direction::ToDaemon)
}
