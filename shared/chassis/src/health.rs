//! Whether the process serves, in the two forms that a proxy and a gRPC client ask.
//!
//! Both stay good while the database is down: Fly would answer 502 where we answer 14. They turn
//! bad when the process is about to stop.

use std::sync::Arc;

use fault::Reason;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_server::Health,
};
use tokio::sync::watch;
use tonic::{Request, Status, async_trait, body::Body};

/// Whether the process serves.
#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    status: watch::Sender<ServingStatus>,
    services: Arc<[&'static str]>,
}

impl Liveness {
    /// Where a proxy asks.
    pub(crate) const PATH: &str = "/healthz";

    /// The gRPC service that tells it.
    pub(crate) const SERVICE: &str = "grpc.health.v1.Health";

    /// A service's name, with room to spare.
    pub(crate) const QUESTION_BYTES_MAX: usize = 4096;

    /// Good for the process as a whole and for each of `services`.
    pub(crate) fn new(services: Arc<[&'static str]>) -> Self {
        Self { status: watch::Sender::new(ServingStatus::Serving), services }
    }

    /// Turns bad, for good.
    pub(crate) fn drain(&self) {
        self.status.send_replace(ServingStatus::NotServing);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.status.borrow() != ServingStatus::Serving
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

    /// The empty name stands for the process as a whole.
    fn is_known(&self, service: &str) -> bool {
        matches!(service, "" | Self::SERVICE) || self.services.contains(&service)
    }
}

// === impl Health ===

#[async_trait]
impl Health for Liveness {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        if !self.is_known(&request.get_ref().service) {
            return Err(Reason::NotFound.into());
        }
        Ok(tonic::Response::new(told(*self.status.borrow())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        if !self.is_known(&request.get_ref().service) {
            // No service is added while the process runs.
            let unknown = async { Ok(told(ServingStatus::ServiceUnknown)) };
            let unknown = stream::once(unknown).chain(stream::pending());
            return Ok(tonic::Response::new(unknown.boxed()));
        }
        let mut statuses = self.status.subscribe();
        // The first answer is what holds now.
        statuses.mark_changed();
        let statuses = stream::unfold(statuses, |mut statuses| async {
            statuses.changed().await.ok()?;
            let status = *statuses.borrow_and_update();
            Some((Ok(told(status)), statuses))
        });
        Ok(tonic::Response::new(statuses.boxed()))
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
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
