//! Contracts that do not build, and why.

mod fields;
mod policies;
mod written;

use std::path::Path;

use crate::{sources::Sources, tables};

const RULE: &str = "signed_in: {} deadline: {seconds: 2} not_retryable: {} \
                    priority: PRIORITY_DEFAULT rate: {per_second: 5 burst: 20}";

/// Compiles a contract, up to its tables.
fn compile(text: &str) -> anyhow::Result<String> {
    let imports = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto"));
    tables(&Sources::texts(&[("mayfly/bad/v1/bad.proto", text)], &[imports])?)
}

/// Writes a contract around its definitions.
fn contract(definitions: &str) -> String {
    format!(
        "syntax = \"proto3\";
        package mayfly.bad.v1;
        import \"buf/validate/validate.proto\";
        import \"google/protobuf/any.proto\";
        import \"google/protobuf/duration.proto\";
        import \"google/protobuf/empty.proto\";
        import \"google/protobuf/field_mask.proto\";
        import \"google/protobuf/struct.proto\";
        import \"google/protobuf/timestamp.proto\";
        import \"google/protobuf/wrappers.proto\";
        import \"mayfly/policy/v1/policy.proto\";
        {definitions}"
    )
}

/// Writes a contract of one RPC, with what its braces hold.
fn rpc(options: &str) -> String {
    contract(&format!(
        "service BadService {{ rpc Get(GetRequest) returns (GetResponse) {{ {options} }} }}
        message GetRequest {{}} message GetResponse {{}}"
    ))
}

/// Writes a contract of one RPC with a rule.
fn rule(rule: &str) -> String {
    rpc(&format!("option (mayfly.policy.v1.rule) = {{ {rule} }};"))
}

/// Writes a contract whose request has a body.
fn request(body: &str) -> String {
    contract(&format!(
        "service BadService {{ rpc Get(GetRequest) returns (GetResponse) {{
            option (mayfly.policy.v1.rule) = {{ {RULE} }};
        }} }}
        message GetRequest {{ {body} }} message GetResponse {{}}
        enum Color {{ COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }}"
    ))
}

/// Asserts that a contract is refused with a message that has these parts, in one line.
#[track_caller]
fn refuses(text: &str, parts: &[&str]) {
    let error = compile(text).expect_err(text).to_string();
    let is_it = |line: &str| parts.iter().all(|part| line.contains(part));

    assert!(error.lines().any(is_it), "{error}\nlacks {parts:?}");
    let says = error.lines().skip(1).all(|line| line.contains("; write "));
    assert!(says, "{error}\ndoes not say what to write");
}
