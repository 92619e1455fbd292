//! The rules of `grpc.health.v1`, whose contract is not ours to annotate.

use std::time::Duration;

use crate::{
    Access, Kind, Method, Mutation, Priority, Rate, Rule,
    foreign_tables::generated::{HEALTH_CHECK, HEALTH_WATCH},
};

/// Answers once.
pub(crate) static CHECK: Method = Method {
    path: "/grpc.health.v1.Health/Check",
    service: "grpc.health.v1.Health",
    name: "Check",
    kind: Kind::Unary,
    rule: rule(Duration::from_secs(1), Rate { per_second: 10, burst: 50 }),
    json: None,
    messages: HEALTH_CHECK,
    index: 0,
};

/// Answers at each change.
pub(crate) static WATCH: Method = Method {
    path: "/grpc.health.v1.Health/Watch",
    service: "grpc.health.v1.Health",
    name: "Watch",
    kind: Kind::ServerStream,
    rule: rule(Duration::from_hours(1), Rate { per_second: 1, burst: 10 }),
    json: None,
    messages: HEALTH_WATCH,
    index: 1,
};

const fn rule(deadline: Duration, rate: Rate) -> Rule {
    Rule {
        access: Access::Public,
        deadline,
        mutation: Mutation::NoSideEffects,
        priority: Priority::Critical,
        rate: Some(rate),
    }
}
