//! The table of the RPCs.

use std::fmt::Write;

use prost_reflect::MessageDescriptor;

use crate::{
    emit::place,
    policy::{Access, Method, Mutation, Rule},
    reach::Reach,
};

/// Those of gRPC's own services, which are written by hand, come first.
const FOREIGN: [&str; 3] =
    ["&crate::health::CHECK", "&crate::health::WATCH", "&crate::reflection::INFO"];

/// Returns the RPCs as statics, and the list of them by path.
pub(crate) fn text(methods: &[Method], reach: &Reach) -> String {
    let mut out = String::new();
    let mut list: Vec<_> = FOREIGN.map(str::to_owned).into();
    for method in methods {
        let index = list.len();
        let (path, service, name, kind) =
            (method.path(), &method.service, &method.name, method.kind);
        let messages = json((&method.input, &method.output), reach);
        let (rule, is_unary) = (rule(&method.rule), method.is_unary());
        let json = if is_unary { format!("Some({messages})") } else { "None".to_owned() };
        writeln!(
            out,
            "static METHOD_{index}: crate::Method = crate::Method {{\n    path: {path:?},\n    \
             service: {service:?},\n    name: {name:?},\n    kind: crate::Kind::{kind},\n    \
             rule: {rule},\n    json: {json},\n    messages: {messages},\n    index: {index},\n}};"
        )
        .expect("a string takes whatever is written to it");
        list.push(format!("&METHOD_{index}"));
    }
    let list = list.join(", ");
    format!(
        "{out}\n/// Is every RPC of every contract, and those of gRPC's own services, by path.\n\
         pub static METHODS: &[&crate::Method] = &[{list}];\n"
    )
}

fn rule(rule: &Rule) -> String {
    let access = match &rule.access {
        Access::Public => "Public".to_owned(),
        Access::SignedIn => "SignedIn".to_owned(),
        Access::Role(roles) => format!("Role {{ any_of: &{roles:?} }}"),
        Access::Service(callers) => format!("Service {{ callers: &{callers:?} }}"),
    };
    let mutation = match rule.mutation {
        Mutation::NoSideEffects => "NoSideEffects",
        Mutation::ExactlyOnce => "ExactlyOnce",
        Mutation::Idempotent => "Idempotent",
        Mutation::NotRetryable => "NotRetryable",
    };
    let rate = match rule.rate {
        Some((per_second, burst)) => {
            format!("Some(crate::Rate {{ per_second: {per_second}, burst: {burst} }})")
        }
        None => "None".to_owned(),
    };
    let ((seconds, nanos), priority) = (rule.deadline, rule.priority);
    format!(
        "crate::Rule {{\n        access: crate::Access::{access},\n        \
         deadline: std::time::Duration::new({seconds}, {nanos}),\n        \
         mutation: crate::Mutation::{mutation},\n        \
         priority: crate::Priority::{priority},\n        rate: {rate},\n    }}"
    )
}

/// Returns the translations of an RPC's messages.
pub(crate) fn json(
    (input, output): (&MessageDescriptor, &MessageDescriptor),
    reach: &Reach,
) -> String {
    let table = |name: &str| {
        if reach.messages.contains_key(name) {
            format!("MESSAGE_{}", place(&reach.messages, name))
        } else {
            "EMPTY".to_owned()
        }
    };
    let (input, output) = (table(input.full_name()), table(output.full_name()));
    format!(
        "crate::Json {{\n        request: |text| crate::json::read(&{input}, text),\n        \
         response: |bytes| crate::json::write(&{output}, bytes),\n    }}"
    )
}
