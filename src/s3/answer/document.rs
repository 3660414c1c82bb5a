//! S3's error document. Only what has a fixed form is taken from it: the rest holds keys and signatures.

use super::code::ErrorCode;

/// Longest error name that is taken for one.
const MOST_NAME_BYTES: usize = 64;

/// What an error document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    /// The name of the error, as `NoSuchKey`; empty where the body is no error document of S3.
    pub(super) name: String,
    pub(super) code: ErrorCode,
    /// The region that the request should have been signed for.
    pub(super) region: Option<String>,
    pub(super) nuance: Option<Nuance>,
}

/// What some stores say in the message alone, under a code that means something else elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nuance {
    /// Garage, with `AccessDenied`: it does not know the key, or the signature is another.
    Credentials,
    /// AWS, with `AccessDenied`: the key of the encryption may not be used.
    Encryption,
    /// MinIO's console, in a document of S3: it is no store.
    Console,
    /// Backblaze B2, with `InvalidArgument`: it does not know the header that asks for a checksum.
    Checksums,
}

impl Document {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if !(text.starts_with("<?xml") || text.starts_with("<Error")) || !text.contains("<Error") {
            return Self::default();
        }
        let Some(name) = element(text, "Code").filter(|name| is_name(name)) else { return Self::default() };
        Self {
            name: name.to_owned(),
            code: ErrorCode::of(name),
            region: element(text, "Region").filter(|region| is_name(region)).map(str::to_owned),
            nuance: element(text, "Message").and_then(Nuance::of),
        }
    }
}

impl Nuance {
    fn of(message: &str) -> Option<Self> {
        let begins = |start| message.starts_with(start);
        if begins("Forbidden: No such key") || begins("Forbidden: Invalid signature") {
            Some(Self::Credentials)
        } else if begins("S3 API Requests must be made to API port") {
            Some(Self::Console)
        } else if message.to_ascii_lowercase().contains("x-amz-checksum-mode") {
            Some(Self::Checksums)
        } else {
            message.contains("kms:Decrypt").then_some(Self::Encryption)
        }
    }
}

/// The text of the first such element. Text in an error document is escaped, so that a key cannot look like an element.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

fn is_name(text: &str) -> bool {
    (1..=MOST_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_is_taken_from_an_error_document() {
        let code = |text: &str| Document::parse(text.as_bytes()).name;
        assert_eq!(code("<Error><Code>NoSuchKey</Code><Key>secret.jpg</Key></Error>"), "NoSuchKey");
        assert_eq!(
            code("\u{feff}\n<?xml version='1.0'?><Error><Code>KMS.DisabledException</Code></Error>"),
            "KMS.DisabledException"
        );
        assert_eq!(code("<?xml version=\"1.0\"?>\n<Error xmlns=\"x\"><Code>\nSlowDown\n</Code></Error>"), "SlowDown");
        for strange in [
            "",
            "<html>",
            "<!DOCTYPE html><Error><Code>NoSuchKey</Code></Error>",
            "<Error></Error>",
            "<Error><Code></Code></Error>",
            "<Error><Code>a b</Code></Error>",
            "<Error><Code>x",
            "<?xml version=\"1.0\"?><ListBucketResult><Code>NoSuchKey</Code></ListBucketResult>",
            "{\"Error\":{\"Code\":\"NoSuchKey\"}}",
        ] {
            assert_eq!(code(strange), "", "{strange}");
        }
        assert_eq!(Document::parse(b"\xff\xfe"), Document::default());
    }

    #[test]
    fn the_region_and_who_is_to_blame_are_found() {
        // versitygw 1.8.0.
        let malformed = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region &#34;eu-west-9&#34; is wrong; expecting &#34;us-east-1&#34;</Message><Region>us-east-1</Region></Error>";
        assert_eq!(Document::parse(malformed).region.as_deref(), Some("us-east-1"));
        // Garage, as its source has it.
        let unknown = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Forbidden: No such key: GK31c2f218a2e44f485b94239e</Message></Error>";
        assert_eq!(Document::parse(unknown).nuance, Some(Nuance::Credentials));
        let denied = b"<Error><Code>AccessDenied</Code><Message>User: x is not authorized to perform: kms:Decrypt on resource: y</Message></Error>";
        assert_eq!(Document::parse(denied).nuance, Some(Nuance::Encryption));
    }
}
