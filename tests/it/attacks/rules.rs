//! Who may call what, held against what was said of it before: an RPC that asks for less is attacked
//! less, so the attacks by themselves would not see a rule that has become laxer.
//!
//! What was released is compared with its release. What was not is compared with the documents, where a
//! rule that names others than everybody who is signed in has to be told.

use std::{collections::BTreeSet, fs, path::Path};

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use proto::{Access, Method};

use super::methods;
use crate::evolution::Contract;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Who may call.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Who {
    Anybody,
    SignedIn,
    Roles(BTreeSet<String>),
    Functions(BTreeSet<String>),
}

impl Who {
    /// By the contract of today.
    fn of(method: &Method) -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        match method.rule.access {
            Access::Public => Self::Anybody,
            Access::SignedIn => Self::SignedIn,
            Access::Role { any_of } => Self::Roles(names(any_of)),
            Access::Service { callers } => Self::Functions(names(callers)),
        }
    }

    /// By a contract that was released.
    fn released(method: &MethodDescriptor) -> Self {
        let rule = method.parent_pool().get_extension_by_name("mayfly.policy.v1.rule").unwrap();
        let options = method.options();
        let rule = options.get_extension(&rule);
        let rule = rule.as_message().unwrap();
        if rule.has_field_by_name("public") {
            Self::Anybody
        } else if rule.has_field_by_name("signed_in") {
            Self::SignedIn
        } else if rule.has_field_by_name("role") {
            Self::Roles(names(rule, "role", "any_of"))
        } else {
            Self::Functions(names(rule, "service", "callers"))
        }
    }

    /// By a document: `anybody`, `signed in`, or the word `role` and its names in backticks.
    fn told(cell: &str) -> Self {
        let names: BTreeSet<_> = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        match cell.split(' ').next() {
            Some("anybody") => Self::Anybody,
            Some("signed") => Self::SignedIn,
            Some("role") if !names.is_empty() => Self::Roles(names),
            Some("function") if !names.is_empty() => Self::Functions(names),
            _ => panic!("who is {cell:?}?"),
        }
    }

    /// Whether somebody may call now who could not then.
    fn is_laxer_than(&self, then: &Self) -> bool {
        match (then, self) {
            (Self::Anybody, _) | (Self::SignedIn, Self::SignedIn | Self::Roles(_)) => false,
            (Self::Roles(then), Self::Roles(now))
            | (Self::Functions(then), Self::Functions(now)) => !now.is_subset(then),
            _ => true,
        }
    }
}

fn names(rule: &DynamicMessage, access: &str, list: &str) -> BTreeSet<String> {
    let access = rule.get_field_by_name(access).unwrap();
    let list = access.as_message().unwrap().get_field_by_name(list).unwrap();
    let names = list.as_list().unwrap().iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// What the document of a function says of its RPCs, if it has one: name by name.
fn documented(function: &str) -> Option<Vec<(String, Who)>> {
    let text = fs::read_to_string(Path::new(DOCS).join(format!("{function}.md"))).ok()?;
    let mut rows = Vec::new();
    let table = text.lines().skip_while(|line| !line.starts_with("| RPC | who |")).skip(2);
    for line in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let names = cells[1].split('`').skip(1).step_by(2);
        rows.extend(names.map(|name| (name.to_owned(), Who::told(cells[2]))));
    }
    Some(rows).filter(|rows| !rows.is_empty())
}

/// The latest that a release says of an RPC.
fn released(method: &Method) -> Option<Who> {
    let is_it = |one: &MethodDescriptor| {
        one.name() == method.name && one.parent_service().full_name() == method.service
    };
    let releases = Contract::released().into_iter().rev();
    let mut found = releases.filter_map(|release| release.methods().into_iter().find(is_it));
    found.next().map(|method| Who::released(&method))
}

#[test]
fn nobody_may_call_who_could_not_when_it_was_released() {
    let mut compared = 0;
    for method in methods() {
        if let Some(then) = released(method) {
            let now = Who::of(method);
            assert!(!now.is_laxer_than(&then), "{}: {then:?}, now {now:?}", method.path);
            compared += 1;
        }
    }
    assert!(compared >= 7, "{compared}");
}

#[test]
fn the_documents_say_who_may_call_what() {
    for method in methods() {
        let (name, now) = (method.name, Who::of(method));
        let rows = documented(method.function());
        let told = rows.as_ref().map(|rows| rows.iter().filter(|(told, _)| told == name));
        match told.map(|told| told.map(|(_, who)| who).collect::<Vec<_>>()) {
            Some(told) => assert_eq!(told, [&now], "{} in docs/", method.path),
            None => assert!(
                now == Who::SignedIn || released(method).is_some(),
                "{}: {now:?} is told in no document and was not released",
                method.path
            ),
        }
    }
    let rows = documented("auth").unwrap();
    let is_there = |name: &str| methods().any(|it| it.function() == "auth" && it.name == name);
    assert!(rows.iter().all(|(name, _)| is_there(name)), "{rows:?}");
}

#[test]
fn laxer_is_whoever_lets_more_in() {
    let roles = |names: &[&str]| Who::Roles(names.iter().map(ToString::to_string).collect());
    let functions = |name: &str| Who::Functions(BTreeSet::from([name.to_owned()]));
    let (one, two) = (roles(&["admin"]), roles(&["admin", "introspector"]));
    for (now, then, is_laxer) in [
        (&Who::Anybody, &Who::SignedIn, true),
        (&Who::SignedIn, &one, true),
        (&two, &one, true),
        (&one, &two, false),
        (&one, &Who::SignedIn, false),
        (&Who::SignedIn, &Who::Anybody, false),
        (&Who::SignedIn, &functions("auth"), true),
        (&functions("auth"), &one, true),
        (&functions("auth"), &functions("user"), true),
        (&functions("auth"), &functions("auth"), false),
    ] {
        assert_eq!(now.is_laxer_than(then), is_laxer, "{now:?} {then:?}");
    }
}
