//! What things are remembered under.

use antispoof_core::event::ImageReport;
use antispoof_core::image::NULL_VERSION;
use antispoof_core::job::{Job, stable_key};

/// What a verdict is remembered under: job, image, and who judged.
pub fn ledger_key(job: &Job, endpoint: &str) -> String {
    let image = job.image();
    stable_key(&[job.id(), &image.bucket, &image.key, image.asked(), endpoint])
}

/// What a verdict is remembered under for other jobs: the content and who judged. `None` where nothing tells one content from the next.
pub fn object_key(image: &ImageReport, endpoint: &str) -> Option<String> {
    // Where versioning is suspended, "null" is the version of whatever was written last.
    let version = image.version_id.as_deref().filter(|version| *version != NULL_VERSION).unwrap_or_default();
    let etag = image.etag.as_deref().unwrap_or_default();
    (!version.is_empty() || !etag.is_empty())
        .then(|| stable_key(&["object", &image.bucket, &image.key, version, etag, endpoint]))
}

/// The same for every call of a job for the same content.
pub(super) fn call_identity(job: &Job, image: &ImageReport) -> String {
    let version = image.version_id.as_deref().unwrap_or_default();
    let etag = image.etag.as_deref().unwrap_or_default();
    stable_key(&["call", job.id(), &image.bucket, &image.key, version, etag])
}

#[cfg(test)]
mod tests {
    use super::*;
    use antispoof_core::job::{Admission, Properties};

    #[test]
    fn the_version_null_is_asked_for_and_pins_nothing() {
        let key = |pins: &str| {
            let body = format!(r#"{{"id":"j","bucket":"kyc","key":"k"{pins}}}"#);
            let job = Job::decode(body.as_bytes(), &Properties::default(), &Admission::default()).expect("a job");
            (ledger_key(&job, "judge"), super::super::prior_result::is_pinned(job.image()))
        };
        let (null, pinned) = key(r#","version_id":"null""#);
        assert!(!pinned);
        assert_ne!(null, key("").0, "another object may be meant");
        assert_eq!(key(r#","version_id":"null","etag":"e""#), key(r#","etag":"e""#), "the content says more");
        assert!(key(r#","version_id":"v""#).1 && key(r#","etag":"e""#).1);
    }

    #[test]
    fn an_object_without_a_name_for_its_content_is_not_remembered() {
        let image = |version: Option<&str>, etag: Option<&str>| ImageReport {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            version_id: version.map(str::to_owned),
            etag: etag.map(str::to_owned),
            ..ImageReport::default()
        };
        let key = |version, etag| object_key(&image(version, etag), "https://judge");
        assert_eq!(key(None, None), None);
        assert_eq!(key(Some("null"), None), None, "the version of whatever was written last");
        assert_eq!(key(Some("null"), Some("e")), key(None, Some("e")));
        let known = [key(Some("v"), None), key(None, Some("e")), key(Some("v"), Some("e")), key(Some("w"), Some("e"))];
        let distinct: std::collections::HashSet<_> = known.iter().flatten().collect();
        assert_eq!(distinct.len(), 4);
        assert_ne!(key(None, Some("e")), object_key(&image(None, Some("e")), "https://another"));
    }
}
