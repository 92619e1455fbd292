//! What contracts that are not ours to annotate need: the JSON forms, and bounds without rules.

use std::fmt::Write;

use prost_reflect::MethodDescriptor;

use crate::{
    emit::{ALLOW, checks, json, methods, servers},
    names,
    reach::Reach,
};

/// Returns the tables, and per RPC the translations of its messages, such as `HEALTH_CHECK`.
pub(crate) fn text(methods: &[MethodDescriptor], reach: &Reach) -> String {
    let servers = servers::text(methods.iter().map(|method| method.parent_service().full_name()));
    let mut out = servers + &json::text(reach) + &checks::unchecked(reach);
    for method in methods {
        let (service, name) = (names::snake(method.parent_service().name()), method.name());
        let name = format!("{service}_{}", names::snake(name)).to_ascii_uppercase();
        let json = methods::json((&method.input(), &method.output()), reach);
        writeln!(out, "pub(crate) const {name}: crate::Json = {json};")
            .expect("a string takes whatever is written to it");
    }
    format!("{ALLOW}\npub(crate) mod generated {{\n{out}}}\n")
}
