//! Writes Rust.

mod methods;
mod servers;
mod checks;
mod json;
mod foreign;
mod descriptors;
mod redaction;

use std::collections::BTreeMap;

use prost_reflect::FileDescriptor;

pub(crate) use self::{
    descriptors::text as descriptors, foreign::text as foreign, redaction::secretive,
};

use crate::{names, policy::Method, reach::Reach, rules::Checks, sources::Sources};

const ALLOW: &str = "#[allow(clippy::all, clippy::pedantic, clippy::restriction, missing_docs, \
                     rustdoc::all, unreachable_pub, unused, unused_lifetimes, \
                     unused_qualifications, single_use_lifetimes, reason = \"generated\")]";

/// Keeps what only some contracts need from being dead code, with or without such a contract.
const SPARE: &str = "fn spare(at: Path<'_>) {
    use crate::json::{Kind::*, Shape};
    let _ = [Bool, Int32, Sint32, Sfixed32, Uint32, Fixed32, Int64, Sint64, Sfixed64, Uint64];
    let _ = [Fixed64, Float, Double, String, Bytes, Timestamp, Duration, FieldMask];
    let _ = [Enum(&crate::json::Enum { values: &[] }), Message(&EMPTY)];
    let _ = [Shape::Implicit, Shape::Optional, Shape::Repeated, Shape::Map(Bool)];
    let _ = (at.field(\"\"), at.item(0), at.text(\"\"), at.key(&0), check::over_chars(\"\", 0));
    let _ = (check::under_chars(\"\", 0), check::unique([0]), check::uuid(\"\"), check::tuuid(\"\"));
    let _ = (check::email(\"\"), check::hostname(\"\"));
    let _ = (check::ip(\"\"), check::ipv4(\"\"), check::ipv6(\"\"));
}
";

/// Returns the modules of the packages, which include what prost has written.
pub(crate) fn packages(sources: &Sources) -> String {
    #[derive(Default)]
    struct Module<'a> {
        inner: BTreeMap<&'a str, Module<'a>>,
        package: Option<&'a str>,
    }

    fn text(module: &Module<'_>) -> String {
        let include = module.package.map(|package| format!("include!(\"{package}.rs\");\n"));
        let inner = module.inner.iter().map(|(name, inner)| {
            let name = names::ident(name);
            format!("{ALLOW}\npub mod {name} {{\n{}}}\n", text(inner))
        });
        include.into_iter().chain(inner).collect()
    }

    let files: Vec<_> = sources.files().collect();
    let mut root = Module::default();
    for package in files.iter().map(FileDescriptor::package_name) {
        let modules = names::place(package);
        let leaf = modules.fold(&mut root, |at, name| at.inner.entry(name).or_default());
        leaf.package = Some(package);
    }
    text(&root) + &redaction::text(sources)
}

/// Returns the tables and the checks.
pub(crate) fn tables(methods: &[Method], reach: &Reach, checks: &Checks) -> String {
    let servers = servers::text(methods.iter().map(|method| method.service.as_str()));
    let (methods, json) = (methods::text(methods, reach), json::text(reach));
    let checks = checks::text(reach, checks);
    format!(
        "{ALLOW}\npub(crate) mod generated {{\n{methods}\n{servers}\n{json}\n{checks}\n{SPARE}}}\n"
    )
}

/// Returns a message's or enum's place, which names its table.
fn place<T>(all: &BTreeMap<String, T>, name: &str) -> usize {
    all.keys().position(|known| known == name).expect("what a field holds is reached with it")
}
