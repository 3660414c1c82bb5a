//! The buckets that the settings name.

use super::report::Line;
use crate::s3::{Refusal, Store, StoreError};
use crate::settings::S3;
use futures_util::future::join_all;

const BUCKET: &str = "bucket";

pub(super) async fn probe(settings: &S3) -> Vec<Line> {
    let mut buckets = settings.buckets.clone();
    buckets.extend(settings.default_bucket.iter().filter(|bucket| !settings.buckets.contains(bucket)).cloned());
    if buckets.is_empty() {
        return vec![Line::note(BUCKET, "none is named in the settings (s3.allow_any_bucket), so none was asked")];
    }
    let store = match Store::new(settings.clone(), 1).await {
        Ok(store) => store,
        Err(error) => {
            return vec![Line::wrong(BUCKET, error.to_string(), StoreError::REMEDY)];
        }
    };
    let at = settings.endpoint_url.clone().unwrap_or_else(|| format!("AWS, {}", settings.region));
    let asked = buckets.iter().map(async |bucket| match store.probe(bucket).await {
        Ok(()) => Line::ok(BUCKET, format!("{bucket} at {at} can be read")),
        Err(refusal) => refused(bucket, &at, &refusal),
    });
    join_all(asked).await
}

fn refused(bucket: &str, at: &str, refusal: &Refusal) -> Line {
    let words = format!("{bucket} at {at}: {refusal}");
    let remedy = match refusal {
        Refusal::NoBucket => {
            "create it, or correct s3.buckets; are s3.endpoint_url and s3.region those of the bucket (and s3.path_style = true, as MinIO wants it)?".to_owned()
        }
        Refusal::Forbidden(_) => format!(
            "allow s3:GetObject on arn:aws:s3:::{bucket}/* and s3:ListBucket on arn:aws:s3:::{bucket}; without the latter a missing \
             image cannot be told from a forbidden one, here and in the failure of a job (object_forbidden)"
        ),
        Refusal::Credentials(_) | Refusal::NoCredentials(_) => {
            "credentials come from the AWS chain: AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), AWS_PROFILE, IRSA, Pod Identity or instance metadata"
                .to_owned()
        }
        Refusal::Unasked(_) => "correct s3.endpoint_url and the name of the bucket".to_owned(),
        Refusal::Elsewhere(_) => {
            "the region and the endpoint have to be those of the bucket; a worker for each region reads buckets of several".to_owned()
        }
        Refusal::Clock(_) => "set this machine's clock, and keep it set (NTP)".to_owned(),
        Refusal::Unreachable(_) => {
            let remedy = "is the store up, and is s3.endpoint_url right? connections have s3.connect_timeout";
            return Line::unreachable(BUCKET, words, remedy);
        }
        Refusal::NoStore(_) => {
            let remedy = "set s3.endpoint_url to the address of the store's S3 API (MinIO: port 9000, not the console's 9001)";
            return Line::wrong(BUCKET, words, remedy);
        }
        Refusal::Other(_) => return Line::unreachable(BUCKET, words, "the store's log says more"),
    };
    Line::wrong(BUCKET, words, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::report::exit;
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn a_refusal_names_what_is_missing() {
        let line = refused("kyc-uploads", "AWS, eu-central-1", &Refusal::Forbidden("403 AccessDenied".to_owned()));
        let said = line.to_string();
        assert!(
            said.contains("(403 AccessDenied)") && said.contains("s3:GetObject on arn:aws:s3:::kyc-uploads/*"),
            "{said}"
        );
        assert_eq!(exit(&[line]), Exit::Settings);
        let away = refused("kyc-uploads", "AWS, eu-central-1", &Refusal::Unreachable("no answer".to_owned()));
        assert_eq!(exit(&[away]), Exit::Unreachable);
    }
}
