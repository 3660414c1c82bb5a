//! The images in the store, in a bucket that is deleted at the end.

use super::services::Services;
use anyhow::{Context as _, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};

/// As many objects of a size as a store may keep apart; more would only take longer to upload.
const OBJECTS: u32 = 8;

pub(crate) struct Store {
    client: Client,
    pub(crate) bucket: String,
    keys: Vec<String>,
}

impl Store {
    pub(crate) async fn create(services: &Services, bucket: &str) -> Result<Self> {
        let credentials = Credentials::new(&services.s3_access_key, &services.s3_secret_key, None, None, "bench");
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&services.s3_endpoint)
            .region(Region::new("us-east-1"))
            .force_path_style(true)
            .credentials_provider(credentials)
            .build();
        let client = Client::from_conf(config);
        client.create_bucket().bucket(bucket).send().await.context("make the bucket")?;
        Ok(Self { client, bucket: bucket.to_owned(), keys: Vec::new() })
    }

    /// Stores the image under several keys, and returns them.
    pub(crate) async fn put(&mut self, image: &[u8]) -> Result<Vec<String>> {
        let keys: Vec<String> = (0..OBJECTS).map(|number| format!("{}/{number}.jpg", image.len())).collect();
        for key in &keys {
            if self.keys.contains(key) {
                continue;
            }
            let put = self.client.put_object().bucket(&self.bucket).key(key).body(image.to_vec().into());
            put.send().await.with_context(|| format!("upload {key}"))?;
            self.keys.push(key.clone());
        }
        Ok(keys)
    }

    pub(crate) async fn delete(self) -> Result<()> {
        for key in &self.keys {
            self.client.delete_object().bucket(&self.bucket).key(key).send().await.context("delete an image")?;
        }
        self.client.delete_bucket().bucket(&self.bucket).send().await.context("delete the bucket")?;
        Ok(())
    }
}
