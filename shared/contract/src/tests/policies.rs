use super::{RULE, compile, contract, refuses, rpc, rule};

const GET: &str = "mayfly.bad.v1.BadService.Get: ";

/// Replaces a part of a rule that is fine.
fn but(part: &str, other: &str) -> String {
    assert!(RULE.contains(part));
    rule(&RULE.replace(part, other))
}

#[test]
fn a_whole_rule_builds() {
    compile(&rule(RULE)).unwrap();
}

#[test]
fn an_rpc_has_a_rule() {
    refuses(&rpc(""), &[GET, "has no rule", "write option (mayfly.policy.v1.rule) = {"]);
}

#[test]
fn a_rule_says_who_may_call() {
    refuses(&but("signed_in: {}", ""), &[GET, "who may call", "write one of public, signed_in"]);
    refuses(
        &but("signed_in: {}", "role: {}"),
        &[GET, "admits no role", "write role: {any_of: [\"..\"]}"],
    );
    refuses(
        &but("signed_in: {}", "role: {any_of: [\"\"]}"),
        &[GET, "admits no role", "write role: {any_of: [\"..\"]}"],
    );
    refuses(
        &but("signed_in: {}", "service: {}"),
        &[GET, "admits no service", "write service: {callers: [\"..\"]}"],
    );
}

#[test]
fn a_rule_has_a_deadline_that_is_positive() {
    let given = "deadline: {seconds: 2}";
    let remedy = "write deadline: {seconds: 2} in its rule";

    refuses(&but(given, ""), &[GET, "has no deadline", remedy]);
    for zero in ["{}", "{seconds: -1}", "{seconds: 1 nanos: -1}", "{nanos: 1000000000}"] {
        let text = but(given, &format!("deadline: {zero}"));
        refuses(&text, &[GET, "has a deadline that is not positive", remedy]);
    }
}

#[test]
fn a_rule_has_a_priority() {
    let remedy = "write priority: PRIORITY_DEFAULT in its rule";

    refuses(&but("priority: PRIORITY_DEFAULT", ""), &[GET, "has no priority", remedy]);
    refuses(&but("PRIORITY_DEFAULT", "PRIORITY_UNSPECIFIED"), &[GET, "has no priority", remedy]);
}

#[test]
fn a_rule_has_a_rate_unless_services_call() {
    let given = "rate: {per_second: 5 burst: 20}";
    let remedy = "write rate: {per_second: 5 burst: 20} in its rule";

    refuses(&but(given, ""), &[GET, "has no rate", remedy]);
    for zero in ["{}", "{per_second: 1}", "{burst: 1}"] {
        refuses(&but(given, &format!("rate: {zero}")), &[GET, "has a rate of zero", remedy]);
    }
    let service = RULE.replace("signed_in: {}", "service: {callers: [\"user\"]}");
    compile(&rule(&service.replace(given, ""))).unwrap();
    refuses(&rule(&service.replace(given, "rate: {}")), &[GET, "has a rate of zero", remedy]);
}

#[test]
fn a_rule_says_what_a_repeated_call_does() {
    let read = "option idempotency_level = NO_SIDE_EFFECTS;";
    let with = |rule: &str, level: &str| {
        rpc(&format!("{level} option (mayfly.policy.v1.rule) = {{ {rule} }};"))
    };
    let without = RULE.replace("not_retryable: {}", "");

    compile(&with(&without, read)).unwrap();
    refuses(
        &with(&without, ""),
        &[GET, "what a repeated call does", "write exactly_once, idempotent or not_retryable"],
    );
    for mutation in ["exactly_once", "idempotent", "not_retryable"] {
        let rule = format!("{without} {mutation}: {{}}");
        let fault = format!("says {mutation} and NO_SIDE_EFFECTS");
        refuses(&with(&rule, read), &[GET, &fault, "write one of the two"]);
    }
    refuses(
        &with(RULE, "option idempotency_level = IDEMPOTENT;"),
        &[GET, "IDEMPOTENT beside its rule", "write idempotent: {}"],
    );
}

#[test]
fn exactly_once_needs_a_caller_and_one_answer() {
    let once = RULE.replace("not_retryable", "exactly_once");

    compile(&rule(&once)).unwrap();
    refuses(
        &rule(&once.replace("signed_in", "public")),
        &[GET, "is exactly_once and public", "write signed_in, role or service"],
    );
    for text in streams(&once) {
        refuses(&text, &[GET, "is exactly_once and streams", "write idempotent or not_retryable"]);
    }
}

#[test]
fn a_stream_is_no_functions() {
    let service = RULE.replace("signed_in: {}", "service: {callers: [\"user\"]}");

    compile(&rule(&service)).unwrap();
    for text in streams(&service) {
        refuses(&text, &[GET, "is for services and streams", "write signed_in or role"]);
    }
    for text in streams(RULE) {
        compile(&text).unwrap();
    }
}

/// An RPC with this rule, in each way in which it can stream.
fn streams(rule: &str) -> [String; 3] {
    [("stream ", ""), ("", "stream "), ("stream ", "stream ")].map(|(input, output)| {
        contract(&format!(
            "service BadService {{ rpc Get({input}GetRequest) returns ({output}GetResponse) {{
                option (mayfly.policy.v1.rule) = {{ {rule} }};
            }} }}
            message GetRequest {{}} message GetResponse {{}}"
        ))
    })
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let error = compile(&rule("")).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 6, "{error}");
}

#[test]
fn a_request_is_no_answer() {
    let text = contract(&format!(
        "service BadService {{ rpc Get(GetRequest) returns (GetRequest) {{
            option (mayfly.policy.v1.rule) = {{ {RULE} }};
        }} }}
        message GetRequest {{}}"
    ));
    refuses(&text, &["mayfly.bad.v1.GetRequest: ", "a whole request and a whole answer"]);
}

#[test]
fn only_what_has_checks_and_json_is_sent() {
    let bare = |name: &str| {
        contract(&format!(
            "service BadService {{ rpc Get({name}) returns (google.protobuf.Empty) {{
                option (mayfly.policy.v1.rule) = {{ {RULE} }};
            }} }}"
        ))
    };
    compile(&bare("google.protobuf.Empty")).unwrap();
    refuses(&bare("google.protobuf.Timestamp"), &[GET, "sends a bare google.protobuf.Timestamp"]);
    refuses(
        &bare("google.protobuf.Struct"),
        &["google.protobuf.Struct: ", "no checks and no JSON"],
    );
    refuses(
        &bare("google.protobuf.StringValue"),
        &["google.protobuf.StringValue: ", "no checks and no JSON"],
    );
}

#[test]
fn files_and_names_have_their_form() {
    let message = |name: &str, body: &str| {
        contract(&format!(
            "service BadService {{ rpc Get({name}) returns (google.protobuf.Empty) {{
                option (mayfly.policy.v1.rule) = {{ {RULE} }};
            }} }}
            message {name} {{ {body} }}"
        ))
    };
    let file = "mayfly/bad/v1/bad.proto: ";
    refuses(&rule(RULE).replace("mayfly.bad.v1", "bad.v1"), &[file, "write package mayfly."]);
    refuses(&rule(RULE).replace("proto3", "proto2"), &[file, "write syntax = \"proto3\""]);
    for name in ["HTTPRequest", "AskIO"] {
        refuses(&message(name, ""), &[&format!("mayfly.bad.v1.{name}: "), "UpperCamel"]);
    }
    refuses(
        &message("GetRequest", "bool isOn = 1;"),
        &["mayfly.bad.v1.GetRequest: ", "lower_snake"],
    );

    let fields: Vec<_> = (1..130).map(|number| format!("bool b{number} = {number};")).collect();
    refuses(
        &message("GetRequest", &fields.concat()),
        &["mayfly.bad.v1.GetRequest: ", "128 fields"],
    );
}
