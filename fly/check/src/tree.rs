//! Every key that flyctl reads in a fly.toml, and where.
//!
//! From the Go structs of flyctl's `internal/appconfig` and of fly-go's `machine_types.go`, as they
//! were in August 2026. Spans are wanted with units everywhere: bare numbers mean seconds in one
//! place, milliseconds in another and nanoseconds in a third.

use crate::kind::{
    Kind::{
        self, Amount, Any, Begins, Either, Named, OneOrMore, Positive, Secs, Section, Sections,
        Switch, Text, Texts, Whole, Word, Words,
    },
    SIZES,
};

/// A key, and what its value may be.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Without it its section means nothing.
    pub(crate) is_required: bool,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, is_required: false }
}

const fn required(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, is_required: true }
}

const PORT: Kind = Whole(1..=65_535);
const COUNT: Kind = Whole(0..=1_000_000);
const PROCESSES: Key = key("processes", Texts);
/// A section's `headers` of a check.
const HEADERS: Kind = Named(&Text);
const SIGNAL: Kind =
    Word(&["SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP"]);
/// flyctl takes a command as one text or in its parts.
const ARGUMENTS: Kind = Either(&[Text, Texts]);
/// The most that a machine is given to end.
const KILL_SECS: Kind = Secs(0..=300);
/// The least and the most between two checks, and for one.
const INTERVAL_SECS: Kind = Secs(2..=3600);
const TIMEOUT_SECS: Kind = Secs(1..=60);
const GRACE_SECS: Kind = Secs(0..=3600);

pub(crate) const TREE: &[Key] = &[
    key("app", Text),
    key("primary_region", Text),
    key("kill_signal", SIGNAL),
    key("kill_timeout", KILL_SECS),
    key("swap_size_mb", COUNT),
    key("console_command", Text),
    key("host_dedication_id", Text),
    key("machine_config", Text),
    key("container", Text),
    key("build", Section(BUILD)),
    key("deploy", Section(DEPLOY)),
    key("env", Named(&Either(&[Text, Switch, Whole(i64::MIN..=i64::MAX)]))),
    key("processes", Named(&Text)),
    key("http_service", Section(HTTP_SERVICE)),
    key("services", OneOrMore(SERVICE)),
    key("checks", Named(&Section(CHECK))),
    key("machine_checks", Sections(MACHINE_CHECK)),
    key("metrics", OneOrMore(METRICS)),
    key("vm", OneOrMore(VM)),
    key("compute", OneOrMore(VM)),
    key("computes", OneOrMore(VM)),
    key("mounts", OneOrMore(MOUNT)),
    key("mount", OneOrMore(MOUNT)),
    key("files", Sections(FILE)),
    key("restart", Sections(RESTART)),
    key("statics", Sections(STATIC)),
    key("experimental", Section(EXPERIMENTAL)),
];

const BUILD: &[Key] = &[
    key("dockerfile", Text),
    key("ignorefile", Text),
    key("build-target", Text),
    key("build_target", Text),
    key("args", Named(&Text)),
    key("image", Text),
    key("builder", Text),
    key("buildpacks", Texts),
    key("builtin", Text),
    key("settings", Named(&Any)),
    key("compose", Section(&[key("file", Text)])),
    key("compression", Word(&["gzip", "zstd"])),
    key("compression_level", Whole(0..=9)),
];

const DEPLOY: &[Key] = &[
    key("strategy", Word(&["rolling", "bluegreen", "canary", "immediate"])),
    key("max_unavailable", Positive),
    key("wait_timeout", Secs(1..=86_400)),
    key("release_command", Text),
    key("release_command_timeout", Secs(1..=86_400)),
    key("release_command_vm", Section(VM)),
    key("seed_command", Text),
];

const HTTP_SERVICE: &[Key] = &[
    required("internal_port", PORT),
    key("force_https", Switch),
    key("auto_stop_machines", Either(&[Word(&["off", "stop", "suspend"]), Switch])),
    key("auto_start_machines", Switch),
    key("min_machines_running", COUNT),
    PROCESSES,
    key("concurrency", Section(CONCURRENCY)),
    key("tls_options", Section(TLS_OPTIONS)),
    key("http_options", Section(HTTP_OPTIONS)),
    key("checks", Sections(HTTP_CHECK)),
    key("machine_checks", Sections(MACHINE_CHECK)),
];

const SERVICE: &[Key] = &[
    key("protocol", Word(&["tcp", "udp"])),
    required("internal_port", PORT),
    key("auto_stop_machines", Either(&[Word(&["off", "stop", "suspend"]), Switch])),
    key("auto_start_machines", Switch),
    key("min_machines_running", COUNT),
    PROCESSES,
    key("concurrency", Section(CONCURRENCY)),
    key("ports", OneOrMore(SERVICE_PORT)),
    key("tcp_checks", OneOrMore(TCP_CHECK)),
    key("http_checks", OneOrMore(HTTP_CHECK)),
    key("machine_checks", Sections(MACHINE_CHECK)),
];

const SERVICE_PORT: &[Key] = &[
    key("port", PORT),
    key("start_port", PORT),
    key("end_port", PORT),
    key("handlers", Words(&["http", "tls", "pg_tls", "proxy_proto"])),
    key("force_https", Switch),
    key("tls_options", Section(TLS_OPTIONS)),
    key("http_options", Section(HTTP_OPTIONS)),
    key("proxy_proto_options", Section(&[key("version", Word(&["v1", "v2"]))])),
];

const CONCURRENCY: &[Key] = &[
    key("type", Word(&["connections", "requests"])),
    key("soft_limit", Whole(1..=1_000_000)),
    key("hard_limit", Whole(1..=1_000_000)),
];

const TLS_OPTIONS: &[Key] = &[
    key("alpn", Words(&["h2", "http/1.1"])),
    key("versions", Words(&["TLSv1.2", "TLSv1.3"])),
    key("default_self_signed", Switch),
];

const HTTP_OPTIONS: &[Key] = &[
    key("h2_backend", Switch),
    key("compress", Switch),
    key("idle_timeout", Whole(0..=86_400)),
    key("headers_read_timeout", Whole(0..=86_400)),
    key("response", Section(RESPONSE)),
    key("replay_cache", Sections(REPLAY_CACHE)),
];

const RESPONSE: &[Key] =
    &[key("headers", Named(&Either(&[Text, Texts, Switch]))), key("pristine", Switch)];

const REPLAY_CACHE: &[Key] = &[
    required("path_prefix", Begins("/")),
    required("ttl_seconds", Whole(10..=86_400)),
    required("type", Word(&["cookie", "header"])),
    required("name", Text),
    key("allow_bypass", Switch),
];

/// The checks that decide about routing. They have no port: they ask the service's own.
const HTTP_CHECK: &[Key] = &[
    key("interval", INTERVAL_SECS),
    key("timeout", TIMEOUT_SECS),
    key("grace_period", GRACE_SECS),
    key("method", Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])),
    key("path", Begins("/")),
    key("protocol", Word(&["http", "https"])),
    key("tls_skip_verify", Switch),
    key("tls_server_name", Text),
    key("headers", HEADERS),
];

const TCP_CHECK: &[Key] = &[
    key("interval", INTERVAL_SECS),
    key("timeout", TIMEOUT_SECS),
    key("grace_period", GRACE_SECS),
];

/// Checks that are told about and decide nothing. There is no type for gRPC.
const CHECK: &[Key] = &[
    key("port", PORT),
    required("type", Word(&["http", "tcp"])),
    key("interval", INTERVAL_SECS),
    key("timeout", TIMEOUT_SECS),
    key("grace_period", GRACE_SECS),
    key("method", Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])),
    key("path", Begins("/")),
    key("protocol", Word(&["http", "https"])),
    key("tls_skip_verify", Switch),
    key("tls_server_name", Text),
    key("headers", HEADERS),
    PROCESSES,
];

const MACHINE_CHECK: &[Key] = &[
    required("command", ARGUMENTS),
    key("image", Text),
    key("entrypoint", ARGUMENTS),
    key("kill_signal", SIGNAL),
    key("kill_timeout", KILL_SECS),
];

const METRICS: &[Key] =
    &[required("port", PORT), key("path", Begins("/")), key("https", Switch), PROCESSES];

const VM: &[Key] = &[
    key("size", Word(&SIZES)),
    key("memory", Either(&[Amount, Whole(256..=1_048_576)])),
    key("cpu_kind", Word(&["shared", "performance"])),
    key("cpus", Whole(1..=16)),
    key("memory_mb", Whole(256..=1_048_576)),
    key("max_memory_mb", Whole(256..=1_048_576)),
    key("gpus", Whole(0..=8)),
    key("gpu_kind", Text),
    key("kernel_args", Texts),
    key("host_dedication_id", Text),
    key("persist_rootfs", Word(&["never", "restart", "always"])),
    PROCESSES,
];

const MOUNT: &[Key] = &[
    key("source", Text),
    required("destination", Begins("/")),
    key("initial_size", Amount),
    key("snapshot_retention", Whole(1..=60)),
    key("scheduled_snapshots", Switch),
    key("auto_extend_size_threshold", Whole(50..=99)),
    key("auto_extend_size_increment", Amount),
    key("auto_extend_size_limit", Amount),
    PROCESSES,
];

const FILE: &[Key] = &[
    required("guest_path", Begins("/")),
    key("raw_value", Text),
    key("local_path", Text),
    key("secret_name", Text),
    PROCESSES,
];

const RESTART: &[Key] = &[
    key("policy", Word(&["always", "never", "on-failure"])),
    key("retries", Whole(0..=1000)),
    PROCESSES,
];

const STATIC: &[Key] = &[
    required("guest_path", Text),
    required("url_prefix", Begins("/")),
    key("tigris_bucket", Text),
    key("index_document", Text),
];

const EXPERIMENTAL: &[Key] = &[
    key("cmd", ARGUMENTS),
    key("entrypoint", ARGUMENTS),
    key("exec", ARGUMENTS),
    key("auto_rollback", Switch),
    key("enable_consul", Switch),
    key("enable_etcd", Switch),
    key("lazy_load_images", Switch),
    key("attached", Section(&[key("secrets", Section(&[key("export", Named(&Text))]))])),
    key("machine_config", Text),
];
