//! A function's own binary: how soon it answers, and what it weighs.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use proto::grpc::health::v1::{HealthCheckRequest, health_client::HealthClient};
use proto::user::v1::{GetProfileRequest, user_service_client::UserServiceClient};
use serde_json::{Value, json};
use tokio::{process::Command, time::Instant};
use tonic::{Code, Request, transport::Channel};

use crate::{constant, process::memory_mib};

const ROUNDS: usize = 11;
const READY_MAX: Duration = Duration::from_secs(5);

/// Starts the binary several times, and tells the middle of each figure.
pub(crate) async fn measure(path: &str, database_url: &str) -> Value {
    let keys_url = constant::serve_keys().await;
    let address = free_address();
    let (mut ready, mut first, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut child = Command::new(path)
            .env("LISTEN_ADDR", address.to_string())
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("DATABASE_URL", database_url)
            .env("FIREBASE_PROJECT_ID", constant::PROJECT)
            .env("JWKS_URL", &keys_url)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let channel = answers(address, start).await;
        ready.push(start.elapsed().as_secs_f64() * 1e3);
        reads_database(channel).await;
        first.push(start.elapsed().as_secs_f64() * 1e3);
        memory.push(memory_mib(child.id().expect("it runs")));
        child.kill().await.expect("it ends");
    }
    json!({
        "binary_mb": bytes(path) / 1e6,
        "ready_ms": middle(ready),
        "first_database_call_ms": middle(first),
        "memory_mib": middle(memory),
        "note": "ready: exec to the first health answer; first database call: exec to GetProfile's NOT_FOUND",
    })
}

/// An address that nobody has at the moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

/// A channel over which the process has answered.
async fn answers(address: SocketAddr, start: Instant) -> Channel {
    loop {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URL");
        if let Ok(channel) = endpoint.connect().await {
            let request = HealthCheckRequest::default();
            if HealthClient::new(channel.clone()).check(request).await.is_ok() {
                return channel;
            }
        }
        assert!(start.elapsed() < READY_MAX, "the binary does not answer");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

async fn reads_database(channel: Channel) {
    let mut request = Request::new(GetProfileRequest::default());
    let token = format!("Bearer {}", constant::token());
    request.metadata_mut().insert("authorization", token.parse().expect("ASCII"));
    let status = UserServiceClient::new(channel).get_profile(request).await;
    let code = status.map_or_else(|status| status.code(), |_profile| Code::Ok);
    assert_eq!(code, Code::NotFound, "nobody has a profile");
}

#[expect(clippy::cast_precision_loss, reason = "a binary is far from 2^52 bytes")]
fn bytes(path: &str) -> f64 {
    Path::new(path).metadata().map_or(0.0, |metadata| metadata.len() as f64)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2] * 10.0).round() / 10.0
}
