//! Asks a release whether it serves: plain HTTP first, then gRPC, as a client would.

use std::time::Duration;

use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use tokio::time::{Instant, sleep};

/// How long one answer may take: a machine may have to be woken.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);

/// A `HealthCheckRequest` about everything: five bytes of frame, nothing in it.
const QUESTION: [u8; 5] = [0; 5];
/// A `HealthCheckResponse` that says SERVING.
const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];

/// Waits until `url` serves, for `probe_max` at the most; tells why it does not.
pub(crate) async fn probe(url: &str, probe_max: Duration) -> Result<Duration, String> {
    let start = Instant::now();
    loop {
        match once(url).await {
            Ok(()) => return Ok(start.elapsed()),
            Err(told) if start.elapsed() + PAUSE >= probe_max => {
                return Err(format!("{told}, for {} s", probe_max.as_secs()));
            }
            Err(_not_yet) => sleep(PAUSE).await,
        }
    }
}

async fn once(url: &str) -> Result<(), String> {
    healthz(url).await.map_err(|told| format!("GET {url}/healthz: {told}"))?;
    health(url).await.map_err(|told| format!("grpc.health.v1 at {url}: {told}"))
}

async fn healthz(url: &str) -> Result<(), String> {
    let client =
        Client::builder().timeout(ANSWER_MAX).build().map_err(|error| fault::chain(&error))?;
    let answer =
        client.get(format!("{url}/healthz")).send().await.map_err(|error| fault::chain(&error))?;
    match answer.status() {
        StatusCode::OK => Ok(()),
        status => Err(format!("status {status}")),
    }
}

/// Over HTTP/2 alone, which is what says that `h2_backend` holds.
async fn health(url: &str) -> Result<(), String> {
    let client = Client::builder().timeout(ANSWER_MAX).http2_prior_knowledge().build();
    let client = client.map_err(|error| fault::chain(&error))?;
    let answer = client
        .post(format!("{url}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .body(QUESTION.to_vec())
        .send()
        .await
        .map_err(|error| fault::chain(&error))?;
    let code = answer.headers().get("grpc-status").cloned();
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| fault::chain(&error))?;
    match code {
        // An error has its status in the headers, since nothing follows them.
        Some(code) if code != "0" => Err(format!("grpc-status {}", code.to_str().unwrap_or("?"))),
        _ if status != StatusCode::OK => Err(format!("status {status}")),
        _ if body.as_ref() == SERVING => Ok(()),
        _ => Err("it is not SERVING".to_owned()),
    }
}
