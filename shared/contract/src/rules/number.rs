//! The rules of numbers, which need no bound where their domain has none.

use prost_reflect::{Kind, Value};

use crate::{
    refusals::Refusals,
    rules::{Test, given::Given},
};

/// A number that a rule names.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i128),
    Float(f64),
}

/// An end of a range.
#[derive(Clone, Copy, Debug)]
struct End {
    number: Number,
    /// Whether the number itself is allowed.
    inclusive: Inclusive,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inclusive {
    Yes,
    No,
}

/// Returns what a number is asked.
pub(crate) fn tests(
    kind: &Kind,
    mut rules: Given,
    name: &str,
    refusals: &mut Refusals,
) -> Vec<Test> {
    let mut tests = Vec::new();
    let low = range_end(&mut rules, "gt", "gte");
    let high = range_end(&mut rules, "lt", "lte");
    if let (Some(low), Some(high)) = (low, high)
        && is_void(low, high)
    {
        let fault = format!("must be above {} and below {}", low.number.text(), high.number.text());
        refusals.add(name, fault, "write a range that holds a number");
    }
    for (end, inclusive, exclusive) in [
        (low, (">=", "at least"), (">", "more than")),
        (high, ("<=", "at most"), ("<", "less than")),
    ] {
        let Some(End { number, inclusive: yes }) = end else { continue };
        let (operator, says) = if yes == Inclusive::Yes { inclusive } else { exclusive };
        // The negation also refuses a float that is not a number.
        let fails = format!("!(value {operator} {})", number.literal(kind));
        tests.push(Test::new(fails, format!("must be {says} {}", number.text())));
    }
    if rules.flag("finite", name, refusals) {
        tests.push(Test::new("!value.is_finite()", "must be finite"));
    }
    choices(kind, &mut rules, &mut tests);
    rules.refuse(name, "write const, in, not_in, lt, lte, gt, gte or finite", refusals);

    let not_finite = |test: &Test| test.fails.contains("inf") || test.fails.contains("NaN");
    if tests.iter().any(not_finite) {
        refusals.add(name, "is compared with what is not a number", "write finite and a number");
    }
    tests
}

fn range_end(rules: &mut Given, exclusive: &str, inclusive: &str) -> Option<End> {
    let end = |value: Value, inclusive| Some(End { number: Number::of(&value)?, inclusive });
    let exclusive = rules.take(exclusive).and_then(|value| end(value, Inclusive::No));
    exclusive.or_else(|| rules.take(inclusive).and_then(|value| end(value, Inclusive::Yes)))
}

/// Returns whether no number lies between two ends.
fn is_void(low: End, high: End) -> bool {
    let open = |end: End| end.inclusive == Inclusive::No;
    match (low.number, high.number) {
        (Number::Integer(bottom), Number::Integer(top)) => {
            bottom + i128::from(open(low)) > top - i128::from(open(high))
        }
        (Number::Float(bottom), Number::Float(top)) => {
            bottom > top || bottom >= top && (open(low) || open(high))
        }
        _ => true,
    }
}

fn choices(kind: &Kind, rules: &mut Given, tests: &mut Vec<Test>) {
    let numbers =
        |values: Vec<Value>| -> Vec<Number> { values.iter().filter_map(Number::of).collect() };
    let only = numbers(rules.take("const").into_iter().collect());
    let (allowed, refused) = (numbers(rules.list("in")), numbers(rules.list("not_in")));

    for (numbers, negation, says) in
        [(only, "!", "must be"), (allowed, "!", "must be one of"), (refused, "", "must be none of")]
    {
        if numbers.is_empty() {
            continue;
        }
        let literals: Vec<_> = numbers.iter().map(|number| number.literal(kind)).collect();
        let named: Vec<_> = numbers.iter().map(Number::text).collect();
        let fails = format!("{negation}[{}].contains(&value)", literals.join(", "));
        tests.push(Test::new(fails, format!("{says} {}", named.join(", "))));
    }
}

// === impl Number ===

impl Number {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::I32(number) => Self::Integer((*number).into()),
            Value::I64(number) => Self::Integer((*number).into()),
            Value::U32(number) => Self::Integer((*number).into()),
            Value::U64(number) => Self::Integer((*number).into()),
            Value::F32(number) => Self::Float((*number).into()),
            Value::F64(number) => Self::Float(*number),
            _ => return None,
        })
    }

    fn text(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
        }
    }

    fn literal(&self, kind: &Kind) -> String {
        match (self, kind) {
            (Self::Float(number), Kind::Float) => format!("{number:?}_f64 as f32"),
            (Self::Float(number), _) => format!("{number:?}_f64"),
            (Self::Integer(number), _) => number.to_string(),
        }
    }
}
