//! All settings of a function's process, read before anything is bound.

use std::{net::SocketAddr, time::Duration};

use ::settings::{Need, Reader, Setting};
use http::{HeaderValue, Uri};
use layers::{Origins, Proxy};
use telemetry::logs;

use crate::{Function, Ready, Tls};

/// The settings of a process. Each part declares its own; this is only their list.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `LISTEN_ADDR`: where apps call.
    pub listen: SocketAddr,
    /// `METRICS_ADDR`: where operators look.
    pub internal: SocketAddr,
    /// `TLS_CERT_FILE` and `TLS_KEY_FILE`: with what connections are encrypted, if they are.
    pub tls: Option<Tls>,
    /// `CORS_ORIGINS`: the web pages that may call.
    pub origins: Origins,
    /// `TRUSTED_PROXY`: whose word is taken on where a call comes from.
    pub proxy: Proxy,
    /// `REFLECTION`: whether gRPC's tools are told what is served.
    pub is_reflecting: bool,
    /// What one process and one connection may cost.
    pub limits: Limits,
    /// Where the database is.
    pub database: database::Settings,
    /// Whose tokens are good.
    pub identity: identity::Settings,
    /// How long calls to others may take.
    pub outbound: outbound::Settings,
    /// How late a revocation may be noticed.
    pub revocation: revocation::Settings,
    /// What is logged.
    pub logs: logs::Settings,
}

/// What one process and one connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `MAX_MESSAGE_BYTES`: the largest message that is read.
    pub message_bytes_max: usize,
    /// `MAX_CONNS`: connections at a time; more wait in the kernel's queue.
    pub connections_max: usize,
    /// `MAX_STREAMS_PER_CONN`: calls at a time over one connection.
    pub streams_max: u32,
    /// `MAX_IN_FLIGHT`: unary calls at a time, over all connections.
    pub calls_max: usize,
    /// `MAX_WATCHES`: streams at a time; they may last for hours, and are counted by themselves.
    pub watches_max: usize,
    /// `MAX_DEADLINE_MS`: the ceiling over the deadline of every rule but a stream's.
    pub deadline_max: Duration,
    /// `PREFACE_MS_MAX`: how long a client may take to say what it speaks.
    pub preface_max: Duration,
    /// `BODY_IDLE_MS_MAX`: how long a client may neither go on with what it sends nor take what it
    /// is sent.
    pub body_idle_max: Duration,
    /// `CONN_AGE_SECS_MAX`: when a connection is told to reconnect.
    pub connection_age_max: Duration,
    /// `KEEPALIVE_SECS`: how often a silent peer is asked whether it is there.
    pub keepalive: Duration,
    /// `DRAIN_SECS`: how long calls under way may take once the process is told to stop.
    pub drain_max: Duration,
}

impl Settings {
    /// Reads them and those that only some of `functions` have, so that all faults are told at once.
    pub fn read_for(
        functions: Vec<Function>,
        reader: &mut Reader<'_>,
    ) -> Option<(Self, Vec<Ready>)> {
        let settings = Self::read(reader);
        let ready: Vec<_> = functions.into_iter().map(|function| function.read(reader)).collect();
        Some((settings?, ready.into_iter().collect::<Option<_>>()?))
    }

    /// Reads those that every function has.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let listen = address(reader, "LISTEN_ADDR", "[::]:8080", "where apps call");
        let internal = address(
            reader,
            "METRICS_ADDR",
            "[::]:9091",
            "where metrics and the detailed health are read; not for the public",
        );
        let tls = Tls::read(reader);
        let database = database::Settings::read(reader);
        let identity = identity::Settings::read(reader);
        let outbound = outbound::Settings::read(reader);
        let revocation = revocation::Settings::read(reader);
        let origins = Setting {
            name: "CORS_ORIGINS",
            need: Need::Optional,
            expects: "a comma list of origins, such as https://app.example.com",
            about: "the web pages that may call; none if unset",
        };
        let origins = reader.maybe(origins, origins_of);
        let proxy = proxy(reader);
        let reflection = Setting {
            name: "REFLECTION",
            need: Need::Default("off"),
            expects: "on or off",
            about: "whether gRPC's tools are told what is served",
        };
        let is_reflecting = reader.read(reflection, is_on);
        let limits = Limits::read(reader);
        let logs = logs::Settings::read(reader);
        Some(Self {
            listen: listen?,
            internal: internal?,
            tls: tls?,
            origins: origins?.unwrap_or_default(),
            proxy: proxy?,
            is_reflecting: is_reflecting?,
            limits: limits?,
            database: database?,
            identity: identity?,
            outbound: outbound?,
            revocation: revocation?,
            logs: logs?,
        })
    }
}

impl Limits {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let message_bytes_max = reader.number(
            "MAX_MESSAGE_BYTES",
            "4194304",
            1024..=67_108_864,
            "the largest message that is read",
        );
        let connections_max = reader.number(
            "MAX_CONNS",
            "10000",
            1..=1_000_000,
            "connections at a time; more wait in the kernel's queue",
        );
        let streams_max = reader.number(
            "MAX_STREAMS_PER_CONN",
            "100",
            1..=10_000,
            "calls at a time over one connection",
        );
        let (calls_max, watches_max) = at_a_time(reader);
        let deadline_max = reader.millis(
            "MAX_DEADLINE_MS",
            "60000",
            1..=3_600_000,
            "the ceiling over the deadline of every rule but a stream's, in ms",
        );
        let (preface_max, body_idle_max) = patience(reader);
        let connection_age_max = reader.secs(
            "CONN_AGE_SECS_MAX",
            "1800",
            1..=86_400,
            "when a connection is told to reconnect, give or take 10 %, in s",
        );
        let keepalive = reader.secs(
            "KEEPALIVE_SECS",
            "20",
            1..=3600,
            "how often a silent peer is asked whether it is there, in s",
        );
        let drain_max = reader.secs(
            "DRAIN_SECS",
            "20",
            0..=280,
            "how long calls under way may take once the process is told to stop, in s",
        );
        Some(Self {
            message_bytes_max: usize::try_from(message_bytes_max?).ok()?,
            connections_max: usize::try_from(connections_max?).ok()?,
            streams_max: streams_max?,
            calls_max: usize::try_from(calls_max?).ok()?,
            watches_max: usize::try_from(watches_max?).ok()?,
            deadline_max: deadline_max?,
            preface_max: preface_max?,
            body_idle_max: body_idle_max?,
            connection_age_max: connection_age_max?,
            keepalive: keepalive?,
            drain_max: drain_max?,
        })
    }
}

/// How much is done at a time, over all connections.
fn at_a_time(reader: &mut Reader<'_>) -> (Option<u32>, Option<u32>) {
    let calls_max = reader.number(
        "MAX_IN_FLIGHT",
        "512",
        1..=1_000_000,
        "unary calls at a time, over all connections; more are told to come back",
    );
    let watches_max = reader.number(
        "MAX_WATCHES",
        "5000",
        1..=1_000_000,
        "streams at a time, a tenth of them for one caller and 100 at most; more are told to come back",
    );
    (calls_max, watches_max)
}

/// On Fly nobody reaches a function but through Fly's proxy.
fn proxy(reader: &mut Reader<'_>) -> Option<Proxy> {
    let setting = Setting {
        name: "TRUSTED_PROXY",
        need: Need::Optional,
        expects: "fly or none",
        about: "whose word is taken on where a call comes from; unset, fly on Fly and else none",
    };
    let unset = if reader.is_set("FLY_APP_NAME") { Proxy::Fly } else { Proxy::None };
    let given = reader.maybe(setting, |text| match text {
        "fly" => Some(Proxy::Fly),
        "none" => Some(Proxy::None),
        _ => None,
    });
    Some(given?.unwrap_or(unset))
}

/// How long a client may take: to say what it speaks, and to go on.
fn patience(reader: &mut Reader<'_>) -> (Option<Duration>, Option<Duration>) {
    let preface_max = reader.millis(
        "PREFACE_MS_MAX",
        "10000",
        1..=60_000,
        "how long a client may take to say what it speaks, in ms",
    );
    let body_idle_max = reader.millis(
        "BODY_IDLE_MS_MAX",
        "30000",
        1..=600_000,
        "how long a client may neither send on nor take what it is sent, in ms",
    );
    (preface_max, body_idle_max)
}

fn is_on(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// Reads a list of origins, each of which must be spelled as a browser sends it.
fn origins_of(text: &str) -> Option<Origins> {
    let origins = text.split(',').map(|origin| {
        let origin = origin.trim();
        let uri: Uri = origin.parse().ok()?;
        let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_bare = has_scheme && uri.path() == "/" && uri.query().is_none();
        let is_as_sent = is_bare && !origin.ends_with('/') && origin == origin.to_ascii_lowercase();
        is_as_sent.then(|| HeaderValue::from_str(origin).ok())?
    });
    Some(Origins::new(origins.collect::<Option<Vec<_>>>()?))
}

fn address(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: &'static str,
    about: &'static str,
) -> Option<SocketAddr> {
    let need = Need::Default(default);
    let expects = "an address and a port, such as [::]:8080";
    reader.read(Setting { name, need, expects, about }, |text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelled_as_a_browser_sends_it() {
        for good in ["https://app.example.com", "http://127.0.0.1:3000, https://b.example"] {
            assert!(origins_of(good).is_some(), "{good}");
        }
        for bad in
            ["*", "null", "app.example.com", "https://a/", "https://A.com", "ftp://a", "https://a,"]
        {
            assert!(origins_of(bad).is_none(), "{bad}");
        }
    }
}
