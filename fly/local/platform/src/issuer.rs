//! Serves the issuer on a port of its own.

use std::{io, net::SocketAddr, time::Duration};

use ::issuer::Issuer;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the issuer's last answers may take.
const END_MAX: Duration = Duration::from_millis(500);

/// An issuer that answers.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Served {
    /// Serves `issuer` on `listener`.
    pub fn start(issuer: &Issuer, listener: TcpListener) -> io::Result<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let address = listener.local_addr()?;
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, issuer.router()).with_graceful_shutdown(stopped);
        tasks.spawn(serving.into_future());
        tasks.close();
        Ok(Self { address, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it serves its keys.
    pub fn keys_url(&self) -> String {
        format!("{}{}", self.url(), Issuer::key_path())
    }

    /// Stops answering.
    pub async fn stop(self) {
        self.stop.cancel();
        // A client that holds its connection open is not waited for.
        let _outcome = timeout(END_MAX, self.tasks.wait()).await;
    }
}
