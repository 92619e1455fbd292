//! What the fly.toml of a function of ours must say, beyond being one.

use std::{collections::BTreeSet, time::Duration};

use settings::Declared;
use toml::{Table, Value};

use crate::{Faults, duration, keys};

/// What the drain needs beside its own span: the last answers, and the runtime's end.
const END_SECS: u64 = 2;

/// Names beside the settings that a process understands.
const OTHER_NAMES: [&str; 3] = ["MAYFLY_CONFIG", "RUST_BACKTRACE", "TZ"];

/// Settings whose values are secrets: they never stand in a file.
const SECRETS: [&str; 4] =
    ["DATABASE_URL", "DATABASE_DIRECT_URL", "FIREBASE_API_KEY", "FIREBASE_SERVICE_ACCOUNT"];

/// A fly.toml that is good.
#[derive(Clone, Debug)]
pub struct App {
    /// All of it.
    pub table: Table,
}

/// Checks the fly.toml of the function called `name`, whose process reads these settings.
pub fn function(text: &str, name: &str, settings: &[Declared]) -> Result<App, Faults> {
    let table = keys(text)?;
    let app = App { table };
    let mut faults = Faults::default();
    let demands = Demands { app: &app, settings };
    demands.whole(&mut faults);
    demands.build(name, &mut faults);
    demands.env(&mut faults);
    demands.end(&mut faults);
    demands.deploy(&mut faults);
    demands.machine(&mut faults);
    demands.metrics(&mut faults);
    match (app.section("http_service"), app.sections("services").as_slice()) {
        (Some(service), []) => {
            demands.service(service, "http_service", "checks", &mut faults);
            demands.public(service, &mut faults);
        }
        (None, [service]) => {
            demands.service(service, "services", "http_checks", &mut faults);
            private(service, &mut faults);
        }
        (None, []) => faults.add("http_service", "is missing: nobody could call the function"),
        _ => faults.add("services", "is one too many: all of a function is on one port"),
    }
    faults.none().map(|()| app)
}

/// Checks that exactly one of the apps that share a database migrates it.
pub fn platform(apps: &[(&str, &App)]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let migrating: Vec<_> = apps.iter().filter(|(_, app)| app.migrates()).collect();
    match migrating.as_slice() {
        [_one] => {}
        [] => faults.add("deploy.release_command", "is missing: one app must migrate"),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| *name).collect();
            faults.add(
                "deploy.release_command",
                format!("is in {}: one app migrates", names.join(", ")),
            );
        }
    }
    faults.none()
}

// === impl App ===

impl App {
    /// Whether apps reach it; otherwise only other functions do.
    pub fn is_public(&self) -> bool {
        self.table.contains_key("http_service")
    }

    /// Whether its release migrates the database.
    pub fn migrates(&self) -> bool {
        self.text("deploy", "release_command").is_some()
    }

    /// The names and values of `[env]`.
    pub fn env(&self) -> Vec<(&str, String)> {
        let value = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => other.as_bool().unwrap_or_default().to_string(),
        };
        let env = self.section("env").into_iter().flatten();
        env.map(|(name, given)| (name.as_str(), value(given))).collect()
    }

    fn section(&self, name: &str) -> Option<&Table> {
        self.table.get(name)?.as_table()
    }

    fn text(&self, section: &str, name: &str) -> Option<&str> {
        self.section(section)?.get(name)?.as_str()
    }

    fn sections(&self, name: &str) -> Vec<&Table> {
        match self.table.get(name) {
            Some(Value::Table(table)) => vec![table],
            Some(Value::Array(tables)) => tables.iter().filter_map(Value::as_table).collect(),
            _ => Vec::new(),
        }
    }
}

/// The demands, and what they are made of.
struct Demands<'a> {
    app: &'a App,
    settings: &'a [Declared],
}

impl Demands<'_> {
    /// What is left to the command, or rules something else out.
    fn whole(&self, faults: &mut Faults) {
        let table = &self.app.table;
        for (name, why) in [
            ("app", "comes from the command: one file serves every environment"),
            ("primary_region", "comes from the command: one file serves every environment"),
            ("swap_size_mb", "rules out suspending"),
            ("mounts", "rules out bluegreen"),
            ("mount", "rules out bluegreen"),
            ("processes", "is not needed: an image is one function"),
            ("files", "is not needed, and its encoding differs between documents and source"),
            ("compute", "is an alias: write [[vm]]"),
            ("computes", "is an alias: write [[vm]]"),
        ] {
            faults.demand(!table.contains_key(name), name, why);
        }
    }

    fn build(&self, name: &str, faults: &mut Faults) {
        let file = self.app.text("build", "dockerfile") == Some("../Dockerfile");
        let told = "must be \"../Dockerfile\": it is looked up beside the fly.toml";
        faults.demand(file, "build.dockerfile", told);
        let args = self.app.section("build").and_then(|build| build.get("args"));
        let function = args.and_then(|args| args.get("FUNCTION")).and_then(Value::as_str);
        faults.demand(function == Some(name), "build.args.FUNCTION", &format!("must be {name:?}"));
    }

    fn env(&self, faults: &mut Faults) {
        let known: BTreeSet<_> =
            self.settings.iter().map(|one| one.name).chain(OTHER_NAMES).collect();
        for (name, _value) in self.app.env() {
            let place = format!("env.{name}");
            if SECRETS.contains(&name) {
                faults.add(&place, "is a secret: `flyctl secrets import` sets it");
            } else if !known.contains(name) {
                faults.add(&place, "is no setting of a function");
            }
        }
        let listen = self.setting("LISTEN_ADDR").is_none_or(|text| text.starts_with("[::]:"));
        faults.demand(listen, "env.LISTEN_ADDR", "must be on [::], for both the proxy and 6PN");
        let metrics = self.setting("METRICS_ADDR").is_none_or(|text| text.starts_with("[::]:"));
        faults.demand(metrics, "env.METRICS_ADDR", "must be on [::], or Fly cannot read it");
    }

    /// How a machine is told to stop, and how long it may take.
    fn end(&self, faults: &mut Faults) {
        let signal = self.app.table.get("kill_signal").and_then(Value::as_str);
        let drains = matches!(signal, Some("SIGINT" | "SIGTERM"));
        faults.demand(drains, "kill_signal", "must be \"SIGTERM\" or \"SIGINT\", which drain");
        let drain = self.setting("DRAIN_SECS").and_then(|secs| secs.parse::<u64>().ok());
        let drain = drain.unwrap_or_default();
        let least = Duration::from_secs(drain + END_SECS);
        let given = self.app.table.get("kill_timeout").and_then(Value::as_str).and_then(duration);
        let told = format!("must be {} s at least: DRAIN_SECS is {drain}", least.as_secs());
        faults.demand(given.is_some_and(|given| given >= least), "kill_timeout", &told);
    }

    fn deploy(&self, faults: &mut Faults) {
        let strategy = self.app.text("deploy", "strategy") == Some("bluegreen");
        let told = "must be \"bluegreen\": the others update sleeping machines without trying them";
        faults.demand(strategy, "deploy.strategy", told);
        let command = self.app.text("deploy", "release_command");
        let migrates = command.is_none_or(|command| command == "migrate");
        faults.demand(migrates, "deploy.release_command", "must be \"migrate\", or absent");
        let bounded =
            command.is_none() || self.app.text("deploy", "release_command_timeout").is_some();
        faults.demand(
            bounded,
            "deploy.release_command_timeout",
            "is missing: migrating needs a bound",
        );
    }

    fn machine(&self, faults: &mut Faults) {
        let sections = self.app.sections("vm");
        let [vm] = sections.as_slice() else {
            return faults.add("vm", "must be there once");
        };
        faults.demand(vm.contains_key("size"), "vm.size", "is missing");
        // Machines with more memory than that are stopped instead of suspended.
        let large = vm.get("memory").and_then(Value::as_str).and_then(megabytes);
        let told = "must be there, and 2 GB at the most: a larger machine is not suspended";
        faults.demand(large.is_some_and(|megabytes| megabytes <= 2048), "vm.memory", told);
    }

    fn metrics(&self, faults: &mut Faults) {
        let sections = self.app.sections("metrics");
        let [metrics] = sections.as_slice() else {
            return faults.add("metrics", "must be there once: only the first is read");
        };
        let port = metrics.get("port").and_then(Value::as_integer);
        let expected = self.port("METRICS_ADDR");
        let told = format!("must be that of METRICS_ADDR, {}", expected.unwrap_or_default());
        faults.demand(port == expected, "metrics.port", &told);
        let path = metrics.get("path").and_then(Value::as_str);
        faults.demand(path == Some("/metrics"), "metrics.path", "must be \"/metrics\"");
    }

    /// What holds for a service, public or not.
    fn service(&self, service: &Table, place: &str, checks: &str, faults: &mut Faults) {
        let at = |name: &str| format!("{place}.{name}");
        let port = service.get("internal_port").and_then(Value::as_integer);
        let expected = self.port("LISTEN_ADDR");
        let told = format!("must be that of LISTEN_ADDR, {}", expected.unwrap_or_default());
        faults.demand(port == expected, &at("internal_port"), &told);

        let stop = service.get("auto_stop_machines").and_then(Value::as_str) == Some("suspend");
        faults.demand(stop, &at("auto_stop_machines"), "must be \"suspend\"");
        let start = service.get("auto_start_machines").and_then(Value::as_bool) == Some(true);
        faults.demand(start, &at("auto_start_machines"), "must be true: nothing else wakes it");
        let running = service.contains_key("min_machines_running");
        faults.demand(running, &at("min_machines_running"), "is missing");
        concurrency(service, &at("concurrency"), faults);
        health(service.get(checks), &at(checks), faults);
    }

    fn public(&self, service: &Table, faults: &mut Faults) {
        let https = service.get("force_https").and_then(Value::as_bool) == Some(true);
        faults.demand(https, "http_service.force_https", "must be true");
        http2(service, "http_service.http_options", faults);
        let idle = service.get("http_options").and_then(|options| options.get("idle_timeout"));
        let keepalive = self.setting("KEEPALIVE_SECS").and_then(|secs| secs.parse().ok());
        let quiet = idle.and_then(Value::as_integer).is_some_and(|idle| Some(idle) > keepalive);
        let told = "must be longer than KEEPALIVE_SECS: streams may be silent for that long";
        faults.demand(quiet, "http_service.http_options.idle_timeout", told);
        let alpn = service.get("tls_options").and_then(|options| options.get("alpn"));
        let offered = alpn.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let both = ["h2", "http/1.1"].iter().all(|one| offered.contains(&Value::from(*one)));
        faults.demand(both, "http_service.tls_options.alpn", "must offer \"h2\" and \"http/1.1\"");
    }

    /// What a setting is on Fly: the file's, or its default.
    fn setting(&self, name: &str) -> Option<String> {
        let given = self.app.env().into_iter().find(|(given, _)| *given == name);
        let declared = || self.settings.iter().find(|one| one.name == name);
        given.map(|(_, value)| value).or_else(|| Some(declared()?.default.clone()))
    }

    fn port(&self, name: &str) -> Option<i64> {
        self.setting(name)?.rsplit(':').next()?.parse().ok()
    }
}

/// What only Flycast reaches: plain HTTP, on port 80.
fn private(service: &Table, faults: &mut Faults) {
    let ports = match service.get("ports") {
        Some(Value::Array(ports)) => ports.iter().filter_map(Value::as_table).collect(),
        Some(Value::Table(port)) => vec![port],
        _ => Vec::new(),
    };
    let [port] = ports.as_slice() else {
        return faults.add("services.ports", "must be there once");
    };
    let number = port.get("port").and_then(Value::as_integer);
    faults.demand(number == Some(80), "services.ports.port", "must be 80: Flycast is plain HTTP");
    let handlers = port.get("handlers").and_then(Value::as_array).map(Vec::as_slice);
    let http = handlers == Some(&[Value::from("http")]);
    faults.demand(http, "services.ports.handlers", "must be [\"http\"]");
    let plain = port.get("force_https").and_then(Value::as_bool) != Some(true);
    faults.demand(plain, "services.ports.force_https", "must not be: Flycast is plain HTTP");
    http2(port, "services.ports.http_options", faults);
}

/// gRPC needs HTTP/2 up to the function, and trailers that no compression drops.
fn http2(section: &Table, place: &str, faults: &mut Faults) {
    let option = |name: &str| section.get("http_options").and_then(|options| options.get(name));
    let h2 = option("h2_backend").and_then(Value::as_bool) == Some(true);
    faults.demand(h2, &format!("{place}.h2_backend"), "must be true: gRPC is HTTP/2");
    let plain = option("compress").and_then(Value::as_bool) == Some(false);
    let told = "must be false: the function compresses by itself";
    faults.demand(plain, &format!("{place}.compress"), told);
}

fn concurrency(service: &Table, place: &str, faults: &mut Faults) {
    let limit = |name: &str| service.get("concurrency").and_then(|limits| limits.get(name));
    let kind = limit("type").and_then(Value::as_str) == Some("requests");
    let told = "must be \"requests\": an idle connection would keep the machine awake";
    faults.demand(kind, &format!("{place}.type"), told);
    let soft = limit("soft_limit").and_then(Value::as_integer);
    let hard = limit("hard_limit").and_then(Value::as_integer);
    faults.demand(soft.is_some(), &format!("{place}.soft_limit"), "is missing: the default is 20");
    let told = "must be there, and above soft_limit";
    faults.demand(hard > soft, &format!("{place}.hard_limit"), told);
}

/// The check that decides about routing.
fn health(checks: Option<&Value>, place: &str, faults: &mut Faults) {
    let first = match checks {
        Some(Value::Array(checks)) => checks.first().and_then(Value::as_table),
        Some(Value::Table(check)) => Some(check),
        _ => None,
    };
    let Some(check) = first else {
        return faults.add(place, "is missing: bluegreen and routing need one");
    };
    let text = |name: &str| check.get(name).and_then(Value::as_str);
    let path = text("path") == Some("/healthz");
    faults.demand(path, &format!("{place}.path"), "must be \"/healthz\"");
    let get = text("method") == Some("GET");
    faults.demand(get, &format!("{place}.method"), "must be \"GET\"");
    faults.demand(text("grace_period").is_some(), &format!("{place}.grace_period"), "is missing");
    let span = |name: &str| text(name).and_then(duration);
    let apart = span("timeout").is_some() && span("interval") > span("timeout");
    let told = "must be there, and longer than timeout";
    faults.demand(apart, &format!("{place}.interval"), told);
}

fn megabytes(amount: &str) -> Option<u64> {
    let lower = amount.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    Some(if lower.ends_with("gb") || lower.ends_with('g') { number * 1024 } else { number })
}
