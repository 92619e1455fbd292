use std::collections::BTreeMap;

use prost_types::{Duration, FieldMask, Timestamp};

use super::{answer, method, request};
use crate::probe::v1::{
    Color, ScalarsRequest, ScalarsResponse,
    scalars_request::{Choice, Inner},
};

#[track_caller]
fn read(json: &str) -> Result<ScalarsRequest, String> {
    request("Scalars", json)
}

#[track_caller]
fn write(message: &ScalarsRequest) -> Result<String, String> {
    let echo = Some(message.clone());
    let text = answer("Scalars", &ScalarsResponse { free: String::new(), echo })?;
    let inner = text.strip_prefix("{\"echo\":").and_then(|text| text.strip_suffix('}'));
    Ok(inner.unwrap().to_owned())
}

/// Asserts that a message has a text, and that the text is read as the message.
#[track_caller]
fn both(message: &ScalarsRequest, json: &str) {
    assert_eq!(write(message).unwrap(), json);
    assert_eq!(&read(json).unwrap(), message);
}

fn full() -> ScalarsRequest {
    let inner = |name: &str| Inner { r#type: name.to_owned() };
    ScalarsRequest {
        bool: true,
        int32: i32::MIN,
        sint32: i32::MIN,
        sfixed32: i32::MIN,
        uint32: u32::MAX,
        fixed32: u32::MAX,
        int64: i64::MIN,
        sint64: i64::MIN,
        sfixed64: i64::MIN,
        uint64: u64::MAX,
        fixed64: u64::MAX,
        float: 1.5,
        double: -2.5,
        string: "a\"\\\n\u{1F600}".to_owned(),
        bytes: vec![0xfb, 0xff].into(),
        color: Color::Blue.into(),
        inner: Some(inner("t")),
        time: Some(Timestamp { seconds: -1, nanos: 1_000_000 }),
        span: Some(Duration { seconds: -1, nanos: -500_000_000 }),
        mask: Some(FieldMask { paths: vec!["a_b.c".to_owned(), "d".to_owned()] }),
        empty: Some(()),
        maybe: Some(0),
        numbers: vec![0, -1],
        words: vec![String::new(), "b".to_owned()],
        inners: vec![inner(""), inner("x")],
        counts: BTreeMap::from([(String::new(), 0), ("k".to_owned(), 7)]),
        by_id: BTreeMap::from([(-1, inner("")), (0, inner("z"))]),
        by_flag: BTreeMap::from([(false, 0), (true, 1)]),
        choice: Some(Choice::LeftWord(String::new())),
        doubles: vec![0.0, 1e300],
        nested: Some(Box::default()),
        renamed: "r".to_owned(),
    }
}

#[test]
fn every_kind_goes_both_ways() {
    let json = "{\"bool\":true,\"int32\":-2147483648,\"sint32\":-2147483648,\
        \"sfixed32\":-2147483648,\"uint32\":4294967295,\"fixed32\":4294967295,\
        \"int64\":\"-9223372036854775808\",\"sint64\":\"-9223372036854775808\",\
        \"sfixed64\":\"-9223372036854775808\",\"uint64\":\"18446744073709551615\",\
        \"fixed64\":\"18446744073709551615\",\"float\":1.5,\"double\":-2.5,\
        \"string\":\"a\\\"\\\\\\n\u{1F600}\",\"bytes\":\"+/8=\",\"color\":\"COLOR_BLUE\",\
        \"inner\":{\"type\":\"t\"},\"time\":\"1969-12-31T23:59:59.001Z\",\"span\":\"-1.500s\",\
        \"mask\":\"aB.c,d\",\"empty\":{},\"maybe\":0,\"numbers\":[0,-1],\"words\":[\"\",\"b\"],\
        \"inners\":[{},{\"type\":\"x\"}],\"counts\":{\"\":\"0\",\"k\":\"7\"},\
        \"byId\":{\"-1\":{},\"0\":{\"type\":\"z\"}},\
        \"byFlag\":{\"false\":\"COLOR_UNSPECIFIED\",\"true\":\"COLOR_RED\"},\
        \"leftWord\":\"\",\"doubles\":[0.0,1e+300],\"nested\":{},\"other\":\"r\"}";
    let message = full();
    let written = write(&message).unwrap();
    assert_eq!(written, json);
    assert_eq!(read(json).unwrap(), message);
    both(&ScalarsRequest::default(), "{}");
}

#[test]
fn floats_have_three_special_names() {
    let float = |float, double| ScalarsRequest { float, double, ..ScalarsRequest::default() };
    both(
        &float(f32::INFINITY, f64::NEG_INFINITY),
        "{\"float\":\"Infinity\",\"double\":\"-Infinity\"}",
    );

    let nan = read("{\"float\":\"NaN\",\"double\":\"NaN\"}").unwrap();
    assert!(nan.float.is_nan() && nan.double.is_nan());
    assert_eq!(write(&nan).unwrap(), "{\"float\":\"NaN\",\"double\":\"NaN\"}");

    assert_eq!(read("{\"float\":\"1.5\",\"double\":1}").unwrap(), float(1.5, 1.0));
    for bad in ["1e39", "-1e39", "NaN", "\"inf\"", "\"infinity\"", "\"\"", "true", "\"1e400\""] {
        assert!(read(&format!("{{\"float\":{bad}}}")).is_err(), "{bad}");
    }
}

#[test]
fn wide_integers_are_read_exactly() {
    let int64 = |json: &str| read(&format!("{{\"int64\":{json}}}")).map(|request| request.int64);

    assert_eq!(int64("9223372036854775807").unwrap(), i64::MAX);
    assert_eq!(int64("\"9223372036854775807\"").unwrap(), i64::MAX);
    assert_eq!(int64("1e18").unwrap(), 1_000_000_000_000_000_000);
    for bad in ["9223372036854775808", "\"9223372036854775808\"", "1e19", "0.1", "\"1.5\"", "\"-\""]
    {
        assert!(int64(bad).is_err(), "{bad}");
    }
    assert!(read("{\"uint64\":-1}").is_err());
    assert!(read("{\"uint64\":18446744073709551616}").is_err());
    assert_eq!(read("{\"uint64\":18446744073709551615}").unwrap().uint64, u64::MAX);
}

#[test]
fn bytes_are_base64_of_either_alphabet() {
    for good in ["+/8=", "+/8", "-_8=", "-_8"] {
        let bytes = read(&format!("{{\"bytes\":\"{good}\"}}")).unwrap().bytes;
        assert_eq!(bytes.as_ref(), [0xfb, 0xff], "{good}");
    }
    for bad in ["\"+_8=\"", "\"*\"", "\"a\"", "1", "[1]"] {
        assert!(read(&format!("{{\"bytes\":{bad}}}")).is_err(), "{bad}");
    }
}

#[test]
fn durations_are_seconds() {
    let span =
        |text: &str| read(&format!("{{\"span\":\"{text}\"}}")).map(|request| request.span.unwrap());
    let of = |seconds, nanos| Duration { seconds, nanos };

    assert_eq!(span("0s").unwrap(), of(0, 0));
    assert_eq!(span("1.5s").unwrap(), of(1, 500_000_000));
    assert_eq!(span("-0.000000001s").unwrap(), of(0, -1));
    assert_eq!(span("315576000000s").unwrap(), of(315_576_000_000, 0));
    for bad in [
        "",
        "s",
        "1",
        "1.s",
        ".5s",
        "--1s",
        "+1s",
        "1.0000000000s",
        "315576000001s",
        "--9223372036854775808s",
        "99999999999999999999s",
        "1 s",
        "1e3s",
    ] {
        assert!(span(bad).is_err(), "{bad}");
    }
}

#[test]
fn of_a_oneof_only_one_is_given() {
    let two = "{\"leftWord\":\"a\",\"rightNumber\":1}";
    assert!(read(two).unwrap_err().starts_with("two fields are given that exclude each other"));

    let one = read("{\"leftWord\":null,\"rightNumber\":0}").unwrap();
    assert_eq!(one.choice, Some(Choice::RightNumber(0)));
}

#[test]
fn null_is_no_item_and_no_value() {
    for bad in ["{\"words\":[null]}", "{\"counts\":{\"a\":null}}", "{\"inners\":[null]}"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    for bad in ["{\"byFlag\":{\"yes\":0}}", "{\"byId\":{\"x\":{}}}", "{\"words\":\"a\"}"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_message_in_itself_is_read_until_it_is_too_deep() {
    let nested =
        |levels: usize| format!("{}{{}}{}", "{\"nested\":".repeat(levels), "}".repeat(levels));
    assert!(read(&nested(90)).is_ok());
    assert!(read(&nested(200)).is_err());
    assert!(read(&nested(100_000)).is_err());
}

#[test]
fn the_bytes_of_an_answer_may_be_any_encoding_of_it() {
    let translate = method("Scalars").json.as_ref().unwrap().response;
    let text = |bytes: &[u8]| String::from_utf8(translate(bytes).unwrap()).unwrap();

    // A field that is sent twice, an unknown one, and a message in two parts.
    assert_eq!(text(b"\x0a\x01a\x7a\x01x\x0a\x01b"), "{\"free\":\"b\"}");
    assert_eq!(text(b"\x12\x02\x08\x01\x12\x02\x10\x05"), "{\"echo\":{\"bool\":true,\"int32\":5}}");
    // Numbers one by one and in a run.
    assert_eq!(text(b"\x12\x07\xb8\x01\x01\xba\x01\x01\x02"), "{\"echo\":{\"numbers\":[1,2]}}");
    // Of a oneof's members the last counts.
    assert_eq!(text(b"\x12\x07\xea\x01\x01a\xf0\x01\x05"), "{\"echo\":{\"rightNumber\":5}}");
    for bad in [&b"\x0a"[..], b"\x0a\x05a", b"\x0a\x01\xff", b"\x08\x01", b"\x0b", b"\x00", b"\xff"]
    {
        assert!(translate(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn nothing_is_an_empty_object() {
    assert_eq!(answer("Nothing", &()).unwrap(), "{}");
    request::<()>("Nothing", "{\"unknown\":1}").unwrap();
    assert!(method("Rules").json.is_none());
}
