//! What the settings mean for the parts.

use super::error::StartError;
use crate::amqp::Names;
use crate::conversion;
use crate::gate;
use crate::ledger::{AnyLedger, Clock, File, LocalCount, Memory, Redis, RedisOptions, S3, S3Options};
use crate::limiter::Limiter;
use crate::pipeline::{LONGEST_READ, Rules};
use crate::s3::Objects;
use crate::settings::{ApiAuth, Concurrency, LedgerBackend, ObjectKeys, OrientationPolicy, Settings};
use crate::telemetry::{KeyNames, Places};
use antispoof_core::image::{Limits, Verify};
use antispoof_core::job::Admission;
use antispoof_core::retry::{Backoff, RetryPolicy};
use secrecy::ExposeSecret as _;
use std::time::Duration;
use url::Url;

/// The first and the longest wait between tries to publish what has to be published.
const PUBLISH_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A claim in a shared ledger outlives the longest silence between two renewals by this.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// The longest wait of a probe.
const LONGEST_PROBE_WAIT: Duration = Duration::from_mins(1);

pub(super) fn rules(settings: &Settings) -> Result<Rules, StartError> {
    let retry = &settings.retry;
    let buckets = (!settings.s3.allow_any_bucket).then(|| settings.s3.buckets.clone());
    Ok(Rules {
        admission: Admission { default_bucket: settings.s3.default_bucket.clone(), buckets },
        limits: Limits {
            min_side: settings.image.min_side,
            max_pixels: settings.image.max_pixels,
            upright_only: settings.image.orientation == OrientationPolicy::Reject,
            convert: settings.image.convert.iter().copied().collect(),
        },
        verify: settings.image.verify,
        digest: settings.image.digest,
        policy: RetryPolicy {
            quick_attempts: retry.quick_attempts,
            quick: Backoff::try_new(retry.quick_min, retry.quick_max)?,
            delays: retry.delays.iter().map(|delay| delay.duration).collect(),
            max_attempts: retry.max_attempts,
            in_doubt: settings.api.in_doubt,
        },
        publish: Backoff::try_new(PUBLISH_WAITS.0, PUBLISH_WAITS.1)?,
        fetch_limit: settings.s3.timeout + settings.s3.read_timeout,
        review_below: settings.api.review_below,
        source: format!("antispoofd/{}", settings.worker.instance),
        endpoint: settings.api.url.clone(),
        reuse: settings.ledger.reuse,
    })
}

pub(super) fn conversion(settings: &Settings, limits: Limits) -> conversion::Options {
    let image = &settings.image;
    conversion::Options {
        upright: image.orientation == OrientationPolicy::Apply,
        decode: image.verify == Verify::Decode,
        max_side: image.max_side,
        quality: image.quality,
        memory: image.conversion_memory,
        limits,
    }
}

pub(super) fn gate_policy(settings: &Settings) -> Result<gate::Policy, StartError> {
    let probe_interval = settings.api.probe_interval;
    Ok(gate::Policy {
        concurrency: settings.worker.concurrency.max(),
        rejection_streak: settings.api.rejection_streak,
        probe: Backoff::try_new(probe_interval, LONGEST_PROBE_WAIT.max(probe_interval))?,
        roll: fastrand::f64,
    })
}

pub(super) fn limiter(settings: &Settings) -> Limiter {
    match settings.worker.concurrency {
        Concurrency::Fixed(_) => Limiter::fixed(settings.api.rate_limit),
        Concurrency::Adaptive(bounds) => Limiter::adaptive(bounds, settings.api.rate_limit),
    }
}

/// Opens the ledger that the settings name. One in Redis or S3 is not asked for anything yet.
pub async fn open_ledger(settings: &Settings) -> Result<AnyLedger, StartError> {
    let (ledger, clock, limit) = (&settings.ledger, Clock::system(), settings.api.daily_call_limit);
    let here = || LocalCount::new(limit, Clock::wall());
    Ok(match &ledger.backend {
        LedgerBackend::None => AnyLedger::Nothing(here()),
        LedgerBackend::Memory => {
            AnyLedger::Memory(Box::new(Memory::new(ledger.max_entries, ledger.ttl, clock).counting(here())))
        }
        LedgerBackend::File(path) => {
            let file = File::open(path, ledger.ttl, ledger.timeout, clock).await?;
            AnyLedger::File(Box::new(file.counting(limit, Clock::wall())))
        }
        LedgerBackend::Redis(url) => {
            let options = RedisOptions {
                url: url.expose(),
                prefix: &settings.amqp.prefix,
                ttl: ledger.ttl,
                claim_life: longest_silence(settings) + CLAIM_MARGIN,
                patience: ledger.timeout,
            };
            AnyLedger::Redis(Box::new(Redis::new(&options, clock)?.following(url.clone()).counting(limit)))
        }
        LedgerBackend::S3 { bucket, prefix } => {
            let in_flight = settings.worker.concurrency.max();
            let objects = Objects::new(&settings.s3, bucket.clone(), ledger.timeout, in_flight).await?;
            let options = S3Options { prefix, ttl: ledger.ttl, claim_life: longest_silence(settings) + CLAIM_MARGIN };
            AnyLedger::S3(Box::new(S3::new(objects, &options, clock).counting(limit)))
        }
    })
}

/// Of a job between two renewals of its claim: it reads the image and converts it, or makes one call.
fn longest_silence(settings: &Settings) -> Duration {
    let (image, fetching) = (&settings.image, settings.s3.timeout + settings.s3.read_timeout);
    let converts = !image.convert.is_empty()
        || image.orientation == OrientationPolicy::Apply
        || image.max_side > 0
        || image.verify == Verify::Decode;
    // It may wait for its memory, read the image again, and then wait for a thread.
    let preparing = if converts { 2 * fetching + LONGEST_READ + 2 * conversion::LIMIT } else { fetching };
    settings.api.timeout.max(preparing)
}

/// What spans say of the servers on the other side.
pub(super) fn places(settings: &Settings) -> Places {
    let Names { jobs, dead, results, .. } = Names::new(&settings.amqp.prefix, &settings.retry.delays);
    let broker = &settings.amqp.url;
    let api = &settings.api.url;
    Places {
        jobs,
        dead,
        results,
        broker: (broker.host().to_owned(), broker.port()),
        region: settings.s3.region.clone(),
        store: settings.s3.endpoint_url.as_deref().and_then(host_and_port),
        api: (api.clone(), host_and_port(api)),
        keys: settings.log.object_keys == ObjectKeys::Plain,
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// Without a key of its own, the hash of object keys has the API's secret, which all replicas share, too.
pub(super) fn key_names(settings: &Settings) -> KeyNames {
    if settings.log.object_keys == ObjectKeys::Plain {
        return KeyNames::Plain;
    }
    let secret = match (&settings.log.hash_key, &settings.api.auth) {
        (Some(secret), _) => secret.clone(),
        // As it is at the start, for the life of the process: the hashes stay the same when it is replaced.
        (None, ApiAuth::Keys { secret, .. } | ApiAuth::Token(secret)) => secret.now(),
    };
    let key = blake3::derive_key("antispoofd 2026 object keys in log lines", secret.expose_secret().as_bytes());
    KeyNames::Hashed(Box::new(key))
}
