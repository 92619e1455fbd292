//! A function that stands still: every call keeps a thread of the runtime for good. The suite runs it
//! to see that the watchdog ends it; no function that is shipped can be made to do this.

use std::{
    convert::Infallible,
    future::Ready,
    process::ExitCode,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use proto::Bounded;
use tonic::{body::Body, server::NamedService};
use tower::Service;

/// Longer than anybody waits.
const FOR_GOOD: Duration = Duration::from_hours(1);

#[derive(Clone, Debug)]
struct Standstill;

impl Service<http::Request<Body>> for Standstill {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: http::Request<Body>) -> Self::Future {
        thread::sleep(FOR_GOOD);
        std::future::ready(Ok(http::Response::new(Body::empty())))
    }
}

impl NamedService for Standstill {
    const NAME: &'static str = "mayfly.user.v1.UserService";
}

impl Bounded for Standstill {
    fn bounded(self, _message_bytes_max: usize) -> Self {
        self
    }
}

fn main() -> ExitCode {
    chassis::run("user", |_context, (): ()| Standstill)
}
