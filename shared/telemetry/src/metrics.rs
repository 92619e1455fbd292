//! Metrics in Prometheus' text form, under the names of the gRPC ecosystem.
//!
//! Every series of an RPC is made when the process starts: a call touches atomics and, for as long as
//! it takes to add its time to a histogram, a lock that only calls of the same RPC share. And an
//! alert on a code that never occurred sees zero instead of nothing.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry},
};
use proto::{METHODS, Method};
use tonic::Code;

/// The metrics of one process (or of one server in a test).
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    methods: Arc<[Arc<MethodMetrics>]>,
}

/// The series of one RPC.
#[derive(Debug)]
pub struct MethodMetrics {
    started: Counter,
    handled: Vec<Counter>,
    handling_seconds: Histogram,
    received: Counter,
    sent: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the fields are the labels' names")]
struct MethodLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the fields are the labels' names")]
struct HandledLabels {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

/// The codes' names as the ecosystem's middleware spells them, in the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A code's name as the ecosystem's middleware spells it.
pub fn code_name(code: Code) -> &'static str {
    CODES[place(code)]
}

fn place(code: Code) -> usize {
    usize::try_from(i32::from(code)).unwrap_or(2)
}

/// Bounds of the latency histogram, in seconds: half a millisecond to ten seconds.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.5, 10.0];

/// Methods that are in no contract are counted together: their paths are the client's to choose.
const UNKNOWN: MethodLabels =
    MethodLabels { grpc_type: "unary", grpc_service: "unknown", grpc_method: "unknown" };

impl Metrics {
    /// The series of every RPC of the services for which `serves` answers true.
    pub fn new(serves: impl Fn(&str) -> bool) -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let methods = METHODS.iter().map(|method| {
            let labels = MethodLabels {
                grpc_type: method.kind.grpc_type(),
                grpc_service: method.service,
                grpc_method: method.name,
            };
            // The RPCs of other functions get counters too, but nobody exports them.
            if serves(method.service) {
                families.of(&labels)
            } else {
                Families::default().of(&labels)
            }
        });
        let methods = methods.chain([families.of(&UNKNOWN)]).map(Arc::new).collect();
        Self { registry: Arc::new(Mutex::new(registry)), methods }
    }

    /// The series of `method`, or of all that are in no contract.
    pub fn of(&self, method: Option<&'static Method>) -> &Arc<MethodMetrics> {
        let unknown = self.methods.len() - 1;
        &self.methods[method.map_or(unknown, |method| method.index)]
    }

    /// Adds a series under `mayfly_<name>`; counters get their `_total` when they are written.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        let mut registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register(format!("mayfly_{name}"), help, metric);
    }

    /// Adds a counter under `mayfly_<name>` that somebody else counts: `read` is asked when it is
    /// written.
    pub fn register_counted(
        &self,
        name: &str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let encode = move |encoder: MetricEncoder<'_>| ConstCounter::new(read()).encode(encoder);
        self.register_asked(name, (help, MetricType::Counter), encode);
    }

    /// Adds a gauge under `mayfly_<name>` that shows how something stands when it is written.
    pub fn register_shown(
        &self,
        name: &str,
        help: &'static str,
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        let encode = move |encoder: MetricEncoder<'_>| ConstGauge::new(read()).encode(encoder);
        self.register_asked(name, (help, MetricType::Gauge), encode);
    }

    fn register_asked(
        &self,
        name: &str,
        (help, kind): (&'static str, MetricType),
        encode: impl Fn(MetricEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
    ) {
        let asked = Asked { name: format!("mayfly_{name}"), help, kind, encode: Box::new(encode) };
        let mut registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register_collector(Box::new(asked));
    }

    /// Everything, in Prometheus' text form.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }
}

/// What somebody else knows, and is asked when it is written.
struct Asked {
    name: String,
    help: &'static str,
    kind: MetricType,
    encode: Box<dyn Fn(MetricEncoder<'_>) -> fmt::Result + Send + Sync>,
}

impl Collector for Asked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.encode)(encoder.encode_descriptor(&self.name, self.help, None, self.kind)?)
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asked").field(&self.name).finish()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("methods", &self.methods.len()).finish_non_exhaustive()
    }
}

impl MethodMetrics {
    /// A call of this RPC has arrived.
    pub fn started(&self) {
        self.started.inc();
    }

    /// A call of this RPC has ended.
    pub fn handled(&self, code: Code, took: Duration) {
        self.handled[place(code)].inc();
        self.handling_seconds.observe(took.as_secs_f64());
    }

    /// Messages of one call, in and out.
    pub fn messages(&self, received: u64, sent: u64) {
        self.received.inc_by(received);
        self.sent.inc_by(sent);
    }
}

/// The latency histograms, which need their bounds to be made.
type Seconds = Family<MethodLabels, Histogram, fn() -> Histogram>;

#[derive(Default)]
struct Families {
    started: Family<MethodLabels, Counter>,
    handled: Family<HandledLabels, Counter>,
    handling_seconds: Option<Seconds>,
    received: Family<MethodLabels, Counter>,
    sent: Family<MethodLabels, Counter>,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let families = Self { handling_seconds: Some(seconds.clone()), ..Self::default() };
        let Self { started, handled, received, sent, .. } = &families;
        registry.register("grpc_server_started", "RPCs started", started.clone());
        registry.register("grpc_server_handled", "RPCs ended, by code", handled.clone());
        registry.register("grpc_server_handling_seconds", "Time an RPC took", seconds);
        registry.register("grpc_server_msg_received", "Messages received", received.clone());
        registry.register("grpc_server_msg_sent", "Messages sent", sent.clone());
        families
    }

    fn of(&self, labels: &MethodLabels) -> MethodMetrics {
        let handled = CODES.iter().map(|grpc_code| {
            let MethodLabels { grpc_type, grpc_service, grpc_method } = *labels;
            let labels = HandledLabels { grpc_type, grpc_service, grpc_method, grpc_code };
            self.handled.get_or_create(&labels).clone()
        });
        let handling_seconds = match &self.handling_seconds {
            Some(family) => family.get_or_create(labels).clone(),
            None => seconds(),
        };
        MethodMetrics {
            started: self.started.get_or_create(labels).clone(),
            handled: handled.collect(),
            handling_seconds,
            received: self.received.get_or_create(labels).clone(),
            sent: self.sent.get_or_create(labels).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_under_the_names_of_the_ecosystem() {
        let metrics = Metrics::new(|service| service == "mayfly.user.v1.UserService");
        let method = proto::method("/mayfly.user.v1.UserService/GetProfile");
        metrics.of(method).started();
        metrics.of(method).handled(Code::NotFound, Duration::from_millis(3));
        let text = metrics.render();
        let labels = "grpc_type=\"unary\",grpc_service=\"mayfly.user.v1.UserService\",\
                      grpc_method=\"GetProfile\"";
        for line in [
            format!("grpc_server_started_total{{{labels}}} 1"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"NotFound\"}} 1"),
            format!("grpc_server_handled_total{{{labels},grpc_code=\"OK\"}} 0"),
            format!("grpc_server_handling_seconds_bucket{{le=\"0.005\",{labels}}} 1"),
        ] {
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }
}
