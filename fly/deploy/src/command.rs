//! `cargo fly`, from its first line to its exit code.

use std::process::ExitCode;

use settings::Env;
use tokio::runtime::Builder;

use crate::{
    documents, files,
    flyctl::Signals,
    options::{HELP, Options, Task},
    release, report, restore,
};

const EX_FAILED: u8 = 1;
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;
const EX_SOFTWARE: u8 = 70;
const EX_CONFIG: u8 = 78;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) code: u8,
    pub(crate) told: String,
}

impl Stop {
    /// It was tried, and it did not hold.
    pub(crate) fn failed(told: impl Into<String>) -> Self {
        Self { code: EX_FAILED, told: told.into() }
    }

    pub(crate) fn usage(told: impl Into<String>) -> Self {
        Self { code: EX_USAGE, told: told.into() }
    }

    /// Fly, flyctl or a file cannot be had.
    pub(crate) fn unavailable(told: impl Into<String>) -> Self {
        Self { code: EX_UNAVAILABLE, told: told.into() }
    }

    /// Something that is needed is missing or wrong.
    pub(crate) fn config(told: impl Into<String>) -> Self {
        Self { code: EX_CONFIG, told: told.into() }
    }

    pub(crate) fn interrupted(code: u8, state: &str) -> Self {
        Self { code, told: format!("interrupted: {state}") }
    }
}

/// Does what the arguments ask for.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    match try_run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop { code, told }) => {
            tell_error(&format!("cargo fly: {told}"));
            ExitCode::from(code)
        }
    }
}

fn try_run(arguments: impl Iterator<Item = String>) -> Result<(), Stop> {
    let env = Env::of_process().map_err(|error| Stop::config(error.to_string()))?;
    let options = Options::parse(arguments, &env).map_err(Stop::usage)?;
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop { code: EX_SOFTWARE, told: error.to_string() })?;
    runtime.block_on(async {
        let mut signals = Signals::listen()
            .map_err(|error| Stop { code: EX_SOFTWARE, told: error.to_string() })?;
        match options.task {
            Task::Help => tell(HELP),
            Task::Deploy => release::deploy(&options, &mut signals).await?,
            Task::Rollback => release::rollback(&options, &mut signals).await?,
            Task::Status => report::status(&options, &mut signals).await?,
            Task::Drift => report::drift(&options, &mut signals).await?,
            Task::Check => check()?,
            Task::Settings => settings(&options)?,
            Task::Restore => restore::check(options.dump.as_deref(), &env, &mut signals).await?,
        }
        Ok(())
    })
}

/// Checks every file, without Fly.
fn check() -> Result<(), Stop> {
    let sources = files::sources(&files::root()).map_err(Stop::config)?;
    let names: Vec<_> = sources.iter().map(|source| source.function.as_str()).collect();
    tell(&format!("fly/*.toml are good: {}", names.join(", ")));
    Ok(())
}

/// Writes what is generated from the settings, or tells whether it is fresh.
fn settings(options: &Options) -> Result<(), Stop> {
    let root = files::root();
    for (path, fresh) in documents::all() {
        let kept = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        if kept == fresh {
            tell(&format!("{path} is fresh"));
        } else if options.is_check {
            return Err(Stop::failed(format!("{path} is stale: run `cargo fly settings`")));
        } else {
            files::write(&root, path, &fresh)?;
            tell(&format!("{path} is written anew"));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's own words")]
pub(crate) fn tell(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the command's own words")]
fn tell_error(text: &str) {
    eprintln!("{text}");
}
