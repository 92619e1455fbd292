//! What is generated from the settings' own declarations: a page for people, a file for Docker.

use std::fmt::Write;

use chassis::Function;
use settings::Declared;

use crate::files::settings;

const ANY_TEXT: &str = "a string takes any text";

/// What a setting that has no default may look like.
const EXAMPLES: [(&str, &str); 3] = [
    ("DATABASE_URL", "postgres://mayfly_runtime:password@localhost:5432/mayfly"),
    ("FIREBASE_PROJECT_ID", "my-project"),
    ("FIREBASE_API_KEY", "my-web-api-key"),
];

/// Each generated file and its text.
pub fn all() -> [(&'static str, String); 2] {
    [("docs/settings.md", page()), (".env.example", env_file())]
}

fn page() -> String {
    let mut page = "\
# Settings

Generated from the code by `cargo fly settings`; do not edit.

A function reads its settings once, when it starts, from the environment, and under it from the TOML file that `MAYFLY_CONFIG` names (the same names in lower case).
All that is wrong is told at once on standard error, one name per line and never a value, and the process ends with exit code 78 before it has bound anything.
`<function> check` does only that; `<function> --help` prints names, defaults and what they set.

The first table is every function's; those after it are read by one function alone, and so by `all`.
"
    .to_owned();
    page.push_str(&table(&Function::declared_settings()));
    for function in all::functions() {
        let (name, own) = (function.name, function.own_settings());
        if !own.is_empty() {
            write!(page, "\n## Of `{name}` alone\n{}", table(&own)).expect(ANY_TEXT);
        }
    }
    page.push_str(
        "\n`DATABASE_URL`, `DATABASE_DIRECT_URL` and `FIREBASE_SERVICE_ACCOUNT` hold what nobody \
         else may know, and `FIREBASE_API_KEY` is the project's own: on Fly they are secrets, and \
         `cargo fly check` refuses them in a fly.toml.\n",
    );
    page
}

fn table(settings: &[Declared]) -> String {
    let mut table =
        "\n| name | default | must be | what it sets |\n| --- | --- | --- | --- |\n".to_owned();
    for Declared { name, default, expects, about } in settings {
        let default = match default.as_str() {
            "required" | "unset" => default.clone(),
            value => format!("`{value}`"),
        };
        let expects = expects.replace('|', "\\|");
        writeln!(table, "| `{name}` | {default} | {expects} | {about} |").expect(ANY_TEXT);
    }
    table
}

fn env_file() -> String {
    let mut file = "\
# The settings of a function, for `docker run --env-file`.
# Generated from the code by `cargo fly settings`; copy it to .env and edit the copy.
# Docker takes a line as it is: no quotes, no comment behind a value.
"
    .to_owned();
    // What one function alone reads, the others overlook.
    for Declared { name, default, expects, about } in settings("all") {
        let line = match default.as_str() {
            "required" => format!("{name}={}", example(name)),
            "unset" => format!("#{name}="),
            value => format!("#{name}={value}"),
        };
        write!(file, "\n# {about}\n# {expects}\n{line}\n").expect(ANY_TEXT);
    }
    file
}

fn example(name: &str) -> &'static str {
    EXAMPLES.iter().find(|(of, _)| *of == name).map_or("", |(_, example)| example)
}

#[cfg(test)]
mod tests {
    use ::settings::{Env, Reader};

    use super::*;

    #[test]
    fn what_the_example_sets_is_good() {
        let file = env_file();
        let lines = file.lines().filter(|line| !line.starts_with('#'));
        let env = lines
            .filter_map(|line| line.split_once('='))
            .fold(Env::default(), |env, (name, value)| env.with(name, value));
        read(&env);
    }

    fn read(env: &Env) {
        let read = |reader: &mut Reader<'_>| chassis::Settings::read_for(all::functions(), reader);
        let _good = Reader::new(env).finish(read).unwrap();
    }

    #[test]
    fn every_default_of_the_example_is_good() {
        let file = env_file();
        let lines = file.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let given = lines.filter_map(|line| line.split_once('='));
        let given = given.filter(|(name, value)| !value.is_empty() && !name.contains(' '));
        let env = given.fold(Env::default(), |env, (name, value)| env.with(name, value));
        read(&env);
    }
}
