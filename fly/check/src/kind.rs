//! What a value may be.

use std::ops::RangeInclusive;

use toml::Value;

use crate::{duration, tree::Key};

/// The sizes of machines.
pub const SIZES: [&str; 14] = [
    "shared-cpu-1x",
    "shared-cpu-2x",
    "shared-cpu-4x",
    "shared-cpu-6x",
    "shared-cpu-8x",
    "performance-1x",
    "performance-2x",
    "performance-4x",
    "performance-6x",
    "performance-8x",
    "performance-10x",
    "performance-12x",
    "performance-14x",
    "performance-16x",
];

/// What a value may be.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Text that says something.
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    /// Text that begins with this.
    Begins(&'static str),
    /// An amount of memory or disk, such as `256mb`.
    Amount,
    /// True or false.
    Switch,
    /// A whole number.
    Whole(RangeInclusive<i64>),
    /// A number above 0.
    Positive,
    /// A span of time, with units: from so many to so many seconds.
    Secs(RangeInclusive<u64>),
    /// A list of text.
    Texts,
    /// A list of these.
    Words(&'static [&'static str]),
    /// The first that fits.
    Either(&'static [Kind]),
    /// A section.
    Section(&'static [Key]),
    /// A list of sections, and only that.
    Sections(&'static [Key]),
    /// A section, or a list of them.
    OneOrMore(&'static [Key]),
    /// Names of one's own, with values of this kind.
    Named(&'static Kind),
    /// What flyctl hands on as it is.
    Any,
}

impl Kind {
    /// The keys below this one.
    pub(crate) fn keys(&self) -> &'static [Key] {
        match self {
            Self::Section(keys) | Self::Sections(keys) | Self::OneOrMore(keys) => keys,
            Self::Named(kind) => kind.keys(),
            _ => &[],
        }
    }

    /// Whether a value that holds no keys is one of these.
    pub(crate) fn takes(&self, value: &Value) -> bool {
        let text = value.as_str();
        let all = |is_it: &dyn Fn(&str) -> bool| {
            let texts = value.as_array();
            texts.is_some_and(|texts| texts.iter().all(|text| text.as_str().is_some_and(is_it)))
        };
        match self {
            Self::Any => true,
            Self::Text => text.is_some_and(|text| !text.trim().is_empty()),
            Self::Word(words) => text.is_some_and(|text| words.contains(&text)),
            Self::Begins(start) => text.is_some_and(|text| text.starts_with(start)),
            Self::Amount => text.is_some_and(is_amount),
            Self::Switch => value.is_bool(),
            Self::Whole(range) => value.as_integer().is_some_and(|number| range.contains(&number)),
            Self::Positive => match value {
                Value::Integer(number) => *number > 0,
                Value::Float(number) => *number > 0.0,
                _ => false,
            },
            Self::Secs(range) => {
                let span = text.and_then(duration);
                span.is_some_and(|span| {
                    (*range.start()..=*range.end()).contains(&span.as_secs())
                        && (span.as_secs() < *range.end() || span.subsec_nanos() == 0)
                })
            }
            Self::Texts => all(&|text| !text.is_empty()),
            Self::Words(words) => all(&|text| words.contains(&text)),
            Self::Either(kinds) => kinds.iter().any(|kind| kind.takes(value)),
            Self::Section(_) | Self::Sections(_) | Self::OneOrMore(_) | Self::Named(_) => false,
        }
    }

    /// What it may be, as the end of "must be ..".
    pub(crate) fn expects(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Word(words) => format!("one of {}", quoted(words)),
            Self::Begins(start) => format!("text that begins with {start}"),
            Self::Amount => "an amount with its unit, such as \"256mb\"".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Whole(range) => {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
            Self::Positive => "a number above 0".to_owned(),
            Self::Secs(range) => {
                let (start, end) = (range.start(), range.end());
                format!("a span with its unit, such as \"15s\", from {start} s to {end} s")
            }
            Self::Texts => "a list of text".to_owned(),
            Self::Words(words) => format!("a list of {}", quoted(words)),
            Self::Either(kinds) => {
                kinds.iter().map(Self::expects).collect::<Vec<_>>().join(", or ")
            }
            Self::Section(_) => "a section".to_owned(),
            Self::Sections(_) => "a list of sections".to_owned(),
            Self::OneOrMore(_) => "a section or a list of them".to_owned(),
            Self::Named(_) => "a section of names and values".to_owned(),
        }
    }
}

fn is_amount(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_whole = digits.trim().parse::<u64>().is_ok_and(|amount| amount > 0);
    let unit = lower.strip_prefix(digits).unwrap_or_default();
    is_whole && matches!(unit, "m" | "mb" | "mib" | "g" | "gb" | "gib")
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}
