//! What is generated from the settings' own declarations: a page for people, a file for Docker.

use std::fmt::Write;

use settings::Declared;

/// What a setting that has no default may look like.
const EXAMPLES: [(&str, &str); 2] = [
    ("DATABASE_URL", "postgres://mayfly_runtime:password@localhost:5432/mayfly"),
    ("FIREBASE_PROJECT_ID", "my-project"),
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
`<function> check` does only that; `<function> --help` prints this table.

| name | default | must be | what it sets |
| --- | --- | --- | --- |
"
    .to_owned();
    for Declared { name, default, expects, about } in settings() {
        let default = match default.as_str() {
            "required" | "unset" => default,
            value => format!("`{value}`"),
        };
        writeln!(page, "| `{name}` | {default} | {} | {about} |", expects.replace('|', "\\|"))
            .expect("a string takes any text");
    }
    page.push_str(
        "\n`DATABASE_URL` and `DATABASE_DIRECT_URL` hold passwords: on Fly they are secrets, and \
         `cargo fly check` refuses them in a fly.toml.\n",
    );
    page
}

fn env_file() -> String {
    let mut file = "\
# The settings of a function, for `docker run --env-file` and compose.
# Generated from the code by `cargo fly settings`; copy it to .env and edit the copy.
# Docker takes a line as it is: no quotes, no comment behind a value.
"
    .to_owned();
    for Declared { name, default, expects, about } in settings() {
        let line = match default.as_str() {
            "required" => format!("{name}={}", example(name)),
            "unset" => format!("#{name}="),
            value => format!("#{name}={value}"),
        };
        write!(file, "\n# {about}\n# {expects}\n{line}\n").expect("a string takes any text");
    }
    file
}

fn settings() -> Vec<Declared> {
    chassis::Function::declared_settings()
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
        Reader::new(&env).finish(chassis::Settings::read).unwrap();
    }

    #[test]
    fn every_default_of_the_example_is_good() {
        let file = env_file();
        let lines = file.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let given = lines.filter_map(|line| line.split_once('='));
        let given = given.filter(|(name, value)| !value.is_empty() && !name.contains(' '));
        let env = given.fold(Env::default(), |env, (name, value)| env.with(name, value));
        Reader::new(&env).finish(chassis::Settings::read).unwrap();
    }
}
