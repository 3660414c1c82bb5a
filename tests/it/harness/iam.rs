//! Users of the store: MinIO's administration, as far as it wants nothing encrypted. `import-iam` takes a plain archive, `remove-user` no body.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::http;
use super::services::Services;
use super::store::REGION;
use super::world::unique;

/// A user of the store, with a policy that MinIO has built in: `readwrite`, `readonly`, `writeonly`.
pub(crate) struct User {
    services: Services,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl User {
    /// Makes a user with a name of its own.
    ///
    /// # Panics
    ///
    /// When the store is not MinIO.
    pub(crate) async fn new(services: &Services, name: &str, policy: &str) -> Self {
        let access_key = unique(name).replace('_', "-");
        let secret_key = format!("secret-of-{access_key}");
        let users = json!({ &access_key: { "secretKey": secret_key, "status": "enabled" } });
        let mappings = json!({ &access_key: { "version": 1, "policy": policy, "updatedAt": "2026-01-01T00:00:00Z" } });
        let archive = zip(&[
            ("iam-assets/users.json", users.to_string().as_bytes()),
            ("iam-assets/user_mappings.json", mappings.to_string().as_bytes()),
        ]);
        administer(services, Method::PUT, "import-iam", archive).await;
        Self { services: services.clone(), access_key, secret_key }
    }

    /// As a file of the SDK has it.
    pub(crate) fn profile(&self) -> String {
        format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", self.access_key, self.secret_key)
    }

    /// From now on the store does not know the key.
    pub(crate) async fn remove(self) {
        let operation = format!("remove-user?accessKey={}", self.access_key);
        administer(&self.services, Method::DELETE, &operation, Vec::new()).await;
    }
}

async fn administer(services: &Services, method: Method, operation: &str, body: Vec<u8>) {
    let url = format!("{}/minio/admin/v3/{operation}", services.s3_endpoint);
    let (access, secret) = (&services.s3_access_key, &services.s3_secret_key);
    let identity = Credentials::new(access, secret, None, None, "the tests' environment").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
    let params = SigningParams::builder().identity(&identity).region(REGION).name("s3");
    let params = params.time(SystemTime::now()).settings(settings).build().expect("all that a signature needs");
    let signable =
        SignableRequest::new(method.as_str(), &url, std::iter::empty(), SignableBody::Bytes(&body)).expect("a request");
    let (instructions, _signature) = sign(signable, &params.into()).expect("a signature").into_parts();
    let mut request = http::client().request(method, &url).body(body);
    for (name, value) in instructions.headers() {
        request = request.header(name, value);
    }
    let (status, said) = http::answer(request).await.unwrap_or_else(|problem| panic!("{operation}: {problem}"));
    assert_eq!(status, StatusCode::OK, "{operation}: {said}; MinIO is needed, see CONTRIBUTING.md");
}

/// An archive whose files are stored as they are.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let word = |value: usize| u32::try_from(value).expect("a small archive").to_le_bytes();
    let half = |value: usize| u16::try_from(value).expect("a small archive").to_le_bytes();
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in files {
        let offset = archive.len();
        // Version, flags, method, time, date.
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
            &crc32(bytes).to_le_bytes(),
            &word(bytes.len()),
            &word(bytes.len()),
            &half(name.len()),
            &[0, 0],
        ]
        .concat();
        archive.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &common[..], &[0; 10], &word(offset), name.as_bytes()].concat());
    }
    let (start, length, count) = (archive.len(), directory.len(), half(files.len()));
    archive.extend(directory);
    archive.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &word(length), &word(start), &[0, 0]].concat());
    archive
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
