use super::{RULE, compile, contract, request, rule};

/// Asserts that what is written for a contract has a line with this in it.
#[track_caller]
fn writes(text: &str, part: &str) {
    let written = compile(text).unwrap();
    assert!(written.contains(part), "{written}\nlacks {part}");
}

#[test]
fn a_rule_is_written_as_a_constant() {
    let text = rule(RULE);
    writes(&text, "path: \"/mayfly.bad.v1.BadService/Get\"");
    writes(&text, "access: crate::Access::SignedIn");
    writes(&text, "deadline: std::time::Duration::new(2, 0)");
    writes(&text, "mutation: crate::Mutation::NotRetryable");
    writes(&text, "priority: crate::Priority::Default");
    writes(&text, "rate: Some(crate::Rate { per_second: 5, burst: 20 })");
    writes(&text, "index: 3");

    let role = RULE.replace("signed_in: {}", "role: {any_of: [\"admin\", \"staff\"]}");
    writes(&rule(&role), "access: crate::Access::Role { any_of: &[\"admin\", \"staff\"] }");
    let service = RULE.replace("signed_in: {}", "service: {callers: [\"user\"]}");
    writes(&rule(&service), "access: crate::Access::Service { callers: &[\"user\"] }");
    writes(&rule(&RULE.replace("{seconds: 2}", "{nanos: 5}")), "Duration::new(0, 5)");
}

#[test]
fn methods_are_written_by_path() {
    let text = contract(&format!(
        "service OtherService {{
            rpc Zap(R) returns (A) {{ option (mayfly.policy.v1.rule) = {{ {RULE} }}; }}
            rpc Add(R) returns (stream A) {{ option (mayfly.policy.v1.rule) = {{ {RULE} }}; }}
        }}
        service FirstService {{
            rpc Zap(stream R) returns (stream A) {{ option (mayfly.policy.v1.rule) = {{ {RULE} }}; }}
        }}
        message R {{}} message A {{}}"
    ));
    let written = compile(&text).unwrap();
    let paths: Vec<_> = written.lines().filter(|line| line.contains("path: ")).collect();

    assert_eq!(paths.len(), 3);
    assert!(paths.is_sorted(), "{paths:?}");
    writes(&text, "kind: crate::Kind::BidiStream");
    writes(&text, "kind: crate::Kind::ServerStream");
    assert_eq!(written.matches("json: None").count(), 2);
    assert_eq!(written.matches("messages: crate::Json {").count(), 3, "streams are shown, too");
}

#[test]
fn keywords_are_escaped_as_prost_does() {
    let text = request(
        "message Type { string self = 1 [(buf.validate.field).string.max_len = 1]; }
        Type type = 1; oneof match { Type ref = 2; }",
    );
    writes(&text, "&message.r#type");
    writes(&text, "message.self_");
    writes(&text, "if let Some(crate::bad::v1::get_request::Match::Ref(raw)) = &message.r#match");
    writes(&text, "&crate::bad::v1::get_request::Type");
}

#[test]
fn output_only_fields_are_written_to_json_only() {
    let text = request("string seen = 1 [(mayfly.policy.v1.output_only) = true];");
    writes(&text, "name: \"seen\", json: \"seen\"");
    assert!(!compile(&text).unwrap().contains("message.seen"));
}
