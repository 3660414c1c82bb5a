//! Images that are not sent as they are.

use super::inspect::other_length;
use super::job_run::{Interrupt, JobRun};
use crate::conversion::{NotMade, Work};
use antispoof_core::event::SentImage;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::{Facts, ImageRef};
use antispoof_core::ports::{ImageStore, Inspected, Ports};
use antispoof_core::stream_digest::StreamDigest;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Most of what a slow store may take beyond the usual limit.
pub const LONGEST_READ: Duration = Duration::from_mins(5);

type Image<P> = Inspected<<<P as Ports>::Store as ImageStore>::Stream>;

impl<P: Ports> JobRun<'_, P> {
    /// What is sent of the image, and whether it took a while to make it.
    pub(super) async fn converted(
        &mut self,
        image: &mut ImageRef,
        inspected: Image<P>,
    ) -> Result<(Image<P>, bool), Interrupt> {
        let converter = &self.delivery.pipeline.converter;
        match converter.work(&inspected.facts, inspected.bytes)? {
            None => Ok((inspected, false)),
            // Boxed: few images need it, and its future would be part of every job's.
            Some(work) => Ok((Box::pin(self.convert(image, inspected, work)).await?, true)),
        }
    }

    async fn convert(
        &mut self,
        image: &mut ImageRef,
        mut inspected: Image<P>,
        asked: Work,
    ) -> Result<Image<P>, Interrupt> {
        let converter = &self.delivery.pipeline.converter;
        let mut work = asked;
        let mut share = converter.try_share(&work);
        let made = loop {
            let held = if let Some(share) = share.take() {
                share
            } else {
                // The store would not wait for our memory. Its connection is given back, and the object, pinned by now, is opened again.
                drop(inspected);
                let share = converter.share(&work).await?;
                inspected = self.fetch(image).await?;
                if converter.work(&inspected.facts, inspected.bytes)? != Some(asked) {
                    let message = "the object was replaced while its image waited to be converted";
                    return Err(Failure::new(Code::StoreUnavailable, message).into());
                }
                share
            };
            let rules = &self.delivery.pipeline.rules;
            let digest = StreamDigest::new(rules.digest, rules.verify, &inspected.facts).expecting(inspected.checksum);
            let limit = rules.fetch_limit + time_for(inspected.bytes);
            let (file, digest) = collect(&mut inspected, digest, limit).await?;
            self.image.digest = digest;
            let started = Instant::now();
            let made = converter.run(file, work, held).await;
            self.delivery.record.converted(started.elapsed());
            match made {
                Err(NotMade::More(more)) => work = more,
                made => break made,
            }
        };
        let made = made?;
        self.image.learn(&made.of_object);
        let bytes = made.bytes.len() as u64;
        if !made.steps.is_empty() {
            let Facts { width, height, .. } = made.facts;
            self.image.sent = Some(SentImage { bytes, width, height, digest: None });
            self.image.transformed = made.steps;
        }
        Ok(Inspected { head: vec![made.bytes], rest: None, bytes, checksum: None, facts: made.facts })
    }
}

impl From<NotMade> for Interrupt {
    fn from(not_made: NotMade) -> Self {
        match not_made {
            NotMade::Busy => {
                tracing::warn!(
                    "the memory and the threads for conversions were taken for too long: the job is tried later"
                );
                Self::Busy
            }
            // Taken care of where it is met.
            NotMade::More(_) => Self::Busy,
            NotMade::Failed(failure) => failure.into(),
        }
    }
}

/// What a slow store may take beyond the usual limit: each of its chunks has a limit of its own.
fn time_for(bytes: u64) -> Duration {
    const SLOWEST_BYTES_PER_SECOND: u64 = 100_000;
    Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND).min(LONGEST_READ)
}

/// Reads an image to its end, and its digest. The store has `limit` for it.
async fn collect<S>(
    inspected: &mut Inspected<S>,
    mut digest: StreamDigest,
    limit: Duration,
) -> Result<(Vec<u8>, Option<String>), Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Unpin,
{
    let (head, rest, bytes) = (std::mem::take(&mut inspected.head), inspected.rest.take(), inspected.bytes);
    let mut file = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    let mut take = |chunk: &[u8]| {
        digest.chunk(chunk);
        file.extend_from_slice(chunk);
        if file.len() as u64 > bytes { Err(other_length(bytes, file.len() as u64)) } else { Ok(()) }
    };
    let reading = async {
        for chunk in head {
            take(&chunk)?;
        }
        if let Some(mut rest) = rest {
            while let Some(chunk) = rest.next().await {
                take(&chunk?)?;
            }
        }
        Ok(())
    };
    let slow = || Failure::new(Code::StoreTimeout, format!("the store did not send the whole object within {limit:?}"));
    timeout(limit, reading).await.map_err(|_| slow())??;
    let digest = digest.finish(bytes)?;
    Ok((file, digest))
}
