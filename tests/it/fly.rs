//! What is shipped with the code is true: the files for Fly, for GitHub, for Docker, the documents.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use deploy::documents;
use tests::skip;

#[test]
fn every_function_has_a_good_file_and_one_app_migrates() {
    let sources = deploy::sources(&root()).unwrap_or_else(|told| panic!("{told}"));
    let files: Vec<_> = sources.iter().map(|source| source.function.clone()).collect();
    assert_eq!(files, functions());
}

#[test]
fn a_value_that_a_function_cannot_use_is_refused_before_it_is_deployed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("fly")).unwrap();
    let good = read("fly/user.toml");
    for (change, word) in [
        ("DB_POOL_MAX = \"many\"\nLISTEN_ADDR", "DB_POOL_MAX must be a whole number"),
        ("DRAIN_SECS = \"29\"\nLISTEN_ADDR", "kill_timeout must be 31 s at least"),
    ] {
        let text = good.replacen("LISTEN_ADDR", change, 1);
        fs::write(dir.path().join("fly/user.toml"), text).unwrap();
        let told = deploy::source(dir.path(), "user").unwrap_err();
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn what_is_generated_from_the_settings_is_fresh() {
    for (path, fresh) in documents::all() {
        assert!(read(path) == fresh, "{path} is stale: run `cargo fly settings`");
    }
}

/// A tag that somebody may move is not what was looked at: `v4` is moved with every release.
#[test]
fn the_actions_of_the_workflows_are_pinned_to_versions() {
    let mut pinned = 0;
    for entry in fs::read_dir(root().join(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| line.split_once("uses: ")) {
            let (_name, version) = line.1.split_once('@').unwrap_or_else(|| panic!("{}", line.1));
            let parts = version.trim_start_matches('v').split('.');
            let is_whole = parts.clone().all(|part| part.parse::<u32>().is_ok());
            assert!(is_whole && parts.count() >= 2, "{}: {}", path.display(), line.1);
            pinned += 1;
        }
    }
    assert!(pinned >= 5, "{pinned}");
}

#[test]
fn the_workflow_builds_every_image() {
    let workflow = read(".github/workflows/ci.yml");
    let line = workflow.lines().find_map(|line| line.trim().strip_prefix("function: ["));
    let line = line.unwrap().trim_end_matches(']');
    let built: BTreeSet<_> = line.split(", ").map(str::to_owned).collect();
    assert_eq!(built, images());
}

#[test]
fn compose_runs_every_function_from_the_one_recipe_within_limits() {
    let compose = read("compose.yaml");
    for image in images() {
        assert!(compose.lines().any(|line| line.trim() == format!("FUNCTION: {image}")), "{image}");
    }
    for word in [
        "healthcheck:",
        "service_completed_successfully",
        "memory:",
        "pids:",
        "migrate",
        "read_only: true",
    ] {
        assert!(compose.contains(word), "{word}");
    }
    for line in compose.lines().filter(|line| line.trim().starts_with("image: ")) {
        let (_, version) = line.rsplit_once(':').unwrap();
        assert!(version.contains('.') && version != "latest", "{line}");
    }
}

/// Its Postgres has no certificate, so whoever insists on encryption never gets in.
#[test]
fn compose_reaches_its_postgres_in_the_clear() {
    let compose = read("compose.yaml");
    let lines = compose.lines().filter_map(|line| line.trim().strip_prefix("DATABASE_URL: "));
    let modes: Vec<_> =
        lines.map(|url| format!("{:?}", schema::options(url).unwrap().get_ssl_mode())).collect();
    assert_eq!(modes, ["Disable", "Disable"]);
}

/// Every file and every command that the documents name is there.
#[test]
fn the_documents_name_what_there_is() {
    let source = read("fly/deploy/src/options.rs");
    let (_, help) = source.split_once("Commands:").unwrap();
    let documents = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let above = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root().join(name));
    for path in documents.chain(above) {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let link = link.0.split('#').next().unwrap_or_default();
            if link.is_empty() || link.contains("://") {
                continue;
            }
            assert!(path.parent().unwrap().join(link).exists(), "{}: {link}", path.display());
        }
        for call in text.split("cargo fly ").skip(1) {
            let task = call.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            let is_known = task.is_empty() || help.contains(&format!("\n  {task} "));
            assert!(is_known, "{}: cargo fly {task}", path.display());
        }
    }
}

#[test]
fn a_backup_is_restored_on_another_cluster_to_the_letter() {
    let unavailable = ExitCode::from(69);
    let tried = deploy::run(["restore", "--check"].map(str::to_owned).into_iter());
    if tried == unavailable {
        return skip("there is no pg_dump, pg_restore or createdb beside Postgres");
    }
    assert_eq!(tried, ExitCode::SUCCESS);
}

/// Every function, in the order of the alphabet.
fn functions() -> Vec<String> {
    let entries = fs::read_dir(root().join("functions")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = names.collect();
    names.into_iter().collect()
}

/// What has an image: every function, and the issuer beside them.
fn images() -> BTreeSet<String> {
    functions().into_iter().chain(["issuer".to_owned()]).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
