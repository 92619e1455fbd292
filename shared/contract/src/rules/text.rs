//! The rules of strings, which need a bound.

use prost_reflect::Value;

use crate::{
    refusals::Refusals,
    rules::{
        Test,
        given::{Given, counted},
    },
};

/// The formats that can be checked, and bound what they describe.
const FORMATS: [(&str, &str); 7] = [
    ("email", "an e-mail address"),
    ("hostname", "a host's name"),
    ("ip", "an IP address"),
    ("ipv4", "an IPv4 address"),
    ("ipv6", "an IPv6 address"),
    ("tuuid", "a UUID without dashes"),
    ("uuid", "a UUID of version 4 or 7, in lower case"),
];
const REMEDY: &str = "write const, in, not_in, len, min_len, max_len, their forms in bytes, \
                      prefix, suffix, contains, not_contains, email, hostname, ip, ipv4, ipv6, \
                      tuuid or uuid, and check the rest in the function's model.rs";

/// Returns what a string is asked.
pub(crate) fn tests(mut rules: Given, name: &str, refusals: &mut Refusals) -> Vec<Test> {
    let mut tests = vec![Test::new("value.contains('\\0')", "must not contain NUL")];
    let mut bounded = lengths(&mut rules, &mut tests, name, refusals);
    for (format, article) in FORMATS {
        if rules.flag(format, name, refusals) {
            bounded = true;
            tests.push(Test::new(format!("!check::{format}(value)"), format!("must be {article}")));
        }
    }
    bounded |= choices(&mut rules, &mut tests);
    parts(&mut rules, &mut tests);
    rules.refuse(name, REMEDY, refusals);

    if !bounded {
        let remedy = "write (buf.validate.field).string.max_len, or a format such as uuid";
        refusals.add(name, "is a string without a bound", remedy);
    }
    tests
}

/// Reads lengths in characters and in bytes; returns whether one of them is an upper bound.
fn lengths(rules: &mut Given, tests: &mut Vec<Test>, name: &str, refusals: &mut Refusals) -> bool {
    let (exact, exact_bytes) = (rules.length("len"), rules.length("len_bytes"));
    let (min, max) = rules.range("len", name, refusals);
    let (min_bytes, max_bytes) = rules.range("bytes", name, refusals);

    let clash = exact.is_some() && min.or(max).is_some()
        || exact_bytes.is_some() && min_bytes.or(max_bytes).is_some();
    if clash {
        refusals.add(name, "has an exact length and another", "write one of the two");
    }
    // A character has one to four bytes.
    let least = min.max(exact).max(min_bytes.map(|bytes| bytes.div_ceil(4)));
    let most = [max, exact, max_bytes, exact_bytes].into_iter().flatten().min();
    if let Some((least, most)) = least.zip(most)
        && least > most
    {
        let fault = format!("needs {least} characters and allows {most}");
        refusals.add(name, fault, "write lengths that agree");
    }

    let mut add = |limit: Option<u64>, fails: &str, says: &str, unit: &str| {
        if let Some(limit) = limit.filter(|limit| *limit > 0 || !says.contains("least")) {
            let says = format!("must be {says} {}", counted(limit, unit));
            tests.push(Test::new(fails.replace('#', &limit.to_string()), says));
        }
    };
    let (fewer, more) = ("check::under_chars(value, #)", "check::over_chars(value, #)");
    add(min, fewer, "at least", "characters");
    add(max, more, "at most", "characters");
    add(exact, &format!("{fewer} || {more}"), "exactly", "characters");
    add(min_bytes, "value.len() < #", "at least", "bytes");
    add(max_bytes, "value.len() > #", "at most", "bytes");
    add(exact_bytes, "value.len() != #", "exactly", "bytes");
    max.or(exact).or(max_bytes).or(exact_bytes).is_some()
}

/// Reads the values that are allowed or not; returns whether those that are allowed are listed.
fn choices(rules: &mut Given, tests: &mut Vec<Test>) -> bool {
    let quote = |value: &Value| value.as_str().map(|text| format!("{text:?}"));
    let only = rules.take("const").as_ref().and_then(quote);
    let allowed: Vec<_> = rules.list("in").iter().filter_map(quote).collect();
    let refused: Vec<_> = rules.list("not_in").iter().filter_map(quote).collect();

    if let Some(only) = &only {
        tests.push(Test::new(format!("value != {only}"), format!("must be {only}")));
    }
    if !allowed.is_empty() {
        let fails = format!("!matches!(value, {})", allowed.join(" | "));
        tests.push(Test::new(fails, format!("must be one of {}", allowed.join(", "))));
    }
    if !refused.is_empty() {
        let fails = format!("matches!(value, {})", refused.join(" | "));
        tests.push(Test::new(fails, format!("must be none of {}", refused.join(", "))));
    }
    only.is_some() || !allowed.is_empty()
}

fn parts(rules: &mut Given, tests: &mut Vec<Test>) {
    let methods = [
        ("prefix", "!value.starts_with", "must begin with"),
        ("suffix", "!value.ends_with", "must end with"),
        ("contains", "!value.contains", "must contain"),
        ("not_contains", "value.contains", "must not contain"),
    ];
    for (rule, method, says) in methods {
        if let Some(part) = rules.take(rule).as_ref().and_then(Value::as_str) {
            tests.push(Test::new(format!("{method}({part:?})"), format!("{says} {part:?}")));
        }
    }
}
