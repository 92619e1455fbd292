//! Where in a message a check stands: a list on the stack, spelled out only when a rule is broken.

use std::fmt;

/// Is the number of characters of a map's key that a path shows.
const KEY_CHARS_MAX: usize = 64;

/// The way from a whole message to one of its values.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    above: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'static str),
    Item(usize),
    Text(&'a str),
    Key(&'a dyn fmt::Display),
}

// === impl Path ===

impl<'a> Path<'a> {
    /// The whole message.
    pub(crate) const ROOT: Path<'static> = Path { above: None, step: Step::Root };

    /// Goes on to a field.
    pub(crate) fn field(&'a self, name: &'static str) -> Self {
        Self { above: Some(self), step: Step::Field(name) }
    }

    /// Goes on to an item of a repeated field.
    pub(crate) fn item(&'a self, index: usize) -> Self {
        Self { above: Some(self), step: Step::Item(index) }
    }

    /// Goes on to the value of a string key.
    pub(crate) fn text(&'a self, key: &'a str) -> Self {
        Self { above: Some(self), step: Step::Text(key) }
    }

    /// Goes on to the value of any other key.
    pub(crate) fn key(&'a self, key: &'a dyn fmt::Display) -> Self {
        Self { above: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(formatter)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) => {
                let first = self.above.is_none_or(|above| matches!(above.step, Step::Root));
                formatter.write_str(if first { "" } else { "." })?;
                formatter.write_str(name)
            }
            Step::Item(index) => write!(formatter, "[{index}]"),
            Step::Text(key) => {
                let end = key.char_indices().nth(KEY_CHARS_MAX).map_or(key.len(), |(end, _)| end);
                let shown = key.get(..end).unwrap_or_default();
                write!(formatter, "[{shown:?}]")
            }
            Step::Key(key) => write!(formatter, "[{key}]"),
        }
    }
}
