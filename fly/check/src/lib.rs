//! Checks a fly.toml without Fly.
//!
//! flyctl ignores what it does not know, so a key that is misspelt or misplaced is a setting that
//! silently does not hold. [`keys`] refuses those anywhere in a file, by a table of every key that
//! flyctl reads; [`function`] also demands what a function of ours needs.
//!
//! ```
//! let faults = check::keys("[http_service]\ninternal_port = 8080\nh2_backend = true").unwrap_err();
//! assert!(faults.to_string().contains("http_service.http_options"));
//! ```

mod demands;
mod duration;
mod faults;
mod kind;
mod tree;
mod walk;

pub use demands::{App, function, platform};
pub use duration::duration;
pub use faults::{Fault, Faults};
pub use kind::SIZES;

use toml::Table;

/// Reads a fly.toml; every key it has is one of flyctl's, where flyctl reads it, with a value that
/// flyctl can use.
pub fn keys(text: &str) -> Result<Table, Faults> {
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let told = format!("is not TOML: {}", error.message());
            return Err(Faults::of(Fault { place: format!("line {line}"), told }));
        }
    };
    let mut faults = Faults::default();
    walk::walk(&table, tree::TREE, "", &mut faults);
    faults.none().map(|()| table)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
