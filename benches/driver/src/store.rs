//! Where the images are: a real store, or the stand-in.

use super::args::StoreKind;
use super::minio::Minio;
use super::services::S3;
use super::stand_ins::Objects;
use anyhow::Result;

/// As many objects of a size as a store may keep apart; more would only take longer to upload.
const OBJECTS: u32 = 8;

pub(crate) struct Store {
    pub(crate) bucket: String,
    pub(crate) s3: S3,
    place: Place,
    keys: Vec<String>,
}

enum Place {
    Minio(Minio),
    Memory(Objects),
}

impl Store {
    /// An empty bucket.
    pub(crate) async fn create(kind: StoreKind, bucket: &str) -> Result<Self> {
        let (s3, place) = match kind {
            StoreKind::Minio => {
                let s3 = S3::from_env()?;
                let minio = Minio::create(&s3, bucket).await?;
                (s3, Place::Minio(minio))
            }
            StoreKind::Memory => {
                let objects = Objects::start().await?;
                let word = || "bench".to_owned();
                let s3 = S3 { endpoint: objects.endpoint(), access_key: word(), secret_key: word() };
                (s3, Place::Memory(objects))
            }
        };
        Ok(Self { bucket: bucket.to_owned(), s3, place, keys: Vec::new() })
    }

    /// Stores the image under several keys, and returns them.
    pub(crate) async fn put(&mut self, image: Vec<u8>) -> Result<Vec<String>> {
        let keys: Vec<String> = (0..OBJECTS).map(|number| format!("{}/{number}.jpg", image.len())).collect();
        if keys.iter().all(|key| self.keys.contains(key)) {
            return Ok(keys);
        }
        match &self.place {
            Place::Minio(minio) => minio.put(&keys, &image).await?,
            Place::Memory(objects) => {
                let image = image.into();
                for key in &keys {
                    objects.put(format!("/{}/{key}", self.bucket), std::sync::Arc::clone(&image));
                }
            }
        }
        self.keys.extend(keys.iter().cloned());
        Ok(keys)
    }

    /// The bucket for the records of a ledger.
    pub(crate) fn records(&self) -> String {
        format!("{}-records", self.bucket)
    }

    pub(crate) async fn delete(self) -> Result<()> {
        match self.place {
            Place::Minio(minio) => minio.delete(&self.keys).await,
            Place::Memory(_) => Ok(()),
        }
    }
}
