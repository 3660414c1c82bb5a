//! What the worker needs of a broker besides publishing and settling.

use crate::amqp::{Amqp, ConsumeMode, Inbox, JobLease};
use antispoof_core::ports::{Broker, Ports};

/// A broker whose rate of delivery can be set.
pub trait Consuming: Broker<Lease: 'static> + Clone + 'static {
    /// Sets how much the broker delivers from now on. Deliveries in hand stay there.
    fn set_consume_mode(&self, mode: ConsumeMode);
    /// Ends when this mode is in effect and everything that was delivered before has arrived, or when there is no session. Cancel safe.
    fn until_consuming(&self, mode: ConsumeMode) -> impl Future<Output = ()> + Send;
    /// How many messages wait in the job queue, as far as is known without asking.
    fn waiting(&self) -> Option<u32>;
    /// Nothing more is to be delivered of what the broker has dropped. What has been delivered still arrives, and after it `None`.
    fn read_no_more(&self);
}

/// Ports over a broker whose rate of delivery can be set.
pub trait ConsumingPorts: Ports<Broker: Consuming> {}

impl<P: Ports<Broker: Consuming>> ConsumingPorts for P {}

/// Where the leases of a broker arrive.
pub trait Arrivals<L>: Send {
    /// The next lease that is still ours; `None` when there will be no more. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<L>> + Send;
    /// What has arrived and was not taken.
    fn waiting(&mut self) -> Option<L>;
}

impl Consuming for Amqp {
    fn set_consume_mode(&self, mode: ConsumeMode) {
        Self::set_consume_mode(self, mode);
    }

    async fn until_consuming(&self, mode: ConsumeMode) {
        Self::until_consuming(self, mode).await;
    }

    fn waiting(&self) -> Option<u32> {
        Self::waiting(self)
    }

    fn read_no_more(&self) {
        Self::read_no_more(self);
    }
}

impl Arrivals<JobLease> for Inbox {
    async fn next(&mut self) -> Option<JobLease> {
        Self::next(self).await
    }

    fn waiting(&mut self) -> Option<JobLease> {
        Self::waiting(self)
    }
}
