//! Asking for the checksum that the store keeps of an object, and reading it.

use antispoof_core::checksum::{Algorithm, Checksum};
use http::HeaderMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// The header that asks for it.
pub(super) const MODE: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");

/// Whether to ask.
pub(super) struct Checksums(AtomicBool);

impl Checksums {
    pub(super) fn new(verify: bool) -> Self {
        Self(AtomicBool::new(verify))
    }

    pub(super) fn asked_for(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The store refuses to be asked. It is not asked again until the next start.
    pub(super) fn refused(&self, said: &str) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "the store does not take the header {} ({said}): objects are read without their checksums until the next start; \
                 s3.verify_checksums = false does not ask for them",
                MODE.0
            );
        }
    }

    /// What an object has to add up to, as the head of its answer says.
    pub(super) fn kept(&self, head: &HeaderMap) -> Option<Checksum> {
        // Some stores say it unasked.
        if self.asked_for() { of_whole_object(head) } else { None }
    }
}

/// The cheapest of what is said of the whole object. A checksum of the checksums of its parts (`COMPOSITE`; without the type its value ends in `-N`) says
/// nothing about bytes that come in one piece, and what cannot be read proves nothing: a proxy that spoils it must not stop a job.
fn of_whole_object(head: &HeaderMap) -> Option<Checksum> {
    if head.get("x-amz-checksum-type").is_some_and(|kind| kind != "FULL_OBJECT") {
        return None;
    }
    Algorithm::ALL.into_iter().find_map(|algorithm| {
        let value = head.get(header(algorithm))?.to_str().unwrap_or_default();
        let checksum = Checksum::from_base64(algorithm, value);
        if checksum.is_none() && !value.contains('-') {
            tracing::debug!("the store's {algorithm} of the object is no {algorithm}: it is ignored");
        }
        checksum
    })
}

fn header(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32 => "x-amz-checksum-crc32",
        Algorithm::Crc32c => "x-amz-checksum-crc32c",
        Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        Algorithm::Sha256 => "x-amz-checksum-sha256",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "6WdgqHdocXvOvP0l3cfUa028laSwAU3vCAwIU599kNA=";

    fn read(head: &[(&'static str, &'static str)]) -> Option<Algorithm> {
        let head: HeaderMap =
            head.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
        Checksums::new(true).kept(&head).map(Checksum::algorithm)
    }

    #[test]
    fn a_checksum_of_the_whole_object_is_read_from_what_real_stores_say() {
        let full = ("x-amz-checksum-type", "FULL_OBJECT");
        for (algorithm, value) in [
            (Algorithm::Crc32, "u847nQ=="),
            (Algorithm::Crc32c, "vYRs1w=="),
            (Algorithm::Crc64Nvme, "4XY+hejrRZk="),
            (Algorithm::Sha256, SHA256),
        ] {
            // MinIO, versitygw; then SeaweedFS, which leaves the type out.
            assert_eq!(read(&[(header(algorithm), value), full]), Some(algorithm));
            assert_eq!(read(&[(header(algorithm), value)]), Some(algorithm));
        }
        let both = [("x-amz-checksum-sha256", SHA256), ("x-amz-checksum-crc32", "u847nQ=="), full];
        assert_eq!(read(&both), Some(Algorithm::Crc32), "the cheaper one");
    }

    #[test]
    fn what_is_not_of_the_whole_object_or_cannot_be_read_is_ignored() {
        let composite = ("x-amz-checksum-type", "COMPOSITE");
        for head in [
            &[][..],
            &[("x-amz-checksum-crc32", "BwRVuQ==-2"), composite],
            &[("x-amz-checksum-crc32", "BwRVuQ==-2")],
            // moto's copy of such an object.
            &[("x-amz-checksum-crc32", "BwRVuQ=="), composite],
            &[("x-amz-checksum-sha1", "NoEumfLVkcURSnsJUZ6p19q6I4A="), ("x-amz-checksum-type", "FULL_OBJECT")],
            &[("x-amz-checksum-md5", "XrY7u+Ae7tCTyyK7j1rNww==")],
            &[("x-amz-checksum-crc32", "cbf43926")],
            &[("x-amz-checksum-crc32", "")],
            &[("x-amz-checksum-sha256", "u847nQ==")],
        ] {
            assert_eq!(read(head), None, "{head:?}");
        }
        let spoilt = [("x-amz-checksum-crc32", "?"), ("x-amz-checksum-sha256", SHA256)];
        assert_eq!(read(&spoilt), Some(Algorithm::Sha256), "the other one can be read");
    }

    #[test]
    fn a_store_that_refuses_to_be_asked_is_not_asked_again_nor_believed() {
        let checksums = Checksums::new(true);
        assert!(checksums.asked_for());
        checksums.refused("400 InvalidArgument");
        assert!(!checksums.asked_for());
        let head = HeaderMap::from_iter([(
            "x-amz-checksum-crc32".parse().expect("a name"),
            "u847nQ==".parse().expect("a value"),
        )]);
        assert_eq!(checksums.kept(&head), None);
        assert!(!Checksums::new(false).asked_for());
    }
}
