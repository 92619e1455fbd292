//! Where settings come from: the environment first, then a file.

use std::{collections::BTreeMap, fs};

/// The names and values settings are read from. Tests make their own with [`Env::of`].
#[derive(Clone, Default)]
pub struct Env {
    values: BTreeMap<String, String>,
}

/// A `MAYFLY_CONFIG` file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("MAYFLY_CONFIG names a file that cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The file is not TOML.
    #[error("MAYFLY_CONFIG names a file that is not TOML")]
    NotToml,
    /// A value is a table or a list.
    #[error("MAYFLY_CONFIG: {0} must be text, a number or a boolean")]
    NotScalar(String),
}

impl Env {
    /// The process's environment, over the file that its `MAYFLY_CONFIG` names.
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub fn of_process() -> Result<Self, Error> {
        // A value that is not UTF-8 is no good, but it is not absent: a default would hide it.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .collect::<BTreeMap<_, _>>();
        let mut values = match environment.get("MAYFLY_CONFIG") {
            Some(path) => file(&fs::read_to_string(path).map_err(Error::Unreadable)?)?,
            None => BTreeMap::new(),
        };
        values.extend(environment);
        Ok(Self { values })
    }

    /// Just these names and values.
    pub fn of<const N: usize>(values: [(&str, &str); N]) -> Self {
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { values: values.into() }
    }

    /// The same with one name set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// The value of `name`, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// The values stay out: some are secrets.
impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Reads a settings file: the names of the environment in lower case.
pub(crate) fn file(text: &str) -> Result<BTreeMap<String, String>, Error> {
    // The parser's own message quotes the line, which may hold a secret.
    let table: toml::Table = toml::from_str(text).map_err(|_unquotable| Error::NotToml)?;
    table
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => (if yes { "on" } else { "off" }).to_owned(),
                _ => return Err(Error::NotScalar(name)),
            };
            Ok((name.to_uppercase(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_same_names_in_lower_case() {
        let values = file("db_pool_max = 7\nreflection = true\nrust_log = \"info\"").unwrap();
        assert_eq!(values["DB_POOL_MAX"], "7");
        assert_eq!(values["REFLECTION"], "on");
        assert_eq!(values["RUST_LOG"], "info");
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        assert!(!file("x = 'hunter2").unwrap_err().to_string().contains("hunter2"));
        assert!(file("[db]\nurl = 'hunter2'").unwrap_err().to_string().contains("db"));
    }
}
