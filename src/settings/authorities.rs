//! A file of certificate authorities, read once at the start: later, a broken one would be a broker that cannot be reached, again and again.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::whole_file;

/// The bundles of whole systems have a quarter of this; guards against naming a device or a dump.
const MAX_BYTES: u64 = 1 << 20;

/// What is wrong with the file, as a fragment that follows the key; nothing when it holds at least one certificate and no broken one.
pub(super) fn wrong(path: &Path) -> Option<String> {
    let bytes = match whole_file::read(path, MAX_BYTES) {
        Err(error) => return Some(format!("cannot be read: {error}")),
        Ok(bytes) if bytes.len() as u64 > MAX_BYTES => return Some("is larger than 1 MiB".to_owned()),
        Ok(bytes) => bytes,
    };
    if std::str::from_utf8(&bytes).is_err() {
        return Some("is not text, as PEM is".to_owned());
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let number = index + 1;
        match certificate.map(|certificate| store.add(certificate)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Some(format!("has a certificate that cannot be used, number {number}: {error}")),
            Err(error) => return Some(format!("is not PEM from certificate number {number} on: {error}")),
        }
    }
    store.is_empty().then(|| "has no certificate in it".to_owned())
}
