//! What a project asks of its passwords, as Firebase tells everybody. Held against a password before
//! anything else is asked, it is the same for an address that is taken and for one that is free.

use serde_json::Value;

/// The characters that the kinds of a policy are made of.
type Kind = fn(&Policy, char) -> bool;

/// What each kind is called, and what is of it. Letters and digits are those of ASCII.
const KINDS: [(&str, Kind); 4] = [
    ("containsLowercaseCharacter", |_policy, c| c.is_ascii_lowercase()),
    ("containsUppercaseCharacter", |_policy, c| c.is_ascii_uppercase()),
    ("containsNumericCharacter", |_policy, c| c.is_ascii_digit()),
    ("containsNonAlphanumericCharacter", |policy, c| policy.others.contains(c)),
];

/// What a project asks of its passwords.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    units_min: Option<u64>,
    units_max: Option<u64>,
    /// Which kinds of characters there must be one of.
    kinds: [bool; KINDS.len()],
    /// What counts as neither a letter nor a digit.
    others: String,
}

impl Policy {
    /// Reads Firebase's answer. A policy that it does not enforce asks for nothing.
    pub(crate) fn of(answer: &Value) -> Self {
        if answer.get("enforcementState").and_then(Value::as_str) != Some("ENFORCE") {
            return Self::default();
        }
        let options = answer.get("customStrengthOptions");
        let option = |name: &str| options.and_then(|options| options.get(name));
        let others = answer.get("allowedNonAlphanumericCharacters").and_then(Value::as_array);
        Self {
            units_min: option("minPasswordLength").and_then(Value::as_u64),
            units_max: option("maxPasswordLength").and_then(Value::as_u64),
            kinds: KINDS.map(|(name, _is_of)| option(name).and_then(Value::as_bool) == Some(true)),
            others: others.into_iter().flatten().filter_map(Value::as_str).collect(),
        }
    }

    /// Whether it lets somebody have this password.
    pub(crate) fn admits(&self, password: &str) -> bool {
        // It counts as JavaScript does.
        let units = password.encode_utf16().count() as u64;
        let is_long_enough = self.units_min.is_none_or(|min| units >= min);
        let is_short_enough = self.units_max.is_none_or(|max| units <= max);
        let has_kinds = KINDS.iter().zip(self.kinds).all(|((_name, is_of), is_asked)| {
            !is_asked || password.chars().any(|character| is_of(self, character))
        });
        is_long_enough && is_short_enough && has_kinds
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_project_asks_is_what_its_passwords_must_have() {
        let policy = Policy::of(&json!({
            "customStrengthOptions": {
                "minPasswordLength": 8,
                "maxPasswordLength": 12,
                "containsLowercaseCharacter": true,
                "containsUppercaseCharacter": true,
                "containsNumericCharacter": true,
                "containsNonAlphanumericCharacter": true,
            },
            "allowedNonAlphanumericCharacters": ["!", "-"],
            "enforcementState": "ENFORCE",
        }));
        assert!(policy.admits("Horses-4") && policy.admits("!Horses4ever"));
        for bad in ["Horse-4", "Horses-4horse", "HORSES-4", "horses-4", "Horses-x", "Horses_4"] {
            assert!(!policy.admits(bad), "{bad}");
        }
    }

    #[test]
    fn a_project_that_asks_for_nothing_takes_what_there_is() {
        let options = json!({ "minPasswordLength": 30 });
        for state in [json!("OFF"), json!(null)] {
            let answer = json!({ "customStrengthOptions": options, "enforcementState": state });
            assert!(Policy::of(&answer).admits("a"));
        }
        assert!(Policy::of(&json!({ "enforcementState": "ENFORCE" })).admits(""));
    }
}
