use super::{RULE, compile, contract, refuses, request};

/// Asserts that fields of some types are each refused with their annotations.
///
/// They stand in one contract, because all that is wrong with one is said at once.
#[track_caller]
fn refused(fields: &[(&str, &str, &str)], remedy: &str) {
    let all: Vec<_> = fields.iter().map(|(of, rules, _)| (*of, *rules)).collect();
    let text = declared(&all);
    for (index, (_, _, fault)) in fields.iter().enumerate() {
        let name = format!("mayfly.bad.v1.GetRequest.f{index}");
        refuses(&text, &[&name, fault, "; write ", remedy]);
    }
}

/// Asserts that fields of some types are fine with their annotations.
#[track_caller]
fn fine(fields: &[(&str, &str)]) {
    let text = declared(fields);
    let compiled = compile(&text);
    assert!(compiled.is_ok(), "{text}\n{compiled:?}");
}

fn declared(fields: &[(&str, &str)]) -> String {
    let field = |(index, (of, rules)): (usize, &(&str, &str))| {
        let rules = match *rules {
            "" => String::new(),
            rules => format!("[(buf.validate.field) = {{ {rules} }}]"),
        };
        format!("{of} f{index} = {} {rules};", index + 1)
    };
    let fields: Vec<_> = fields.iter().enumerate().map(field).collect();
    request(&fields.concat())
}

#[test]
fn a_string_has_a_bound() {
    let bounds = [
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
    ];
    let bounds = bounds.map(|bound| format!("string: {{ {bound} }}"));
    let bounds: Vec<_> = bounds.iter().map(|bound| ("string", bound.as_str())).collect();
    fine(&bounds);

    let fault = "is a string without a bound";
    refused(
        &[
            ("string", "", fault),
            ("optional string", "", fault),
            ("string", "required: true", fault),
            ("string", "string: {}", fault),
            ("string", "string: {min_len: 1}", fault),
            ("string", "string: {prefix: \"a\"}", fault),
        ],
        "write (buf.validate.field).string.max_len",
    );
}

#[test]
fn bytes_have_a_bound() {
    fine(&[("bytes", "bytes: {max_len: 1}"), ("bytes", "bytes: {len: 1}")]);

    let fault = "are bytes without a bound";
    let remedy = "write (buf.validate.field).bytes.max_len";
    refused(&[("bytes", "", fault), ("bytes", "bytes: {min_len: 1}", fault)], remedy);
}

#[test]
fn a_list_has_a_bound_and_so_have_its_items() {
    let text = "repeated string";
    fine(&[
        ("repeated int32", "repeated: {max_items: 1}"),
        (text, "repeated: {max_items: 1 items: {string: {max_len: 1}}}"),
        ("repeated Color", "repeated: {max_items: 1 items: {enum: {defined_only: true}}}"),
    ]);

    let fault = "has no bound on its items";
    refused(
        &[("repeated int32", "", fault), ("repeated int32", "repeated: {min_items: 1}", fault)],
        "write (buf.validate.field).repeated.max_items",
    );
    let other = "repeated: {max_items: 1 items: {int32: {gt: 1}}}";
    refused(
        &[
            (text, "repeated: {max_items: 1}", " (items): is a string without a bound"),
            (text, other, " (items): has a rule for `int32`, but is `string`"),
        ],
        "write (buf.validate.field).string",
    );
}

#[test]
fn a_map_has_a_bound_and_so_have_its_keys_and_values() {
    let text = "map<string, string>";
    let (keys, values) = ("keys: {string: {max_len: 1}}", "values: {string: {max_len: 1}}");
    let both = format!("map: {{max_pairs: 1 {keys} {values}}}");
    fine(&[(text, &both), ("map<int32, bool>", "map: {max_pairs: 1}")]);

    let fault = "has no bound on its pairs";
    refused(
        &[(text, "", fault), ("map<int32, bool>", "map: {min_pairs: 1}", fault)],
        "write (buf.validate.field).map = {max_pairs: 16",
    );
    let keyless = format!("map: {{max_pairs: 1 {values}}}");
    let valueless = format!("map: {{max_pairs: 1 {keys}}}");
    refused(
        &[
            (text, &keyless, " (keys): is a string without a bound"),
            (text, &valueless, " (values): is a string without a bound"),
        ],
        "write (buf.validate.field).string.max_len",
    );
}

#[test]
fn bounds_do_not_contradict() {
    let contradictions = [
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
    ];
    refused(&contradictions, "");
    fine(&[("int32", "int32: {gte: 1 lte: 1}"), ("double", "double: {gte: 1 lte: 1}")]);
}

#[test]
fn nothing_is_interpreted_at_run_time() {
    let cel = "cel: {id: \"a\" message: \"a\" expression: \"true\"}";
    let (bound, items) = (format!("string: {{max_len: 1}} {cel}"), format!("items: {{ {cel} }}"));
    let listed = format!("repeated: {{max_items: 1 {items}}}");
    refused(
        &[
            ("string", "string: {max_len: 1 pattern: \"a\"}", "says pattern"),
            ("string", &bound, "says cel"),
            ("string", "string: {max_len: 1} cel_expression: \"true\"", "says cel_expression"),
            ("repeated bool", &listed, " (items): says cel"),
        ],
        "write a length and a format",
    );
    let message = request("option (buf.validate.message) = { cel_expression: \"true\" };");
    refuses(&message, &["mayfly.bad.v1.GetRequest: ", "says cel_expression"]);
}

#[test]
fn a_rule_is_of_its_fields_type() {
    let others = [
        ("int32", "int64: {gt: 1}", "has a rule for `int64`, but is `int32`"),
        ("string", "bytes: {max_len: 1}", "has a rule for `bytes`, but is `string`"),
        ("repeated string", "string: {max_len: 1}", "has a rule for `string`, but is `repeated`"),
        ("map<int32, bool>", "repeated: {max_items: 1}", "for `repeated`, but is `map`"),
        ("Color", "int32: {gt: 1}", "has a rule for `int32`, but is `enum`"),
        ("google.protobuf.Timestamp", "duration: {gt: {}}", "for `duration`, but is `timestamp`"),
    ];
    refused(&others, "write (buf.validate.field).");
    let empty = ("google.protobuf.Empty", "any: {in: [\"a\"]}", "says any");
    refused(&[empty], "write rules on the message's own fields");
}

#[test]
fn no_rule_is_passed_over() {
    let strange = [
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
    ];
    refused(&strange, "");
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
        refuses(
            &declared(&[(of, "")]),
            &[of, "no checks and no JSON", "write a message of a mayfly"],
        );
    }
}
