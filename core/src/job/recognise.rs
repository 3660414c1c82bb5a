//! What a message that is no job is instead, and what its producer has to send: one table. It explains refusals; it makes none.

use super::amqp10::Unread;
use super::coding::{Coding, essence, is_gzip, is_zlib};
use super::fields::Fields;
use super::model::unsupported;
use super::properties::{Framework, Properties};
use crate::failure::{Failure, quoted};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A kind of message that is known and not read.
#[derive(Debug)]
pub struct Refusal {
    /// What the message is.
    pub recognised: &'static str,
    /// What to send instead.
    pub instead: &'static str,
    is: fn(&Seen<'_>) -> bool,
}

/// A refused message, as far as it could be taken apart.
#[derive(Default)]
pub(super) struct Seen<'a> {
    /// Without what could be decoded.
    text: &'a [u8],
    content_type: String,
    /// Of the body and of kombu, lower case.
    codings: Vec<String>,
    framework: Option<Framework>,
    fields: Option<Fields<'a>>,
    json: bool,
    unread: Option<Unread>,
}

const fn row(recognised: &'static str, instead: &'static str, is: fn(&Seen<'_>) -> bool) -> Refusal {
    Refusal { recognised, instead, is }
}

const AS_JSON: &str = "send the job as JSON, with content_type application/json";
const GZIP: &str = "compress it with gzip or not at all";
const THE_JOB: &str = "publish the job object itself as the body";
const IN_UTF8: &str = "send the JSON in UTF-8";
const AMQP10: &str = "send the JSON as data, or as one string or binary value";
const AN_OBJECT: &str = "upload it and send a job with its bucket and key";

/// Every such kind. The first that fits is named.
pub const REFUSED: &[Refusal] = &[
    row("an AMQP 1.0 value section with a map", AMQP10, |seen| seen.unread == Some(Unread::Map)),
    row("an AMQP 1.0 value section with a list or an array", AMQP10, |seen| seen.unread == Some(Unread::List)),
    row("AMQP 1.0 sequence sections", AMQP10, |seen| seen.unread == Some(Unread::Sequence)),
    row("AMQP 1.0 sections without a text", AMQP10, |seen| seen.unread == Some(Unread::Other)),
    row("a body with several encodings", "name one in content_encoding: gzip, deflate or identity", |seen| {
        !seen.json && seen.codings.iter().any(|coding| coding.contains(','))
    }),
    row("an HTTP body in the encoding aws-chunked", THE_JOB, |seen| {
        seen.coded(&["aws-chunked"]) || has(seen.head(256), b";chunk-signature=")
    }),
    row("compressed with Brotli", GZIP, |seen| seen.coded(&["br", "brotli", "application/x-brotli"])),
    row("compressed with Zstandard", GZIP, |seen| {
        seen.coded(&["zstd", "application/zstd"]) || seen.begins(&[b"\x28\xb5\x2f\xfd"])
    }),
    row("compressed with LZ4", GZIP, |seen| {
        seen.coded(&["lz4", "application/x-lz4"]) || seen.begins(&[b"\x04\x22\x4d\x18"])
    }),
    row("compressed with Snappy", GZIP, |seen| {
        seen.coded(&["snappy", "x-snappy-framed"]) || seen.begins(&[b"\xff\x06\x00\x00sNaPpY"])
    }),
    row("compressed with bzip2", GZIP, |seen| {
        seen.coded(&["bzip2", "bz2", "x-bzip2", "application/x-bz2", "application/x-bzip2"]) || seen.begins(&[b"BZh"])
    }),
    row("compressed with LZMA or xz", GZIP, |seen| {
        seen.coded(&["xz", "lzma", "application/x-lzma", "application/x-xz"]) || seen.begins(&[b"\xfd7zXZ\0"])
    }),
    row("compressed without saying so", "set content_encoding to gzip or deflate", |seen| {
        is_gzip(seen.text) || (is_zlib(seen.text) && !seen.is_utf8())
    }),
    row("a MassTransit envelope", "use UseRawJsonSerializer, so that the job object itself is the body", |seen| {
        seen.typed(&[
            "application/vnd.masstransit+json",
            "application/vnd.masstransit+bson",
            "application/vnd.masstransit+xml",
        ]) || (seen.of_no_job() && seen.has(&["messageType", "message"]))
    }),
    row("a pickled Python object", AS_JSON, |seen| {
        seen.typed(&["application/x-python-serialize"])
            || matches!(seen.text, [0x80, 2..=5, ..] if seen.text.ends_with(b"."))
    }),
    row("a serialised Java object", "use a JSON converter (Spring: Jackson2JsonMessageConverter)", |seen| {
        seen.typed(&["application/x-java-serialized-object"]) || seen.begins(&[b"\xac\xed\x00\x05"])
    }),
    row("a serialised PHP object", AS_JSON, |seen| {
        seen.typed(&["application/x-php-serialized", "application/vnd.php.serialized"])
            || (!seen.json && seen.begins(&[b"O:", b"a:"]) && has(seen.head(128), b":{"))
    }),
    row("MessagePack", AS_JSON, |seen| {
        seen.typed(&["application/x-msgpack", "application/msgpack", "application/vnd.msgpack"])
            || is_msgpack(seen.text)
    }),
    row("CBOR", AS_JSON, |seen| seen.typed(&["application/cbor"]) || is_cbor(seen.text)),
    row("BSON", AS_JSON, |seen| seen.typed(&["application/bson", "application/x-bson"]) || is_bson(seen.text)),
    row("Avro", AS_JSON, |seen| {
        seen.typed(&["avro/binary", "avro/json"])
            || seen.content_type.starts_with("application/avro")
            || seen.content_type.starts_with("application/vnd.apache.avro")
            || seen.begins(&[b"Obj\x01"])
    }),
    row("Protocol Buffers", AS_JSON, |seen| seen.content_type.contains("protobuf")),
    row("Thrift", AS_JSON, |seen| seen.content_type.contains("thrift")),
    row("YAML", AS_JSON, |seen| {
        seen.typed(&["application/x-yaml", "application/yaml", "text/yaml", "text/x-yaml"])
            || (!seen.json && seen.begins(&[b"---\n", b"key:", b"bucket:", b"id:"]))
    }),
    row("an HTML form", AS_JSON, |seen| {
        seen.typed(&["application/x-www-form-urlencoded", "multipart/form-data"])
            || (!seen.json && seen.begins(&[b"key=", b"bucket=", b"id="]))
    }),
    row(
        "XML or HTML",
        "send the job as JSON, with content_type application/json (NServiceBus: a JSON serializer)",
        |seen| {
            seen.typed(&["text/xml", "application/xml"])
                || seen.content_type.ends_with("+xml")
                || (!seen.json && seen.text.trim_ascii_start().starts_with(b"<"))
        },
    ),
    row("an image, not a job", AN_OBJECT, |seen| {
        seen.content_type.starts_with("image/")
            || seen.begins(&[b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"data:image/"])
            || (seen.begins(&[b"RIFF"]) && has(seen.head(16), b"WEBP"))
    }),
    row("text in UTF-32", IN_UTF8, |seen| {
        seen.coded(&["utf-32", "utf-32le", "utf-32be"])
            || seen.begins(&[b"\xff\xfe\0\0", b"\0\0\xfe\xff"])
            || matches!(seen.text, [0, 0, 0, a, ..] | [a, 0, 0, 0, ..] if *a != 0)
    }),
    row("text in UTF-16", IN_UTF8, |seen| {
        seen.coded(&["utf-16", "utf-16le", "utf-16be", "unicode"])
            || seen.begins(&[b"\xff\xfe", b"\xfe\xff"])
            || matches!(seen.text, [0, a, 0, b, ..] | [a, 0, b, 0, ..] if *a != 0 && *b != 0)
    }),
    row(
        "a Celery task",
        "publish the job object itself with kombu's Producer; there is no Celery worker here",
        is_celery,
    ),
    row("a Dramatiq message", THE_JOB, |seen| seen.of_no_job() && seen.has(&["actor_name", "args", "kwargs"])),
    row("a Sidekiq job", THE_JOB, |seen| seen.of_no_job() && seen.has(&["class", "args", "jid"])),
    row("a job of Laravel's queue", THE_JOB, |seen| seen.of_no_job() && seen.has(&["displayName", "job", "data"])),
    row("a NestJS packet", "publish what is in data with amqplib", |seen| {
        seen.of_no_job() && seen.has(&["pattern", "data"])
    }),
    row("a JSON-RPC request", THE_JOB, |seen| seen.of_no_job() && seen.has(&["jsonrpc", "method"])),
    row(
        "an NServiceBus message",
        "send a class with the fields of a job by a JSON serializer, or publish with RabbitMQ.Client",
        |seen| seen.framework == Some(Framework::NServiceBus) && seen.of_no_job(),
    ),
    row(
        "a .NET object that says its type ($type; Rebus and Json.NET's TypeNameHandling do)",
        "leave type names out (TypeNameHandling.None), or publish with RabbitMQ.Client",
        |seen| seen.has(&["$type"]),
    ),
    row("a Rebus message", "serialise the job without type names, or publish with RabbitMQ.Client", |seen| {
        seen.framework == Some(Framework::Rebus) && seen.of_no_job()
    }),
    row("a Python dict as str() shows it", "send json.dumps(job)", |seen| !seen.json && seen.begins(&[b"{'", b"{u'"])),
    row("JSON in a string in a string", "encode it as JSON once", |seen| {
        serde_json::from_slice::<String>(seen.text)
            .is_ok_and(|inner| serde_json::from_str::<IgnoredAny>(&inner).is_ok())
    }),
    row("several JSON values", "send each job in a message of its own", |seen| {
        !seen.json
            && seen.is_utf8()
            && serde_json::Deserializer::from_slice(seen.text).into_iter::<&RawValue>().take(2).flatten().count() == 2
    }),
    row("text that is not UTF-8", IN_UTF8, |seen| !seen.is_utf8()),
];

/// A failure with the name of what was recognised, or the one that is there already.
pub(super) fn explained(failure: Failure, text: &[u8], properties: &Properties) -> Failure {
    let seen = Seen::of(text, properties);
    named(&seen).unwrap_or(failure)
}

/// The failure of a message whose kind is known.
pub(super) fn refused(seen: &Seen<'_>) -> Failure {
    named(seen).unwrap_or_else(|| unsupported("the body cannot be read; send the job as JSON"))
}

fn named(seen: &Seen<'_>) -> Option<Failure> {
    if let Some(row) = REFUSED.iter().find(|row| (row.is)(seen)) {
        return Some(unsupported(format!("the message is {}; {}", row.recognised, row.instead)));
    }
    let coding = seen.codings.iter().find(|coding| Coding::named(coding) == Coding::Other)?;
    (!seen.json).then(|| {
        unsupported(format!("the message is encoded as \"{}\"; gzip, deflate and identity are read", quoted(coding)))
    })
}

impl<'a> Seen<'a> {
    fn of(text: &'a [u8], properties: &Properties) -> Self {
        let content_type = properties.content_type.as_deref().unwrap_or_default();
        let codings = [&properties.content_encoding, &properties.compression];
        Self {
            text,
            content_type: essence(content_type.split(';').next().unwrap_or_default()),
            codings: codings.into_iter().flatten().map(|coding| essence(coding)).collect(),
            framework: properties.framework,
            fields: Fields::parse(text).ok(),
            json: serde_json::from_slice::<IgnoredAny>(text).is_ok(),
            unread: None,
        }
    }

    pub(super) fn sections(unread: Unread) -> Self {
        Self { unread: Some(unread), ..Self::default() }
    }

    fn head(&self, length: usize) -> &[u8] {
        &self.text[..self.text.len().min(length)]
    }

    fn begins(&self, with: &[&[u8]]) -> bool {
        with.iter().any(|start| self.text.starts_with(start))
    }

    fn is_utf8(&self) -> bool {
        str::from_utf8(self.text).is_ok()
    }

    fn typed(&self, types: &[&str]) -> bool {
        types.contains(&self.content_type.as_str())
    }

    /// Encoded as one of these says, and not JSON all the same.
    fn coded(&self, names: &[&str]) -> bool {
        !self.json && self.codings.iter().any(|coding| names.contains(&coding.as_str()))
    }

    fn has(&self, names: &[&str]) -> bool {
        self.fields.as_ref().is_some_and(|fields| names.iter().all(|name| fields.has(name)))
    }

    /// An object with a `key` is a job gone wrong: its own mistake says more.
    fn of_no_job(&self) -> bool {
        !self.has(&["key"])
    }
}

/// Protocol 1 is an object, 2 an array of arguments, keyword arguments and what comes after.
fn is_celery(seen: &Seen<'_>) -> bool {
    if seen.of_no_job() && seen.has(&["task", "args", "kwargs"]) {
        return true;
    }
    let Ok([arguments, named, embedded]) = serde_json::from_slice::<[&RawValue; 3]>(seen.text) else { return false };
    let (arguments, named) = (arguments.get(), named.get());
    let embedded = Fields::parse(embedded.get().as_bytes());
    let expected = ["callbacks", "errbacks", "chain", "chord"];
    arguments.starts_with('[')
        && named.starts_with('{')
        && embedded.is_ok_and(|embedded| expected.iter().all(|name| embedded.has(name)))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// A map whose first key is a short string.
fn is_msgpack(text: &[u8]) -> bool {
    match text {
        [0x81..=0x8f, rest @ ..] | [0xde, _, _, rest @ ..] | [0xdf, _, _, _, _, rest @ ..] => {
            matches!(rest, [0xa1..=0xbf | 0xd9, ..])
        }
        _ => false,
    }
}

/// A map whose first key is a short text.
fn is_cbor(text: &[u8]) -> bool {
    matches!(text, [0xa1..=0xb7 | 0xbf, 0x61..=0x78, ..])
}

/// Its length stands at its beginning, and a zero at its end.
fn is_bson(text: &[u8]) -> bool {
    let length = text.first_chunk().map(|length| u32::from_le_bytes(*length));
    text.len() > 4 && length.is_some_and(|length| length as usize == text.len()) && text.ends_with(&[0])
}
