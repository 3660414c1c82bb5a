//! Objects in the real store: one bucket for all tests, a prefix of its own for each.

use std::thread;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::create_bucket::CreateBucketError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

use super::services::{HINT, Services};

pub(crate) const REGION: &str = "us-east-1";
/// The bucket of everything but versions.
pub(crate) const BUCKET: &str = "antispoof-it";
/// The bucket where every put makes a version.
pub(crate) const VERSIONED_BUCKET: &str = "antispoof-it-versioned";
/// The bucket of the records of ledgers.
pub(crate) const LEDGER_BUCKET: &str = "antispoof-it-ledger";

/// The objects of one test. They are deleted when it is dropped; the buckets stay.
pub(crate) struct Store {
    services: Services,
    client: Client,
    prefix: String,
}

/// What the store says about an object that was put.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) bucket: &'static str,
    pub(crate) key: String,
    /// With its quotes, as S3 gives it.
    pub(crate) etag: String,
    /// Of an object in the versioned bucket.
    pub(crate) version_id: Option<String>,
}

impl Store {
    /// Opens the store with `prefix`, which ends in a slash, in front of every key, and makes the buckets where they are missing.
    pub(crate) async fn new(services: &Services, prefix: String) -> Self {
        let client = Self::client(services);
        let store = Self { services: services.clone(), client, prefix };
        store.make_bucket(BUCKET).await;
        store.make_bucket(LEDGER_BUCKET).await;
        store
    }

    /// A client of the SDK for the store of `services`. For what this module has no method for.
    pub(crate) fn client(services: &Services) -> Client {
        let (access, secret) = (&services.s3_access_key, &services.s3_secret_key);
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&services.s3_endpoint)
            .region(Region::new(REGION))
            .force_path_style(true)
            // A test sees what the store answers, and at once when it does not.
            .retry_config(RetryConfig::disabled())
            .credentials_provider(Credentials::new(access, secret, None, None, "the tests' environment"))
            .build();
        Client::from_conf(config)
    }

    /// The key of the object this test calls `name`.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Stores `bytes` under this test's key for `name`.
    pub(crate) async fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Stored {
        self.put_in(BUCKET, name, bytes.into()).await
    }

    /// As `put`, in the bucket that keeps every version.
    ///
    /// # Panics
    ///
    /// When the store has no versioning.
    pub(crate) async fn put_version(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Stored {
        self.make_bucket(VERSIONED_BUCKET).await;
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.client.put_bucket_versioning().bucket(VERSIONED_BUCKET);
        let answer = request.versioning_configuration(enabled).send().await;
        answer.unwrap_or_else(|problem| panic!("the store has no versioning: {}", DisplayErrorContext(problem)));
        self.put_in(VERSIONED_BUCKET, name, bytes.into()).await
    }

    /// Reads an object back. None when it is not there.
    pub(crate) async fn get(&self, name: &str) -> Option<Vec<u8>> {
        let object = match self.client.get_object().bucket(BUCKET).key(self.key(name)).send().await {
            Ok(object) => object,
            Err(problem) if problem.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return None;
            }
            Err(problem) => panic!("failed to get {name}: {}", DisplayErrorContext(problem)),
        };
        Some(object.body.collect().await.expect("the object can be read").to_vec())
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, name: &str) {
        let deleted = self.client.delete_object().bucket(BUCKET).key(self.key(name)).send().await;
        deleted.unwrap_or_else(|problem| panic!("failed to delete {name}: {}", DisplayErrorContext(problem)));
    }

    /// The keys of this test's objects, in the order of S3.
    pub(crate) async fn list(&self) -> Vec<String> {
        let request = self.client.list_objects_v2().bucket(BUCKET).prefix(&self.prefix);
        let listed = request.send().await;
        let listed = listed.unwrap_or_else(|problem| panic!("failed to list: {}", DisplayErrorContext(problem)));
        listed.contents().iter().filter_map(|object| Some(object.key()?.to_owned())).collect()
    }

    async fn put_in(&self, bucket: &'static str, name: &str, bytes: Vec<u8>) -> Stored {
        let key = self.key(name);
        let put = self.client.put_object().bucket(bucket).key(&key).body(bytes.into()).send().await;
        let put = put.unwrap_or_else(|problem| panic!("failed to put {key}: {}", DisplayErrorContext(problem)));
        Stored {
            bucket,
            key,
            etag: put.e_tag().unwrap_or_default().to_owned(),
            version_id: put.version_id().map(ToOwned::to_owned),
        }
    }

    /// Makes a bucket. Another test may make it at the same moment, or have made it long ago: that is as good.
    async fn make_bucket(&self, bucket: &str) {
        let Err(problem) = self.client.create_bucket().bucket(bucket).send().await else {
            return;
        };
        let there = matches!(
            problem.as_service_error(),
            Some(CreateBucketError::BucketAlreadyOwnedByYou(_) | CreateBucketError::BucketAlreadyExists(_))
        );
        assert!(there, "failed to make {bucket}: {}; {HINT}", DisplayErrorContext(problem));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let (services, prefix) = (self.services.clone(), self.prefix.clone());
        let deleting = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // A client of its own: the connections of the other one belong to the test's runtime, which waits for this thread.
            runtime.expect("a runtime can be built").block_on(delete_all(&Store::client(&services), &prefix));
        });
        // Objects that could not be deleted are litter in a store that is thrown away, and no reason to fail.
        drop(deleting.join());
    }
}

/// Deletes this test's objects and their versions. A store without versioning lists them without.
async fn delete_all(client: &Client, prefix: &str) {
    for bucket in [BUCKET, VERSIONED_BUCKET, LEDGER_BUCKET] {
        for (key, version) in objects(client, bucket, prefix).await {
            let request = client.delete_object().bucket(bucket).key(key).set_version_id(version);
            if request.send().await.is_err() {
                return;
            }
        }
    }
}

/// A page of what lies under `prefix`; what a load test leaves beyond that goes with the store.
async fn objects(client: &Client, bucket: &str, prefix: &str) -> Vec<(String, Option<String>)> {
    if let Ok(listed) = client.list_object_versions().bucket(bucket).prefix(prefix).send().await {
        let versions = listed.versions().iter();
        let named = versions.filter_map(|one| Some((one.key()?.to_owned(), one.version_id().map(ToOwned::to_owned))));
        return named.collect();
    }
    match client.list_objects_v2().bucket(bucket).prefix(prefix).send().await {
        Ok(listed) => listed.contents().iter().filter_map(|one| Some((one.key()?.to_owned(), None))).collect(),
        Err(_) => Vec::new(),
    }
}
