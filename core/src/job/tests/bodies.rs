//! Bodies as producers send them. Where a comment names a version, the bytes are that program's.

use super::*;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::json;
use std::io::Write as _;

const JOB: &str = r#"{"id":"kyc-1","bucket":"kyc-uploads","key":"a.jpg"}"#;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn typed(content_type: &str) -> Properties {
    Properties { content_type: Some(content_type.to_owned()), ..Properties::default() }
}

fn encoded(content_encoding: &str) -> Properties {
    Properties { content_encoding: Some(content_encoding.to_owned()), ..Properties::default() }
}

fn by_kombu(compression: &str) -> Properties {
    Properties { compression: Some(compression.to_owned()), ..encoded("utf-8") }
}

fn read(body: &[u8], properties: &Properties) -> Result<Job, Failure> {
    Job::decode(body, properties, &Admission::default())
}

/// A value section with this value in it.
fn value(constructor: u8, length: &[u8], content: &[u8]) -> Vec<u8> {
    [&[0x00, 0x53, 0x77, constructor], length, content].concat()
}

fn data(part: &[u8]) -> Vec<u8> {
    [&[0x00, 0x53, 0x75, 0xa0, u8::try_from(part.len()).expect("a short part")], part].concat()
}

#[test]
fn what_is_laid_around_a_job_is_taken_off() {
    let job = JOB.as_bytes();
    let short = [u8::try_from(job.len()).expect("short")];
    let long = u32::try_from(job.len()).expect("short").to_be_bytes();
    let string = serde_json::to_vec(JOB).expect("JSON");
    let marked = [b"\xef\xbb\xbf", job].concat();
    let (first, second) = job.split_at(10);
    let wide = [&[0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x77, 0xa1], &short[..], job].concat();
    let none = Properties::default();
    for (name, body, properties) in [
        ("gzip", gzip(job), encoded("gzip")),
        ("GZip", gzip(job), encoded(" GZip ")),
        ("x-gzip", gzip(job), encoded("x-gzip")),
        ("gzip, two members", [gzip(first), gzip(second)].concat(), encoded("gzip")),
        ("deflate as HTTP means it", zlib(job), encoded("deflate")),
        ("deflate as many send it", deflate(job), encoded("deflate")),
        ("zlib under the name of gzip", zlib(job), encoded("gzip")),
        ("kombu's zlib", zlib(job), by_kombu("application/x-gzip")),
        ("real gzip by kombu's header", gzip(job), by_kombu("application/x-gzip")),
        ("kombu in kombu", zlib(&gzip(job)), Properties { content_encoding: Some("gzip".into()), ..by_kombu("zlib") }),
        ("identity", job.to_vec(), encoded("identity")),
        ("utf-8", job.to_vec(), encoded("UTF-8")),
        ("gzip only by name", job.to_vec(), encoded("gzip")),
        ("deflate only by name", job.to_vec(), encoded("deflate")),
        ("another name, and JSON all the same", job.to_vec(), encoded("br")),
        ("a list, and JSON all the same", job.to_vec(), encoded("gzip, utf-8")),
        ("a mark", marked.clone(), none.clone()),
        ("a mark in gzip", gzip(&marked), encoded("gzip")),
        ("a string", string.clone(), none.clone()),
        ("a string in gzip", gzip(&string), encoded("gzip")),
        ("a mark before a string", [b"\xef\xbb\xbf \n", &string[..]].concat(), none.clone()),
        ("str8", value(0xa1, &short, job), none.clone()),
        ("str32", value(0xb1, &long, job), none.clone()),
        ("vbin8", value(0xa0, &short, job), none.clone()),
        ("vbin32", value(0xb0, &long, job), none.clone()),
        ("a wide descriptor", wide, none.clone()),
        ("data sections", [data(first), data(second)].concat(), none.clone()),
        ("data sections in reverse", [data(second), data(first)].concat(), none.clone()),
        (
            "gzip in a value section",
            value(0xb0, &u32::try_from(gzip(job).len()).expect("short").to_be_bytes(), &gzip(job)),
            encoded("gzip"),
        ),
        (
            "one JSON string in a value section",
            value(0xa1, &[u8::try_from(string.len()).expect("short")], &string),
            none,
        ),
    ] {
        let job = read(&body, &properties).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!((job.id(), job.image().key.as_str()), ("kyc-1", "a.jpg"), "{name}");
    }
    // kombu 5.7.0, Producer.publish({"key": "a.jpg", "bucket": "kyc-uploads", "id": "k1"}, serializer="json", compression="gzip").
    let kombu = b"x\x9c\xabV\xcaN\xadT\xb2RPJ\xd4\xcb*HW\xd2QPJ*M\xceN-\x01\teW&\xeb\x96\x16\xe4\xe4'\xa6\x14\x83$2S\xc0\x82\x86J\xb5\x00\xaeV\x0f\xa3";
    let job = read(kombu, &Properties { compression: Some("application/x-gzip".into()), ..typed("application/json") });
    assert_eq!(job.expect("a job").id(), "k1");
}

#[test]
fn other_jobs_than_plain_ones_are_wrapped_likewise() {
    let event = json!({ "specversion": "1.0", "id": "e-1", "source": "s", "type": "t", "data": { "bucket": "kyc-uploads", "key": "a" } });
    let properties = Properties { content_encoding: Some("gzip".into()), ..typed("application/cloudevents+json") };
    assert_eq!(read(&gzip(event.to_string().as_bytes()), &properties).expect("a job").id(), "e-1");
    let record = |key: &str| json!({ "eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "s3": { "bucket": { "name": "kyc-uploads" }, "object": { "key": key } } });
    let several = json!({ "Records": [record("a"), record("b")] }).to_string();
    match Intake::read(&gzip(several.as_bytes()), &encoded("gzip"), &Admission::default()) {
        Ok(Intake::Several(parts)) => {
            assert!(parts.iter().all(|part| part.starts_with(b"{\"Records\":[{")), "{parts:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrapped_job_is_no_less_strict_and_keeps_its_name() {
    let wrong = br#"{"id":"kyc-1","bucket":"kyc-uploads","kye":"a.jpg"}"#;
    let string = serde_json::to_vec(str::from_utf8(wrong).expect("text")).expect("JSON");
    for (body, properties) in
        [(gzip(wrong), encoded("gzip")), (string, Properties::default()), (data(wrong), Properties::default())]
    {
        let refused = Intake::read(&body, &properties, &Admission::default()).expect_err("no job");
        assert!(refused.failure.message().contains("unknown field `kye`"), "{}", refused.failure);
        assert_eq!(refused.origin.job_id, "kyc-1");
    }
}

#[test]
fn what_grows_beyond_the_bound_or_is_cut_off_is_refused() {
    let large = format!(r#"{{"bucket":"kyc-uploads","key":"a.jpg"{}}}"#, " ".repeat(64 * 1024));
    let bound = &large[..64 * 1024];
    for (pack, name) in [(gzip as fn(&[u8]) -> Vec<u8>, "gzip"), (zlib, "deflate"), (deflate, "deflate")] {
        let refused = read(&pack(large.as_bytes()), &encoded(name)).expect_err("too long");
        assert!(refused.message().contains("more than 65536 bytes when it is decompressed"), "{refused}");
        let at_the_bound = read(&pack(bound.as_bytes()), &encoded(name)).expect_err("no end");
        assert!(at_the_bound.message().contains("not JSON"), "{at_the_bound}");
        let packed = pack(JOB.as_bytes());
        for wrong in [&packed[..packed.len() - 3], &[&packed[..], b"more"].concat()[..], b"nothing of the kind", b""] {
            let refused = read(wrong, &encoded(name)).expect_err("cut off");
            assert_eq!(refused.code(), Code::MalformedJob);
            assert!(refused.message().contains(&format!("said to be encoded as {name}")), "{refused}");
        }
    }
    let twice = gzip(&gzip(&b" ".repeat(64 * 1024 + 1)));
    assert!(twice.len() < 64 * 1024);
    assert!(read(&twice, &encoded("gzip")).is_err());
}

fn utf16(bytes: fn(u16) -> [u8; 2], marked: bool) -> Vec<u8> {
    let mark = marked.then_some(0xfeff);
    mark.into_iter().chain(JOB.encode_utf16()).flat_map(bytes).collect()
}

fn utf32(bytes: fn(u32) -> [u8; 4], marked: bool) -> Vec<u8> {
    let mark = marked.then_some(0xfeff);
    mark.into_iter().chain(JOB.chars().map(u32::from)).flat_map(bytes).collect()
}

/// Messages, each with the kind in the table that it is of.
#[derive(Default)]
struct Messages(Vec<(&'static str, Vec<u8>, Properties)>);

impl Messages {
    fn add(&mut self, recognised: &'static str, body: Vec<u8>, properties: Properties) {
        self.0.push((recognised, body, properties));
    }
}

/// A body of an encoding without a mark by which it could be known.
const PACKED: &[u8] = b"no magic number in it";

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// A message of every kind in the table.
fn one_of_each() -> Vec<(&'static str, Vec<u8>, Properties)> {
    let mut all = Messages::default();
    encodings(&mut all);
    formats(&mut all);
    frameworks(&mut all);
    all.0
}

fn encodings(all: &mut Messages) {
    // An AMQP 1.0 map and list as qpid-proton 0.40.0 writes {"key": "a"} and ["a"].
    all.add(
        "an AMQP 1.0 value section with a map",
        value(0xd1, b"\0\0\0\x0c\0\0\0\x02", b"\xa1\x03key\xa1\x01a"),
        Properties::default(),
    );
    all.add(
        "an AMQP 1.0 value section with a map",
        value(0xc1, b"\x09\x02", b"\xa1\x03key\xa1\x01a"),
        Properties::default(),
    );
    for list in [0x45, 0xc0, 0xd0, 0xe0, 0xf0] {
        all.add(
            "an AMQP 1.0 value section with a list or an array",
            value(list, b"\x04\x01", b"\xa1\x01a"),
            Properties::default(),
        );
    }
    all.add("AMQP 1.0 sequence sections", b"\0\x53\x76\xc0\x04\x01\xa1\x01a".to_vec(), Properties::default());
    for other in [
        &b"\0\x53\x77\x40"[..],
        b"\0\x53\x77\xa1\x10{}",
        b"\0\x53\x77",
        b"\0\x53\x77\xa1\x02{}\0\x53\x77\xa1\x02{}",
        b"\0\x53\x75\xa1\x02{}",
    ] {
        all.add("AMQP 1.0 sections without a text", other.to_vec(), Properties::default());
    }
    all.add("a body with several encodings", gzip(&gzip(JOB.as_bytes())), encoded("gzip, gzip"));
    all.add("a body with several encodings", gzip(JOB.as_bytes()), encoded("utf-8,gzip"));
    all.add("an HTTP body in the encoding aws-chunked", PACKED.to_vec(), encoded("aws-chunked"));
    all.add("an HTTP body in the encoding aws-chunked", text("34;chunk-signature=ad80\r\n{}"), Properties::default());
    for name in ["br", "Brotli"] {
        all.add("compressed with Brotli", PACKED.to_vec(), encoded(name));
    }
    // kombu 5.7.0 with every compression that it has.
    all.add(
        "compressed with Brotli",
        b"\x0b\x1a\x80{\"key\": \"a.jpg\", \"bucket\": \"kyc-uploads\", \"id\": \"k1\"}\x03".to_vec(),
        by_kombu("application/x-brotli"),
    );
    all.add(
        "compressed with bzip2",
        b"BZh91AY&SY\x1b\xf3\x80\x0f\0\0\x19\x99\x80P".to_vec(),
        by_kombu("application/x-bz2"),
    );
    all.add("compressed with LZMA or xz", b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4F".to_vec(), by_kombu("application/x-lzma"));
    all.add("compressed with Zstandard", PACKED.to_vec(), by_kombu("application/zstd"));
    all.add("compressed with Zstandard", b"\x28\xb5\x2f\xfd\x04\x58".to_vec(), Properties::default());
    all.add("compressed with LZ4", PACKED.to_vec(), encoded("lz4"));
    all.add("compressed with LZ4", b"\x04\x22\x4d\x18\x64".to_vec(), Properties::default());
    all.add("compressed with Snappy", PACKED.to_vec(), encoded("snappy"));
    all.add("compressed with bzip2", PACKED.to_vec(), encoded("bzip2"));
    all.add("compressed with LZMA or xz", PACKED.to_vec(), encoded("xz"));
    all.add("compressed without saying so", gzip(JOB.as_bytes()), Properties::default());
    all.add("compressed without saying so", zlib(JOB.as_bytes()), Properties::default());
}

fn formats(all: &mut Messages) {
    // kombu 5.7.0 with every serialiser that it has.
    let pickled = b"\x80\x04\x954\0\0\0\0\0\0\0}\x94(\x8c\x03key\x94\x8c\x05a.jpg\x94\x8c\x06bucket\x94\x8c\x0bkyc-uploads\x94\x8c\x02id\x94\x8c\x02k1\x94u.";
    all.add("a pickled Python object", pickled.to_vec(), typed("application/x-python-serialize"));
    all.add("a pickled Python object", pickled.to_vec(), Properties::default());
    let msgpack = b"\x83\xa3key\xa5a.jpg\xa6bucket\xabkyc-uploads\xa2id\xa2k1";
    all.add(
        "MessagePack",
        msgpack.to_vec(),
        Properties { content_encoding: Some("binary".into()), ..typed("application/x-msgpack") },
    );
    all.add("MessagePack", msgpack.to_vec(), Properties::default());
    all.add("YAML", text("bucket: kyc-uploads\nid: k1\nkey: a.jpg\n"), typed("application/x-yaml"));
    all.add("YAML", text("bucket: kyc-uploads\nid: k1\nkey: a.jpg\n"), Properties::default());
    all.add(
        "a serialised Java object",
        b"\xac\xed\0\x05sr\0\x11java.util.HashMap".to_vec(),
        typed("application/x-java-serialized-object"),
    );
    all.add("a serialised Java object", b"\xac\xed\0\x05sr\0\x11java.util.HashMap".to_vec(), Properties::default());
    all.add(
        "a serialised PHP object",
        text("O:36:\"Symfony\\Component\\Messenger\\Envelope\":2:{}"),
        Properties::default(),
    );
    all.add("a serialised PHP object", text("a:1:{s:3:\"key\";s:5:\"a.jpg\";}"), typed("application/json"));
    all.add("CBOR", b"\xa1ckeyea.jpg".to_vec(), Properties::default());
    all.add("BSON", b"\x14\0\0\0\x02key\0\x06\0\0\0a.jpg\0\0".to_vec(), Properties::default());
    all.add("Avro", PACKED.to_vec(), typed("application/vnd.apache.avro+binary"));
    all.add("Avro", b"Obj\x01\x04\x14avro.codec".to_vec(), Properties::default());
    for name in ["application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf; messageType=x"] {
        all.add("Protocol Buffers", b"\x0a\x05a.jpg".to_vec(), typed(name));
    }
    all.add("Thrift", PACKED.to_vec(), typed("application/vnd.apache.thrift.binary"));
    all.add("an HTML form", text("bucket=kyc-uploads&key=a.jpg"), typed("application/x-www-form-urlencoded"));
    all.add("an HTML form", text("key=a.jpg&bucket=kyc-uploads"), Properties::default());
    all.add("XML or HTML", text("<?xml version=\"1.0\"?><Job><key>a.jpg</key></Job>"), typed("text/xml"));
    all.add("XML or HTML", text("\n<Job/>"), Properties::default());
    all.add("an image, not a job", b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), Properties::default());
    all.add("an image, not a job", b"\x89PNG\r\n\x1a\n".to_vec(), typed("image/png"));
    all.add("an image, not a job", text("\"data:image/jpeg;base64,/9j/4AAQ\""), Properties::default());
    for marked in [true, false] {
        all.add("text in UTF-16", utf16(u16::to_le_bytes, marked), Properties::default());
        all.add("text in UTF-16", utf16(u16::to_be_bytes, marked), encoded("utf-16"));
        all.add("text in UTF-32", utf32(u32::to_le_bytes, marked), Properties::default());
        all.add("text in UTF-32", utf32(u32::to_be_bytes, marked), encoded("utf-32"));
    }
}

fn frameworks(all: &mut Messages) {
    let with = |framework| Properties { framework: Some(framework), ..Properties::default() };
    let envelope = json!({ "messageId": "181c0000-6393-3630-36a4-08daf4e7c6da", "conversationId": null, "sourceAddress": "rabbitmq://localhost/a",
        "messageType": ["urn:message:Kyc:Selfie"], "message": { "bucket": "kyc-uploads", "key": "a.jpg" }, "headers": {} });
    all.add("a MassTransit envelope", text(&envelope.to_string()), typed("application/vnd.masstransit+json"));
    all.add("a MassTransit envelope", text(&envelope.to_string()), Properties::default());
    // Celery 5.7.0, send_task("judge.face", args=[{…}]), with task_protocol 1 and 2.
    all.add(
        "a Celery task",
        text(
            r#"{"task":"judge.face","id":"d1dd4af0-c510-4539-9c33-647b9f96779c","args":[{"key":"a.jpg"}],"kwargs":{},"group":null,"retries":0,"eta":null,"utc":true}"#,
        ),
        typed("application/json"),
    );
    let second = r#"[[{"key": "a.jpg", "bucket": "kyc-uploads", "id": "k1"}], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]"#;
    all.add("a Celery task", text(second), typed("application/json"));
    all.add("a Celery task", zlib(second.as_bytes()), by_kombu("application/x-gzip"));
    all.add(
        "a Dramatiq message",
        text(
            r#"{"queue_name":"q","actor_name":"judge","args":[],"kwargs":{},"options":{},"message_id":"m","message_timestamp":1}"#,
        ),
        Properties::default(),
    );
    all.add(
        "a Sidekiq job",
        text(r#"{"class":"Judge","args":["a.jpg"],"jid":"b4a577edbccf1d805744efa9","queue":"default"}"#),
        Properties::default(),
    );
    all.add(
        "a job of Laravel's queue",
        text(
            r#"{"uuid":"u","displayName":"App\\Jobs\\Judge","job":"Illuminate\\Queue\\CallQueuedHandler@call","data":{}}"#,
        ),
        Properties::default(),
    );
    all.add("a NestJS packet", text(r#"{"pattern":"judge","data":{"key":"a.jpg"}}"#), Properties::default());
    all.add(
        "a JSON-RPC request",
        text(r#"{"jsonrpc":"2.0","method":"judge","params":{"key":"a.jpg"},"id":1}"#),
        Properties::default(),
    );
    all.add(
        "an NServiceBus message",
        text(r#"{"Key":"a.jpg","Bucket":"kyc-uploads"}"#),
        with(properties::Framework::NServiceBus),
    );
    all.add(
        "a .NET object that says its type ($type; Rebus and Json.NET's TypeNameHandling do)",
        text(r#"{"$type":"Kyc.Job, Kyc","key":"a.jpg"}"#),
        with(properties::Framework::Rebus),
    );
    all.add("a Rebus message", text(r#"{"Key":"a.jpg"}"#), with(properties::Framework::Rebus));
    all.add("a Python dict as str() shows it", text("{'key': 'a.jpg'}"), Properties::default());
    let twice = serde_json::to_string(&serde_json::to_string(JOB).expect("JSON")).expect("JSON");
    all.add("JSON in a string in a string", text(&twice), Properties::default());
    all.add("several JSON values", text(&format!("{JOB}\n{JOB}\n")), Properties::default());
    all.add(
        "text that is not UTF-8",
        b"{\"bucket\":\"kyc-uploads\",\"key\":\"Ren\xe9.jpg\"}".to_vec(),
        Properties::default(),
    );
}

#[test]
fn what_is_refused_is_named_and_what_to_send_instead() {
    let messages = one_of_each();
    for (recognised, body, properties) in &messages {
        let row = REFUSED.iter().find(|row| row.recognised == *recognised).unwrap_or_else(|| panic!("{recognised}"));
        let refused = Intake::read(body, properties, &Admission::default()).expect_err(recognised);
        assert_eq!(
            refused.failure.message(),
            format!("the message is {recognised}; {}", row.instead),
            "{}",
            body.escape_ascii()
        );
        assert_eq!(refused.failure.code(), Code::UnsupportedMessage);
        assert!(refused.origin.refused.is_some());
    }
    for row in REFUSED {
        assert!(
            messages.iter().any(|(recognised, ..)| *recognised == row.recognised),
            "{} has no test",
            row.recognised
        );
    }
    let refused = read(b"no", &encoded("pack200-gzip")).expect_err("packed");
    assert_eq!(refused.message(), "the message is encoded as \"pack200-gzip\"; gzip, deflate and identity are read");
}

#[test]
fn the_table_is_in_the_documents() {
    let page = include_str!("../../../../docs/producers.md");
    let rows: Vec<_> = REFUSED.iter().map(|row| format!("| {} | {} |\n", row.recognised, row.instead)).collect();
    assert!(page.contains(&rows.concat()), "docs/producers.md should have\n{}", rows.concat());
    let contract: serde_json::Value =
        serde_json::from_str(include_str!("../../../../contract/refused.json")).expect("JSON");
    let rows = REFUSED.iter().map(|row| json!({ "recognised": row.recognised, "instead": row.instead }));
    assert_eq!(contract, rows.collect::<serde_json::Value>());
}

#[test]
fn recognising_a_kind_refuses_nothing() {
    let mut bodies: Vec<Vec<u8>> = vec![
        JOB.into(),
        r#"{"key":"key=a","bucket":"kyc-uploads","metadata":{"task":1,"args":[],"kwargs":{},"$type":"x","messageType":1,"message":2}}"#.into(),
        r#"{"key":"<a>;chunk-signature=","bucket":"kyc-uploads","metadata":{"jsonrpc":1,"method":2,"pattern":"p","data":{}}}"#.into(),
    ];
    bodies.extend(["\n", " ", "\t\r\n"].map(|space| format!("{space}{JOB}{space}").into_bytes()));
    for body in &bodies {
        for (_, _, properties) in one_of_each() {
            let properties = Properties { content_type: None, compression: None, ..properties };
            assert!(read(body, &properties).is_ok(), "{properties:?}: {}", body.escape_ascii());
        }
        for name in ["binary", "8bit", "gzip", "deflate", "br", "zstd", "latin-1", "gzip,br", "no such thing"] {
            assert!(read(body, &encoded(name)).is_ok(), "{name}: {}", body.escape_ascii());
            assert!(read(body, &by_kombu(name)).is_ok(), "{name}: {}", body.escape_ascii());
        }
    }
}

#[test]
fn a_job_gone_wrong_is_told_its_own_mistake() {
    for (body, says) in [
        (r#"{"bucket":"kyc-uploads","key":"a","task":"t","args":[],"kwargs":{}}"#, "unknown field `task`"),
        (r#"{"bucket":"kyc-uploads","key":"a","pattern":"p","data":{}}"#, "unknown field `pattern`"),
        (r#"[[1],{},{"callbacks":null}]"#, "it is an array"),
        (r#"{"task":"judge"}"#, "unknown field `task`"),
    ] {
        let refused = read(body.as_bytes(), &Properties::default()).expect_err(body);
        assert!(refused.message().contains(says), "{refused}");
    }
}
