//! The end of an HTTP/2 connection after a number of requests, as nginx makes it.
//!
//! The server's library knows an orderly end only, by which every stream that arrives is served. nginx (`keepalive_requests`) names the stream of its last
//! request in GOAWAY and forgets whatever comes after it: the client is told which of its requests were never looked at, and may repeat them
//! (RFC 9113, 6.8). So the frames are watched here, below the library: those of later streams do not reach it, and GOAWAY is put
//! between the frames that it writes.

use std::collections::HashSet;

use bytes::{BufMut, Bytes, BytesMut};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

/// Both directions of a connection. What is fed in comes out again, but for what the limit takes away or puts in.
pub(super) struct Goaway {
    arriving: Arriving,
    leaving: Frames,
    /// For the library: what has arrived and is not taken away.
    inward: BytesMut,
    /// For the client: what the library has written, and what is put in.
    outward: BytesMut,
    requests: u32,
    newest: u32,
    /// Requests that are not answered to their end.
    open: HashSet<u32>,
    last: Option<Last>,
    /// Bytes of taken-away DATA, which the library cannot give back to the connection's window.
    credit: u32,
}

/// The stream after which nothing is served.
struct Last {
    stream: u32,
    /// Something has arrived that comes too late, so that GOAWAY must be sent now. Before, it is on its way, as it would be in a real network: it is sent with
    /// the last answer at the latest.
    late: bool,
    sent: bool,
}

enum Arriving {
    /// So much of the preface has come.
    Preface(usize),
    Frames(Frames),
    /// It is no HTTP/2.
    Other,
}

/// Finds the heads of frames in a stream of bytes.
#[derive(Default)]
struct Frames {
    head: [u8; HEAD],
    held: usize,
    /// What is left of the frame's content.
    left: usize,
    taken_away: bool,
}

#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

// === impl Goaway ===

impl Goaway {
    pub(super) fn new() -> Self {
        Self {
            arriving: Arriving::Preface(0),
            leaving: Frames::default(),
            inward: BytesMut::new(),
            outward: BytesMut::new(),
            requests: 0,
            newest: 0,
            open: HashSet::new(),
            last: None,
            credit: 0,
        }
    }

    /// Whether the bytes must come through here. Before the preface is in, that is not known.
    pub(super) fn applies(&self) -> bool {
        !matches!(self.arriving, Arriving::Other) || !self.inward.is_empty()
    }

    /// Takes in what the client has sent. True when it has just begun the last request of the connection.
    pub(super) fn arrived(&mut self, mut bytes: &[u8], max_requests: u32) -> bool {
        let began_before = self.last.is_some();
        while let Some(&byte) = bytes.first() {
            match &mut self.arriving {
                Arriving::Other => {
                    self.inward.extend_from_slice(bytes);
                    break;
                }
                Arriving::Preface(seen) => {
                    self.inward.put_u8(byte);
                    bytes = &bytes[1..];
                    *seen += 1;
                    if byte != PREFACE[*seen - 1] {
                        self.arriving = Arriving::Other;
                    } else if *seen == PREFACE.len() {
                        self.arriving = Arriving::Frames(Frames::default());
                    }
                }
                Arriving::Frames(frames) => {
                    let (taken, step) = frames.feed(bytes);
                    let part = &bytes[..taken];
                    bytes = &bytes[taken..];
                    match step {
                        Step::More => {}
                        Step::Content if frames.taken_away => {}
                        Step::Content => self.inward.extend_from_slice(part),
                        Step::Head(head) => {
                            let raw = frames.head;
                            let taken_away = self.admit(head, max_requests);
                            if let Arriving::Frames(frames) = &mut self.arriving {
                                frames.taken_away = taken_away;
                            }
                            if !taken_away {
                                self.inward.extend_from_slice(&raw);
                            }
                        }
                    }
                }
            }
        }
        !began_before && self.last.is_some()
    }

    /// Hands over what the library may read, at most so many bytes.
    pub(super) fn inward(&mut self, most: usize) -> Bytes {
        self.inward.split_to(self.inward.len().min(most)).freeze()
    }

    /// Takes in what the library has written.
    pub(super) fn written(&mut self, mut bytes: &[u8]) {
        if matches!(self.arriving, Arriving::Other) {
            return self.outward.extend_from_slice(bytes);
        }
        while !bytes.is_empty() {
            self.put_in();
            let (taken, step) = self.leaving.feed(bytes);
            let part = &bytes[..taken];
            bytes = &bytes[taken..];
            match step {
                Step::More => {}
                Step::Content if self.leaving.taken_away => {}
                Step::Content => self.outward.extend_from_slice(part),
                Step::Head(head) => {
                    self.answer(head);
                    if !self.leaving.taken_away {
                        self.outward.extend_from_slice(&self.leaving.head);
                    }
                }
            }
        }
        self.put_in();
    }

    /// What is to be written to the client, with what is put in of itself.
    pub(super) fn outward(&mut self) -> &mut BytesMut {
        self.put_in();
        &mut self.outward
    }

    /// Whether GOAWAY has been sent and the last request answered: the connection is at its end.
    pub(super) fn is_over(&self) -> bool {
        let sent = self.last.as_ref().is_some_and(|last| last.sent);
        sent && self.open.is_empty() && self.outward.is_empty() && self.leaving.is_between()
    }

    /// Whether a frame from the client is to be taken away.
    fn admit(&mut self, head: Head, max_requests: u32) -> bool {
        if let Some(last) = self.last.as_mut().filter(|last| head.stream > last.stream) {
            last.late = true;
            if head.kind == DATA {
                // A frame's length has 24 bits, and windows 31.
                self.credit = self.credit.saturating_add(u32::try_from(head.length).unwrap_or(u32::MAX));
            }
            return true;
        }
        match head.kind {
            HEADERS if head.stream > self.newest => {
                self.newest = head.stream;
                self.open.insert(head.stream);
                self.requests += 1;
                if max_requests > 0 && self.requests >= max_requests {
                    self.last = Some(Last { stream: head.stream, late: false, sent: false });
                }
            }
            RST_STREAM => {
                self.open.remove(&head.stream);
            }
            _ => {}
        }
        false
    }

    /// Notes what a frame of the library's means.
    fn answer(&mut self, head: Head) {
        // The library may announce an end of its own; no GOAWAY may name a later stream than one before it.
        self.leaving.taken_away = head.kind == GOAWAY && self.last.as_ref().is_some_and(|last| last.sent);
        let ends = matches!(head.kind, DATA | HEADERS) && head.flags & END_STREAM != 0;
        if ends || head.kind == RST_STREAM {
            self.open.remove(&head.stream);
        }
        if let Some(last) = self.last.as_mut().filter(|last| last.stream == head.stream)
            && matches!(head.kind, HEADERS | RST_STREAM)
        {
            last.late = true;
            // Before the head of the answer, which is not in `outward` yet.
            Self::announce(last, &mut self.outward);
        }
    }

    /// Puts in what is due, where a frame can begin.
    fn put_in(&mut self) {
        if !self.leaving.is_between() {
            return;
        }
        if self.credit > 0 {
            frame(&mut self.outward, WINDOW_UPDATE, &std::mem::take(&mut self.credit).to_be_bytes());
        }
        if let Some(last) = &mut self.last
            && last.late
        {
            Self::announce(last, &mut self.outward);
        }
    }

    fn announce(last: &mut Last, outward: &mut BytesMut) {
        if !std::mem::replace(&mut last.sent, true) {
            let [a, b, c, d] = last.stream.to_be_bytes();
            // The second half is NO_ERROR.
            frame(outward, GOAWAY, &[a, b, c, d, 0, 0, 0, 0]);
        }
    }
}

/// A frame of the whole connection.
fn frame(out: &mut BytesMut, kind: u8, content: &[u8]) {
    out.put_uint(content.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(0);
    out.put_u32(0);
    out.extend_from_slice(content);
}

// === impl Frames ===

enum Step {
    /// Not a whole head yet.
    More,
    Head(Head),
    Content,
}

impl Frames {
    /// Takes some of `bytes`, at least one: to the end of a head, or to the end of a frame's content.
    fn feed(&mut self, bytes: &[u8]) -> (usize, Step) {
        if self.left > 0 {
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            return (taken, Step::Content);
        }
        if self.held == HEAD {
            self.held = 0;
        }
        let taken = bytes.len().min(HEAD - self.held);
        self.head[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
        self.held += taken;
        if self.held < HEAD {
            return (taken, Step::More);
        }
        let head = Head::read(self.head);
        self.left = head.length;
        (taken, Step::Head(head))
    }

    /// Whether the next byte begins a frame.
    fn is_between(&self) -> bool {
        self.left == 0 && matches!(self.held, 0 | HEAD)
    }
}

// === impl Head ===

impl Head {
    fn read([a, b, c, kind, flags, stream @ ..]: [u8; HEAD]) -> Self {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Self { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        frame(&mut out, kind, content);
        out[4] = flags;
        out[5..9].copy_from_slice(&stream.to_be_bytes());
        out.to_vec()
    }

    fn announcement(stream: u8) -> Vec<u8> {
        raw(GOAWAY, 0, 0, &[0, 0, 0, stream, 0, 0, 0, 0])
    }

    fn arrive(goaway: &mut Goaway, bytes: &[u8], chunk: usize, most: u32) -> Vec<u8> {
        for part in bytes.chunks(chunk) {
            goaway.arrived(part, most);
        }
        goaway.inward(usize::MAX).to_vec()
    }

    fn write(goaway: &mut Goaway, bytes: &[u8], chunk: usize) -> Vec<u8> {
        bytes.chunks(chunk).for_each(|part| goaway.written(part));
        goaway.outward().split().to_vec()
    }

    #[test]
    fn without_a_limit_and_without_http_2_everything_passes() {
        let settings =
            [PREFACE, &raw(4, 0, 0, b"123456"), &raw(HEADERS, 4, 1, b"abc"), &raw(DATA, 1, 1, b"x")].concat();
        for (bytes, most) in [(settings.as_slice(), 0), (b"POST / HTTP/1.1\r\n\r\n", 1), (b"PRI * HTTP/2.1", 1)] {
            for chunk in [1, 7, 1000] {
                let mut goaway = Goaway::new();
                assert_eq!(arrive(&mut goaway, bytes, chunk, most), bytes);
                assert_eq!(write(&mut goaway, bytes, chunk), bytes);
                assert!(!goaway.is_over());
            }
        }
    }

    #[test]
    fn what_comes_after_the_last_request_is_told_apart_and_never_arrives() {
        let before = [raw(HEADERS, 4, 1, b"one"), raw(HEADERS, 4, 3, b"two"), raw(DATA, 0, 1, b"body")].concat();
        let after = [raw(HEADERS, 4, 5, b"three"), raw(DATA, 1, 5, b"late body"), raw(DATA, 1, 1, b"rest")].concat();
        for chunk in [1, 5, 1000] {
            let mut goaway = Goaway::new();
            assert_eq!(arrive(&mut goaway, PREFACE, chunk, 2), PREFACE);
            assert_eq!(arrive(&mut goaway, &before, chunk, 2), before);
            assert!(write(&mut goaway, &[], 1).is_empty(), "it is on its way");
            assert_eq!(arrive(&mut goaway, &after, chunk, 2), raw(DATA, 1, 1, b"rest"));
            let told = [raw(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]), announcement(3)].concat();
            assert_eq!(write(&mut goaway, &[], 1), told, "in chunks of {chunk}");

            let answers = [raw(HEADERS, 4, 3, b"ok"), raw(DATA, 1, 3, b"2"), raw(HEADERS, 5, 1, b"no")].concat();
            let end = raw(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
            assert_eq!(write(&mut goaway, &[answers.clone(), end].concat(), chunk), answers);
            assert!(goaway.is_over());
        }
    }

    #[test]
    fn with_nothing_late_it_is_told_with_the_last_answer() {
        for chunk in [1, 5, 1000] {
            let mut goaway = Goaway::new();
            let request = raw(HEADERS, 5, 1, b"one");
            assert_eq!(arrive(&mut goaway, &[PREFACE, &request].concat(), chunk, 1), [PREFACE, &request].concat());
            let (settings, answer) = (raw(4, 0, 0, b""), raw(HEADERS, 5, 1, b"ok"));
            let written = write(&mut goaway, &[settings.clone(), answer.clone()].concat(), chunk);
            assert_eq!(written, [settings, announcement(1), answer].concat());
            assert!(goaway.is_over());
        }
    }
}
