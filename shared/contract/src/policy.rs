//! Reads the rule of each RPC.

mod rule;

use prost_reflect::{MessageDescriptor, MethodDescriptor, Syntax};

pub(crate) use self::rule::{Access, Mutation, Rule};
use crate::{names, refusals::Refusals, sources::Sources};

/// An RPC that may be written.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) rule: Rule,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
}

/// Returns the RPCs of the contracts, by path.
pub(crate) fn methods(sources: &Sources, refusals: &mut Refusals) -> Vec<Method> {
    let mut methods = Vec::new();
    for file in sources.files() {
        if file.syntax() != Syntax::Proto3 {
            refusals.add(file.name(), "has another syntax", "write syntax = \"proto3\"");
        }
        if names::modules(file.package_name()).is_none() {
            let fault = format!("has the package `{}`", file.package_name());
            refusals.add(file.name(), fault, "write package mayfly.<function>.v1");
        }
        for service in file.services() {
            methods.extend(service.methods().filter_map(|method| read(&method, refusals)));
        }
    }
    methods.sort_by_key(Method::path);
    methods
}

// === impl Method ===

impl Method {
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.service, self.name)
    }

    pub(crate) fn is_unary(&self) -> bool {
        self.kind == "Unary"
    }
}

fn read(method: &MethodDescriptor, refusals: &mut Refusals) -> Option<Method> {
    let kind = match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "Unary",
        (false, true) => "ServerStream",
        (true, false) => "ClientStream",
        (true, true) => "BidiStream",
    };
    Some(Method {
        service: method.parent_service().full_name().to_owned(),
        name: method.name().to_owned(),
        kind,
        rule: Rule::of(method, refusals)?,
        input: method.input(),
        output: method.output(),
    })
}
