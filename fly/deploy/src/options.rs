//! What `cargo fly` is told on the command line.

use std::{path::PathBuf, time::Duration};

use settings::Env;

pub(crate) const HELP: &str = "\
Deploys functions to Fly.io, and tells what runs there.

Usage: cargo fly COMMAND [FUNCTION] [OPTIONS]

Commands:
  deploy FUNCTION    checks, makes the app if it is missing, migrates, deploys, probes;
                     goes back to what ran before if that fails
  rollback FUNCTION  deploys the image that --image names, without migrating
  status [FUNCTION]  tells which machines run what
  drift [FUNCTION]   compares file, commit and secrets' names with what runs; exits with 1 if they differ
  check              checks every fly/*.toml, without Fly
  settings           writes docs/settings.md and .env.example; --check tells whether they are fresh
  restore --check    dumps a database, restores it on another cluster and compares them;
                     --dump FILE tries a backup of yours instead

Options:
  --env NAME         staging or production; needed by deploy, rollback, status and drift
  --prefix P         what the names of the apps begin with (mayfly)
  --org O            whose the apps are (personal)
  --region R         the primary region; the first deploy of an app names it
  --vm SIZE          the size of the machines, instead of the file's
  --image I          deploys this image instead of building one
  --strategy S       bluegreen, canary or rolling, instead of the file's
  --url URL          where to probe (https://<app>.fly.dev)
  --probe-secs N     how long the new release may take to answer (60)
  --flyctl PATH      the flyctl to use (FLYCTL, or the one on PATH)
  --dry-run          prints every call of flyctl instead of making it
  --help             tells this

Exit codes: 0 done; 1 it did not hold, or there is drift; 64 wrong use; 69 Fly or flyctl cannot be
reached; 70 a bug; 78 a file, a setting or a secret is missing or wrong; 130 and 143 interrupted.";

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Task {
    Deploy,
    Rollback,
    Status,
    Drift,
    Check,
    Settings,
    Restore,
    Help,
}

/// Where it is deployed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Environment {
    Staging,
    Production,
}

/// Everything that was told.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "two switches of a command line")]
pub(crate) struct Options {
    pub(crate) task: Task,
    pub(crate) function: Option<String>,
    pub(crate) environment: Option<Environment>,
    pub(crate) prefix: String,
    pub(crate) org: String,
    pub(crate) region: Option<String>,
    pub(crate) vm: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) probe_max: Duration,
    pub(crate) flyctl: PathBuf,
    pub(crate) dump: Option<PathBuf>,
    pub(crate) is_check: bool,
    pub(crate) is_dry_run: bool,
}

impl Options {
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = String>,
        env: &Env,
    ) -> Result<Self, String> {
        let mut options = Self::of(task(arguments.next().as_deref())?, env);
        while let Some(argument) = arguments.next() {
            if !argument.starts_with('-') && options.function.is_none() {
                options.function = Some(argument);
                continue;
            }
            let (name, given) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                let value = given.clone().or_else(|| arguments.next());
                value.filter(|value| !value.is_empty()).ok_or(format!("{name} needs a value"))
            };
            match name {
                "--help" | "-h" => options.task = Task::Help,
                "--dry-run" => options.is_dry_run = true,
                "--check" => options.is_check = true,
                "--env" => options.environment = Some(environment(&value()?)?),
                "--prefix" => options.prefix = label(name, value()?)?,
                "--org" => options.org = label(name, value()?)?,
                "--region" => options.region = Some(region(value()?)?),
                "--vm" => options.vm = Some(one_of(name, value()?, &check::SIZES)?),
                "--image" => options.image = Some(image(value()?)?),
                "--strategy" => {
                    let strategies = ["bluegreen", "canary", "rolling"];
                    options.strategy = Some(one_of(name, value()?, &strategies)?);
                }
                "--url" => options.url = Some(url(&value()?)?),
                "--probe-secs" => options.probe_max = secs(name, &value()?)?,
                "--flyctl" => options.flyctl = value()?.into(),
                "--dump" => options.dump = Some(value()?.into()),
                _ => return Err(format!("there is no option {name:?}; try --help")),
            }
        }
        options.whole()
    }

    fn of(task: Task, env: &Env) -> Self {
        Self {
            task,
            function: None,
            environment: None,
            prefix: "mayfly".to_owned(),
            org: "personal".to_owned(),
            region: None,
            vm: None,
            image: None,
            strategy: None,
            url: None,
            probe_max: Duration::from_mins(1),
            flyctl: env.get("FLYCTL").unwrap_or("flyctl").into(),
            dump: None,
            is_check: false,
            is_dry_run: false,
        }
    }

    /// What a command cannot do without.
    fn whole(self) -> Result<Self, String> {
        let on_fly =
            matches!(self.task, Task::Deploy | Task::Rollback | Task::Status | Task::Drift);
        let of_one = matches!(self.task, Task::Deploy | Task::Rollback);
        if on_fly && self.environment.is_none() {
            return Err("--env is needed: staging or production".to_owned());
        }
        if of_one && self.function.is_none() {
            return Err("which function? its name follows the command".to_owned());
        }
        if self.task == Task::Rollback && self.image.is_none() {
            return Err("--image is needed: `flyctl releases --image` lists them".to_owned());
        }
        if self.task == Task::Restore && !self.is_check {
            return Err("restore only tries: add --check, and see docs/deploy.md".to_owned());
        }
        Ok(self)
    }

    /// The app of a function: `<prefix>-<function>` in production.
    pub(crate) fn app(&self, function: &str) -> String {
        match self.environment {
            Some(Environment::Staging) => format!("{}-staging-{function}", self.prefix),
            _ => format!("{}-{function}", self.prefix),
        }
    }
}

fn task(word: Option<&str>) -> Result<Task, String> {
    Ok(match word {
        Some("deploy") => Task::Deploy,
        Some("rollback") => Task::Rollback,
        Some("status") => Task::Status,
        Some("drift") => Task::Drift,
        Some("check") => Task::Check,
        Some("settings") => Task::Settings,
        Some("restore") => Task::Restore,
        Some("--help" | "-h" | "help") => Task::Help,
        Some(other) => return Err(format!("there is no command {other:?}; try --help")),
        None => return Err("which command? try --help".to_owned()),
    })
}

fn environment(value: &str) -> Result<Environment, String> {
    match value {
        "staging" => Ok(Environment::Staging),
        "production" => Ok(Environment::Production),
        _ => Err("--env must be staging or production".to_owned()),
    }
}

/// A part of a host's name.
fn label(name: &str, value: String) -> Result<String, String> {
    let of_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let inside = !value.starts_with('-') && !value.ends_with('-');
    let good = inside && value.len() <= 40 && value.bytes().all(of_label);
    good.then_some(value).ok_or(format!("{name} must be 1 to 40 of a-z, 0-9 and - inside"))
}

fn region(value: String) -> Result<String, String> {
    let good = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_lowercase());
    good.then_some(value).ok_or_else(|| "--region must be three letters, such as ams".to_owned())
}

fn one_of(name: &str, value: String, words: &[&str]) -> Result<String, String> {
    let good = words.contains(&value.as_str());
    good.then_some(value).ok_or(format!("{name} must be one of {}", words.join(", ")))
}

/// A reference of an image. It never looks like an option.
fn image(value: String) -> Result<String, String> {
    let of_image = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@".contains(&byte);
    let good = value.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    let good = good && value.bytes().all(of_image);
    good.then_some(value).ok_or_else(|| "--image must be a reference of an image".to_owned())
}

fn url(value: &str) -> Result<String, String> {
    let good = reqwest::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
    let value = value.trim_end_matches('/').to_owned();
    good.then_some(value).ok_or_else(|| "--url must be a URL".to_owned())
}

fn secs(name: &str, value: &str) -> Result<Duration, String> {
    let secs = value.parse().ok().filter(|secs| (1..=3600).contains(secs));
    secs.map(Duration::from_secs).ok_or(format!("{name} must be a whole number from 1 to 3600"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned), &Env::default())
    }

    #[test]
    fn an_app_is_named_by_prefix_environment_and_function() {
        let options = parse("deploy user --env production --prefix acme").unwrap();
        assert_eq!(options.app("user"), "acme-user");
        let options = parse("deploy user --env=staging").unwrap();
        assert_eq!(options.app("user"), "mayfly-staging-user");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("", "command"),
            ("deplyo user", "deplyo"),
            ("deploy --env staging", "function"),
            ("deploy user", "--env"),
            ("deploy user --env live", "--env"),
            ("deploy user two --env staging", "two"),
            ("deploy user --env staging --vm huge", "--vm"),
            ("deploy user --env staging --strategy immediate", "--strategy"),
            ("deploy user --env staging --region AMS", "--region"),
            ("deploy user --env staging --prefix A_b", "--prefix"),
            ("deploy user --env staging --image --now", "--image"),
            ("deploy user --env staging --image a;b", "--image"),
            ("deploy user --env staging --probe-secs 0", "--probe-secs"),
            ("deploy user --env staging --url fly.dev", "--url"),
            ("deploy user --env staging --fast", "--fast"),
            ("deploy user --env", "--env"),
            ("rollback user --env staging", "--image"),
            ("restore", "--check"),
        ] {
            assert!(parse(line).unwrap_err().contains(named), "{line}");
        }
    }
}
