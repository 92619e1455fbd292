//! The internal port: metrics, and health in more detail than strangers are told.

use std::{convert::Infallible, fmt::Write, sync::Arc, time::Duration};

use database::Pool;
use futures_util::future::join_all;
use http::{Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use identity::Verifier;
use revocation::Revocations;
use serde_json::{Value, json};
use telemetry::metrics::Metrics;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;

use crate::health::{Liveness, text};

/// How long a component may take to say how it is.
const CHECK_MAX: Duration = Duration::from_secs(1);

/// How long a scraper may take for its request's head, and how many may be connected.
const HEAD_MAX: Duration = Duration::from_secs(5);
const CONNECTIONS_MAX: usize = 64;

/// What operators may ask.
#[derive(Clone)]
pub(crate) struct Internal {
    pub(crate) metrics: Metrics,
    pub(crate) liveness: Liveness,
    pub(crate) verifier: Verifier,
    pub(crate) revocations: Revocations,
    /// Each function and its database.
    pub(crate) pools: Arc<[(&'static str, Pool)]>,
}

impl Internal {
    /// Answers until `end`.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        tasks: TaskTracker,
        end: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = end.run_until_cancelled(async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            });
            let Some(Some((place, accepted))) = accepted.await else {
                return;
            };
            let Ok((stream, _peer)) = accepted else {
                sleep(CHECK_MAX).await;
                continue;
            };
            let (this, end) = (self.clone(), end.clone());
            tasks.spawn(async move {
                let service = service_fn(move |request| this.clone().answer(request));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                // A scraper that breaks off asks again.
                let _outcome = end.run_until_cancelled(connection).await;
                drop(place);
            });
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if request.method() != Method::GET {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n"));
        }
        Ok(match request.uri().path() {
            "/metrics" => self.metrics(),
            "/health/live" => text(StatusCode::OK, "text/plain", "ok\n"),
            "/health/ready" => self.ready().await,
            "/health/detailed" => self.detailed().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "text/plain",
                "/metrics /health/live /health/ready /health/detailed\n",
            ),
        })
    }

    fn metrics(&self) -> Response<Body> {
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        text(StatusCode::OK, openmetrics, self.metrics.render())
    }

    /// Good once every function has its database and its migrations.
    async fn ready(&self) -> Response<Body> {
        if self.liveness.is_draining() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n");
        }
        let mut told = String::new();
        let mut status = StatusCode::OK;
        for (function, state) in self.readiness().await {
            if state != Readiness::Ready {
                status = StatusCode::SERVICE_UNAVAILABLE;
            }
            writeln!(told, "{function}: {}", state.name()).expect("a string takes any text");
        }
        text(status, "text/plain", told)
    }

    /// How each function is. All are asked at once: one that is silent takes its time alone.
    async fn readiness(&self) -> Vec<(&'static str, Readiness)> {
        let checked = self.pools.iter().map(|(function, pool)| async move {
            (*function, Readiness::of(function, pool).await)
        });
        join_all(checked).await
    }

    async fn detailed(&self) -> Response<Body> {
        let mut functions = serde_json::Map::new();
        let checked = self.pools.iter().map(|(function, pool)| async move {
            let start = Instant::now();
            (function, pool, Readiness::of(function, pool).await, start.elapsed())
        });
        for (function, pool, readiness, took) in join_all(checked).await {
            let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let state = pool.state();
            functions.insert(
                (*function).to_owned(),
                json!({
                    "database": {
                        "state": readiness.name(),
                        "latency_ms": latency_ms,
                        "last_error": pool.error(),
                        "connections_max": state.connections_max,
                        "in_use": state.in_use,
                        "idle": state.idle,
                    },
                }),
            );
        }
        let body: Value = json!({
            "draining": self.liveness.is_draining(),
            "keys": format!("{:?}", self.verifier.keys_state()),
            "keys_error": self.verifier.keys_error().map(|error| error.class()),
            "service_keys": self.verifier.service_keys_state().map(|state| format!("{state:?}")),
            "service_keys_error": self.verifier.service_keys_error().map(|error| error.class()),
            "revocations": {
                "persons_known": self.revocations.persons(),
                "reads": self.revocations.reads_total(),
                "read_failures": self.revocations.read_failures_total(),
                "last_error": self.revocations.error().map(|error| error.to_string()),
            },
            "functions": functions,
        });
        text(StatusCode::OK, "application/json", format!("{body:#}\n"))
    }
}

/// Whether a function could serve a call that needs its database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Readiness {
    Ready,
    DatabaseUnavailable,
    MigrationsMissing,
    DatabaseShared,
}

impl Readiness {
    async fn of(function: &str, pool: &Pool) -> Self {
        match timeout(CHECK_MAX, pool.has_schema_of(function)).await {
            Ok(Ok(true)) => Self::Ready,
            Ok(Ok(false)) => Self::MigrationsMissing,
            // A pool that is busy is busy with a database.
            Ok(Err(error)) if error.is_busy() => Self::Ready,
            Ok(Err(error)) if error.is_missing_schema() => Self::MigrationsMissing,
            Ok(Err(error)) if error.is_shared() => Self::DatabaseShared,
            Ok(Err(_)) | Err(_) => Self::DatabaseUnavailable,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::DatabaseUnavailable => "database unavailable",
            Self::MigrationsMissing => "migrations missing",
            Self::DatabaseShared => "DATABASE_URL leads to a pooler in transaction mode",
        }
    }
}
