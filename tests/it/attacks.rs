//! Attacks that are made from the contracts: every RPC of every function by every attack, and a new
//! RPC is among them without a line here, unless it takes an id where none is looked for: `gaps` says so.
//!
//! The suite prints RPC by attack, each with what was told.

mod ask;
mod access;
mod gaps;
mod ids;
mod rules;
mod others;
mod outages;
mod scene;
#[path = "../../shared/identity/src/tests/tokens.rs"]
mod tokens;
#[path = "../../shared/identity/src/tests/shapes.rs"]
mod shapes;

use std::collections::BTreeMap;

use proto::{Access, METHODS, Method};

/// Every RPC of ours.
fn methods() -> impl Iterator<Item = &'static Method> {
    METHODS.iter().copied().filter(|method| method.service.starts_with("mayfly."))
}

/// Every RPC that looks at who calls.
fn guarded() -> impl Iterator<Item = &'static Method> {
    methods().filter(|method| method.rule.access != Access::Public)
}

/// What was told to whom: RPC by attack.
#[derive(Default)]
struct Table {
    attacks: Vec<&'static str>,
    rows: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
}

impl Table {
    fn note(&mut self, method: &Method, attack: &'static str, told: impl Into<String>) {
        if !self.attacks.contains(&attack) {
            self.attacks.push(attack);
        }
        self.rows.entry(method.path).or_default().insert(attack, told.into());
    }

    /// Prints it at once.
    fn print(&self, title: &str) {
        let mut text = format!("\n{title}\n");
        for (path, told) in &self.rows {
            text = format!("{text}{path}\n");
            for attack in &self.attacks {
                let told = told.get(attack).map_or("-", String::as_str);
                text = format!("{text}    {attack:<38} {told}\n");
            }
        }
        tests::print(&text);
    }
}
