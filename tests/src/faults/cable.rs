//! A peer whose network goes away: no FIN, no RST, nothing more in either direction.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use proto::user::v1::WatchProfilesRequest;
use tempfile::NamedTempFile;
use tokio::time::{Instant, sleep};

use super::{
    Case, Field, Seen,
    field::token,
    slow::{WATCH, framed},
};
use crate::{Server, skip};

pub(super) const CASES: &[Case] = &[Case {
    name: "a cable that is pulled under a Watch",
    expected: "its handler and its connection are gone within KEEPALIVE_SECS and 10 s (35 s in all)",
    run: |field| Box::pin(pulled(field)),
}];

const POLL: Duration = Duration::from_millis(50);

async fn pulled(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(why) => {
            seen.skip(&why);
            return seen;
        }
    };
    let secs = field.pick("1", "20");
    let listen = format!("{}:0", cable.near());
    let settings = [("KEEPALIVE_SECS", secs), ("LISTEN_ADDR", &listen)];
    let watched = field.watched(&settings).await;
    let server = &watched.server;
    let curl = cable.watcher(server, &token("neighbour"));
    let is_open = |end: &End| end.watches == 1 && end.is_connected;
    let opened = within(Duration::from_secs(10), server, &cable, is_open).await;
    seen.note(opened.is_some(), "the watch is open");
    // One keepalive at least, so that it is the cable that is missed.
    sleep(field.pick(Duration::from_secs(2), Duration::from_secs(21))).await;
    let is_still = is_open(&End::of(server, &cable).await);
    seen.note(is_still, "and was still when the cable was pulled");
    cable.pull();
    let limit = field.pick(Duration::from_secs(13), Duration::from_secs(35));
    let start = Instant::now();
    let gone = within(limit, server, &cable, |end| end.watches == 0).await;
    note_gone(&mut seen, "handler", gone.map(|()| start.elapsed()));
    let left = limit.saturating_sub(start.elapsed()) + POLL;
    let gone = within(left, server, &cable, |end| !end.is_connected).await;
    note_gone(&mut seen, "connection", gone.map(|()| start.elapsed()));
    drop(curl);
    watched.end(&mut seen, 8.0).await;
    seen
}

fn note_gone(seen: &mut Seen, what: &str, took: Option<Duration>) {
    let told = took
        .map_or("still there".to_owned(), |took| format!("gone after {:.1} s", took.as_secs_f64()));
    seen.note(took.is_some(), format!("{what}: {told}"));
}

/// What is left at the server's end.
struct End {
    watches: i64,
    is_connected: bool,
}

impl End {
    async fn of(server: &Server, cable: &Cable) -> Self {
        Self { watches: watches(server).await, is_connected: cable.is_connected() }
    }
}

/// Waits until this is so; none if it is not in time.
async fn within(
    max: Duration,
    server: &Server,
    cable: &Cable,
    is_so: impl Fn(&End) -> bool + Send + Sync,
) -> Option<()> {
    let start = Instant::now();
    while !is_so(&End::of(server, cable).await) {
        if start.elapsed() > max {
            return None;
        }
        sleep(POLL).await;
    }
    Some(())
}

/// Watches that have begun and not ended, as an operator sees it.
async fn watches(server: &Server) -> i64 {
    let url = format!("http://{}/metrics", server.internal);
    let text = crate::person::http().get(url).send().await.expect("the internal port");
    let text = text.text().await.expect("text");
    let sum = |name: &str| -> i64 {
        let of_it = |line: &&str| line.starts_with(name) && line.contains("\"WatchProfiles\"");
        let count = |line: &str| line.rsplit(' ').next()?.parse::<i64>().ok();
        text.lines().filter(of_it).filter_map(count).sum()
    };
    sum("grpc_server_started_total") - sum("grpc_server_handled_total")
}

/// A network of one cable, whose far end is in a namespace of its own. Both go with the value.
struct Cable {
    id: u32,
}

impl Cable {
    /// Lays one; it tells why not where that is not allowed.
    fn lay() -> Result<Self, String> {
        let cable = Self { id: std::process::id() };
        if Command::new("ip").arg("-V").output().is_err() {
            skip("there is no `ip`: install iproute2");
            return Err("there is no `ip`".to_owned());
        }
        let (space, near, far) = (cable.space(), cable.end("n"), cable.end("f"));
        for line in [
            format!("netns add {space}"),
            format!("link add {near} type veth peer name {far} netns {space}"),
            format!("addr add {}/30 dev {near}", cable.near()),
            format!("link set {near} up"),
            format!("-n {space} addr add {}/30 dev {far}", cable.far()),
            format!("-n {space} link set {far} up"),
        ] {
            if !ip(&line) {
                return Err(format!("`ip {line}` is not allowed here"));
            }
        }
        Ok(cable)
    }

    fn space(&self) -> String {
        format!("mayfly-{}", self.id)
    }

    fn end(&self, which: &str) -> String {
        format!("mf{which}{}", self.id)
    }

    /// Four addresses of those that are for trials (RFC 2544), by the process.
    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(
            Ipv4Addr::new(198, 18, 0, 0).to_bits() + (self.id % (1 << 15)) * 4 + number,
        )
    }

    fn near(&self) -> Ipv4Addr {
        self.address(1)
    }

    fn far(&self) -> Ipv4Addr {
        self.address(2)
    }

    /// The far end goes dark.
    fn pull(&self) {
        assert!(ip(&format!("-n {} link set {} down", self.space(), self.end("f"))), "it was up");
    }

    /// A client at the far end that watches, and answers what it is asked for as long as it can.
    fn watcher(&self, server: &Server, token: &str) -> Watcher {
        let asked = NamedTempFile::new().expect("a file");
        fs::write(asked.path(), framed(&WatchProfilesRequest::default())).expect("it is written");
        let curl = Command::new("ip")
            .args(["netns", "exec", &self.space(), "curl", "-sN", "--http2-prior-knowledge"])
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
            .args(["-H", &format!("authorization: Bearer {token}")])
            .args(["--data-binary", &format!("@{}", asked.path().display())])
            .arg(format!("http://{}{WATCH}", server.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("`ip` runs it");
        Watcher { curl, _asked: asked }
    }

    /// Whether the kernel knows of an established connection to the far end.
    fn is_connected(&self) -> bool {
        let far = format!(" {:08X}:", u32::from_le_bytes(self.far().octets()));
        let connections = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        connections.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            matches!(*fields, [_, _, to, "01", ..] if format!(" {to}").starts_with(&far))
        })
    }
}

fn ip(line: &str) -> bool {
    let ended = Command::new("ip").args(line.split(' ')).output();
    ended.is_ok_and(|ended| ended.status.success())
}

/// A `curl` that ends with this value.
struct Watcher {
    curl: Child,
    _asked: NamedTempFile,
}

// === impl Drop ===

impl Drop for Cable {
    fn drop(&mut self) {
        // The cable goes with the namespace, at once if its other end is taken away.
        ip(&format!("link del {}", self.end("n")));
        ip(&format!("netns del {}", self.space()));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // `ip netns exec` becomes what it runs.
        self.curl.kill().unwrap_or_default();
        let _status = self.curl.wait();
    }
}
