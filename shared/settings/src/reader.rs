//! Reads settings one by one and tells every fault at once.

use std::{fmt, ops::RangeInclusive, time::Duration};

use crate::Env;

/// One setting, as it is declared where it is read.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in the environment.
    pub name: &'static str,
    /// What holds when it is not set.
    pub need: Need,
    /// What a value must be, as the end of "must be ..".
    pub expects: &'static str,
    /// What it sets, for the documented table.
    pub about: &'static str,
}

/// What holds when a setting is not set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// The process does not start.
    Required,
    /// Whatever it sets is off, or follows another setting.
    Optional,
    /// This value, written as one would in the environment.
    Default(&'static str),
}

/// A setting as it was declared, for the documented table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Declared {
    /// Its name in the environment.
    pub name: &'static str,
    /// Its default, or what stands in for one.
    pub default: String,
    /// What a value must be.
    pub expects: String,
    /// What it sets.
    pub about: &'static str,
}

/// One setting that cannot be used. It never holds the value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    name: &'static str,
    fault: String,
}

/// Every setting that cannot be used, one per line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Problem { name, fault }) in self.0.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{name} {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads settings, and keeps what was declared and what was wrong.
///
/// A read answers `None` when the setting cannot be used. A part reads all of its settings before
/// it gives up on one, so that all faults are named at once:
///
/// ```
/// # use settings::{Env, Reader};
/// # #[derive(Debug)] struct Limits { calls_max: u32, bytes_max: u32 }
/// fn read(reader: &mut Reader<'_>) -> Option<Limits> {
///     let calls_max = reader.number("CALLS_MAX", "512", 1..=10_000, "calls at a time");
///     let bytes_max = reader.number("BYTES_MAX", "4096", 1..=1_000_000, "bytes of a message");
///     Some(Limits { calls_max: calls_max?, bytes_max: bytes_max? })
/// }
/// let env = Env::of([("CALLS_MAX", "many"), ("BYTES_MAX", "0")]);
/// let problems = Reader::new(&env).finish(read).unwrap_err().to_string();
/// assert_eq!(problems.lines().count(), 2);
/// ```
#[derive(Debug)]
pub struct Reader<'e> {
    env: &'e Env,
    declared: Vec<Declared>,
    problems: Vec<Problem>,
}

impl<'e> Reader<'e> {
    /// Reads from `env`.
    pub fn new(env: &'e Env) -> Self {
        Self { env, declared: Vec::new(), problems: Vec::new() }
    }

    /// Whether the environment says anything of `name`, which is no setting of ours.
    pub fn is_set(&self, name: &str) -> bool {
        self.env.get(name).is_some()
    }

    /// Reads everything `read` asks for; either all of it is good or all faults are told.
    pub fn finish<T>(mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, Problems> {
        match read(&mut self) {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(Problems(self.problems)),
        }
    }

    /// The settings that `read` asks for, in its order.
    pub fn declared<T>(read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Vec<Declared> {
        let nothing = Env::default();
        let mut reader = Reader::new(&nothing);
        // Only the declarations matter: required settings are missing on purpose.
        let _unread = read(&mut reader);
        reader.declared
    }

    /// Reads one setting through `parse`, which answers `None` for a value it cannot use.
    pub fn read<T>(
        &mut self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        match self.maybe(setting, parse)? {
            Some(value) => Some(value),
            None => self.problem(setting.name, "is required".to_owned()),
        }
    }

    /// Reads one setting that may be absent: the outer `None` is a fault, the inner one absence.
    pub fn maybe<T>(
        &mut self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Option<T>> {
        let Setting { name, need, expects, about } = setting;
        let default = match need {
            Need::Required => "required".to_owned(),
            Need::Optional => "unset".to_owned(),
            Need::Default(text) => text.to_owned(),
        };
        self.declared.push(Declared { name, default, expects: expects.to_owned(), about });
        let text = match (self.env.get(name), need) {
            (Some(text), _) | (None, Need::Default(text)) => text,
            (None, Need::Optional | Need::Required) => return Some(None),
        };
        if text.trim().is_empty() {
            return self.problem(name, "is empty: unset it, or give it a value".to_owned());
        }
        match parse(text.trim()) {
            Some(value) => Some(Some(value)),
            None => self.problem(name, format!("must be {expects}")),
        }
    }

    /// Reads a whole number within `range`.
    pub fn number(
        &mut self,
        name: &'static str,
        default: &'static str,
        range: RangeInclusive<u32>,
        about: &'static str,
    ) -> Option<u32> {
        let setting = Setting { name, need: Need::Default(default), expects: "", about };
        let expects = format!("a whole number from {} to {}", range.start(), range.end());
        let problems = self.problems.len();
        let value = self.read(setting, |text| text.parse().ok().filter(|n| range.contains(n)));
        // The range is part of what the table and the fault say.
        if let Some(declared) = self.declared.last_mut() {
            declared.expects.clone_from(&expects);
        }
        if let Some(problem) = self.problems.get_mut(problems)
            && problem.fault.starts_with("must be")
        {
            problem.fault = format!("must be {expects}");
        }
        value
    }

    /// Reads a time span that is given in whole milliseconds.
    pub fn millis(
        &mut self,
        name: &'static str,
        default: &'static str,
        range: RangeInclusive<u32>,
        about: &'static str,
    ) -> Option<Duration> {
        Some(Duration::from_millis(self.number(name, default, range, about)?.into()))
    }

    /// Reads a time span that is given in whole seconds.
    pub fn secs(
        &mut self,
        name: &'static str,
        default: &'static str,
        range: RangeInclusive<u32>,
        about: &'static str,
    ) -> Option<Duration> {
        Some(Duration::from_secs(self.number(name, default, range, about)?.into()))
    }

    /// Tells that a setting cannot be used as the others are.
    pub fn refuse<T>(&mut self, name: &'static str, fault: &str) -> Option<T> {
        self.problem(name, fault.to_owned())
    }

    fn problem<T>(&mut self, name: &'static str, fault: String) -> Option<T> {
        self.problems.push(Problem { name, fault });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool_max(reader: &mut Reader<'_>) -> Option<u32> {
        reader.number("DB_POOL_MAX", "10", 1..=100, "connections")
    }

    fn url(reader: &mut Reader<'_>) -> Option<String> {
        let setting = Setting {
            name: "DATABASE_URL",
            need: Need::Required,
            expects: "a URL",
            about: "the database",
        };
        reader.read(setting, |text| text.starts_with("postgres://").then(|| text.to_owned()))
    }

    #[test]
    fn a_default_is_read_like_a_value() {
        assert_eq!(Reader::new(&Env::default()).finish(pool_max), Ok(10));
    }

    #[test]
    fn every_fault_is_told_with_its_name_and_without_its_value() {
        let env = Env::of([("DB_POOL_MAX", "hunter2"), ("DATABASE_URL", "mysql://hunter2")]);
        let both = |reader: &mut Reader<'_>| {
            let (url, pool_max) = (url(reader), pool_max(reader));
            Some((url?, pool_max?))
        };
        let told = Reader::new(&env).finish(both).unwrap_err().to_string();
        assert_eq!(
            told,
            "DATABASE_URL must be a URL\nDB_POOL_MAX must be a whole number from 1 to 100"
        );
    }

    #[test]
    fn missing_and_empty_are_told_apart() {
        let missing = Reader::new(&Env::default()).finish(url).unwrap_err().to_string();
        assert_eq!(missing, "DATABASE_URL is required");
        let empty = Env::of([("DATABASE_URL", " ")]);
        let empty = Reader::new(&empty).finish(url).unwrap_err().to_string();
        assert!(empty.contains("is empty"), "{empty}");
    }

    #[test]
    fn the_table_is_made_from_the_declarations() {
        let table = Reader::declared(pool_max);
        assert_eq!(table[0].expects, "a whole number from 1 to 100");
        assert_eq!(table[0].default, "10");
    }
}
