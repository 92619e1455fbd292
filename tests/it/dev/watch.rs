//! `cargo dev --watch`: what changes is built and run anew, and everything else stays.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use settings::Env;
use tests::Person;

use super::{Place, Up, alive_in, secs};
use crate::process::program::{Program, USER, eventually};

const BUILD_SECS_MAX: u64 = 60;

/// A workspace with one function in it, which is the real one under another's name.
struct Workspace(PathBuf);

impl Workspace {
    fn new(place: &Place) -> Self {
        let root = place.dir.path();
        let workspace = "[workspace]\nmembers = ['functions/all', 'platform']\nresolver = '3'\n";
        fs::write(root.join("Cargo.toml"), workspace).unwrap();
        for (name, target) in [("functions/all", "src/main.rs"), ("platform", "src/lib.rs")] {
            let target = root.join(name).join(target);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, "").unwrap();
            let name = Path::new(name);
            let package = name.file_name().unwrap().display();
            let package = format!("[package]\nname = '{package}'\nedition = '2024'\n");
            fs::write(root.join(name).join("Cargo.toml"), package).unwrap();
        }
        let workspace = Self(root.join("functions/all/src/main.rs"));
        workspace.save("first");
        workspace
    }

    /// Changes what is built, so that it tells its name as it begins to serve.
    fn save(&self, name: &str) {
        let main = format!(
            "use std::os::unix::process::CommandExt;
             fn main() {{
                 let arguments: Vec<_> = std::env::args().skip(1).collect();
                 if arguments == [\"serve\"] {{ println!(\"this is the {name}\"); }}
                 panic!(\"{{}}\", std::process::Command::new({USER:?}).args(arguments).exec());
             }}"
        );
        fs::write(&self.0, main).unwrap();
    }

    fn break_it(&self) {
        fs::write(&self.0, "fn main() { nothing_of_this_name() }").unwrap();
    }
}

async fn start(place: &Place) -> Up {
    let mut command = place.command(&["--watch"]);
    let env = Env::of_process().unwrap();
    for name in ["HOME", "CARGO", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = env.get(name) {
            command.env(name, value);
        }
    }
    Up::begin(Program::start(&mut command)).await
}

#[tokio::test]
async fn what_changes_runs_anew_and_data_accounts_and_tokens_stay() {
    let place = Place::new();
    let workspace = Workspace::new(&place);
    let up = start(&place).await;
    let account = up.accounts("signUp", "ada@example.com").await;
    let ada = up.person(&account);
    let profile = json!({ "profile": { "handle": "ada", "displayName": "Ada" } });
    assert_eq!(ada.json("CreateProfile", &profile).await.0, 200);

    workspace.save("second");
    up.runs_anew(1, "second").await;
    // On the same port, with the token of before, from the same database.
    assert_eq!(handle(&ada).await, "ada");
    let again = up.accounts("signInWithPassword", "ada@example.com").await;
    assert_eq!(again.body["localId"], account.body["localId"]);

    workspace.break_it();
    let refused =
        || up.program.stderr().contains("the build failed; what ran before").then_some(());
    eventually(BUILD_SECS_MAX, "the build fails", refused).await;
    assert!(up.program.stderr().contains("nothing_of_this_name"), "the compiler says why");
    assert_eq!(handle(&ada).await, "ada", "what ran before runs on");

    workspace.save("third");
    up.runs_anew(2, "third").await;
    assert_eq!(handle(&ada).await, "ada");

    // Nothing of it outlives it, not even when it is killed.
    let groups = place.groups(up.program.pid());
    assert!(groups.len() >= 3, "its own, that of Postgres, that of the functions: {groups:?}");
    up.program.signal("KILL");
    drop(up);
    eventually(10, "all is gone", || (alive_in(&groups) == 0).then_some(())).await;
}

#[tokio::test]
async fn it_can_be_stopped_while_nothing_runs() {
    let place = Place::new();
    let workspace = Workspace::new(&place);
    let up = start(&place).await;
    fs::write(&workspace.0, "fn main() { assert!(std::env::args().nth(1).unwrap() != \"serve\") }")
        .unwrap();
    let is_told = || up.program.stderr().contains("; nothing runs").then_some(());
    eventually(BUILD_SECS_MAX, "what was built does not serve", is_told).await;
    up.stop("INT").await;
}

#[tokio::test]
async fn outside_of_a_workspace_there_is_nothing_to_watch() {
    let place = Place::new();
    let mut command = place.command(&["--watch"]);
    let env = Env::of_process().unwrap();
    let ended = Program::run(command.env("HOME", env.get("HOME").unwrap()), secs(30)).await;
    assert_eq!(ended.code(), Some(64), "{ended:?}");
    assert!(ended.stderr.contains("workspace"), "{ended:?}");
}

impl Up {
    /// Waits until it was replaced so often, the last time by `name`.
    async fn runs_anew(&self, times: usize, name: &str) {
        let named = || self.program.stdout().contains(&format!("this is the {name}")).then_some(());
        eventually(BUILD_SECS_MAX, name, named).await;
        let told = || (self.program.stderr().matches("run anew").count() == times).then_some(());
        eventually(BUILD_SECS_MAX, "it is up", told).await;
    }
}

async fn handle(person: &Person) -> String {
    let (status, profile) = person.json("GetProfile", &json!({})).await;
    assert_eq!(status, 200, "{profile}");
    profile["handle"].as_str().unwrap().to_owned()
}
