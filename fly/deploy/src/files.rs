//! The fly.toml files of the repository, and the ones that flyctl is given.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use chassis::Function;
use check::App;
use settings::{Declared, Env, Reader};
use toml::{Table, Value};

use crate::{command::Stop, options::Options};

/// Names a function's file, and what it says.
#[derive(Clone, Debug)]
pub struct Source {
    /// The function.
    pub function: String,
    /// Its file, once checked.
    pub app: App,
}

/// The repository. `cargo fly` is never installed: it is run where it was built.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The functions that have a file, in order.
fn functions(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("fly"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What the app of `function` hosts.
fn hosted(function: &str) -> Vec<Function> {
    let is_hosted = |one: &Function| function == "all" || one.name == function;
    all::functions().into_iter().filter(is_hosted).collect()
}

/// The settings that the app of `function` reads.
pub(crate) fn settings(function: &str) -> Vec<Declared> {
    let own = hosted(function).into_iter().flat_map(Function::own_settings);
    Function::declared_settings().into_iter().chain(own).collect()
}

/// Reads and checks every file, and that exactly one app migrates; tells all that is wrong.
pub fn sources(root: &Path) -> Result<Vec<Source>, String> {
    let names = functions(root).map_err(|error| format!("fly/ cannot be read: {error}"))?;
    let (mut sources, mut told) = (Vec::new(), Vec::new());
    for name in names {
        match source(root, &name) {
            Ok(source) => sources.push(source),
            Err(faults) => told.push(faults),
        }
    }
    // `all` is instead of the others, so each of the two is a platform.
    let (alone, apart): (Vec<_>, Vec<_>) = sources
        .iter()
        .map(|one| (one.function.as_str(), &one.app))
        .partition(|(name, _)| *name == "all");
    for platform in [alone, apart] {
        if let Err(faults) = check::platform(&platform) {
            told.push(format!("fly/*.toml\n{faults}"));
        }
    }
    if told.is_empty() { Ok(sources) } else { Err(told.join("\n\n")) }
}

/// Reads and checks the file of one function, and the settings it gives it.
pub fn source(root: &Path, function: &str) -> Result<Source, String> {
    let path = format!("fly/{function}.toml");
    let text = fs::read_to_string(root.join(&path));
    let text = text.map_err(|error| format!("{path} cannot be read: {error}"))?;
    let declared = settings(function);
    let app = check::function(&text, function, &declared)
        .map_err(|faults| format!("{path}\n{faults}"))?;
    // Whatever is required and secret is somebody else's to give; here anything good will do.
    let mut env = Env::of([
        ("DATABASE_URL", "postgres://localhost/mayfly"),
        ("FIREBASE_PROJECT_ID", "any-project"),
        ("FIREBASE_API_KEY", "any-key"),
    ]);
    for (name, value) in app.env() {
        env = env.with(name, value);
    }
    Reader::new(&env)
        .finish(|reader| chassis::Settings::read_for(hosted(function), reader))
        .map_err(|problems| format!("{path}, [env]\n{problems}"))?;
    Ok(Source { function: function.to_owned(), app })
}

/// The required settings that the file itself does not give: an app has them as secrets.
pub(crate) fn required_secrets(source: &Source) -> Vec<&'static str> {
    let given: Vec<_> = source.app.env().into_iter().map(|(name, _)| name.to_owned()).collect();
    let required = settings(&source.function).into_iter().filter(|one| one.default == "required");
    required.map(|one| one.name).filter(|name| !given.iter().any(|given| given == name)).collect()
}

/// The file with everything that differs between environments in it.
///
/// flyctl prefers a file's `[[vm]]` to `--vm-size`, and only a file can be compared with what runs.
pub(crate) fn rendered(source: &Source, options: &Options, region: Option<&str>) -> Table {
    let mut table = source.app.table.clone();
    table.insert("app".to_owned(), options.app(&source.function).into());
    if let Some(region) = region {
        table.insert("primary_region".to_owned(), region.into());
    }
    if let Some(Value::Table(build)) = table.get_mut("build") {
        // It is looked up beside the file that flyctl is given.
        build.insert("dockerfile".to_owned(), "../../Dockerfile".into());
    }
    if let (Some(size), Some(Value::Array(machines))) = (&options.vm, table.get_mut("vm")) {
        for machine in machines.iter_mut().filter_map(Value::as_table_mut) {
            machine.insert("size".to_owned(), size.as_str().into());
            // The file's memory is for the file's size.
            machine.remove("memory");
        }
    }
    table
}

/// Where a file for flyctl lies, from the repository.
pub(crate) fn path_of(app: &str, moment: &str) -> String {
    format!("target/fly/{app}{moment}.toml")
}

/// Writes a file for flyctl.
pub(crate) fn write(root: &Path, path: &str, text: &str) -> Result<(), Stop> {
    let whole = root.join(path);
    let written = whole.parent().map_or(Ok(()), fs::create_dir_all);
    written
        .and_then(|()| fs::write(&whole, text))
        .map_err(|error| Stop::unavailable(format!("{path} cannot be written: {error}")))
}

/// The commit that is built: marked when the tree holds more than that. None: git does not say.
pub(crate) fn commit(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let output =
            command.args(arguments).current_dir(root).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_dirty = !git(&["status", "--porcelain"])?.is_empty();
    Some(if is_dirty { format!("{commit}-dirty") } else { commit })
}
