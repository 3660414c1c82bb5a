//! Small HTTP calls of the tests themselves: admin port, simulator, management API.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// None of these answers takes long, and a test must not hang on one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client that stays on loopback, without proxy or redirects, and makes a connection for each call: a server that closes an idle one just when a request is
/// written to it would fail a test for nothing.
pub(crate) fn client() -> Client {
    let builder = Client::builder().pool_max_idle_per_host(0).no_proxy().timeout(TIMEOUT);
    builder.redirect(reqwest::redirect::Policy::none()).build().expect("a plain HTTP client can be built")
}

/// Status and body of the answer; the error says why there was none.
pub(crate) async fn get(client: &Client, url: &str) -> Result<(StatusCode, String), String> {
    answer(client.get(url)).await
}

/// As `get`, with a JSON body.
pub(crate) async fn send(
    client: &Client,
    method: Method,
    url: &str,
    body: &Value,
) -> Result<(StatusCode, String), String> {
    let request = client.request(method, url).header("content-type", "application/json");
    answer(request.body(body.to_string())).await
}

/// Sends `request` and reads the whole answer.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Result<(StatusCode, String), String> {
    let response = request.send().await.map_err(chain)?;
    let status = response.status();
    let body = response.text().await.map_err(chain)?;
    Ok((status, body))
}

fn chain(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}
