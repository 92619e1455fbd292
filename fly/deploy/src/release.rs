//! Brings a release up, and the one before back if it does not hold.

use crate::{
    command::{Stop, tell},
    files::{self, Source, commit, path_of, rendered, required_secrets},
    flyctl::{Flyctl, Outcome, Signals, shown},
    machines::{APPS, Machine, has_app, image, machines, secrets},
    options::Options,
    probe::probe,
};

/// What a deploy is about.
struct Release<'o> {
    options: &'o Options,
    source: Source,
    app: String,
    flyctl: Flyctl,
}

/// What ran before.
struct Before {
    machines: Vec<Machine>,
    image: Option<String>,
    /// The file it runs under, as Fly kept it.
    has_file: bool,
    region: Option<String>,
}

/// Deploys one function: checks, app, secrets, then flyctl, which migrates first, then the probe.
pub(crate) async fn deploy(options: &Options, signals: &mut Signals) -> Result<(), Stop> {
    let release = Release::of(options)?;
    if options.is_dry_run {
        return release.show();
    }
    release.make_app(signals).await?;
    release.check_secrets(signals).await?;
    let before = release.before(signals).await?;
    let region = options.region.clone().or_else(|| before.region.clone());
    let region = region.ok_or_else(|| {
        Stop::usage(format!("{} is new: name its primary region with --region", release.app))
    })?;
    let path = release.write(Some(&region))?;
    let call = release.call(&path);
    let call: Vec<_> = call.iter().map(String::as_str).collect();

    tell(&format!("deploying {}: {}", release.app, shown(&call)));
    match release.flyctl.tell(&call, signals).await? {
        Outcome::Done => {}
        Outcome::Failed => return release.failed(&before, &path, signals).await,
        Outcome::Interrupted(code) => {
            return Err(release.interrupted(&before, code, signals).await);
        }
    }
    match release.probe(signals).await? {
        Ok(()) => {
            tell(&format!("{} serves", release.app));
            Ok(())
        }
        Err(told) => {
            let told = format!("the new release of {} does not serve: {told}", release.app);
            release.go_back(&before, &path, told, signals).await
        }
    }
}

/// Deploys an image that ran before.
pub(crate) async fn rollback(options: &Options, signals: &mut Signals) -> Result<(), Stop> {
    let release = Release::of(options)?;
    let image = options.image.as_deref().unwrap_or_default();
    if options.is_dry_run {
        let path = release.write(options.region.as_deref())?;
        tell(&shown(&release.call_back(&path, image)));
        return Ok(());
    }
    let before = release.before(signals).await?;
    let region = options.region.clone().or_else(|| before.region.clone());
    let path = release.write(region.as_deref())?;
    let call = release.call_back(&path, image);
    tell(&format!("rolling {} back: {}", release.app, shown(&call)));
    match release.flyctl.tell(&call, signals).await? {
        Outcome::Done => {}
        Outcome::Failed => {
            return Err(Stop::failed("flyctl deploy failed; see `cargo fly status`"));
        }
        Outcome::Interrupted(code) => {
            return Err(Stop::interrupted(code, "see `cargo fly status`"));
        }
    }
    release.probe(signals).await?.map_err(Stop::failed)?;
    tell(&format!("{} serves", release.app));
    Ok(())
}

impl<'o> Release<'o> {
    fn of(options: &'o Options) -> Result<Self, Stop> {
        let root = files::root();
        let function = options.function.clone().unwrap_or_default();
        if !root.join(format!("fly/{function}.toml")).is_file() || function.contains(['/', '.']) {
            return Err(Stop::usage(format!("there is no fly/{function}.toml")));
        }
        // One wrong file is enough: what is deployed is deployed from a good tree.
        let sources = files::sources(&root).map_err(Stop::config)?;
        let source = sources.into_iter().find(|source| source.function == function);
        let source =
            source.ok_or_else(|| Stop::usage(format!("there is no fly/{function}.toml")))?;
        let (app, flyctl) =
            (options.app(&function), Flyctl { program: options.flyctl.clone(), root });
        Ok(Self { options, source, app, flyctl })
    }

    async fn make_app(&self, signals: &mut Signals) -> Result<(), Stop> {
        if has_app(&self.flyctl, &self.app, signals).await? {
            return Ok(());
        }
        self.flyctl.ask(&self.call_create(), signals).await?;
        tell(&format!("made the app {}", self.app));
        Ok(())
    }

    async fn check_secrets(&self, signals: &mut Signals) -> Result<(), Stop> {
        let given = secrets(&self.flyctl, &self.app, signals).await?;
        let required = required_secrets(&self.source);
        let missing: Vec<_> =
            required.into_iter().filter(|name| !given.iter().any(|one| one == name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Stop::config(format!(
            "{app} has no {missing}: put them as NAME=VALUE into a file that is not kept, then\n  \
             flyctl secrets import --app {app} --stage < that-file",
            app = self.app,
            missing = missing.join(" and no ")
        )))
    }

    async fn before(&self, signals: &mut Signals) -> Result<Before, Stop> {
        let machines = machines(&self.flyctl, &self.app, signals).await?;
        let mut before =
            Before { image: image(&machines), machines, has_file: false, region: None };
        if before.image.is_some() {
            let file = self.flyctl.ask(&self.call_config(), signals).await?;
            let table = file.parse::<toml::Table>().map_err(|_not_toml| {
                Stop::unavailable("flyctl config show has not answered with TOML")
            })?;
            let region = table.get("primary_region").and_then(toml::Value::as_str);
            before.region = region.map(str::to_owned);
            files::write(&self.flyctl.root, &path_of(&self.app, ".before"), &file)?;
            before.has_file = true;
        }
        Ok(before)
    }

    /// Writes the file that flyctl is given, and tells its path.
    fn write(&self, region: Option<&str>) -> Result<String, Stop> {
        let path = path_of(&self.app, "");
        let table = rendered(&self.source, self.options, region);
        files::write(&self.flyctl.root, &path, &table.to_string())?;
        Ok(path)
    }

    /// flyctl has failed. What runs now tells whether anything was deployed.
    async fn failed(&self, before: &Before, path: &str, signals: &mut Signals) -> Result<(), Stop> {
        let after = machines(&self.flyctl, &self.app, signals).await?;
        let old: Vec<_> = before.machines.iter().map(|machine| &machine.image).collect();
        if after.iter().all(|machine| old.contains(&&machine.image)) {
            return Err(Stop::failed(format!(
                "flyctl deploy failed, and nothing of {} was deployed: what ran before still runs",
                self.app
            )));
        }
        let told = format!("flyctl deploy failed after it had begun to replace {}", self.app);
        self.go_back(before, path, told, signals).await
    }

    /// Deploys what ran before. Always ends in an error: the release did not hold.
    async fn go_back(
        &self,
        before: &Before,
        path: &str,
        told: String,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        let Some(image) = &before.image else {
            return Err(Stop::failed(format!(
                "{told}\nit was the first release: there is none to go back to"
            )));
        };
        tell(&format!("{told}\nrolling {} back to {image}", self.app));
        let kept = path_of(&self.app, ".before");
        let path = if before.has_file { &kept } else { path };
        match self.flyctl.tell(&self.call_back(path, image), signals).await? {
            Outcome::Done => {}
            Outcome::Failed => {
                return Err(Stop::failed(format!(
                    "{told}\nand rolling back failed; see `cargo fly status`"
                )));
            }
            Outcome::Interrupted(code) => {
                return Err(Stop::interrupted(code, "while rolling back; see `cargo fly status`"));
            }
        }
        let state = match self.probe(signals).await? {
            Ok(()) => "which serves".to_owned(),
            Err(told) => format!("which does not serve either: {told}"),
        };
        Err(Stop::failed(format!("{told}\nrolled back to {image}, {state}")))
    }

    async fn interrupted(&self, before: &Before, code: u8, signals: &mut Signals) -> Stop {
        let state = match machines(&self.flyctl, &self.app, signals).await {
            Ok(after)
                if after
                    .iter()
                    .map(|one| &one.image)
                    .eq(before.machines.iter().map(|one| &one.image)) =>
            {
                "nothing was deployed".to_owned()
            }
            Ok(_) => format!(
                "some machines of {} may run the new image; deploy again, or go back with\n  cargo fly \
                 rollback {} --image {}",
                self.app,
                self.source.function,
                before.image.as_deref().unwrap_or("..")
            ),
            Err(_unknown) => "see `cargo fly status`".to_owned(),
        };
        Stop::interrupted(code, &state)
    }

    /// Whether it serves; the outer error is a signal.
    async fn probe(&self, signals: &mut Signals) -> Result<Result<(), String>, Stop> {
        if !self.source.app.is_public() && self.options.url.is_none() {
            tell("reached through Flycast only, so Fly's own checks are what tried it");
            return Ok(Ok(()));
        }
        let url = self.url();
        tokio::select! {
            outcome = probe(&url, self.options.probe_max) => Ok(outcome.map(|_took| ())),
            code = signals.next() => Err(Stop::interrupted(code, "deployed, and not probed to its end")),
        }
    }

    fn url(&self) -> String {
        self.options.url.clone().unwrap_or_else(|| format!("https://{}.fly.dev", self.app))
    }

    /// Prints every call that a deploy may make.
    fn show(&self) -> Result<(), Stop> {
        let path = self.write(self.options.region.as_deref())?;
        let app = self.app.as_str();
        let call = self.call(&path);
        let call: Vec<_> = call.iter().map(String::as_str).collect();
        let before = path_of(app, ".before");
        let required = required_secrets(&self.source).join(", ");
        tell(&shown(&APPS));
        tell(&format!("# if {app} is not there:\n{}", shown(&self.call_create())));
        tell(&shown(&["secrets", "list", "--app", app, "--json"]));
        tell(&format!("# ends here unless it has {required}"));
        tell(&shown(&["machine", "list", "--app", app, "--json"]));
        tell(&format!("# if it has machines, kept as {before}:\n{}", shown(&self.call_config())));
        tell(&shown(&call));
        tell(&format!("# GET {0}/healthz, then grpc.health.v1 at {0}; if that fails:", self.url()));
        tell(&shown(&self.call_back(&before, "IMAGE-THAT-RAN-BEFORE")));
        Ok(())
    }

    fn call_create(&self) -> [&str; 5] {
        ["apps", "create", &self.app, "--org", &self.options.org]
    }

    fn call_config(&self) -> [&str; 5] {
        ["config", "show", "--app", &self.app, "--toml"]
    }

    fn call(&self, path: &str) -> Vec<String> {
        let mut call = vec!["deploy", ".", "--app", &self.app, "--config", path];
        // A spare machine in the same region is not what makes a function available again.
        call.extend(["--ha=false", "--yes"]);
        if let Some(strategy) = &self.options.strategy {
            call.extend(["--strategy", strategy]);
        }
        if !self.source.app.is_public() {
            call.extend(["--flycast", "--no-public-ips"]);
        }
        let mut call: Vec<_> = call.into_iter().map(str::to_owned).collect();
        match (&self.options.image, commit(&self.flyctl.root)) {
            (Some(image), _) => call.extend(["--image".to_owned(), image.clone()]),
            (None, Some(commit)) => {
                let label = format!("commit-{commit}");
                let built = ["--image-label".to_owned(), label, "--build-arg".to_owned()];
                call.push("--remote-only".to_owned());
                call.extend(built.into_iter().chain([format!("COMMIT={commit}")]));
            }
            (None, None) => call.push("--remote-only".to_owned()),
        }
        call
    }

    /// Brings an image back at once. The schema stays: a binary runs on a newer one.
    fn call_back<'a>(&'a self, path: &'a str, image: &'a str) -> [&'a str; 12] {
        [
            "deploy",
            ".",
            "--app",
            &self.app,
            "--config",
            path,
            "--image",
            image,
            "--strategy=immediate",
            "--skip-release-command",
            "--ha=false",
            "--yes",
        ]
    }
}
