//! `cargo dev`, as whoever clones this sees it: it starts, it works, it keeps, and it leaves nothing.

mod watch;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use settings::Env;
use tempfile::TempDir;
use tests::{Answer, Person, skip};

use crate::process::program::{DEV, ENDS_MAX, Ended, Program, command, eventually};

const UP_SECS_MAX: u64 = 3;

/// A directory for everything that a platform may leave somewhere.
struct Place {
    dir: TempDir,
}

/// A platform that runs.
struct Up {
    program: Program,
    address: SocketAddr,
    issuer: SocketAddr,
    report: String,
    took: Duration,
}

/// One line of `ps`.
struct Process {
    pid: u32,
    group: u32,
    is_zombie: bool,
    line: String,
}

#[tokio::test]
async fn it_is_up_in_three_seconds_and_keeps_what_it_is_told() {
    let place = Place::new();
    let first = place.start(&[]).await;
    let told = first.program.stderr();
    assert!(told.contains("making a database cluster in"), "what takes long is said: {told}");
    let account = first.accounts("signUp", "ada@example.com").await;
    assert_eq!(account.status, 200, "{account:?}");
    let ada = first.person(&account);
    let profile = json!({ "profile": { "handle": "ada", "displayName": "Ada" } });
    assert_eq!(ada.json("CreateProfile", &profile).await.0, 200);
    let first_took = first.took;
    first.stop("INT").await;

    // A machine that is busy with other tests may be slow once, but not every time.
    let mut second = place.start(&[]).await;
    let mut seconds = vec![second.took];
    while second.took.as_secs() >= UP_SECS_MAX && seconds.len() < 3 {
        second.stop("INT").await;
        second = place.start(&[]).await;
        seconds.push(second.took);
    }
    tell(&format!("up in {first_took:.1?} at first, then in {seconds:.1?}"));
    assert!(second.took.as_secs() < UP_SECS_MAX, "{seconds:?}");
    assert_eq!(second.program.stderr(), "", "it has nothing to complain of");

    let kept = Person::new(second.address, "ada", ada.token.clone());
    let (status, profile) = kept.json("GetProfile", &json!({})).await;
    assert_eq!((status, &profile["handle"]), (200, &json!("ada")), "the token and the profile");
    let again = second.accounts("signInWithPassword", "ada@example.com").await;
    assert_eq!(again.body["localId"], account.body["localId"], "the account");
    second.administers(&again).await;
    second.stop("TERM").await;

    let fresh = place.start(&["--fresh"]).await;
    let (status, _body) =
        Person::new(fresh.address, "ada", ada.token).json("GetProfile", &json!({})).await;
    assert_eq!(status, 401, "the key is another");
    assert_ne!(fresh.accounts("signInWithPassword", "ada@example.com").await.status, 200);
    let account = fresh.accounts("signUp", "ada@example.com").await;
    let (status, _body) = fresh.person(&account).json("GetProfile", &json!({})).await;
    assert_eq!(status, 404, "the profile is gone");
    fresh.stop("INT").await;
}

#[tokio::test]
async fn the_calls_it_prints_work_word_for_word() {
    let place = Place::new();
    let up = place.start(&[]).await;
    if !has("curl") {
        up.stop("INT").await;
        return skip("there is no curl");
    }
    let (_before, block) = up.report.split_once("A first call").unwrap();
    let (_title, block) = block.split_once('\n').unwrap();
    let (block, _after) = block.split_once("Ctrl-C").unwrap();
    let printed = sh(&place, block).await;
    assert!(printed["handle"].as_str().unwrap().starts_with("ada_"), "{printed}");

    // Those of the README are the same, on the ports of everybody.
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap_or_default();
    let blocks = readme.split("```").skip(1).step_by(2);
    let calls: Vec<_> = blocks.filter(|block| block.contains("accounts:signUp")).collect();
    assert_eq!(calls.len(), 1, "the README has one");
    for call in calls {
        let (_language, call) = call.split_once('\n').unwrap();
        let call = ["127.0.0.1", "localhost"].iter().fold(call.to_owned(), |call, host| {
            call.replace(&format!("{host}:8080"), &up.address.to_string())
                .replace(&format!("{host}:9099"), &up.issuer.to_string())
        });
        // Within a second its handle is that of the first.
        let call = call.replace("ada_", "eva_");
        let answer = sh(&place, &call).await;
        assert!(answer["handle"].is_string(), "{call}\n{answer}");
    }
    up.stop("INT").await;
}

#[tokio::test]
async fn it_says_how_firebases_sdks_connect_and_how_its_key_is_changed() {
    let place = Place::new();
    let up = place.start(&[]).await;
    let issuer = up.issuer;
    let connect = format!("connectAuthEmulator(auth, \"http://{issuer}\")   projectId: mayfly-dev");
    assert!(up.report.contains(&connect), "{}", up.report);
    assert!(up.report.contains(&format!("FIREBASE_AUTH_EMULATOR_HOST={issuer} ")));
    if !has("curl") {
        up.stop("INT").await;
        return skip("there is no curl");
    }
    let account = up.accounts("signUp", "ada@example.com").await;
    let ada = up.person(&account);
    assert_eq!(ada.json("GetProfile", &json!({})).await.0, 404, "its key is known");

    let rotate = up.report.lines().find(|line| line.contains("keys:rotate")).unwrap();
    let (first, second) = (sh(&place, rotate).await, sh(&place, rotate).await);
    assert!(first["kid"].is_string() && first["kid"] != second["kid"], "{first} {second}");
    let again = up.accounts("signInWithPassword", "ada@example.com").await;
    for person in [ada, up.person(&again)] {
        assert_eq!(person.json("GetProfile", &json!({})).await.0, 404, "both are believed");
    }

    // What would come by email is told where it runs.
    let path = "/v1/accounts:sendOobCode?key=any";
    let ask = json!({ "requestType": "PASSWORD_RESET", "email": "ada@example.com" }).to_string();
    let nobody = Person::new(up.issuer, "nobody", None);
    assert_eq!(nobody.post(path, ask, &[]).await.status, 200);
    let is_told = || up.program.stdout().contains("mode=resetPassword").then_some(());
    eventually(5, "the link is told", is_told).await;
    up.stop("INT").await;
}

#[tokio::test]
async fn however_it_ends_nothing_of_it_is_left() {
    let place = Place::new();
    for signal in ["INT", "TERM", "KILL", "INT"] {
        // Also right after it was killed, while its Postgres is still on its way out.
        let mut up = place.start(&[]).await;
        let groups = place.groups(up.program.pid());
        assert!(groups.len() >= 2, "its own, and that of Postgres: {groups:?}");
        assert_eq!(place.sockets().len(), 1);
        up.program.signal(signal);
        let ended = up.program.end(secs(5)).await;
        if signal == "KILL" {
            assert_eq!(ended.signal(), Some(9));
            continue;
        }
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert_eq!(place.sockets().len(), 0, "{signal}");
        assert!(!place.data().join("postgres/postmaster.pid").exists());
        // The watchdog may be in the middle of a nap of a tenth of a second.
        let is_gone = || (alive_in(&groups) == 0).then_some(());
        eventually(1, "its processes are gone", is_gone).await;
    }
    let up = place.start(&[]).await;
    let groups = place.groups(up.program.pid());
    up.program.signal("KILL");
    drop(up);
    eventually(10, "all is gone", || {
        (alive_in(&groups) == 0 && place.sockets().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn told_to_stop_while_it_starts_it_leaves_nothing() {
    for (signal, moment) in [("INT", "making"), ("TERM", "start")] {
        let place = Place::new();
        let mut program = Program::start(&mut place.command(&[]));
        let data = place.data();
        let is_there = || match moment {
            "making" => program.stderr().contains("making a database cluster").then_some(()),
            _ => data.join("postgres/postmaster.pid").exists().then_some(()),
        };
        eventually(20, moment, is_there).await;
        let group = [program.pid()];
        program.signal(signal);
        let ended = program.end(secs(15)).await;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        tell(&format!("stopped while it starts ({moment}) in {:.1?}", ended.took));
        assert_eq!(alive_in(&group), 0, "{moment}");
        eventually(1, "Postgres is gone", || place.alive().is_empty().then_some(())).await;
        assert!(place.sockets().is_empty(), "{:?}", place.sockets());
        let entries: Vec<_> =
            fs::read_dir(data).unwrap().map(|one| one.unwrap().file_name()).collect();
        let unfinished = |name: &&std::ffi::OsString| name.to_string_lossy().contains(".new-");
        assert_eq!(entries.iter().find(unfinished), None);
    }
}

#[tokio::test]
async fn a_second_one_on_the_same_data_is_told_so() {
    let place = Place::new();
    let up = place.start(&[]).await;
    for option in ["--fresh", "--port=0"] {
        let second = place.fails(&[option]).await;
        assert_eq!(second.code(), Some(69), "{second:?}");
        let process = format!("process {}", up.program.pid());
        for word in [process.as_str(), "--data", place.data().to_str().unwrap()] {
            assert!(second.stderr.contains(word), "{word}: {second:?}");
        }
    }
    let account = up.accounts("signUp", "ada@example.com").await;
    let (status, _body) = up.person(&account).json("GetProfile", &json!({})).await;
    assert_eq!(status, 404, "the first goes on");
    up.stop("INT").await;
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_option_that_chooses_another() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for option in ["--port", "--issuer-port", "--internal-port"] {
        let ended = place.fails(&[option, &port.to_string()]).await;
        assert_eq!(ended.code(), Some(69), "{ended:?}");
        let (port, named) = (port.to_string(), format!("with {option}\n"));
        assert!(ended.stderr.contains(&port) && ended.stderr.ends_with(&named), "{ended:?}");
    }
    drop(taken);
    let port = port.to_string();
    for (one, other) in [("--port", "--internal-port"), ("--issuer-port", "--port")] {
        let ended = place.fails(&[one, &port, other, &port]).await;
        assert_eq!(ended.code(), Some(69), "one port for two: {ended:?}");
    }
    assert!(!place.data().join("postgres").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_database_elsewhere_is_left_alone_unless_it_is_meant() {
    let place = Place::new();
    for (url, code, word) in [
        ("postgres://me:hunter2@db.example.com/mayfly", 64, "--remote-database"),
        ("postgres://me:hunter2@10.0.0.1/mayfly", 64, "--remote-database"),
        ("postgres://me:hunter2@localhost.example.com/mayfly", 64, "--remote-database"),
        ("postgres://me:hunter2@localhost/mayfly?host=db.example.com", 64, "--remote-database"),
        ("mysql://me:hunter2@localhost/mayfly", 78, "DATABASE_URL"),
        ("postgres://me:hunter2@localhost:port/mayfly", 78, "DATABASE_URL"),
        ("", 78, "DATABASE_URL"),
        // On this machine, and not there.
        ("postgres://me:hunter2@127.0.0.1:1/mayfly", 69, "database"),
    ] {
        let mut command = place.command(&[]);
        let ended = Program::run(command.env("DATABASE_URL", url), secs(10)).await;
        assert_eq!(ended.code(), Some(code), "{url}: {ended:?}");
        assert!(ended.stderr.contains(word), "{url}: {ended:?}");
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    }
    // Nor is it reached by the way that leads past a pooler.
    let mut command = place.command(&[]);
    let direct = "postgres://me:hunter2@db.example.com/mayfly";
    command.env("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/mayfly");
    let ended = Program::run(command.env("DATABASE_DIRECT_URL", direct), secs(10)).await;
    assert_eq!(ended.code(), Some(64), "{ended:?}");
    assert!(ended.stderr.contains("DATABASE_DIRECT_URL is not on this machine"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");

    let mut command = place.command(&["--fresh"]);
    let url = "postgres://me:hunter2@localhost/mayfly";
    let ended = Program::run(command.env("DATABASE_URL", url), secs(10)).await;
    assert_eq!(ended.code(), Some(64), "{ended:?}");
    assert!(ended.stderr.contains("--fresh"), "{ended:?}");
}

#[tokio::test]
async fn what_it_does_not_know_is_a_wrong_use() {
    let place = Place::new();
    for options in
        [&["--prot", "1"][..], &["--port"], &["--port", "65536"], &["fresh"], &["--data"]]
    {
        let mut command = command(DEV);
        let ended =
            Program::run(command.args(options).current_dir(place.dir.path()), ENDS_MAX).await;
        assert_eq!(ended.code(), Some(64), "{ended:?}");
        assert!(ended.stderr.contains(options[0]), "{ended:?}");
    }
    let ended = Program::run(command(DEV).arg("--help"), ENDS_MAX).await;
    assert_eq!(ended.code(), Some(0));
    for option in
        ["--fresh", "--watch", "--port", "--issuer-port", "--internal-port", "--remote-database"]
    {
        assert!(ended.stdout.contains(option), "{option} in {ended:?}");
    }
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        // Postgres does not run as root, and must be able to enter.
        let dir = tempfile::Builder::new().prefix("mayfly-dev-").tempdir().unwrap();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir(dir.path().join("tmp")).unwrap();
        open(dir.path(), 0o755);
        open(&dir.path().join("tmp"), 0o777);
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What lies where temporary files do.
    fn sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn command(&self, options: &[&str]) -> Command {
        let env = Env::of_process().unwrap();
        let mut command = command(DEV);
        for name in ["PATH", "PG_BIN"] {
            if let Some(value) = env.get(name) {
                command.env(name, value);
            }
        }
        command
            .args(["--port", "0", "--issuer-port", "0", "--internal-port", "0", "--data"])
            .arg(self.data())
            .args(options)
            .env("TMPDIR", self.dir.path().join("tmp"))
            .current_dir(self.dir.path())
            .process_group(0);
        command
    }

    async fn start(&self, options: &[&str]) -> Up {
        Up::begin(Program::start(&mut self.command(options))).await
    }

    /// Starts what is not going to run.
    async fn fails(&self, options: &[&str]) -> Ended {
        Program::run(&mut self.command(options), secs(10)).await
    }

    /// Every process that names this place, and the process groups of all of them.
    fn alive(&self) -> Vec<Process> {
        let place = self.dir.path().to_str().unwrap();
        processes().into_iter().filter(|one| !one.is_zombie && one.line.contains(place)).collect()
    }

    fn groups(&self, pid: u32) -> Vec<u32> {
        let own = processes().into_iter().filter(|one| one.pid == pid);
        let mut groups: Vec<_> = own.chain(self.alive()).map(|one| one.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

// === impl Up ===

impl Up {
    /// Waits until a platform has told where everything is.
    async fn begin(mut program: Program) -> Self {
        let last = |line: &str| line.starts_with("Ctrl-C").then_some(());
        program.line("the report", last).await;
        let (took, report) = (program.age(), program.stdout());
        let address = |what: &str| {
            let line = report.lines().find(|line| line.trim().starts_with(what)).unwrap();
            let url = line.split_whitespace().nth(1).unwrap();
            url.strip_prefix("http://").unwrap().parse().unwrap()
        };
        let (address, issuer) = (address("functions"), address("issuer"));
        Self { program, address, issuer, report, took }
    }

    /// Asks the issuer as Firebase's clients do.
    async fn accounts(&self, method: &str, email: &str) -> Answer {
        let path = format!("/identitytoolkit.googleapis.com/v1/accounts:{method}?key=any");
        let body =
            json!({ "email": email, "password": "correct horse", "returnSecureToken": true });
        let nobody = Person::new(self.issuer, "nobody", None);
        nobody.post(&path, body.to_string(), &[("content-type", "application/json")]).await
    }

    /// Whoever has that account.
    fn person(&self, account: &Answer) -> Person {
        let token = account.body["idToken"].as_str().unwrap();
        Person::new(self.address, "ada", Some(token.to_owned()))
    }

    /// Has roles be read by `auth` as the issuer's administrator, and a function have its own token.
    async fn administers(&self, account: &Answer) {
        let json = ("content-type", "application/json");
        let user_id = &account.body["localId"];
        let claims = json!({ "localId": user_id, "customAttributes": "{\"roles\":[\"admin\"]}" });
        let owner = Person::new(self.issuer, "owner", Some("owner".to_owned()));
        let path = "/identitytoolkit.googleapis.com/v1/projects/mayfly-dev/accounts:update";
        let set = owner.post(path, claims.to_string(), &[json]).await;
        assert_eq!(set.status, 200, "{set:?}");
        let admin = self.person(&self.accounts("signInWithPassword", "ada@example.com").await);
        let asked = json!({ "userId": user_id }).to_string();
        let roles = admin.post("/mayfly.auth.v1.AuthService/GetRoles", asked, &[json]).await;
        assert_eq!((roles.status, &roles.body["roles"]), (200, &json!(["admin"])), "{roles:?}");

        let asked = json!({ "sub": "auth", "aud": "user" }).to_string();
        let nobody = Person::new(self.issuer, "auth", None);
        let token = nobody.post("/v1/tokens/oidc", asked, &[json]).await;
        assert_eq!(token.status, 200, "{token:?}");
    }

    async fn stop(mut self, signal: &str) {
        self.program.signal(signal);
        let ended = self.program.end(secs(5)).await;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
}

/// How many processes of these groups live.
fn alive_in(groups: &[u32]) -> usize {
    let is_in = |one: &Process| !one.is_zombie && groups.contains(&one.group);
    processes().into_iter().filter(is_in).count()
}

#[expect(clippy::print_stderr, reason = "figures for whoever reads the run")]
fn tell(figure: &str) {
    eprintln!("cargo dev: {figure}");
}

/// Runs a text as it was printed; it answers in JSON.
async fn sh(place: &Place, text: &str) -> Value {
    let mut command = command("/bin/sh");
    let env = Env::of_process().unwrap();
    command.args(["-c", text]).env("PATH", env.get("PATH").unwrap_or_default());
    let ended = Program::run(command.current_dir(place.dir.path()), secs(20)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    // `curl -i` tells the headers first.
    let body = ended.stdout.rsplit("\r\n\r\n").next().unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{ended:?}"))
}

fn has(program: &str) -> bool {
    let found = Command::new("/bin/sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}

fn processes() -> Vec<Process> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,pgid=,stat=,args="]).output().unwrap();
    let read = |line: &str| {
        let mut columns = line.split_whitespace();
        let (pid, group) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
        let is_zombie = columns.next()?.starts_with('Z');
        Some(Process { pid, group, is_zombie, line: line.to_owned() })
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(read).collect()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
