//! The load: so many connections, one call at a time on each.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proto::user::v1::{GetProfileRequest, user_service_client::UserServiceClient};
use tokio::task::JoinSet;
use tonic::{Request, transport::Endpoint};

use crate::process::Server;

/// A load to put on a server.
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) calls: u64,
    pub(crate) token: String,
}

impl Load {
    /// CPU that the server spends on a call, in microseconds.
    pub(crate) async fn cpu_per_call(&self, server: &Server) -> f64 {
        let before = server.cpu_us();
        self.run(server.address, self.calls).await;
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far from 2^52")]
        let calls = self.calls as f64;
        (server.cpu_us() - before) / calls
    }

    /// The first calls fill caches, and are not measured.
    pub(crate) async fn warm(&self, address: SocketAddr) {
        self.run(address, self.calls / 10).await;
    }

    /// Makes `calls` calls, over all connections together.
    pub(crate) async fn run(&self, address: SocketAddr, calls: u64) {
        let left = Arc::new(AtomicU64::new(calls));
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let (left, token) = (Arc::clone(&left), format!("Bearer {}", self.token));
            let token: tonic::metadata::AsciiMetadataValue = token.parse().expect("ASCII");
            tasks.spawn(async move {
                let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
                let channel = endpoint.connect().await.expect("the server accepts");
                let mut client = UserServiceClient::new(channel);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                    let mut request = Request::new(GetProfileRequest::default());
                    request.metadata_mut().insert("authorization", token.clone());
                    client.get_profile(request).await.expect("an answer");
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no call fails");
        }
    }
}

fn one_less(left: u64) -> Option<u64> {
    left.checked_sub(1)
}
