//! What may go wrong with a call because it was asked for.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;

/// One way of failing. Written as in [`Faults`](super::Faults): a status such as `503`, or a name such as `reset-after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A status between 300 and 599, once the whole request has been read. From 300 to 399 with a `Location`.
    Status(StatusCode),
    /// `early-503`: the status is answered as soon as the head has been read, and the connection is closed with the body unread, as Fastify, gunicorn
    /// and axum do: what the client still sends is answered by a reset. Over HTTP/2 the answer is followed by `RST_STREAM` with `NO_ERROR`.
    Early(StatusCode),
    /// `lingering-503`: as `early-503`, but the connection reads on for a while after the answer before it is closed, as nginx does.
    Lingering(StatusCode),
    /// The connection is reset when the head has been read, before any of the body is.
    ResetBefore,
    /// HTTP/2: the stream is reset with `REFUSED_STREAM` before any work (RFC 9113, 8.7). HTTP/1.1 knows no such answer; there it is `reset-before`.
    RefusedStream,
    /// The whole connection stops as if its process had been stopped: nothing more is read or written, no PING is answered, and the other
    /// connections go on. It ends after [`Config::hang_time`](super::Config::hang_time), or when the faults are set; then the connection
    /// goes on where it was, and a request whose client has waited for it is a call like any other.
    HangConnection,
    /// The connection is reset when the whole request has been read: the vendor would have billed it.
    ResetAfter,
    /// The whole request is read and nothing is ever answered. Ends when the client leaves or the simulator stops.
    Hang,
    /// The right answer, its body one byte at a time.
    Slow,
    /// The right answer, compressed although the request did not accept that.
    Gzip,
    /// As `gzip`, with the `deflate` of HTTP, which is zlib's format.
    Deflate,
    /// The right answer behind a UTF-8 byte order mark.
    Bom,
    /// Both: the byte order mark is inside.
    GzipBom,
    /// The right answer under 150 headers.
    ManyHeaders,
    /// Status 200 with an HTML page.
    Garbage,
    /// Status 200 with JSON that is not a verdict: fields missing, or of the wrong type.
    GarbageJson,
    /// Status 200 without a body.
    Empty,
    /// Status 200 whose `Content-Length` promises more than comes before the connection is closed.
    Truncated,
}

/// A text that is no kind of fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "read the fault kind `{0}`: known are a status from 300 to 599, early-STATUS, lingering-STATUS, reset-before, refused-stream, \
     hang-connection, reset-after, hang, slow, gzip, deflate, bom, gzip-bom, many-headers, garbage, garbage-json, empty and truncated"
)]
pub struct FaultKindError(pub(super) String);

/// The kinds that have a name of their own.
const NAMED: [(&str, Fault); 15] = [
    ("reset-before", Fault::ResetBefore),
    ("refused-stream", Fault::RefusedStream),
    ("hang-connection", Fault::HangConnection),
    ("reset-after", Fault::ResetAfter),
    ("hang", Fault::Hang),
    ("slow", Fault::Slow),
    ("gzip", Fault::Gzip),
    ("deflate", Fault::Deflate),
    ("bom", Fault::Bom),
    ("gzip-bom", Fault::GzipBom),
    ("many-headers", Fault::ManyHeaders),
    ("garbage", Fault::Garbage),
    ("garbage-json", Fault::GarbageJson),
    ("empty", Fault::Empty),
    ("truncated", Fault::Truncated),
];

const EARLY: &str = "early-";
const LINGERING: &str = "lingering-";

// === impl Fault ===

impl Fault {
    /// Whether it happens when the head of the request is in, before any of the body is read.
    pub(super) fn is_at_head(self) -> bool {
        match self {
            Self::Early(_) | Self::Lingering(_) | Self::ResetBefore | Self::RefusedStream | Self::HangConnection => {
                true
            }
            Self::Status(_)
            | Self::ResetAfter
            | Self::Hang
            | Self::Slow
            | Self::Gzip
            | Self::Deflate
            | Self::Bom
            | Self::GzipBom
            | Self::ManyHeaders
            | Self::Garbage
            | Self::GarbageJson
            | Self::Empty
            | Self::Truncated => false,
        }
    }

    /// Whether the vendor would have done the work, and so would ask to be paid: everything but an error status and what ends the request before its
    /// body. (A request that outlives `hang-connection` is billed as the call that it then is.)
    pub fn is_billed(self) -> bool {
        !self.is_at_head() && !matches!(self, Self::Status(_))
    }

    /// Whether the answer is a 200 that holds no verdict.
    pub fn is_garbled(self) -> bool {
        matches!(self, Self::Garbage | Self::GarbageJson | Self::Empty | Self::Truncated)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{}", status.as_u16()),
            Self::Early(status) => write!(f, "{EARLY}{}", status.as_u16()),
            Self::Lingering(status) => write!(f, "{LINGERING}{}", status.as_u16()),
            named => {
                let found = NAMED.iter().find(|(_, fault)| fault == named);
                // A test holds every other kind against the table.
                f.write_str(found.map_or("unnamed", |(name, _)| name))
            }
        }
    }
}

impl FromStr for Fault {
    type Err = FaultKindError;

    fn from_str(text: &str) -> Result<Self, FaultKindError> {
        if let Some((_, fault)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*fault);
        }
        let (make, number): (fn(StatusCode) -> Self, _) = if let Some(number) = text.strip_prefix(EARLY) {
            (Self::Early, number)
        } else if let Some(number) = text.strip_prefix(LINGERING) {
            (Self::Lingering, number)
        } else {
            (Self::Status, text)
        };
        let status = StatusCode::from_str(number).ok().filter(|status| (300..600).contains(&status.as_u16()));
        status.map(make).ok_or_else(|| FaultKindError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_and_prints_back() {
        let others = ["302", "429", "599", "early-401", "early-413", "lingering-503", "early-308"];
        for text in NAMED.iter().map(|(name, _)| *name).chain(others) {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in
            ["", "299", "600", "early", "early-", "early-200", "early-hang", "lingering-99", "Early-401", "gzip-"]
        {
            assert_eq!(text.parse::<Fault>(), Err(FaultKindError(text.to_owned())));
        }
    }

    #[test]
    fn only_the_vendor_s_work_is_billed() {
        let billed = ["reset-after", "hang", "slow", "gzip", "deflate", "bom", "gzip-bom", "many-headers"];
        let garbled = ["garbage", "garbage-json", "empty", "truncated"];
        let unbilled = [
            "300",
            "400",
            "429",
            "503",
            "599",
            "early-401",
            "lingering-413",
            "reset-before",
            "refused-stream",
            "hang-connection",
        ];
        let is = |text: &str| {
            let fault: Fault = text.parse().unwrap();
            (fault.is_billed(), fault.is_garbled())
        };
        for (kinds, expected) in
            [(&billed[..], (true, false)), (&garbled[..], (true, true)), (&unbilled[..], (false, false))]
        {
            for text in kinds {
                assert_eq!(is(text), expected, "{text}");
            }
        }
        let named = unbilled.iter().filter(|text| NAMED.iter().any(|(name, _)| name == *text)).count();
        assert_eq!(billed.len() + garbled.len() + named, NAMED.len(), "every kind is above");
    }
}
