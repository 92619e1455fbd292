//! Settings, a line each, and a settings file: what cannot be used is named and never repeated.

use std::sync::LazyLock;

use ::settings::{Declared, Env, fuzzing};

/// Every setting that all functions have.
static DECLARED: LazyLock<Vec<Declared>> =
    LazyLock::new(|| chassis::fuzzing::settings(&Env::default()).1);

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(values) = fuzzing::file(text) {
        assert!(values.keys().all(|name| *name == name.to_uppercase()));
    }
    let declared = &*DECLARED;
    let mut env = Env::default();
    for (line, one) in text.split('\n').zip(declared.iter().cycle()) {
        // A line's first character leaves it out, so that the next comes to another name.
        if let Some(value) = line.strip_prefix('=') {
            env = env.with(one.name, value);
        }
    }
    let (Err(told), _) = chassis::fuzzing::settings(&env) else { return };
    for line in told.lines() {
        let (name, fault) = line.split_once(' ').expect("a name and what is wrong");
        let one = declared.iter().find(|one| one.name == name);
        let one = one.unwrap_or_else(|| panic!("{name} is no setting"));
        // What the table says, or a constant.
        let is_ours = fault == format!("must be {}", one.expects)
            || fault.starts_with("is empty")
            || fault.starts_with("is required")
            || fault == "must hold the key of TLS_CERT_FILE";
        assert!(is_ours, "{line}");
        if let Some(value) = env.get(name)
            && value.len() > 40
        {
            assert!(!line.contains(value), "{line}");
        }
    }
}
