//! The rules of booleans, enums and the messages of `google.protobuf`.

use prost_reflect::{EnumDescriptor, Value};
use prost_types::EnumValueDescriptorProto;

use crate::{
    reach::Known,
    refusals::Refusals,
    rules::{Test, given::Given},
};

/// Is the number of paths that a field mask may have.
const PATHS_MAX: usize = 64;
/// Is the length of such a path, in bytes.
const PATH_BYTES_MAX: usize = 128;

/// Returns what a boolean is asked.
pub(crate) fn boolean(mut rules: Given, name: &str, refusals: &mut Refusals) -> Vec<Test> {
    let only = rules.take("const").and_then(|only| only.as_bool());
    rules.refuse(name, "write const", refusals);
    let test = |only| Test::new(format!("value != {only}"), format!("must be {only}"));
    only.map(test).into_iter().collect()
}

/// Returns what an enum's value is asked.
pub(crate) fn enumeration(
    values: &EnumDescriptor,
    mut rules: Given,
    name: &str,
    refusals: &mut Refusals,
) -> Vec<Test> {
    let numbers =
        |rules: Vec<Value>| -> Vec<i32> { rules.iter().filter_map(Value::as_i32).collect() };
    let spell = |number: &i32| match values.get_value(*number) {
        Some(value) => value.name().to_owned(),
        None => number.to_string(),
    };
    let defined = if rules.flag("defined_only", name, refusals) {
        values.enum_descriptor_proto().value.iter().map(EnumValueDescriptorProto::number).collect()
    } else {
        Vec::new()
    };
    let only = numbers(rules.take("const").into_iter().collect());
    let (allowed, refused) = (numbers(rules.list("in")), numbers(rules.list("not_in")));
    rules.refuse(name, "write defined_only, const, in or not_in", refusals);

    let choices = [
        (defined, "!", "must be one of"),
        (only, "!", "must be"),
        (allowed, "!", "must be one of"),
        (refused, "", "must be none of"),
    ];
    let tests = choices.into_iter().filter(|(numbers, ..)| !numbers.is_empty());
    let tests = tests.map(|(numbers, negation, says)| {
        let literals: Vec<_> = numbers.iter().map(i32::to_string).collect();
        let names: Vec<_> = numbers.iter().map(spell).collect();
        let fails = format!("{negation}matches!(value, {})", literals.join(" | "));
        Test::new(fails, format!("{says} {}", names.join(", ")))
    });
    tests.collect()
}

/// Returns what a message is asked as a whole; most are asked by their fields.
pub(crate) fn message(
    known: Option<Known>,
    mut rules: Given,
    name: &str,
    refusals: &mut Refusals,
) -> Vec<Test> {
    let tests = match known {
        Some(Known::FieldMask) => mask(),
        Some(Known::Timestamp) => {
            let says = "must be a time of the years 1 to 9999";
            vec![Test::new("!check::timestamp(value)", says)]
        }
        Some(Known::Duration) => duration(&mut rules, name, refusals),
        Some(Known::Empty) | None => Vec::new(),
    };
    let remedy = match known {
        Some(Known::Duration) => "write lt, lte, gt or gte",
        _ => "write no rule of its own, and check it in the function's model.rs",
    };
    rules.refuse(name, remedy, refusals);
    tests
}

fn mask() -> Vec<Test> {
    let any = |condition: &str| format!("value.paths.iter().any(|path| path.{condition})");
    vec![
        Test::new(
            format!("value.paths.len() > {PATHS_MAX}"),
            format!("must have at most {PATHS_MAX} paths"),
        ),
        Test::new(
            any(&format!("len() > {PATH_BYTES_MAX}")),
            format!("must have paths of at most {PATH_BYTES_MAX} bytes"),
        ),
        Test::new(any("contains('\\0')"), "must not contain NUL"),
    ]
}

fn duration(rules: &mut Given, name: &str, refusals: &mut Refusals) -> Vec<Test> {
    let mut end = |rule| {
        let value = rules.take(rule)?;
        let message = value.as_message()?;
        let seconds = message.get_field_by_name("seconds")?.as_i64()?;
        let nanos = message.get_field_by_name("nanos")?.as_i32()?;
        Some((seconds, nanos))
    };
    let mut tests = vec![Test::new("!check::duration(value)", "must be a duration")];
    let ends = [
        (end("gt"), ">", "more than"),
        (end("gte"), ">=", "at least"),
        (end("lt"), "<", "less than"),
        (end("lte"), "<=", "at most"),
    ];
    let low = ends[0].0.or(ends[1].0);
    let high = ends[2].0.or(ends[3].0);
    let open = ends[0].0.or(ends[2].0).is_some();
    if let Some((low, high)) = low.zip(high)
        && (low > high || low == high && open)
    {
        let fault = "must be longer than it may be";
        refusals.add(name, fault, "write a range that holds a duration");
    }
    for (end, operator, says) in ends {
        let Some((seconds, nanos)) = end else { continue };
        let fails = format!("!((value.seconds, value.nanos) {operator} ({seconds}, {nanos}))");
        tests.push(Test::new(fails, format!("must be {says} {}", spell(seconds, nanos))));
    }
    tests
}

fn spell(seconds: i64, nanos: i32) -> String {
    match nanos {
        0 => format!("{seconds} s"),
        nanos => format!("{seconds} s and {nanos} ns"),
    }
}
