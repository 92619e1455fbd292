//! The stack of an inbound call, written once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use identity::Verifier;
use proto::Method;
use revocation::Revocations;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    Origins, Proxy, Request, Response,
    authenticate::{Authenticate, Gate},
    catch_panic::CatchPanic,
    compression::Compression,
    cors::Cors,
    deadline::{Deadline, Drain},
    frames::Bounds,
    headers::Headers,
    idempotency::Idempotency,
    in_flight::InFlight,
    leftover::Leftover,
    protocols::Protocols,
    rescue::Rescue,
    streams::Streams,
    trace::Trace,
};

/// What the layers need to know.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Counts every call.
    pub metrics: Metrics,
    /// `CORS_ORIGINS`: the web pages that may call.
    pub origins: Origins,
    /// `TRUSTED_PROXY`: whose word is taken on where a call comes from.
    pub proxy: Proxy,
    /// Tells who calls.
    pub verifier: Verifier,
    /// Tells whose tokens count no longer.
    pub revocations: Revocations,
    /// `MAX_DEADLINE_MS`: the ceiling over every rule.
    pub deadline_max: Duration,
    /// Cancelled when the process is about to stop.
    pub drain: CancellationToken,
    /// Cancelled when it waits for no call any longer.
    pub cut: CancellationToken,
    /// How long lies between the two for a call that came last.
    pub drain_max: Duration,
    /// `BODY_IDLE_MS_MAX`: how long a client may not go on with its request.
    pub body_idle_max: Duration,
    /// `MAX_IN_FLIGHT`: unary calls at a time.
    pub calls_max: usize,
    /// `MAX_WATCHES`: streams at a time.
    pub watches_max: usize,
    /// `MAX_MESSAGE_BYTES`: the largest message that is read.
    pub message_bytes_max: usize,
    /// What is said of an RPC, by its path.
    pub contract: Contract,
}

/// Finds an RPC by its path.
pub type Contract = fn(&str) -> Option<&'static Method>;

/// A service behind every layer.
pub type Stack = BoxCloneSyncService<Request, Response, Infallible>;

/// Puts the layers around `service`, outermost first.
pub fn inbound<S>(parts: &Inbound, service: S) -> Stack
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let gate =
        Arc::new(Gate { verifier: parts.verifier.clone(), revocations: parts.revocations.clone() });
    let bounds =
        Bounds { message_bytes_max: parts.message_bytes_max, idle_max: parts.body_idle_max };
    let drain = Drain { begun: parts.drain.clone(), cut: parts.cut.clone(), max: parts.drain_max };
    let stack = ServiceBuilder::new()
        // Reads the rest of what is answered early, so that the answer is read as well.
        .layer_fn(|inner| Leftover::new(inner, parts.message_bytes_max))
        // Sees every outcome, that of a client which left as well.
        .layer_fn(|inner| Trace::new(inner, parts.metrics.clone(), parts.proxy, parts.contract))
        // A page that may not call is refused before anything is done for it, and one that may
        // can read every answer, whichever layer gives it.
        .layer_fn(|inner| Cors::new(inner, parts.origins.clone()))
        // Everything below speaks gRPC, and every answer from below gets its client's shape.
        .layer_fn(|inner| Protocols::new(inner, parts.message_bytes_max))
        // Above `rescue`, which counts messages as they are.
        .layer_fn(Compression::new)
        // What a layer below raises becomes a status here, complete with its details and its id.
        .layer_fn(Rescue::new)
        // Nothing below looks through headers without end.
        .layer_fn(Headers::new)
        // A panic is one failed call. Above the deadline, so that no layer below can escape it.
        .layer_fn(CatchPanic::new)
        // Everything below is part of what the client waits for: keys, the pool, the handler.
        .layer_fn(|inner| Deadline::new(inner, parts.deadline_max, drain.clone()))
        // From here on the caller is known.
        .layer_fn(|inner| Authenticate::new(inner, Arc::clone(&gate)))
        // Below `authenticate`: who may not call takes no place.
        .layer_fn(|inner| Streams::new(inner, parts.watches_max))
        // Beside it, for the same reason: what is read and bounded here is for those who may call.
        .layer_fn(|inner| InFlight::new(inner, parts.calls_max, bounds))
        // Below `authenticate`: a stranger is not told what a call lacks.
        .layer_fn(Idempotency::new)
        .service(service);
    BoxCloneSyncService::new(stack)
}
