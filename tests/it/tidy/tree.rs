//! A checkout, as the rules read it: files, manifests, Rust without its comments and texts.

#![expect(clippy::string_slice, reason = "every index was found in the same text")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::Table;

/// Directories that are nobody's writing.
const UNREAD: [&str; 5] = [".git", ".mayfly", "target", "node_modules", ".venv"];

/// A checkout.
pub(crate) struct Tree {
    /// The text of every file, by its path from the root.
    pub(crate) files: BTreeMap<String, String>,
}

/// A member of the workspace.
pub(crate) struct Member {
    /// `functions/user`, say.
    pub(crate) path: String,
    pub(crate) manifest: Table,
    /// Its manifest, as it is written.
    pub(crate) text: String,
}

/// Rust, taken apart.
#[derive(Default)]
pub(crate) struct Rust {
    /// With a space for every comment, and `""` for every text.
    pub(crate) code: String,
    pub(crate) texts: Vec<Text>,
}

/// A string literal.
pub(crate) struct Text {
    pub(crate) value: String,
    /// Where it stands in [`Rust::code`].
    pub(crate) at: usize,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        walk(root, root, &mut files);
        Self { files }
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.get(path).map(String::as_str).unwrap_or_default()
    }

    /// Every file below `dir` whose name ends so.
    pub(crate) fn below<'a>(
        &'a self,
        dir: &'a str,
        end: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_below = move |path: &str| {
            dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
        };
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| is_below(path) && path.ends_with(end))
    }

    /// The names right below `dir`.
    pub(crate) fn names<'a>(&'a self, dir: &str) -> Vec<&'a str> {
        let first = |path: &'a String| path.strip_prefix(dir)?.strip_prefix('/')?.split('/').next();
        let mut names: Vec<_> = self.files.keys().filter_map(first).collect();
        names.dedup();
        names
    }

    /// The members, in the order of the workspace's list.
    pub(crate) fn members(&self) -> Vec<Member> {
        let member = |path: String| {
            let text = self.files.get(&format!("{path}/Cargo.toml"))?.clone();
            Some(Member { manifest: table(&text), path, text })
        };
        self.member_paths().into_iter().filter_map(member).collect()
    }

    /// Where the members are, or would be.
    pub(crate) fn member_paths(&self) -> Vec<String> {
        let root = table(self.text("Cargo.toml"));
        let listed =
            root.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
        let mut paths = Vec::new();
        for listed in listed.into_iter().flatten().filter_map(toml::Value::as_str) {
            match listed.strip_suffix("/*") {
                Some(dir) => {
                    let names = self.names(dir).into_iter();
                    paths.extend(names.map(|name| format!("{dir}/{name}")));
                }
                None => paths.push(listed.to_owned()),
            }
        }
        paths
    }

    /// The crates of this house with their paths, in the order of the one dependency table.
    pub(crate) fn floors(&self) -> Vec<(String, String)> {
        let line = |line: &str| {
            let (name, rest) = line.split_once(" = { path = \"")?;
            Some((name.to_owned(), rest.split('"').next()?.to_owned()))
        };
        self.text("Cargo.toml").lines().filter_map(line).collect()
    }
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        let name = self.manifest.get("package").and_then(|package| package.get("name"));
        name.and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// Every table of dependencies, those of a platform and of a test included.
    pub(crate) fn dependencies(&self) -> Vec<&Table> {
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        kinds.into_iter().flat_map(|kind| self.dependencies_of(kind)).collect()
    }

    /// Those of one kind, for every platform.
    pub(crate) fn dependencies_of(&self, kind: &str) -> Vec<&Table> {
        let targets = self.manifest.get("target").and_then(toml::Value::as_table);
        let targets = targets.into_iter().flat_map(Table::values).filter_map(toml::Value::as_table);
        let all = [&self.manifest].into_iter().chain(targets);
        all.filter_map(|table| table.get(kind)?.as_table()).collect()
    }
}

/// A manifest that is not one has no tables; Cargo has said so already.
pub(crate) fn table(text: &str) -> Table {
    toml::from_str(text).unwrap_or_default()
}

fn walk(root: &Path, dir: &Path, files: &mut BTreeMap<String, String>) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_symlink() || UNREAD.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

// === impl Rust ===

impl Rust {
    pub(crate) fn read(source: &str) -> Self {
        let mut rust = Self::default();
        let mut unread = source;
        while let Some(first) = unread.chars().next() {
            unread = rust.take(unread, first);
        }
        rust
    }

    /// The same up to the tests that stand at its end.
    pub(crate) fn without_tests(source: &str) -> Self {
        let tests = "#[cfg(test)]\nmod tests {";
        Self::read(source.split(tests).next().unwrap_or_default())
    }

    fn take<'a>(&mut self, rest: &'a str, first: char) -> &'a str {
        if rest.starts_with("//") {
            return rest.find('\n').map_or("", |end| &rest[end..]);
        }
        if rest.starts_with("/*") {
            self.code.push(' ');
            return after_block_comment(rest);
        }
        if first == '"' {
            return self.text(&rest[1..]);
        }
        let follows_word = self.code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !follows_word && let Some((hashes, body)) = raw(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let (value, after) = body.split_once(&end).unwrap_or((body, ""));
            self.push_text(value.to_owned());
            return after;
        }
        if first == '\''
            && let Some(length) = char_literal(rest)
        {
            self.code.push_str("' '");
            return &rest[length..];
        }
        self.code.push(first);
        &rest[first.len_utf8()..]
    }

    /// What follows a quote, up to the one that is not escaped.
    fn text<'a>(&mut self, rest: &'a str) -> &'a str {
        let mut escaped = false;
        let end = rest.find(|c: char| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        });
        let end = end.unwrap_or(rest.len());
        self.push_text(rest[..end].replace("\\\n", "").replace("\\\"", "\""));
        rest.get(end + 1..).unwrap_or_default()
    }

    fn push_text(&mut self, value: String) {
        self.texts.push(Text { value, at: self.code.len() });
        self.code.push_str("\"\"");
    }

    /// The name of the function that the place `at` stands in, or of the last one before it.
    pub(crate) fn function_at(&self, at: usize) -> Option<&str> {
        let before = &self.code[..at];
        let (_, after) = before.rsplit_once("fn ")?;
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(&after[..end])
    }
}

fn after_block_comment(rest: &str) -> &str {
    let mut depth = 0_usize;
    let mut place = rest;
    loop {
        if let Some(after) = place.strip_prefix("/*") {
            (depth, place) = (depth + 1, after);
        } else if let Some(after) = place.strip_prefix("*/") {
            (depth, place) = (depth - 1, after);
            if depth == 0 {
                return place;
            }
        } else {
            let Some(next) = place.chars().next() else { return "" };
            place = &place[next.len_utf8()..];
        }
    }
}

/// `r"`, `br#"` and their like: how many hashes, and what follows the quote.
fn raw(rest: &str) -> Option<(usize, &str)> {
    let rest = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let body = rest.trim_start_matches('#');
    Some((rest.len() - body.len(), body.strip_prefix('"')?))
}

/// How long the character is that begins here; a lifetime is none.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    let end = match first {
        '\\' => rest.char_indices().skip(3).find(|(_, c)| *c == '\'')?.0,
        _ => chars.next().filter(|(_, c)| *c == '\'')?.0,
    };
    Some(end + 1)
}

#[test]
fn rust_is_taken_apart() {
    let source = r##"
        // "not a text"
        /* "nor /* this */ one" */
        fn a<'x>(c: char) { f('"', '\'', "one \" two", r#"raw "three" it"#, b"four") }
        const WORD: &str = "five";
    "##;
    let rust = Rust::read(source);
    let texts: Vec<_> = rust.texts.iter().map(|text| text.value.as_str()).collect();
    assert_eq!(texts, ["one \" two", "raw \"three\" it", "four", "five"]);
    assert_eq!(rust.function_at(rust.texts[0].at), Some("a"));
    assert!(!rust.code.contains("not") && rust.code.contains("fn a<'x>"));
}
