//! Tells what runs, and how it differs from what is written.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::{
    command::{Stop, tell},
    files::{self, Source, commit, rendered, required_secrets, settings},
    flyctl::{Flyctl, Signals},
    machines::{Machine, has_app, machines, secrets},
    options::Options,
};

/// Settings by which tokens are taken that Firebase has not signed; no app on Fly has them.
const ISSUERS: [&str; 2] = ["JWKS_URL", "TOKEN_ISSUER"];

/// Leaves of a file by their path.
type Leaves = BTreeMap<String, String>;

/// Tells which machines run what.
pub(crate) async fn status(options: &Options, signals: &mut Signals) -> Result<(), Stop> {
    let flyctl = Flyctl { program: options.flyctl.clone(), root: files::root() };
    let (mut is_well, mut found) = (true, 0);
    for source in chosen(options)? {
        let app = options.app(&source.function);
        if options.is_dry_run {
            show(&app, &["machine list"]);
            continue;
        }
        if !has_app(&flyctl, &app, signals).await? {
            tell(&format!("{app}: there is no such app"));
            continue;
        }
        found += 1;
        let machines = machines(&flyctl, &app, signals).await?;
        tell(&format!("{app}: {} machines", machines.len()));
        for machine in &machines {
            let Machine { id, state, region, image, passing, checks, .. } = machine;
            tell(&format!("  {id}  {region}  {state}  checks {passing}/{checks}  {image}"));
            // One that sleeps is not checked.
            is_well &= state != "started" || passing == checks;
        }
    }
    is_any(options, found)?;
    if is_well { Ok(()) } else { Err(Stop::failed("not all is well")) }
}

/// Compares the file, the commit and the secrets' names with what runs.
pub(crate) async fn drift(options: &Options, signals: &mut Signals) -> Result<(), Stop> {
    let flyctl = Flyctl { program: options.flyctl.clone(), root: files::root() };
    let (mut drifted, mut found) = (0, 0);
    for source in chosen(options)? {
        let app = options.app(&source.function);
        if options.is_dry_run {
            show(&app, &["config show", "secrets list", "machine list"]);
            continue;
        }
        if !has_app(&flyctl, &app, signals).await? {
            tell(&format!("{app}: there is no such app"));
            continue;
        }
        found += 1;
        let mut told = of_file(options, &source, &flyctl, signals).await?;
        told.extend(of_secrets(&source, &app, &flyctl, signals).await?);
        told.extend(of_images(options, &app, &flyctl, signals).await?);
        tell(&format!("{app}: {}", if told.is_empty() { "no drift" } else { "drift" }));
        for line in &told {
            tell(&format!("  {line}"));
        }
        drifted += told.len();
    }
    is_any(options, found)?;
    if drifted == 0 { Ok(()) } else { Err(Stop::failed("what runs is not what is written")) }
}

/// The function that was named, or all.
fn chosen(options: &Options) -> Result<Vec<Source>, Stop> {
    let sources = files::sources(&files::root()).map_err(Stop::config)?;
    let Some(function) = &options.function else {
        return Ok(sources);
    };
    let chosen: Vec<_> = sources.into_iter().filter(|one| one.function == *function).collect();
    if chosen.is_empty() {
        return Err(Stop::usage(format!("there is no fly/{function}.toml")));
    }
    Ok(chosen)
}

/// Not every function has an app of its own; but where none has, nothing was looked at.
fn is_any(options: &Options, found: usize) -> Result<(), Stop> {
    if found > 0 || options.is_dry_run {
        return Ok(());
    }
    Err(Stop::failed("there is no app to look at; are --env and --prefix those of the deploy?"))
}

fn show(app: &str, calls: &[&str]) {
    tell("flyctl apps list --json");
    for call in calls {
        let form = if *call == "config show" { "--toml" } else { "--json" };
        tell(&format!("flyctl {call} --app {app} {form}"));
    }
}

async fn of_file(
    options: &Options,
    source: &Source,
    flyctl: &Flyctl,
    signals: &mut Signals,
) -> Result<Vec<String>, Stop> {
    let app = options.app(&source.function);
    let said = flyctl.ask(&["config", "show", "--app", &app, "--toml"], signals).await?;
    let running: Table = said
        .parse()
        .map_err(|_not_toml| Stop::unavailable("flyctl config show has not answered with TOML"))?;
    // Where a region or a size is not told, what runs is right.
    let region = options.region.as_deref().or_else(|| running.get("primary_region")?.as_str());
    let written = leaves(&rendered(source, options, region));
    let running = leaves(&running);
    let mut told = Vec::new();
    for (path, value) in &written {
        match running.get(path) {
            Some(runs) if runs == value => {}
            Some(runs) => told.push(format!("{path} is {value} in the file and {runs} on Fly")),
            None => told.push(format!("{path} is {value} in the file and not set on Fly")),
        }
    }
    for (path, runs) in running.iter().filter(|(path, _)| !written.contains_key(*path)) {
        told.push(format!("{path} is not in the file and {runs} on Fly"));
    }
    Ok(told)
}

async fn of_secrets(
    source: &Source,
    app: &str,
    flyctl: &Flyctl,
    signals: &mut Signals,
) -> Result<Vec<String>, Stop> {
    let given = secrets(flyctl, app, signals).await?;
    let declared = settings(&source.function);
    let required = required_secrets(source).into_iter();
    let missing = required.filter(|name| !given.iter().any(|one| one == name));
    let mut told: Vec<_> = missing.map(|name| format!("secret {name} is not set")).collect();
    let env = source.app.env();
    for name in &given {
        if !declared.iter().any(|one| one.name == name) {
            told.push(format!("secret {name} is no setting of a function"));
        }
        if env.iter().any(|(set, _)| set == name) {
            told.push(format!("secret {name} hides the value in the file"));
        }
    }
    let names = given.iter().map(String::as_str).chain(env.iter().map(|(name, _)| *name));
    told.extend(of_issuers(&names.collect::<Vec<_>>()));
    Ok(told)
}

/// What is said of settings that have another than Firebase sign people in, by all names that are set.
fn of_issuers(names: &[&str]) -> Vec<String> {
    let set = ISSUERS.iter().filter(|name| names.contains(name));
    set.map(|name| format!("{name} is set: tokens are taken that Firebase has not signed"))
        .collect()
}

async fn of_images(
    options: &Options,
    app: &str,
    flyctl: &Flyctl,
    signals: &mut Signals,
) -> Result<Vec<String>, Stop> {
    let machines = machines(flyctl, app, signals).await?;
    let commit = commit(&flyctl.root);
    let mut told = Vec::new();
    if machines.is_empty() {
        told.push("no machine runs".to_owned());
    }
    for Machine { id, image, commit: runs, .. } in &machines {
        match (&options.image, runs, &commit) {
            (Some(expected), _, _) if expected != image => {
                told.push(format!("machine {id} runs {image}, not {expected}"));
            }
            (None, Some(runs), Some(commit)) if runs != commit => {
                told.push(format!("machine {id} runs commit {runs}, the tree is at {commit}"));
            }
            (None, None, _) => told.push(format!("machine {id} does not say its commit: {image}")),
            _ => {}
        }
    }
    Ok(told)
}

/// What a file says, in a form that two of them can be compared in.
fn leaves(table: &Table) -> Leaves {
    let mut leaves = Leaves::new();
    for (name, value) in table {
        // How it was built and brought up is not what runs.
        if name != "build" && name != "app" {
            collect(name, value, &mut leaves);
        }
    }
    leaves.retain(|path, value| {
        let is_default = path.ends_with(".processes") && value == "[\"app\"]";
        !is_default && path != "deploy.strategy"
    });
    leaves
}

fn collect(path: &str, value: &Value, leaves: &mut Leaves) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                collect(&format!("{path}.{name}"), value, leaves);
            }
        }
        // One section and a list of one are the same.
        Value::Array(list) if list.iter().all(Value::is_table) => {
            for (number, value) in list.iter().enumerate() {
                let path = if number == 0 { path.to_owned() } else { format!("{path}[{number}]") };
                collect(&path, value, leaves);
            }
        }
        Value::String(text) => {
            // Fly writes 5m0s for 5m, and 256MB as well as 256mb.
            let told = match check::duration(text) {
                Some(span) => format!("{} ms", span.as_millis()),
                None => format!("{:?}", text.to_lowercase()),
            };
            leaves.insert(path.to_owned(), told);
        }
        other => {
            leaves.insert(path.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_the_same() {
        let ours = "kill_timeout = \"30s\"\n[metrics]\nport = 1\n[[vm]]\nmemory = \"256mb\"";
        let theirs = "app = \"x\"\nkill_timeout = \"0m30s\"\n[[metrics]]\nport = 1\n\
                      processes = [\"app\"]\n[[vm]]\nmemory = \"256MB\"\n[build]\nimage = \"i\"";
        let leaves = |text: &str| leaves(&text.parse().unwrap());
        assert_eq!(leaves(ours), leaves(theirs));
        assert_ne!(leaves(ours), leaves("kill_timeout = \"31s\""));
    }

    #[test]
    fn whoever_else_may_sign_people_in_is_named() {
        assert_eq!(of_issuers(&["FIREBASE_PROJECT_ID", "SERVICE_ISSUER"]), [""; 0]);
        let told = of_issuers(&["DATABASE_URL", "TOKEN_ISSUER", "JWKS_URL"]);
        let names: Vec<_> = told.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ISSUERS);
    }
}
