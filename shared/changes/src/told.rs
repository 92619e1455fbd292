//! What is worth telling: each version once, and nothing twice.

use std::collections::HashMap;

/// What was last told of each of those whom a watch names. There are as many as it names.
#[derive(Debug)]
pub(crate) struct Told(HashMap<String, Last>);

/// What an entry of the log is to whoever watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    /// It is to be told.
    News,
    /// It was told already, and would be again to whoever goes on from before it.
    Old,
    /// What has followed it has an entry of its own, which comes or has come.
    Followed,
}

#[derive(Debug, Eq, PartialEq)]
enum Last {
    Unknown,
    Gone,
    Version(Vec<u8>),
}

impl Told {
    /// Nothing, so far, of any of `keys`.
    pub(crate) fn nothing(keys: &[String]) -> Self {
        Self(keys.iter().map(|key| (key.clone(), Last::Unknown)).collect())
    }

    /// Whether to tell that `key` stands at `version`, or is gone. Told, it is remembered.
    pub(crate) fn is_news(&mut self, key: &str, version: Option<&[u8]>) -> bool {
        let Some(last) = self.0.get_mut(key) else {
            return true;
        };
        let now = version.map_or(Last::Gone, |version| Last::Version(version.to_vec()));
        let is_news = *last != now;
        *last = now;
        is_news
    }

    /// The same where an entry of the log says that `key` has become `change`.
    pub(crate) fn entry(
        &mut self,
        key: &str,
        change: Option<&[u8]>,
        version: Option<&[u8]>,
    ) -> Entry {
        if version.is_some() && version != change {
            Entry::Followed
        } else if self.is_news(key, version) {
            Entry::News
        } else {
            Entry::Old
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<&[u8]> = Some(b"1");
    const TWO: Option<&[u8]> = Some(b"2");

    fn told() -> Told {
        Told::nothing(&["ada".to_owned(), "bob".to_owned()])
    }

    #[test]
    fn a_version_is_told_once_by_the_entry_that_made_it() {
        let mut told = told();
        assert_eq!(told.entry("ada", ONE, TWO), Entry::Followed, "the second has its own entry");
        assert_eq!(told.entry("ada", TWO, TWO), Entry::News);
        // The first to begin was the last to commit; what the entry said is erased.
        assert_eq!(told.entry("ada", ONE, TWO), Entry::Followed);
        assert_eq!(told.entry("ada", None, TWO), Entry::Followed);
    }

    #[test]
    fn what_a_snapshot_has_told_is_not_told_again() {
        let mut told = told();
        assert!(told.is_news("ada", ONE) && told.is_news("bob", None));
        assert!(!told.is_news("ada", ONE), "named twice");
        assert_eq!(told.entry("ada", ONE, ONE), Entry::Old);
        assert_eq!(told.entry("bob", None, None), Entry::Old);
        assert_eq!(told.entry("bob", ONE, ONE), Entry::News);
    }

    #[test]
    fn whoever_is_gone_is_told_whichever_entry_comes_first() {
        let mut told = told();
        assert_eq!(told.entry("ada", ONE, None), Entry::News);
        assert_eq!(told.entry("ada", TWO, None), Entry::Old);
        assert_eq!(told.entry("ada", None, None), Entry::Old);
    }

    #[test]
    fn of_those_who_are_not_named_nothing_is_remembered() {
        let mut told = told();
        for _again in 0..2 {
            assert_eq!(told.entry("eve", None, None), Entry::News);
        }
        assert_eq!(told.0.len(), 2);
    }
}
