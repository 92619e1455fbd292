//! The table of the RPCs.

use std::fmt::Write;

use crate::{
    emit::place,
    policy::{Access, Method, Mutation, Rule},
    reach::Reach,
};

/// The health service's two, which are written by hand, come first.
const HEALTH: [&str; 2] = ["&crate::health::CHECK", "&crate::health::WATCH"];

/// Returns the RPCs as statics, and the list of them by path.
pub(crate) fn text(methods: &[Method], reach: &Reach) -> String {
    let mut out = String::new();
    let mut list: Vec<_> = HEALTH.map(str::to_owned).into();
    for method in methods {
        let index = list.len();
        let (path, service, name, kind) =
            (method.path(), &method.service, &method.name, method.kind);
        let (rule, json) = (rule(&method.rule), json(method, reach));
        writeln!(
            out,
            "static METHOD_{index}: crate::Method = crate::Method {{\n    path: {path:?},\n    \
             service: {service:?},\n    name: {name:?},\n    kind: crate::Kind::{kind},\n    \
             rule: {rule},\n    json: {json},\n    index: {index},\n}};"
        )
        .expect("a string takes whatever is written to it");
        list.push(format!("&METHOD_{index}"));
    }
    let list = list.join(", ");
    format!(
        "{out}\n/// Is every RPC of every contract, and the two of `grpc.health.v1`, by path.\n\
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

fn json(method: &Method, reach: &Reach) -> String {
    if !method.is_unary() {
        return "None".to_owned();
    }
    let table = |name: &str| {
        if reach.messages.contains_key(name) {
            format!("MESSAGE_{}", place(&reach.messages, name))
        } else {
            "EMPTY".to_owned()
        }
    };
    let (input, output) = (table(method.input.full_name()), table(method.output.full_name()));
    format!(
        "Some(crate::Json {{\n        request: |text| crate::json::read(&{input}, text),\n        \
         response: |bytes| crate::json::write(&{output}, bytes),\n    }})"
    )
}
