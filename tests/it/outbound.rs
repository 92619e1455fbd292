//! Calls that leave the process, to dependencies that fail as they are told.

mod stub;
mod http;
mod breaker;
mod function;
mod hops;
mod services;

use std::{net::SocketAddr, time::Duration};

use ::http::HeaderMap;
use call::{Call, RequestId};
use clock::Clock;
use identity::Provider;
use outbound::{Function, Http, Outbound, Settings, Url};
use telemetry::metrics::Metrics;
use tokio::time::Instant;

use stub::{Reply, Seen, Stub};

const MS: Duration = Duration::from_millis(1);

/// What may be waited for on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients of stubs, and what is counted of them.
struct Bench {
    outbound: Outbound,
    metrics: Metrics,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings { attempt_max: PATIENCE, connect_max: PATIENCE })
    }

    fn with(settings: Settings) -> Self {
        let metrics = Metrics::new(|_service| false);
        let clock = Clock::at(1_700_000_000);
        let outbound = Outbound::new(settings, &metrics, clock.clone());
        Self { outbound, metrics, clock }
    }

    /// Has functions be shown these tokens from now on.
    fn shows(&mut self, tokens: Provider) {
        self.outbound = self.outbound.showing(tokens);
    }

    fn http(&self, stub: &Stub) -> Http {
        let base = format!("http://{}/base", stub.address);
        self.outbound.http("stub", Url::parse(&base).unwrap())
    }

    fn function(&self, stub: &Stub) -> Function {
        self.function_at(stub.address)
    }

    fn function_at(&self, address: SocketAddr) -> Function {
        self.outbound.function("stub", format!("http://{address}").parse().unwrap())
    }

    /// A series of the stub's, which must be there.
    fn counted(&self, series: &str) -> u64 {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)).map(str::trim);
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series} in\n{text}"))
    }
}

/// A call with this much time, that came with a person's token.
fn within(time: Duration) -> Call {
    let mut headers = HeaderMap::new();
    let header = |name: &'static str, value: &str| (name, value.parse().unwrap());
    headers.extend(
        [
            header("authorization", "Bearer a.person's.token"),
            header("traceparent", TRACEPARENT),
            header("x-request-id", REQUEST_ID),
        ]
        .map(|(name, value)| (::http::HeaderName::from_static(name), value)),
    );
    let mut call = Call::new(RequestId::of(&headers), None);
    call.onward = call::Onward::of(&headers);
    call.deadline = Some(Instant::now() + time);
    call
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const REQUEST_ID: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
