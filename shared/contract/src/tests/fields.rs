use super::{RULE, compile, contract, refuses, request};

const F: &str = "mayfly.bad.v1.GetRequest.f: ";

/// Asserts that a field `f` of a type is refused with these annotations.
#[track_caller]
fn field(of: &str, rules: &str, parts: &[&str]) {
    refuses(&declared(of, rules), &[&[F], parts].concat());
}

/// Asserts that it is fine with these.
#[track_caller]
fn fine(of: &str, rules: &str) {
    let text = declared(of, rules);
    let compiled = compile(&text);
    assert!(compiled.is_ok(), "{text}\n{compiled:?}");
}

fn declared(of: &str, rules: &str) -> String {
    match rules {
        "" => request(&format!("{of} f = 1;")),
        rules => request(&format!("{of} f = 1 [(buf.validate.field) = {{ {rules} }}];")),
    }
}

#[test]
fn a_string_has_a_bound() {
    for bound in [
        "max_len: 1",
        "len: 1",
        "max_bytes: 1",
        "len_bytes: 1",
        "const: \"a\"",
        "in: [\"a\"]",
        "uuid: true",
        "tuuid: true",
        "email: true",
        "hostname: true",
        "ip: true",
        "ipv4: true",
        "ipv6: true",
    ] {
        fine("string", &format!("string: {{ {bound} }}"));
    }
    let remedy = "write (buf.validate.field).string.max_len";
    for none in
        ["", "required: true", "string: {}", "string: {min_len: 1}", "string: {prefix: \"a\"}"]
    {
        field("string", none, &["is a string without a bound", remedy]);
    }
    field("optional string", "", &["is a string without a bound", remedy]);
}

#[test]
fn bytes_have_a_bound() {
    fine("bytes", "bytes: {max_len: 1}");
    fine("bytes", "bytes: {len: 1}");
    for none in ["", "bytes: {min_len: 1}"] {
        let remedy = "write (buf.validate.field).bytes.max_len";
        field("bytes", none, &["are bytes without a bound", remedy]);
    }
}

#[test]
fn a_list_has_a_bound_and_so_have_its_items() {
    fine("repeated int32", "repeated: {max_items: 1}");
    fine("repeated string", "repeated: {max_items: 1 items: {string: {max_len: 1}}}");
    fine("repeated Color", "repeated: {max_items: 1 items: {enum: {defined_only: true}}}");

    let remedy = "write (buf.validate.field).repeated.max_items";
    field("repeated int32", "", &["has no bound on its items", remedy]);
    field("repeated int32", "repeated: {min_items: 1}", &["has no bound on its items", remedy]);

    let text = declared("repeated string", "repeated: {max_items: 1}");
    let name = "mayfly.bad.v1.GetRequest.f (items): ";
    refuses(&text, &[name, "is a string without a bound"]);
    let of_another = "repeated: {max_items: 1 items: {int32: {gt: 1}}}";
    refuses(&declared("repeated string", of_another), &[name, "has a rule for `int32`"]);
}

#[test]
fn a_map_has_a_bound_and_so_have_its_keys_and_values() {
    let (keys, values) = ("keys: {string: {max_len: 1}}", "values: {string: {max_len: 1}}");
    let map = |rules: &str| declared("map<string, string>", rules);
    fine("map<string, string>", &format!("map: {{max_pairs: 1 {keys} {values}}}"));
    fine("map<int32, bool>", "map: {max_pairs: 1}");

    field("map<string, string>", "", &["has no bound on its pairs", "max_pairs: 16"]);
    field("map<int32, bool>", "map: {min_pairs: 1}", &["has no bound on its pairs"]);
    let keyless = map(&format!("map: {{max_pairs: 1 {values}}}"));
    refuses(&keyless, &["mayfly.bad.v1.GetRequest.f (keys): ", "is a string without a bound"]);
    let valueless = map(&format!("map: {{max_pairs: 1 {keys}}}"));
    refuses(&valueless, &["mayfly.bad.v1.GetRequest.f (values): ", "is a string without a bound"]);
}

#[test]
fn bounds_do_not_contradict() {
    for (of, rules, fault) in [
        ("string", "string: {min_len: 2 max_len: 1}", "min_len 2 above max_len 1"),
        ("string", "string: {min_bytes: 2 max_bytes: 1}", "min_bytes 2 above max_bytes 1"),
        ("string", "string: {min_len: 2 max_bytes: 1}", "needs 2 characters and allows 1"),
        ("string", "string: {min_bytes: 9 max_len: 2}", "needs 3 characters and allows 2"),
        ("string", "string: {len: 2 max_len: 3}", "an exact length and another"),
        ("bytes", "bytes: {min_len: 2 max_len: 1}", "min_len 2 above max_len 1"),
        ("bytes", "bytes: {len: 2 max_len: 3}", "an exact length and another"),
        ("repeated bool", "repeated: {min_items: 2 max_items: 1}", "min_items 2 above max_items 1"),
        ("map<int32, bool>", "map: {min_pairs: 2 max_pairs: 1}", "min_pairs 2 above max_pairs 1"),
        ("int32", "int32: {gte: 2 lte: 1}", "must be above 2 and below 1"),
        ("int32", "int32: {gt: 1 lt: 2}", "must be above 1 and below 2"),
        ("uint64", "uint64: {gt: 1 lte: 1}", "must be above 1 and below 1"),
        ("double", "double: {gt: 1 lte: 1}", "must be above 1 and below 1"),
        ("float", "float: {gte: 1.5 lte: 1}", "must be above 1.5 and below 1"),
        ("google.protobuf.Duration", "duration: {gt: {} lt: {}}", "longer than it may be"),
    ] {
        field(of, rules, &[fault]);
    }
    fine("int32", "int32: {gte: 1 lte: 1}");
    fine("double", "double: {gte: 1 lte: 1}");
}

#[test]
fn nothing_is_interpreted_at_run_time() {
    let cel = "cel: {id: \"a\" message: \"a\" expression: \"true\"}";
    for (rules, fault) in [
        ("string: {max_len: 1 pattern: \"a\"}", "says pattern"),
        (&format!("string: {{max_len: 1}} {cel}"), "says cel"),
        ("string: {max_len: 1} cel_expression: \"true\"", "says cel_expression"),
    ] {
        field("string", rules, &[fault, "write a length and a format"]);
    }
    let message = request("option (buf.validate.message) = { cel_expression: \"true\" };");
    refuses(&message, &["mayfly.bad.v1.GetRequest: ", "says cel_expression"]);
    let items = format!("repeated: {{max_items: 1 items: {{ {cel} }}}}");
    let name = "mayfly.bad.v1.GetRequest.f (items): ";
    refuses(&declared("repeated bool", &items), &[name, "says cel"]);
}

#[test]
fn a_rule_is_of_its_fields_type() {
    for (of, rules, fault) in [
        ("int32", "int64: {gt: 1}", "has a rule for `int64`, but is `int32`"),
        ("string", "bytes: {max_len: 1}", "has a rule for `bytes`, but is `string`"),
        ("repeated string", "string: {max_len: 1}", "has a rule for `string`, but is `repeated`"),
        ("map<int32, bool>", "repeated: {max_items: 1}", "for `repeated`, but is `map`"),
        ("Color", "int32: {gt: 1}", "has a rule for `int32`, but is `enum`"),
        ("google.protobuf.Timestamp", "duration: {gt: {}}", "for `duration`, but is `timestamp`"),
    ] {
        field(of, rules, &[fault, "write (buf.validate.field)."]);
    }
    field("google.protobuf.Empty", "any: {in: [\"a\"]}", &["says any"]);
}

#[test]
fn no_rule_is_passed_over() {
    for (of, rules, fault) in [
        ("string", "string: {max_len: 1 uri: true}", "says uri"),
        ("string", "string: {max_len: 1 example: \"a\"}", "says example"),
        ("string", "string: {max_len: 1 uuid: false}", "says uuid = false"),
        (
            "string",
            "string: {max_len: 1 well_known_regex: KNOWN_REGEX_HTTP_HEADER_NAME}",
            "says well_known_regex",
        ),
        ("bytes", "bytes: {max_len: 1 prefix: \"a\"}", "says prefix"),
        ("int32", "int32: {example: 1}", "says example"),
        ("bool", "bool: {example: true}", "says example"),
        ("Color", "enum: {example: 1}", "says example"),
        ("Color", "enum: {defined_only: false}", "says defined_only = false"),
        ("double", "double: {lt: inf}", "compared with what is not a number"),
        ("google.protobuf.Timestamp", "timestamp: {lt_now: true}", "says lt_now"),
        ("google.protobuf.Duration", "duration: {const: {seconds: 1}}", "says const"),
        ("google.protobuf.FieldMask", "field_mask: {in: [\"a\"]}", "says in"),
        ("string", "ignore: IGNORE_ALWAYS string: {max_len: 1}", "is always ignored"),
        (
            "string",
            "required: true ignore: IGNORE_IF_ZERO_VALUE string: {max_len: 1}",
            "exclude each other",
        ),
        ("google.protobuf.Timestamp", "ignore: IGNORE_IF_ZERO_VALUE", "is a message with"),
        ("repeated double", "repeated: {max_items: 1 unique: true}", "do not compare"),
        ("repeated bool", "repeated: {max_items: 1 items: {required: true}}", "says required of"),
    ] {
        field(of, rules, &[fault]);
    }
    refuses(
        &request("oneof f { option (buf.validate.oneof).required = false; bool a = 1; }"),
        &["mayfly.bad.v1.GetRequest.f: ", "says required = false"],
    );
    refuses(
        &request("oneof f { bool a = 1 [(buf.validate.field).required = true]; }"),
        &["mayfly.bad.v1.GetRequest.a: ", "is one of several", "(buf.validate.oneof).required"],
    );
    refuses(
        &request(
            "string a = 1 [(mayfly.policy.v1.output_only) = true, (buf.validate.field).string.max_len = 1];",
        ),
        &["mayfly.bad.v1.GetRequest.a: ", "says string", "write no rule"],
    );
}

#[test]
fn what_stands_in_a_request_is_a_request() {
    let name = "mayfly.bad.v1.GetRequest.Inner.f: ";
    let inner = "message Inner { string f = 1; Inner again = 2; }";
    for holder in [
        "Inner inner = 1;",
        "repeated Inner inners = 1 [(buf.validate.field).repeated.max_items = 1];",
        "map<int32, Inner> inners = 1 [(buf.validate.field).map.max_pairs = 1];",
        "oneof one { Inner inner = 1; }",
    ] {
        let text = request(&format!("{inner} {holder}"));
        refuses(&text, &[name, "is a string without a bound"]);
    }
    let shown = "Inner inner = 1 [(mayfly.policy.v1.output_only) = true];";
    compile(&request(&format!("{inner} {shown}"))).unwrap();
}

#[test]
fn what_only_an_answer_holds_needs_no_bound() {
    let text = contract(&format!(
        "service BadService {{ rpc Get(GetRequest) returns (GetResponse) {{
            option (mayfly.policy.v1.rule) = {{ {RULE} }};
        }} }}
        message GetRequest {{}}
        message GetResponse {{ string a = 1; repeated bytes b = 2; map<string, string> c = 3; }}"
    ));
    compile(&text).unwrap();
}

#[test]
fn other_packages_messages_are_refused() {
    for of in ["google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.StringValue"] {
        refuses(&declared(of, ""), &[of, "no checks and no JSON", "write a message of a mayfly"]);
    }
}
