//! Against a real store.

use super::*;
use crate::ledger::conformance::{Lives, Place, conformance, failure, verdict};
use crate::settings::{Sources, load};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OnceCell;

const PATIENCE_MS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);

struct Bucket {
    prefix: String,
    lives: Lives,
    limit: u64,
    ledger: Arc<S3>,
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run make test, or: eval \"$(scripts/services env)\""))
}

/// The bucket of these tests, which is there.
async fn objects() -> Objects {
    static MADE: OnceCell<()> = OnceCell::const_new();
    let env = [
        ("VIDEOSDK_API_KEY", "key".to_owned()),
        ("VIDEOSDK_SECRET", "secret".to_owned()),
        ("ANTISPOOFD__S3__BUCKETS", "kyc-uploads".to_owned()),
        ("ANTISPOOFD__S3__ENDPOINT_URL", variable("ANTISPOOF_TEST_S3_ENDPOINT")),
        ("ANTISPOOFD__S3__PATH_STYLE", "true".to_owned()),
        ("ANTISPOOFD__S3__REGION", "us-east-1".to_owned()),
    ];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let settings = load(Sources { env, ..Sources::default() }).unwrap_or_else(|problems| panic!("{problems}")).settings;
    let (access, secret) = (variable("ANTISPOOF_TEST_S3_ACCESS_KEY"), variable("ANTISPOOF_TEST_S3_SECRET_KEY"));
    let objects = Objects::new(&settings.s3, "antispoof-unit-ledger".to_owned(), PATIENCE, 64).await;
    let objects = objects.expect("a client").with_keys(&access, &secret);
    MADE.get_or_init(|| objects.make_bucket()).await;
    objects
}

impl Bucket {
    async fn fresh(&self) -> Arc<S3> {
        let options = S3Options { prefix: &self.prefix, ttl: self.lives.ttl, claim_life: self.lives.claim };
        Arc::new(S3::new(objects().await, &options, Clock::system()).counting(self.limit))
    }

    /// Writes over whatever is there.
    async fn write(&self, name: &str, body: &str) {
        let objects = &self.ledger.objects;
        let name = format!("{}/{name}", self.prefix);
        let there = objects.get(&name).await.expect("an answer");
        let condition = there.as_ref().map_or(Condition::Absent, |there| Condition::Unchanged(&there.etag));
        let put = objects.put(&name, Bytes::copy_from_slice(body.as_bytes()), condition).await;
        assert!(matches!(put, Ok(Put::Written(_))), "{put:?}");
    }

    async fn text(&self, name: &str) -> String {
        let stored = self.ledger.objects.get(&format!("{}/{name}", self.prefix)).await.expect("an answer");
        stored.map(|stored| String::from_utf8(stored.body).expect("text")).unwrap_or_default()
    }
}

impl Place for Bucket {
    type Ledger = S3;

    async fn limited(lives: Lives, limit: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("unit/{}-{number}-{:08x}", std::process::id(), fastrand::u32(..));
        let options = S3Options { prefix: &prefix, ttl: lives.ttl, claim_life: lives.claim };
        let ledger = Arc::new(S3::new(objects().await, &options, Clock::system()).counting(limit));
        Self { prefix, lives, limit, ledger }
    }

    fn worker(&self) -> Arc<S3> {
        self.ledger.clone()
    }

    async fn stranger(&self) -> Option<Arc<S3>> {
        Some(self.fresh().await)
    }

    /// The store has its own clock, which no client can set.
    fn pass(&self, _: Duration) {}

    /// What is counted becomes yesterday's.
    async fn next_day(&self) {
        let written = self.text("calls").await;
        let (day, counted) = written.split_once(' ').expect("a day and a number");
        let yesterday = day.parse::<u64>().expect("a day") - 1;
        self.write("calls", &format!("{yesterday} {counted}")).await;
    }

    async fn after_a_crash(self) -> Option<Self> {
        let ledger = self.fresh().await;
        Some(Self { ledger, ..self })
    }
}

conformance!(Bucket);
conformance!(Bucket: a_claim_that_was_taken_over_is_lost what_was_counted_outlives_the_worker);

const LONG: Lives = Lives { ttl: Duration::from_hours(24), claim: Duration::from_hours(1) };

#[tokio::test]
async fn a_step_whose_answer_was_lost_finds_what_it_has_written() {
    let bucket = Bucket::new(LONG).await;
    let ledger = &bucket.ledger;
    // The answer to a claim was lost, and with it the claim: it is this process's, and no other delivery has to wait for it to run out.
    assert_eq!(ledger.begin("claimed").await, Ok(ClaimOutcome::Fresh));
    drop(ledger.claims.give("claimed"));
    assert_eq!(ledger.begin("claimed").await, Ok(ClaimOutcome::Fresh));
    // The answer to an intent was lost: what is written is newer than what the claim knows.
    ledger.begin("intended").await.expect("begin");
    let before = ledger.claims.of("intended").expect("claimed").version;
    assert_eq!(ledger.intent("intended").await, Ok(Intent::Recorded(None)));
    ledger.claims.versioned("intended", before.clone());
    assert_eq!(ledger.intent("intended").await, Ok(Intent::Recorded(None)));
    ledger.claims.versioned("intended", before);
    assert_eq!(ledger.conclude("intended", None, &verdict(0.5), None).await, Ok(None), "no call of others is in doubt");
    // The answer to an end was lost.
    ledger.conclude("intended", None, &verdict(0.5), None).await.expect("conclude");
    assert_eq!(ledger.conclude("intended", None, &failure(0), None).await, Ok(Some(Box::new(verdict(0.5)))));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_one_call_in_doubt() {
    let bucket = Bucket::new(LONG).await;
    let long = "x".repeat(300_000);
    for (key, body) in [("a", "x"), ("b", r#"{"state":"verdict","expires":9999999999999}"#), ("c", &long)] {
        bucket.write(&format!("job/{key}"), body).await;
        bucket.write(&format!("object/{key}"), body).await;
        assert_eq!(bucket.ledger.begin(key).await, Ok(ClaimOutcome::InDoubt { calls: 1 }));
        assert_eq!(bucket.ledger.recall(key).await, Ok(None));
        assert_eq!(bucket.ledger.intent(key).await, Ok(Intent::Recorded(None)));
        bucket.ledger.conclude(key, Some(key), &verdict(0.5), None).await.expect("conclude");
        assert_eq!(bucket.ledger.recall(key).await, Ok(Some(verdict(0.5))));
    }
}

#[tokio::test]
async fn what_no_worker_claims_for_so_long_is_not_claimed() {
    let bucket = Bucket::new(LONG).await;
    bucket.write("job/a", &format!(r#"{{"state":"claimed","by":"5f.1","until":{}}}"#, u64::MAX)).await;
    assert_eq!(bucket.ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
}

#[tokio::test]
async fn a_step_that_is_owed_for_one_job_holds_up_no_other() {
    let bucket = Bucket::new(LONG).await;
    // A name that no store takes.
    let key = "x".repeat(2000);
    bucket.ledger.conclude(&key, None, &verdict(0.5), None).await.expect_err("it cannot be written");
    assert_eq!(bucket.ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    bucket.ledger.begin(&key).await.expect_err("it is owed");
    assert_eq!(bucket.ledger.begin("b").await, Ok(ClaimOutcome::Fresh));
}

#[tokio::test]
async fn a_claim_is_written_for_its_time_by_the_store_s_clock() {
    let bucket = Bucket::new(Lives { claim: Duration::from_secs(200), ..LONG }).await;
    bucket.ledger.begin("a").await.expect("begin");
    let until = Entry::read(bucket.text("job/a").await.as_bytes()).expect("an entry").holder.expect("claimed").until_ms;
    let (low, high) = bucket.ledger.objects.now_ms().expect("a date");
    // A moment has passed since, and more is known of the store's clock.
    assert!((low - PATIENCE_MS..=high + 2000).contains(&(until - 200_000)), "{until}, at {low} to {high}");
}

/// A worker that has many calls takes some of them at a time; what it does not use is counted all the same.
#[tokio::test]
async fn many_calls_cost_few_requests() {
    let bucket = Bucket::limited(LONG, 50_000).await;
    let stranger = bucket.stranger().await.expect("a shared ledger");
    for n in 1..=3 {
        let key = n.to_string();
        bucket.ledger.begin(&key).await.expect("begin");
        let Ok(Intent::Recorded(Some(today))) = bucket.ledger.intent(&key).await else { panic!("counted") };
        assert_eq!(today.counted, n);
    }
    assert!(bucket.text("calls").await.ends_with(" 50"), "{}", bucket.text("calls").await);
    assert_eq!(bucket.ledger.daily_calls().await.expect("an answer").expect("counted").counted, 3);
    assert_eq!(stranger.daily_calls().await.expect("an answer").expect("counted").counted, 50);
    stranger.begin("other").await.expect("begin");
    let Ok(Intent::Recorded(Some(today))) = stranger.intent("other").await else { panic!("counted") };
    assert_eq!(today.counted, 51);
}
