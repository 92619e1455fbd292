//! The annotations of one thing, of which each is taken out as it is understood.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use crate::{refusals::Refusals, rules::Test};

/// What is written and not yet read.
#[derive(Debug, Default)]
pub(crate) struct Given(BTreeMap<String, Value>);

impl Given {
    /// Returns what an option says; nothing, if it is not there.
    pub(crate) fn of(options: &DynamicMessage, extension: &str) -> Self {
        let pool = options.descriptor().parent_pool().clone();
        let extension = pool.get_extension_by_name(extension);
        let given = extension.filter(|extension| options.has_extension(extension));
        let value = given.map(|extension| options.get_extension(&extension).into_owned());
        value.as_ref().and_then(Value::as_message).map(Self::from).unwrap_or_default()
    }

    /// Takes a rule out.
    pub(crate) fn take(&mut self, rule: &str) -> Option<Value> {
        self.0.remove(rule)
    }

    /// Takes out rules of which all must be there to be understood.
    pub(crate) fn inner(&mut self, rule: &str) -> Self {
        let value = self.take(rule);
        value.as_ref().and_then(Value::as_message).map(Self::from).unwrap_or_default()
    }

    /// Takes out the rules of a type, and refuses those of any other.
    pub(crate) fn message(&mut self, rule: &str, name: &str, refusals: &mut Refusals) -> Self {
        let is_type = |value: &Value| value.as_message().is_some();
        let others = self.0.extract_if(.., |other, value| other != rule && is_type(value));
        for (other, _) in others {
            let fault = format!("has a rule for `{other}`, but is `{rule}`");
            refusals.add(name, fault, format!("write (buf.validate.field).{rule}"));
        }
        self.inner(rule)
    }

    /// Takes out a rule that can only be true; false would say nothing.
    pub(crate) fn flag(&mut self, rule: &str, name: &str, refusals: &mut Refusals) -> bool {
        match self.take(rule) {
            None => false,
            Some(Value::Bool(true)) => true,
            Some(_) => {
                let fault = format!("says {rule} = false, which asks nothing");
                refusals.add(name, fault, format!("write {rule} = true or nothing"));
                false
            }
        }
    }

    /// Takes out a length.
    pub(crate) fn length(&mut self, rule: &str) -> Option<u64> {
        self.take(rule)?.as_u64()
    }

    /// Takes out the items of a list.
    pub(crate) fn list(&mut self, rule: &str) -> Vec<Value> {
        match self.take(rule) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }

    /// Takes out the least and the greatest number of something, which may not contradict.
    pub(crate) fn range(
        &mut self,
        unit: &str,
        name: &str,
        refusals: &mut Refusals,
    ) -> (Option<u64>, Option<u64>) {
        let (low, high) = (format!("min_{unit}"), format!("max_{unit}"));
        let (min, max) = (self.length(&low), self.length(&high));
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let fault = format!("has {low} {min} above {high} {max}");
            refusals.add(name, fault, format!("write a {low} of at most {max}"));
        }
        (min, max)
    }

    /// Takes out the bounds of a list or map; without an upper one there are none.
    pub(crate) fn size(
        &mut self,
        unit: &str,
        name: &str,
        refusals: &mut Refusals,
    ) -> Option<(Test, Vec<Test>)> {
        let (min, max) = self.range(unit, name, refusals);
        let max = max?;
        let min = min.filter(|min| *min > 0).map(|min| {
            let says = format!("must have at least {}", counted(min, unit));
            Test::new(format!("value.len() < {min}"), says)
        });
        let says = format!("must have at most {}", counted(max, unit));
        Some((Test::new(format!("value.len() > {max}"), says), min.into_iter().collect()))
    }

    /// Refuses whatever is left.
    pub(crate) fn refuse(self, name: &str, remedy: &str, refusals: &mut Refusals) {
        for rule in self.0.into_keys() {
            let (fault, remedy) = match rule.as_str() {
                "cel" | "cel_expression" | "pattern" => (
                    format!("says {rule}, which would need an interpreter at run time"),
                    "write a length and a format, and check the rest in the function's model.rs",
                ),
                _ => (format!("says {rule}, which is not implemented here"), remedy),
            };
            refusals.add(name, fault, remedy);
        }
    }
}

impl From<&DynamicMessage> for Given {
    fn from(message: &DynamicMessage) -> Self {
        let fields = message.fields().map(|(field, value)| (field.name().to_owned(), value));
        let extensions = message.extensions();
        let extensions = extensions.map(|(field, value)| (field.full_name().to_owned(), value));
        let known = fields.chain(extensions).map(|(name, value)| (name, value.clone()));
        let unknown = message.unknown_fields().map(|field| field.number().to_string());
        Self(known.chain(unknown.map(|number| (number, Value::Bool(true)))).collect())
    }
}

/// Returns a number with its unit, such as `1 item` or `3 items`.
pub(crate) fn counted(number: u64, unit: &str) -> String {
    let unit = if number == 1 { unit.trim_end_matches('s') } else { unit };
    format!("{number} {unit}")
}
