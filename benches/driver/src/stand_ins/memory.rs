//! The least an object store can be: images in memory, given for a GET of their path, and the records of a ledger, written under conditions. It
//! looks at no signature.
//!
//! A real store on the same machine takes several times the worker's CPU, so that a worker that waits less cannot show it.

use super::http;
use anyhow::{Result, ensure};
use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BUFFER: usize = 8 * 1024;
const NO_SUCH_KEY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code>\
    <Message>The specified key does not exist.</Message><RequestId>0000000000000000</RequestId></Error>";
const REFUSED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>PreconditionFailed</Code>\
    <Message>A condition does not hold.</Message><RequestId>0000000000000000</RequestId></Error>";

/// Lives as long as the process, on a thread of its own.
pub(crate) struct Objects {
    address: SocketAddr,
    shelf: Shelf,
}

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Shelved>>);

#[derive(Default)]
struct Shelved {
    objects: HashMap<String, Arc<Object>>,
    /// How many were put, which makes each tag another one.
    puts: u64,
}

struct Object {
    tag: String,
    head: String,
    body: Arc<[u8]>,
}

impl Objects {
    pub(crate) async fn start() -> Result<Self> {
        let shelf = Shelf::default();
        let its_shelf = shelf.clone();
        let address = http::listen(move |stream| serve(stream, its_shelf.clone())).await?;
        Ok(Self { address, shelf })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Holds `image` under this path: `/bucket/key`.
    pub(crate) fn put(&self, path: String, image: Arc<[u8]>) {
        self.shelf.locked().put(path, image);
    }
}

impl Shelf {
    fn locked(&self) -> MutexGuard<'_, Shelved> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelved {
    fn put(&mut self, path: String, body: Arc<[u8]>) -> String {
        self.puts += 1;
        let tag = format!("\"{:032x}\"", self.puts);
        let head = head_of(&tag, body.len());
        self.objects.insert(path, Arc::new(Object { tag: tag.clone(), head, body }));
        tag
    }

    /// The tag of what was written, if the condition of the request holds.
    fn put_if(&mut self, head: &[u8], path: &str, body: &[u8]) -> Option<String> {
        let there = self.objects.get(path);
        let holds = match (http::header(head, "if-none-match"), http::header(head, "if-match")) {
            (Some(_), _) => there.is_none(),
            (None, Some(tag)) => there.is_some_and(|there| there.tag == tag),
            (None, None) => true,
        };
        holds.then(|| self.put(path.to_owned(), body.into()))
    }
}

async fn serve(mut stream: TcpStream, shelf: Shelf) -> Result<()> {
    let mut buffer = [0; BUFFER];
    while let Some((end, mut filled)) = http::read_head(&mut stream, &mut buffer).await? {
        if buffer.starts_with(b"PUT ") {
            let whole = end + http::content_length(&buffer[..end])?;
            ensure!(whole <= BUFFER, "a record is longer than {BUFFER} bytes");
            while filled < whole {
                let read = stream.read(&mut buffer[filled..whole]).await?;
                ensure!(read > 0, "a record broke off");
                filled += read;
            }
        }
        let (head, rest) = buffer[..filled].split_at(end);
        let (method, path) = http::request_line(head)?;
        if method == "PUT" {
            let written = shelf.locked().put_if(head, path, rest);
            let (head, document) = match written {
                Some(tag) => (head_of(&tag, 0), ""),
                None => (refused("412 Precondition Failed", REFUSED), REFUSED),
            };
            write(&mut stream, head.as_bytes(), document.as_bytes()).await?;
            continue;
        }
        ensure!(rest.is_empty(), "a request has a body, or another one behind it");
        let found = if method == "DELETE" { None } else { shelf.locked().objects.get(path).cloned() };
        match found {
            Some(object) => write(&mut stream, object.head.as_bytes(), &object.body).await?,
            None => {
                write(&mut stream, refused("404 Not Found", NO_SUCH_KEY).as_bytes(), NO_SUCH_KEY.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// Writes both from where they are: images that are on their way to hundreds of connections are held once.
async fn write(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> Result<()> {
    let mut slices = [IoSlice::new(head), IoSlice::new(body)];
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = stream.write_vectored(left).await?;
        ensure!(written > 0, "the other side takes no more");
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}

/// The headers that S3 sends for an object.
fn head_of(tag: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\n\
         x-amz-id-2: Xk0WnLZ9mA5sO2bQ7cD1eF3gH4iJ6kL8mN0oP2qR4sT6uV8wX0yZ1aB3cD5eF7gH\r\n\
         x-amz-request-id: 4MJ7WB2GDKZ3Q9RT\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         ETag: {tag}\r\n\
         Accept-Ranges: bytes\r\n\
         Content-Type: image/jpeg\r\n\
         Content-Length: {length}\r\n\
         Server: AmazonS3\r\n\r\n"
    )
}

fn refused(status: &str, document: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n\
         x-amz-request-id: 4MJ7WB2GDKZ3Q9RT\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Content-Type: application/xml\r\n\
         Content-Length: {}\r\n\
         Server: AmazonS3\r\n\r\n",
        document.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answers(paths: &[&str], image: &[u8]) -> Vec<String> {
        let objects = Objects::start().await.unwrap();
        objects.put("/b/1.jpg".to_owned(), image.into());
        let mut stream = TcpStream::connect(objects.address).await.unwrap();
        let mut answers = Vec::new();
        for path in paths {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
            let mut buffer = vec![0; 64 * 1024];
            let (head, mut filled) = http::read_head(&mut stream, &mut buffer).await.unwrap().unwrap();
            let length = http::content_length(&buffer[..head]).unwrap();
            while filled < head + length {
                filled += stream.read(&mut buffer[filled..]).await.unwrap();
            }
            answers.push(String::from_utf8(buffer[..filled].to_vec()).unwrap());
        }
        answers
    }

    #[tokio::test]
    async fn what_is_there_is_given_again_and_again_and_what_is_not_is_a_404_of_s3() {
        let image = "x".repeat(40_000);
        let answers = answers(&["/b/1.jpg?a=b", "/b/2.jpg", "/b/1.jpg"], image.as_bytes()).await;
        assert!(answers[0].starts_with("HTTP/1.1 200 OK\r\n"), "{}", answers[0]);
        assert!(answers[0].contains("\r\nContent-Length: 40000\r\n") && answers[0].contains("\r\nETag: \""));
        assert!(answers[0].ends_with(&format!("\r\n\r\n{image}")));
        assert!(answers[1].starts_with("HTTP/1.1 404 ") && answers[1].contains("<Code>NoSuchKey</Code>"));
        assert_eq!(answers[2], answers[0]);
    }
}
