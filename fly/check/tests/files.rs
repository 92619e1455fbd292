//! What is refused, and what is not: a good file, and one change at a time.

use settings::Declared;

const GOOD: &str = include_str!("../../user.toml");
const FULL: &str = include_str!("full-reference.toml");

/// The settings that the files are about, as a function declares them.
fn settings() -> Vec<Declared> {
    let declared = [
        ("LISTEN_ADDR", "[::]:8080"),
        ("METRICS_ADDR", "[::]:9091"),
        ("DATABASE_URL", "required"),
        ("DRAIN_SECS", "20"),
        ("KEEPALIVE_SECS", "20"),
        ("RUST_LOG", "info"),
    ];
    let declared = declared.map(|(name, default)| Declared {
        name,
        default: default.to_owned(),
        expects: String::new(),
        about: "",
    });
    declared.into()
}

fn told(text: &str) -> String {
    let checked = check::function(text, "user", &settings());
    checked.map_or_else(|faults| faults.to_string(), |_app| String::new())
}

/// The good file with one line changed.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the file");
    GOOD.replacen(from, to, 1)
}

#[test]
fn our_file_is_good() {
    assert_eq!(told(GOOD), "");
    let app = check::function(GOOD, "user", &settings()).unwrap();
    assert!(app.is_public() && app.migrates());
}

#[test]
fn every_key_that_flyctl_reads_is_accepted() {
    let checked = check::keys(FULL);
    assert_eq!(checked.err().map(|faults| faults.to_string()), None);
}

/// Removing any key of the reference, or renaming it, is told apart: the reference is read whole.
#[test]
fn no_key_of_the_reference_is_accepted_under_another_name() {
    let mut refused = 0;
    for (number, line) in FULL.lines().enumerate() {
        let Some((name, value)) = line.split_once(" = ") else { continue };
        let section = FULL.lines().take(number).filter(|line| line.starts_with('[')).last();
        let is_free = section.is_some_and(|section| {
            ["[env]", "[processes]", "[build.args]", "[build.settings]"].contains(&section)
                || section.ends_with("headers]")
                || section.ends_with("export]")
        });
        if is_free {
            continue;
        }
        let misspelt = format!("{name}_x = {value}");
        let text: Vec<_> = FULL
            .lines()
            .enumerate()
            .map(|(at, line)| if at == number { misspelt.as_str() } else { line })
            .collect();
        let faults = check::keys(&text.join("\n")).unwrap_err().to_string();
        assert!(faults.contains(&format!("{name}_x")), "{line}: {faults}");
        refused += 1;
    }
    assert!(refused > 120, "{refused}");
}

/// A typo, a misplacement or a wrong value, and what is said about it.
const REFUSED: [(&str, &str, &str); 62] = [
    // Typos.
    ("kill_signal =", "kill_signl =", "kill_signl is no key of flyctl's: kill_signal is"),
    ("kill_timeout =", "kill_time_out =", "kill_time_out is no key of flyctl's: kill_timeout is"),
    ("dockerfile =", "docker_file =", "build.docker_file is no key of flyctl's: dockerfile is"),
    ("[build.args]", "[build.arg]", "build.arg is no key of flyctl's: args is"),
    ("strategy =", "stratgy =", "deploy.stratgy is no key"),
    ("release_command =", "relase_command =", "deploy.relase_command is no key"),
    ("[env]", "[envs]", "envs is no key of flyctl's: env is"),
    ("[http_service]\n", "[http_servce]\n", "http_servce is no key of flyctl's: http_service is"),
    ("internal_port = 8080", "internal_prt = 8080", "http_service.internal_prt is no key"),
    ("force_https =", "force_http =", "http_service.force_http is no key"),
    ("auto_stop_machines =", "auto_stop_machine =", "auto_stop_machine is no key"),
    ("auto_start_machines =", "autostart_machines =", "autostart_machines is no key"),
    ("min_machines_running =", "min_machine_running =", "min_machine_running is no key"),
    ("soft_limit =", "softlimit =", "http_service.concurrency.softlimit is no key"),
    ("h2_backend =", "h2backend =", "http_service.http_options.h2backend is no key"),
    ("alpn =", "apln =", "http_service.tls_options.apln is no key"),
    ("grace_period =", "graceperiod =", "http_service.checks.graceperiod is no key"),
    ("[metrics]", "[metric]", "metric is no key of flyctl's: metrics is"),
    ("[[vm]]", "[[vms]]", "vms is no key of flyctl's: vm is"),
    ("size =", "sizes =", "vm.sizes is no key"),
    // Keys in the wrong place.
    (
        "[http_service.concurrency]",
        "h2_backend = true\n[http_service.concurrency]",
        "http_service.h2_backend is not read there: it belongs into http_service.http_options",
    ),
    (
        "[http_service.concurrency]",
        "alpn = [\"h2\"]\n[http_service.concurrency]",
        "http_service.alpn is not read there: it belongs into http_service.tls_options",
    ),
    (
        "[http_service.concurrency]",
        "soft_limit = 1\n[http_service.concurrency]",
        "http_service.soft_limit is not read there: it belongs into http_service.concurrency",
    ),
    (
        "[http_service.concurrency]",
        "kill_timeout = \"30s\"\n[http_service.concurrency]",
        "http_service.kill_timeout is not read there: it belongs into the top",
    ),
    (
        "[http_service.concurrency]",
        "[[http_service.tcp_checks]]\n[http_service.concurrency]",
        "http_service.tcp_checks is not read there: it belongs into services",
    ),
    (
        "[http_service.concurrency]",
        "[[http_service.ports]]\n[http_service.concurrency]",
        "http_service.ports is not read there: it belongs into services",
    ),
    ("grace_period =", "port = 8080\ngrace_period =", "http_service.checks.port is not read there"),
    (
        "[metrics]",
        "[http_service.metrics]",
        "http_service.metrics is not read there: it belongs into the top",
    ),
    ("strategy =", "kill_signal = \"SIGINT\"\nstrategy =", "deploy.kill_signal is not read there"),
    (
        "kill_signal =",
        "internal_port = 1\nkill_signal =",
        "internal_port is not read there: it belongs into http_service",
    ),
    (
        "kill_signal =",
        "release_command = \"migrate\"\nkill_signal =",
        "release_command is not read there: it belongs into deploy",
    ),
    (
        "[[vm]]",
        "[[services]]\ninternal_port = 1\nhttp_options = { h2_backend = true }\n[[vm]]",
        "services.http_options is not read there: it belongs into http_service or services.ports",
    ),
    (
        "[[vm]]",
        "[[services]]\ninternal_port = 1\n[[services.grpc_checks]]\n[[vm]]",
        "services.grpc_checks is no key",
    ),
    (
        "[[vm]]",
        "[[services]]\ninternal_port = 1\n[[services.checks]]\n[[vm]]",
        "services.checks is not read there",
    ),
    (
        "[[vm]]",
        "[checks.x]\ntype = \"tcp\"\nkind = \"readiness\"\n[[vm]]",
        "checks.x.kind is no key",
    ),
    // A section for a list of them, and the other way round.
    (
        "[[http_service.checks]]",
        "[http_service.checks]",
        "http_service.checks is a list of sections: write [[http_service.checks]]",
    ),
    (
        "[http_service.concurrency]",
        "[[http_service.concurrency]]",
        "http_service.concurrency is one section: write [http_service.concurrency]",
    ),
    ("[deploy]", "[[deploy]]", "deploy is one section: write [deploy]"),
    // Missing.
    ("internal_port = 8080\n", "", "http_service.internal_port is missing"),
    ("port = 9091\n", "", "metrics.port is missing"),
    // Wrong values.
    ("kill_signal = \"SIGTERM\"", "kill_signal = \"TERM\"", "kill_signal must be one of"),
    (
        "kill_signal = \"SIGTERM\"",
        "kill_signal = \"SIGQUIT\"",
        "kill_signal must be \"SIGTERM\" or",
    ),
    ("kill_timeout = \"30s\"", "kill_timeout = 30", "kill_timeout must be a span with its unit"),
    ("kill_timeout = \"30s\"", "kill_timeout = \"301s\"", "from 0 s to 300 s"),
    (
        "kill_timeout = \"30s\"",
        "kill_timeout = \"20s\"",
        "kill_timeout must be 22 s at least: DRAIN_SECS is 20",
    ),
    (
        "LISTEN_ADDR =",
        "DRAIN_SECS = 60\nLISTEN_ADDR =",
        "kill_timeout must be 62 s at least: DRAIN_SECS is 60",
    ),
    ("strategy = \"bluegreen\"", "strategy = \"blue-green\"", "deploy.strategy must be one of"),
    ("strategy = \"bluegreen\"", "strategy = \"rolling\"", "deploy.strategy must be \"bluegreen\""),
    (
        "release_command_timeout = \"5m\"",
        "release_command_timeout = 300",
        "deploy.release_command_timeout must be",
    ),
    (
        "internal_port = 8080",
        "internal_port = 0",
        "http_service.internal_port must be a whole number",
    ),
    (
        "internal_port = 8080",
        "internal_port = \"8080\"",
        "http_service.internal_port must be a whole number",
    ),
    ("internal_port = 8080", "internal_port = 8081", "must be that of LISTEN_ADDR, 8080"),
    ("\"suspend\"", "\"sleep\"", "http_service.auto_stop_machines must be one of"),
    (
        "auto_start_machines = true",
        "auto_start_machines = false",
        "must be true: nothing else wakes it",
    ),
    (
        "type = \"requests\"",
        "type = \"connections\"",
        "http_service.concurrency.type must be \"requests\"",
    ),
    ("h2_backend = true", "h2_backend = false", "h2_backend must be true"),
    ("[\"h2\", \"http/1.1\"]", "[\"http/1.1\"]", "http_service.tls_options.alpn must offer"),
    ("interval = \"15s\"", "interval = \"1s\"", "http_service.checks.interval must be a span"),
    (
        "timeout = \"2s\"\ngrace",
        "timeout = \"90s\"\ngrace",
        "http_service.checks.timeout must be a span",
    ),
    (
        "path = \"/healthz\"",
        "path = \"healthz\"",
        "http_service.checks.path must be text that begins with /",
    ),
    ("port = 9091", "port = 9090", "metrics.port must be that of METRICS_ADDR, 9091"),
    ("size = \"shared-cpu-1x\"", "size = \"shared-cpu-3x\"", "vm.size must be one of"),
];

#[test]
fn typos_misplacements_and_wrong_values_are_refused_by_name() {
    for (from, to, word) in REFUSED {
        let told = told(&changed(from, to));
        assert!(told.contains(word), "{from:?} -> {to:?}: {told}");
    }
}

/// What is a good file, and no good one for us.
#[test]
fn what_a_function_needs_is_demanded() {
    for (from, to, word) in [
        ("kill_signal =", "app = \"x\"\nkill_signal =", "app comes from the command"),
        ("kill_signal =", "primary_region = \"ams\"\nkill_signal =", "primary_region comes from"),
        ("kill_signal =", "swap_size_mb = 512\nkill_signal =", "swap_size_mb rules out suspending"),
        ("[[vm]]", "[[mounts]]\ndestination = \"/data\"\n[[vm]]", "mounts rules out bluegreen"),
        ("[[vm]]", "[processes]\napp = \"serve\"\n[[vm]]", "processes is not needed"),
        ("[[vm]]", "[[services]]\ninternal_port = 8080\n[[vm]]", "services is one too many"),
        ("\"../Dockerfile\"", "\"Dockerfile\"", "build.dockerfile must be"),
        ("FUNCTION = \"user\"", "FUNCTION = \"all\"", "build.args.FUNCTION must be \"user\""),
        (
            "release_command = \"migrate\"",
            "release_command = \"user migrate\"",
            "must be \"migrate\"",
        ),
        ("release_command_timeout = \"5m\"\n", "", "release_command_timeout is missing"),
        (
            "LISTEN_ADDR =",
            "DATABASE_URL = \"postgres://x\"\nLISTEN_ADDR =",
            "env.DATABASE_URL is a secret",
        ),
        ("LISTEN_ADDR =", "LISTN_ADDR = \"x\"\nLISTEN_ADDR =", "env.LISTN_ADDR is no setting"),
        ("\"[::]:8080\"", "\"0.0.0.0:8080\"", "env.LISTEN_ADDR must be on [::]"),
        ("force_https = true", "force_https = false", "http_service.force_https must be true"),
        ("compress = false", "compress = true", "compress must be false"),
        (
            "idle_timeout = 600",
            "idle_timeout = 20",
            "idle_timeout must be longer than KEEPALIVE_SECS",
        ),
        ("hard_limit = 400", "hard_limit = 200", "hard_limit must be there, and above"),
        ("path = \"/healthz\"", "path = \"/\"", "http_service.checks.path must be"),
        (
            "[[http_service.checks]]",
            "[[http_service.machine_checks]]\ncommand = [\"x\"]\n[checks.x]\ntype = \"http\"",
            "http_service.checks is missing",
        ),
        ("memory = \"256mb\"", "memory = \"4gb\"", "vm.memory must be there, and 2 GB"),
        ("[[vm]]", "[[vm]]\nsize = \"shared-cpu-1x\"\n[[vm]]", "vm must be there once"),
    ] {
        let told = told(&changed(from, to));
        assert!(told.contains(word), "{from:?} -> {to:?}: {told}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = changed("kill_signal =", "kill_signl =")
        .replace("alpn", "apln")
        .replace("h2_backend", "h2");
    assert_eq!(check::keys(&text).unwrap_err().iter().count(), 3);
    let told = told(&GOOD.replace("SIGTERM", "SIGKILL").replace("bluegreen", "canary"));
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    assert!(told("kill_signal = \"SIGTERM\"\n[build\n").starts_with("line 2 is not TOML"));
}

/// A function that only others reach.
const PRIVATE: &str = "\
kill_signal = \"SIGTERM\"
kill_timeout = \"30s\"
[build]
dockerfile = \"../Dockerfile\"
args = { FUNCTION = \"keys\" }
[deploy]
strategy = \"bluegreen\"
[[services]]
protocol = \"tcp\"
internal_port = 8080
auto_stop_machines = \"suspend\"
auto_start_machines = true
min_machines_running = 0
concurrency = { type = \"requests\", soft_limit = 200, hard_limit = 400 }
[[services.ports]]
port = 80
handlers = [\"http\"]
http_options = { h2_backend = true, compress = false }
[[services.http_checks]]
method = \"GET\"
path = \"/healthz\"
interval = \"15s\"
timeout = \"2s\"
grace_period = \"5s\"
[metrics]
port = 9091
path = \"/metrics\"
[[vm]]
size = \"shared-cpu-1x\"
memory = \"256mb\"
";

#[test]
fn a_private_function_is_on_port_80_alone() {
    let check = |text: &str| check::function(text, "keys", &settings());
    let app = check(PRIVATE).unwrap();
    assert!(!app.is_public() && !app.migrates());
    for (from, to, word) in [
        ("port = 80\n", "port = 443\n", "services.ports.port must be 80"),
        ("[\"http\"]", "[\"tls\", \"http\"]", "services.ports.handlers must be"),
        (
            "port = 80\n",
            "port = 80\nforce_https = true\n",
            "services.ports.force_https must not be",
        ),
        (
            "h2_backend = true",
            "h2_backend = false",
            "services.ports.http_options.h2_backend must be true",
        ),
        (
            "[[services.http_checks]]\nmethod = \"GET\"\npath = \"/healthz\"",
            "[[services.tcp_checks]]",
            "services.http_checks is missing",
        ),
    ] {
        let told = check(&PRIVATE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(told.contains(word), "{from:?} -> {to:?}: {told}");
    }
}

#[test]
fn one_app_of_a_platform_migrates() {
    let user = check::function(GOOD, "user", &settings()).unwrap();
    let keys = check::function(PRIVATE, "keys", &settings()).unwrap();
    assert!(check::platform(&[("user", &user), ("keys", &keys)]).is_ok());
    let none = check::platform(&[("keys", &keys)]).unwrap_err().to_string();
    assert!(none.contains("one app must migrate"), "{none}");
    let both = check::platform(&[("user", &user), ("data", &user)]).unwrap_err().to_string();
    assert!(both.contains("user, data"), "{both}");
}
