//! The images in a real store, in a bucket that is deleted at the end.

use super::services::S3;
use anyhow::{Context as _, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};

pub(crate) struct Minio {
    client: Client,
    bucket: String,
}

impl Minio {
    pub(crate) async fn create(s3: &S3, bucket: &str) -> Result<Self> {
        let credentials = Credentials::new(&s3.access_key, &s3.secret_key, None, None, "bench");
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&s3.endpoint)
            .region(Region::new("us-east-1"))
            .force_path_style(true)
            .credentials_provider(credentials)
            .build();
        let client = Client::from_conf(config);
        client.create_bucket().bucket(bucket).send().await.context("make the bucket")?;
        Ok(Self { client, bucket: bucket.to_owned() })
    }

    pub(crate) async fn put(&self, keys: &[String], image: &[u8]) -> Result<()> {
        for key in keys {
            let put = self.client.put_object().bucket(&self.bucket).key(key).body(image.to_vec().into());
            put.send().await.with_context(|| format!("upload {key}"))?;
        }
        Ok(())
    }

    pub(crate) async fn delete(self, keys: &[String]) -> Result<()> {
        for key in keys {
            self.client.delete_object().bucket(&self.bucket).key(key).send().await.context("delete an image")?;
        }
        self.client.delete_bucket().bucket(&self.bucket).send().await.context("delete the bucket")?;
        Ok(())
    }
}
