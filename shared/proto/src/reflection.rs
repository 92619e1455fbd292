//! The rule of `grpc.reflection.v1`, whose contract is not ours to annotate.

use std::time::Duration;

use crate::{
    Access, Kind, Method, Mutation, Priority, Rate, Rule,
    foreign_tables::generated::SERVER_REFLECTION_SERVER_REFLECTION_INFO,
};

/// Answers each question about what is served.
pub(crate) static INFO: Method = Method {
    path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    service: "grpc.reflection.v1.ServerReflection",
    name: "ServerReflectionInfo",
    kind: Kind::BidiStream,
    rule: Rule {
        access: Access::Public,
        deadline: Duration::from_mins(10),
        mutation: Mutation::NoSideEffects,
        priority: Priority::Sheddable,
        rate: Some(Rate { per_second: 5, burst: 20 }),
    },
    json: None,
    messages: SERVER_REFLECTION_SERVER_REFLECTION_INFO,
    index: 2,
};
