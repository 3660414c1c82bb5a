//! Publishing with octets that no client library would send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::broker::JOBS;
use crate::harness::wait::SOON;
use crate::harness::world::World;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;

/// Flags of the properties that these tests send.
pub(crate) const CONTENT_TYPE: u16 = 1 << 15;
pub(crate) const HEADERS: u16 = 1 << 13;
pub(crate) const MESSAGE_ID: u16 = 1 << 7;
pub(crate) const KIND: u16 = 1 << 5;

/// The properties of a message as they go over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Properties {
    flags: u16,
    bytes: Vec<u8>,
    routing_key: Vec<u8>,
}

impl Properties {
    /// Flags, and the properties in their order.
    pub(crate) fn new(flags: u16, bytes: impl Into<Vec<u8>>) -> Self {
        Self { flags, bytes: bytes.into(), routing_key: JOBS.into() }
    }

    /// With nothing but a table of headers.
    pub(crate) fn with_headers(fields: &[u8]) -> Self {
        Self::new(HEADERS, long(fields))
    }

    /// Sent to the jobs exchange under another key.
    pub(crate) fn routed_by(self, routing_key: &[u8]) -> Self {
        Self { routing_key: routing_key.to_vec(), ..self }
    }
}

/// A connection with one channel that confirms.
pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(world: &World) -> Self {
        let stream = TcpStream::connect(world.services.amqp_address()).await.expect("a broker");
        let mut raw = Self { stream };
        let user = &world.services.amqp.authority.userinfo;
        raw.send(b"AMQP\0\0\x09\x01").await;
        raw.expect(10, 10).await;
        let login = format!("\0{}\0{}", user.username, user.password);
        let start_ok = [&[0; 4][..], &short(b"PLAIN"), &long(login.as_bytes()), &short(b"en_US")].concat();
        raw.method(0, 10, 11, &start_ok).await;
        let tune = raw.expect(10, 30).await;
        // The broker's own limits, and no heartbeat.
        raw.method(0, 10, 31, &[&tune[..6], &[0, 0]].concat()).await;
        raw.method(0, 10, 40, &[&short(world.broker.vhost().as_bytes())[..], &[0, 0]].concat()).await;
        raw.expect(10, 41).await;
        raw.method(1, 20, 10, &[0]).await;
        raw.expect(20, 11).await;
        raw.method(1, 85, 10, &[0]).await;
        raw.expect(85, 11).await;
        raw
    }

    /// Publishes to the jobs exchange, and returns when the broker has confirmed. A message that no queue takes is a panic.
    pub(crate) async fn publish(&mut self, body: &[u8], properties: &Properties) {
        const MANDATORY: u8 = 1;

        let publish = [&[0, 0][..], &short(JOBS.as_bytes()), &short(&properties.routing_key), &[MANDATORY]].concat();
        self.method(1, 60, 40, &publish).await;
        let fixed = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &properties.flags.to_be_bytes()].concat();
        self.frame(HEADER, 1, &[&fixed[..], &properties.bytes].concat()).await;
        self.frame(BODY, 1, body).await;
        self.expect(60, 80).await;
    }

    async fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).expect("a size");
        self.send(&[&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[END]].concat()).await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the broker reads");
    }

    /// The arguments of the method that comes next.
    async fn expect(&mut self, class: u16, method: u16) -> Vec<u8> {
        let wanted = [class.to_be_bytes(), method.to_be_bytes()].concat();
        loop {
            let (kind, payload) = timeout(SOON, self.read()).await.expect("an answer of the broker in time");
            if kind == HEARTBEAT {
                continue;
            }
            let (name, arguments) = payload.split_at(4.min(payload.len()));
            assert_eq!((kind, name), (METHOD, &wanted[..]), "the broker says {}", payload.escape_ascii());
            return arguments.to_vec();
        }
    }

    async fn read(&mut self) -> (u8, Vec<u8>) {
        let kind = self.stream.read_u8().await.expect("a frame");
        self.stream.read_u16().await.expect("a channel");
        let size = self.stream.read_u32().await.expect("a size");
        let mut payload = vec![0; size as usize];
        self.stream.read_exact(&mut payload).await.expect("a payload");
        assert_eq!(self.stream.read_u8().await.expect("an end"), END);
        (kind, payload)
    }
}

pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&short(name)[..], value].concat()
}

pub(crate) fn text(value: &[u8]) -> Vec<u8> {
    [b"S", &long(value)[..]].concat()
}

pub(crate) fn integer(value: i64) -> Vec<u8> {
    [b"l", &value.to_be_bytes()[..]].concat()
}

/// So many arrays (`A`) or tables (`F`) inside one another.
pub(crate) fn nested(kind: u8, depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![b'V'], |inside, _| {
        let entry = if kind == b'F' { field(b"k", &inside) } else { inside };
        [&[kind][..], &long(&entry)].concat()
    })
}

pub(crate) fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("a short string")][..], bytes].concat()
}

pub(crate) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("a long string").to_be_bytes()[..], bytes].concat()
}
