//! The consumer of a queue, and how it is exchanged for one with another prefetch.

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

/// At most one consumer on the channel. The prefetch of a live one cannot be changed (`basic.qos` counts for the next consumer only,
/// and quorum queues refuse it for the whole channel), so a change cancels and consumes anew.
pub(super) struct Subscription<'a> {
    channel: &'a Channel,
    queue: &'a str,
    consumer: Option<Consumer>,
}

impl<'a> Subscription<'a> {
    pub(super) fn new(channel: &'a Channel, queue: &'a str) -> Self {
        Self { channel, queue, consumer: None }
    }

    /// The channel that it consumes on.
    pub(super) fn channel(&self) -> &'a Channel {
        self.channel
    }

    /// Consumes with this prefetch; 0 consumes nothing. Returns what the broker had already sent to the cancelled consumer: it has to
    /// be settled here.
    pub(super) async fn set_prefetch(&mut self, prefetch: u16) -> lapin::Result<Vec<Delivery>> {
        let left_over = match self.consumer.take() {
            Some(consumer) => self.cancel(consumer).await?,
            None => Vec::new(),
        };
        if prefetch > 0 {
            self.channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
            let options = BasicConsumeOptions::default();
            // An empty tag lets the broker choose one that is unique.
            let consumer =
                self.channel.basic_consume(self.queue.into(), "".into(), options, FieldTable::default()).await?;
            self.consumer = Some(consumer);
        }
        Ok(left_over)
    }

    /// The next delivery; pending for ever while nothing is consumed. `None`: the broker cancelled the consumer.
    pub(super) async fn next(&mut self) -> Option<lapin::Result<Delivery>> {
        match &mut self.consumer {
            Some(consumer) => consumer.next().await,
            None => std::future::pending().await,
        }
    }

    async fn cancel(&self, mut consumer: Consumer) -> lapin::Result<Vec<Delivery>> {
        self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        let mut left_over = Vec::new();
        while let Some(delivery) = consumer.next().await {
            left_over.push(delivery?);
        }
        Ok(left_over)
    }
}
