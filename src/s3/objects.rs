//! Small objects of one bucket: read whole, and written only where they are as the writer knows them. What a ledger can be kept in.

use super::answer::{self, ErrorCode, Refused, Success};
use super::request_error::unavailable;
use super::sign::{Content, Signer};
use super::store_clock::StoreClock;
use super::stream::ObjectStream;
use super::{Addresses, Credentials, Current, POOL_IDLE, Renewal, StoreError, USER_AGENT, sdk};
use crate::{http_client, settings};
use antispoof_core::failure::Failure;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{self, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH, SERVER};
use http::response::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant as Moment, SystemTime};
use tokio::time::{Instant, timeout_at};

/// Longest object that is read.
const MOST_BYTES: usize = 256 * 1024;

/// So often is a request sent again at once that the store has not taken for a reason of the moment.
const MOST_TRIES: u32 = 3;

/// The objects of one bucket, with the address, region and credentials of the image store.
pub struct Objects {
    http: http_client::Client<Full<Bytes>>,
    addresses: Addresses,
    credentials: Credentials,
    signer: Signer,
    region: String,
    bucket: String,
    patience: Duration,
    clock: StoreClock,
    /// What the store calls itself.
    name: OnceLock<String>,
}

/// What has to hold for an object to be written.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// It is not there.
    Absent,
    /// It has this `ETag`, in the store's own form.
    Unchanged(&'a str),
}

/// What came of writing an object under a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is written, and has this `ETag` now.
    Written(String),
    /// The condition does not hold.
    Refused,
}

/// An object, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its `ETag`, in the store's own form.
    pub etag: String,
    /// Its content.
    pub body: Vec<u8>,
}

/// Why there is no answer. Whether an object was written is not known then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// It may pass by itself.
    pub passes: bool,
    /// The same request may succeed at once.
    again: bool,
}

/// An answer: of a success its body, else what it says.
enum Answer {
    Success(Parts, ObjectStream),
    Refused(Refused),
}

impl Objects {
    /// Nothing is requested yet. `in_flight` requests at a time share the memory of one client; `patience` is the limit for each of them.
    pub async fn new(
        settings: &settings::S3,
        bucket: String,
        patience: Duration,
        in_flight: u16,
    ) -> Result<Self, StoreError> {
        let http = http_client::Client::new(http_client::Options {
            connect_timeout: settings.connect_timeout.min(patience),
            idle_timeout: POOL_IDLE,
            http2: false,
            in_flight,
            proxies: false,
        })
        .map_err(StoreError)?;
        Ok(Self {
            http,
            addresses: Addresses::new(sdk::config(settings).await, settings),
            credentials: Credentials::new(settings),
            signer: Signer::new(settings.region.clone()),
            region: settings.region.clone(),
            bucket,
            patience,
            clock: StoreClock::new(),
            name: OnceLock::new(),
        })
    }

    /// The object, or nothing where there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Stored>, Trouble> {
        let deadline = Instant::now() + self.patience;
        let (head, mut body) = match self.ask(Method::GET, key, &Bytes::new(), None, deadline).await? {
            Answer::Success(head, body) => (head, body),
            Answer::Refused(refused) if refused.status() == 404 && refused.code() == ErrorCode::NoSuchKey => {
                return Ok(None);
            }
            Answer::Refused(refused) => return Err(self.trouble(&refused)),
        };
        let etag = self.etag(&head.headers)?;
        let reading = async {
            let mut content = Vec::new();
            while let Some(chunk) = body.next().await {
                content.extend_from_slice(&chunk.map_err(|failure| Trouble::of(&failure))?);
                // Another program's; its beginning is nothing that a reader would take for its own.
                if content.len() > MOST_BYTES {
                    break;
                }
            }
            Ok(content)
        };
        let content = timeout_at(deadline, reading).await.unwrap_or_else(|_| Err(self.silence()))?;
        Ok(Some(Stored { etag, body: content }))
    }

    /// Writes the object if the condition holds. Of all who try at the same time, one succeeds, as far as the store enforces it.
    pub async fn put(&self, key: &str, body: Bytes, condition: Condition<'_>) -> Result<Put, Trouble> {
        let mut tries = 1;
        loop {
            let deadline = Instant::now() + self.patience;
            let refused = match self.ask(Method::PUT, key, &body, Some(condition), deadline).await? {
                Answer::Success(head, _) => return Ok(Put::Written(self.etag(&head.headers)?)),
                Answer::Refused(refused) => refused,
            };
            match (refused.status(), refused.code()) {
                // AWS: another write of the same object is under way, and this one may come after it.
                (409, _) if tries < MOST_TRIES => tries += 1,
                // Not found: it had to be unchanged, and is gone.
                (409 | 412, _) | (404, ErrorCode::NoSuchKey) => return Ok(Put::Refused),
                _ => return Err(self.trouble(&refused)),
            }
        }
    }

    /// Removes the object, whatever it is by now: no store holds a condition for that.
    pub async fn delete(&self, key: &str) -> Result<(), Trouble> {
        let deadline = Instant::now() + self.patience;
        match self.ask(Method::DELETE, key, &Bytes::new(), None, deadline).await? {
            Answer::Success(..) => Ok(()),
            Answer::Refused(refused) if refused.status() == 404 => Ok(()),
            Answer::Refused(refused) => Err(self.trouble(&refused)),
        }
    }

    /// The earliest and the latest that it can be by the store's clock, in milliseconds since 1970; `None` before a first answer with a date.
    pub fn now_ms(&self) -> Option<(u64, u64)> {
        self.clock.now_ms()
    }

    /// What the store calls itself, and where the objects are.
    pub fn place(&self) -> String {
        match self.name.get() {
            Some(name) => format!("the bucket {} of {name}", self.bucket),
            None => format!("the bucket {}", self.bucket),
        }
    }

    /// One request until the deadline; with other credentials where the store does not accept these, and once more where a connection broke.
    async fn ask(
        &self,
        method: Method,
        key: &str,
        body: &Bytes,
        condition: Option<Condition<'_>>,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let credentials = self.credentials.get().await.map_err(|failure| Trouble::of(&failure))?;
        let mut answer = self.ask_once(&method, key, body, condition, &credentials, deadline).await;
        if matches!(&answer, Err(trouble) if trouble.again) {
            answer = Box::pin(self.ask_once(&method, key, body, condition, &credentials, deadline)).await;
        }
        if matches!(&answer, Ok(Answer::Refused(refused)) if refused.fault().is_some())
            && let Renewal::Others(others) = self.credentials.renew(&credentials).await
        {
            answer = Box::pin(self.ask_once(&method, key, body, condition, &others, deadline)).await;
        }
        answer
    }

    async fn ask_once(
        &self,
        method: &Method,
        key: &str,
        body: &Bytes,
        condition: Option<Condition<'_>>,
        credentials: &Current,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let request = self.request(method, key, body, condition, credentials).await;
        let request = request.map_err(|failure| Trouble::of(&failure))?;
        let sent = Moment::now();
        let response = self.http.send(request, deadline).await.map_err(|error| self.no_answer(&error))?;
        let (head, body) = response.into_parts();
        let stream = ObjectStream::new(body, self.patience);
        let success = if head.status.is_success() && *method != Method::GET {
            Success::Object(stream)
        } else if head.status == StatusCode::OK {
            let success = answer::success(head.status, &head.headers, stream).await;
            success.map_err(|failure| Trouble::of(&failure))?
        } else {
            let limit = deadline.saturating_duration_since(Instant::now());
            Success::Refused(Refused::read(head.status, &head.headers, stream, limit).await)
        };
        // What stands in the store's place has a clock and a name of its own.
        if !matches!(&success, Success::Refused(refused) if refused.is_no_store()) {
            self.clock.heard(&head.headers, sent);
            self.called(&head.headers);
        }
        Ok(match success {
            Success::Object(stream) => Answer::Success(head, stream),
            Success::Refused(refused) => Answer::Refused(refused),
        })
    }

    async fn request(
        &self,
        method: &Method,
        key: &str,
        body: &Bytes,
        condition: Option<Condition<'_>>,
        credentials: &Current,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let base = self.addresses.bucket(&self.bucket).await?;
        let url = super::address::url_of(&base, key, None);
        let mut request = Request::builder().method(method).uri(url).body(()).map_err(|error| unavailable(&error))?;
        self.signer.sign(&mut request, &[], Content::Whole(body), &credentials.identity, SystemTime::now())?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, USER_AGENT);
        match condition {
            None => {}
            Some(Condition::Absent) => {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            Some(Condition::Unchanged(etag)) => {
                let etag = HeaderValue::try_from(etag).map_err(|error| unavailable(&error))?;
                headers.insert(IF_MATCH, etag);
            }
        }
        if *method == Method::PUT {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request.map(|()| Full::new(body.clone())))
    }

    /// Remembers the store's own name for itself.
    fn called(&self, headers: &HeaderMap) {
        if self.name.get().is_some() {
            return;
        }
        let name = headers.get(SERVER).and_then(|value| value.to_str().ok());
        if let Some(name) = name.filter(|name| name.len() <= 64) {
            // Another task may have been quicker, with the same.
            let _named = self.name.set(name.to_owned());
        }
    }

    fn etag(&self, headers: &HeaderMap) -> Result<String, Trouble> {
        let etag = headers.get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        etag.ok_or_else(|| {
            let what =
                format!("{} gives no ETag, so that nothing there can be changed under a condition", self.place());
            Trouble::lasting(what, "name a store that does, or correct s3.endpoint_url")
        })
    }

    fn no_answer(&self, error: &http_client::SendError) -> Trouble {
        if error.is_timeout() {
            return self.silence();
        }
        let connecting = error.connecting();
        let remedy = connecting.and_then(http_client::ConnectError::remedy);
        let what = match connecting {
            Some(error) => format!("the store cannot be reached: {error}"),
            None => format!("{error}, before the store answered"),
        };
        Trouble {
            what: format!("{}: {what}", self.place()),
            passes: remedy.is_none(),
            remedy: remedy.unwrap_or("is the store up, and is s3.endpoint_url right?").to_owned(),
            again: connecting.is_none(),
        }
    }

    fn silence(&self) -> Trouble {
        let what = format!("{}: no answer within {:?}", self.place(), self.patience);
        Trouble { passes: true, ..Trouble::lasting(what, "is the store up, and is s3.endpoint_url right?") }
    }

    /// What a refusal means that no condition explains.
    fn trouble(&self, refused: &Refused) -> Trouble {
        let (place, said) = (self.place(), refused.said());
        if refused.is_no_store() {
            return Trouble { passes: true, ..Trouble::lasting(refused.no_store(), "correct s3.endpoint_url") };
        }
        if let Some(elsewhere) = refused.elsewhere(&self.region) {
            return Trouble::lasting(format!("{place}: {elsewhere}"), "name a bucket of s3.region in ledger.bucket");
        }
        if let Some(fault) = refused.fault() {
            let remedy = if refused.blames_the_clock(fault) {
                "set this machine's clock, and keep it set (NTP)"
            } else {
                "put good credentials where the AWS chain finds them"
            };
            return Trouble::lasting(format!("{place}: {}", refused.complaint(fault)), remedy);
        }
        match (refused.status(), refused.code()) {
            (404, ErrorCode::NoSuchBucket) => {
                Trouble::lasting(format!("{place}: there is no such bucket"), "create it, or correct ledger.bucket")
            }
            (403, _) => Trouble::lasting(
                format!("{place}: the store refuses the request ({said})"),
                "allow s3:GetObject and s3:PutObject on the objects below ledger.prefix, and s3:ListBucket on the bucket (docs/rights.md)",
            ),
            (501, _) => Trouble::lasting(
                format!("{place}: the store does not know conditional writes ({said})"),
                "name a store that does: docs/ledger-backends.md lists those that were tried",
            ),
            _ => Trouble {
                passes: true,
                ..Trouble::lasting(format!("{place}: the store answered {said}"), "see the store's own log")
            },
        }
    }
}

impl Trouble {
    fn lasting(what: String, remedy: &str) -> Self {
        Self { what, remedy: remedy.to_owned(), passes: false, again: false }
    }

    /// Others change the same object each time it is looked at.
    pub fn crowded(place: &str) -> Self {
        let what = format!("{place}: an object changes each time it is looked at");
        Self { passes: true, ..Self::lasting(what, "if that lasts, lower worker.concurrency or the number of workers") }
    }

    /// Writes whose condition holds, as far as is known, are refused.
    pub fn refusing(place: &str) -> Self {
        let what = format!("{place}: writes under a condition that holds are refused");
        Self { passes: true, ..Self::lasting(what, "see the store's own log") }
    }

    /// The text of a failure has its remedy in it.
    fn of(failure: &Failure) -> Self {
        Self { what: failure.message().to_owned(), remedy: "see docs/store.md".to_owned(), passes: true, again: false }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Objects {
    /// With these credentials, whatever the chain has.
    pub(crate) fn with_keys(self, access_key: &str, secret_key: &str) -> Self {
        Self { credentials: Credentials::fixed(access_key, secret_key), ..self }
    }

    /// Makes the bucket, if it is not there.
    pub(crate) async fn make_bucket(&self) {
        let deadline = Instant::now() + self.patience;
        match self.ask(Method::PUT, "", &Bytes::new(), None, deadline).await.expect("an answer") {
            Answer::Success(..) => {}
            Answer::Refused(refused) => assert_eq!(refused.status(), 409, "{}", refused.said()),
        }
    }
}
