//! Whether the process serves, in the two forms that a proxy and a gRPC client ask.
//!
//! Both stay good while the database is down: Fly would answer 502 where we answer 14. They turn
//! bad when the process is about to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic_health::{ServingStatus, server::HealthReporter};

/// Whether the process serves.
#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    is_draining: Arc<AtomicBool>,
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
}

impl Liveness {
    /// Where a proxy asks.
    pub(crate) const PATH: &str = "/healthz";

    /// Good for the process as a whole and for each of `services`.
    pub(crate) async fn new(reporter: HealthReporter, services: Arc<[&'static str]>) -> Self {
        let liveness = Self { is_draining: Arc::default(), reporter, services };
        liveness.report(ServingStatus::Serving).await;
        liveness
    }

    /// Turns bad, for good.
    pub(crate) async fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.report(ServingStatus::NotServing).await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Answers a proxy.
    pub(crate) fn answer(&self, method: &Method) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n");
        }
        if self.is_draining() {
            text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n")
        } else {
            text(StatusCode::OK, "text/plain", "ok\n")
        }
    }

    async fn report(&self, status: ServingStatus) {
        for service in ["", "grpc.health.v1.Health"].iter().chain(&*self.services) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// A whole answer.
pub(crate) fn text(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<String>,
) -> Response<Body> {
    let body = Full::from(text.into()).map_err(|never| match never {});
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
