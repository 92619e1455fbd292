//! The rules of bytes, which need a bound.

use crate::{
    refusals::Refusals,
    rules::{
        Test,
        given::{Given, counted},
    },
};

/// Returns what bytes are asked.
pub(crate) fn tests(mut rules: Given, name: &str, refusals: &mut Refusals) -> Vec<Test> {
    let exact = rules.length("len");
    let (min, max) = rules.range("len", name, refusals);
    rules.refuse(name, "write len, min_len or max_len", refusals);
    if exact.is_some() && min.or(max).is_some() {
        refusals.add(name, "has an exact length and another", "write one of the two");
    }
    if exact.or(max).is_none() {
        let remedy = "write (buf.validate.field).bytes.max_len";
        refusals.add(name, "are bytes without a bound", remedy);
    }

    let test = |limit: Option<u64>, operator: &str, says: &str| {
        let says = format!("must be {says} {}", counted(limit?, "bytes"));
        Some(Test::new(format!("value.len() {operator} {}", limit?), says))
    };
    let min = min.filter(|min| *min > 0);
    let tests =
        [test(exact, "!=", "exactly"), test(min, "<", "at least"), test(max, ">", "at most")];
    tests.into_iter().flatten().collect()
}
